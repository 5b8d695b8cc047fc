package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/apache/iceberg-go"
	icecat "github.com/apache/iceberg-go/catalog"

	"github.com/auditlake/auditlake/storage"
)

// InitOptions choose how Init makes tables.
type InitOptions struct {
	// PartitionBy overrides a table's default partition spec, by table name; see
	// ParsePartitionBy. It is used only where the table is made.
	PartitionBy map[string][]string
	// Repair makes tables that are missing although others already hold rows.
	Repair bool
}

// InitReport says what Init found and made, full names in order.
type InitReport struct {
	Namespace        string   `json:"namespace"`
	NamespaceCreated bool     `json:"namespace_created"`
	Created          []string `json:"created"`
	Existed          []string `json:"existed"`
}

// Init makes the namespace and every table that is not there. It changes
// nothing that is there, and refuses states it cannot tell to be safe: tables
// that somebody else made, a table missing beside others that hold rows, data
// files under a table that the catalog does not know.
func (c *Catalog) Init(ctx context.Context, opts InitOptions) (*InitReport, error) {
	report := &InitReport{Namespace: c.cfg.Namespace, Created: []string{}, Existed: []string{}}
	missing, withRows, err := c.survey(ctx, report)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 && withRows != "" && !opts.Repair {
		return nil, &ConfigError{Text: fmt.Sprintf(
			"table %s.%s is missing although %s holds rows: restore it, or make it empty with `auditlake init --repair`",
			c.cfg.Namespace, missing[0].Name, withRows)}
	}
	for _, def := range missing {
		if err := c.refuseStrayFiles(ctx, def.Name); err != nil {
			return nil, err
		}
	}
	if report.NamespaceCreated, err = c.createNamespace(ctx); err != nil {
		return nil, err
	}
	for _, def := range missing {
		created, err := c.create(ctx, def, opts.PartitionBy[def.Name])
		if err != nil {
			return nil, err
		}
		if full := c.cfg.Namespace + "." + def.Name; created {
			report.Created = append(report.Created, full)
		} else {
			report.Existed = append(report.Existed, full)
		}
	}
	if c.there != nil {
		if err := c.there(); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// survey lists which tables are missing and names one that holds rows.
func (c *Catalog) survey(ctx context.Context, report *InitReport) (missing []Definition, withRows string, err error) {
	for _, def := range Definitions() {
		full := c.cfg.Namespace + "." + def.Name
		t, err := c.Load(ctx, def.Name)
		switch {
		case errors.Is(err, ErrNotInitialized):
			missing = append(missing, def)
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, "", &ConfigError{Text: fmt.Sprintf(
				"the catalog knows table %s but its metadata file is gone: restore the warehouse, or start over with another catalog.uri and warehouse", full), Err: err}
		case err != nil:
			return nil, "", err
		}
		report.Existed = append(report.Existed, full)
		if snap, ok, err := t.Current(); err != nil {
			return nil, "", err
		} else if ok && snap.TotalRows > 0 {
			withRows = full
		}
	}
	return missing, withRows, nil
}

// createNamespace makes the namespace, and those around it, which some REST
// catalogs want to be there. It reports whether it was missing.
func (c *Catalog) createNamespace(ctx context.Context) (created bool, err error) {
	levels := strings.Split(c.cfg.Namespace, ".")
	for n := range levels {
		if n+1 < len(levels) && c.cfg.Type != "rest" {
			continue
		}
		ns := levels[:n+1]
		err := c.ice.CreateNamespace(ctx, ns, nil)
		created = err == nil
		if err == nil || errors.Is(err, icecat.ErrNamespaceAlreadyExists) {
			continue
		}
		if c.cfg.Type == "rest" && errors.Is(err, icecat.ErrNoSuchNamespace) { // its 404, where nothing is looked for
			return false, misplaced(c.cfg, err)
		}
		outcome, err := c.judgeError(c.cfg.Namespace, err, OutcomeUnknown)
		// Another init may have been faster, or an answer was lost.
		if there, look := c.ice.CheckNamespaceExists(ctx, ns); look != nil || !there {
			err = fmt.Errorf("create namespace %s: %w", strings.Join(ns, "."), err)
			if outcome == OutcomeRefused && c.cfg.Type == "rest" {
				err = &ConfigError{Text: "the catalog takes no namespace", Err: err}
			}
			return false, err
		}
	}
	return created, nil
}

var errFound = errors.New("found")

// refuseStrayFiles refuses to make a table over the data files of another one.
func (c *Catalog) refuseStrayFiles(ctx context.Context, name string) error {
	if c.cfg.Warehouse == "" {
		return nil // the server decides where the table goes
	}
	location := c.tableLocation(name)
	io, err := storage.New(ctx, location, c.cfg.Storage)
	if err != nil {
		return err
	}
	err = io.WalkDir(location+"/data", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && strings.HasSuffix(path, ".parquet") {
			return errFound
		}
		return nil
	})
	switch {
	case errors.Is(err, errFound):
		return &ConfigError{Text: fmt.Sprintf(
			"%s holds data files of a table that this catalog does not know: restore its catalog, or use another warehouse or catalog.namespace", location)}
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case c.cfg.Type == "rest":
		return nil // the server may be the only one with a key: it tells by creating the table
	}
	return &ConfigError{Text: fmt.Sprintf("warehouse %s cannot be read: check warehouse and its permissions", c.cfg.Warehouse), Err: err}
}

func (c *Catalog) tableLocation(name string) string {
	return strings.TrimSuffix(c.cfg.Warehouse, "/") + "/" + strings.ReplaceAll(c.cfg.Namespace, ".", "/") + "/" + name
}

// createAttempts is how often a table is created whose creation came to nothing.
const createAttempts = 4

// create makes a table. It reports false where another init made it meanwhile.
func (c *Catalog) create(ctx context.Context, def Definition, partitionBy []string) (created bool, err error) {
	if partitionBy == nil {
		partitionBy = def.PartitionBy
	}
	spec, err := ParsePartitionBy(def.Schema, partitionBy)
	if err != nil {
		return false, &ConfigError{Text: fmt.Sprintf("tables.%s.partition_by", def.Name), Err: err}
	}
	options := []icecat.CreateTableOpt{icecat.WithPartitionSpec(spec), icecat.WithProperties(tableProperties(def, spec))}
	if c.cfg.Warehouse != "" {
		options = append(options, icecat.WithLocation(c.tableLocation(def.Name)))
	}
	full := c.cfg.Namespace + "." + def.Name
	for attempt := 1; ; attempt++ {
		_, err := c.ice.CreateTable(storage.KeepFiles(ctx), c.ident(def.Name), def.Schema, options...)
		if err == nil {
			return true, nil
		}
		var files *fs.PathError
		if errors.As(err, &files) {
			return false, &ConfigError{Text: fmt.Sprintf("warehouse %s cannot be written: check that it can be reached and that this user may write there", c.cfg.Warehouse), Err: err}
		}
		outcome, err := c.judgeError(def.Name, err, OutcomeUnknown)
		if outcome == OutcomeRefused {
			return false, fmt.Errorf("create table %s: %w", full, err)
		}
		// Another init may have been faster, or an answer was lost.
		_, look := c.Load(ctx, def.Name)
		if look == nil {
			return false, nil
		}
		if !errors.Is(look, ErrNotInitialized) {
			err = look
		}
		if ctx.Err() != nil || attempt == createAttempts {
			return false, fmt.Errorf("create table %s: %w", full, err)
		}
	}
}

func tableProperties(def Definition, spec *iceberg.PartitionSpec) iceberg.Properties {
	props := iceberg.Properties{
		propTable:        def.Name,
		"format-version": formatVersion,
		"comment":        def.Doc,
		// Many small snapshot commits: keep planning and metadata small.
		"commit.manifest-merge.enabled":              "true",
		"write.metadata.delete-after-commit.enabled": "true",
		"write.metadata.previous-versions-max":       "100",
		// Copy-on-write for whoever deletes.
		"write.delete.mode":            "copy-on-write",
		"write.update.mode":            "copy-on-write",
		"write.merge.mode":             "copy-on-write",
		"write.format.default":         "parquet",
		"write.target-file-size-bytes": "134217728",
	}
	// Bounds on long text cost metadata and prune nothing.
	for _, column := range []string{"payload", "value", "kafka_headers", "kafka_key", "error_text", "detail"} {
		if _, ok := def.Schema.FindFieldByName(column); ok {
			props["write.metadata.metrics.column."+column] = "counts"
		}
	}
	// iceberg-go decides what a deletion must rewrite by the bounds of the
	// partition's source column: they must not be truncated.
	for _, f := range spec.Fields() {
		if src, ok := def.Schema.FindFieldByID(f.SourceID()); ok {
			props["write.metadata.metrics.column."+src.Name] = "full"
		}
	}
	return props
}
