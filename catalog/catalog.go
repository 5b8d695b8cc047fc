// Package catalog opens an Iceberg catalog and owns what the tables of an audit
// lake promise: their schemas and partition specs (one truth, schema.go), the
// snapshot commit that moves rows and Kafka offsets together (commit.go), the
// plan of a scan (plan.go) and the proof that nothing is missing (verify.go).
//
// iceberg-go stays behind this package: nobody else needs to know its types.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icecat "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/auditlake/auditlake/storage"
)

// Config says where the tables are. It is plain values: files, flags and the
// environment are read by the caller.
type Config struct {
	Type string // "sqlite", "postgres", "rest" or "glue"
	// URI is the path of the database file (sqlite), a connection string
	// (postgres) or the address before /v1 (rest).
	URI      string
	Password string `json:"-"` // postgres: where the URI has none
	REST     RESTConfig
	Glue     GlueConfig
	Name     string // the catalog's name in shared SQL catalogs; "auditlake" if empty
	// Warehouse is the absolute URI of the folder of the tables, see
	// storage.Normalize. With a REST catalog it may be empty: the server decides.
	Warehouse string
	Namespace string // "audit" if empty
	Storage   storage.Config

	// Create lets Open make a catalog that is not there yet (init does). A SQLite
	// file that Open made and no table came into is removed by Close.
	Create bool

	// Intercept, when set, runs every commit of CommitBatch and Migrate: it calls
	// land to send the commit and returns what the caller is to see. It is the
	// seam for tests of unanswered and refused commits.
	Intercept func(table string, land func() error) error
}

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	cfg   Config
	ice   icecat.Catalog
	db    *sql.DB // of a SQL catalog
	close func() error
	// judge tells what an error of this kind of catalog says; ok is false where
	// it says nothing.
	judge func(err error) (outcome Outcome, explained error, ok bool)
	// vended keeps the keys of tables, where the catalog is one that gives them.
	vended *vendor
	turns  Turns // of CommitBatch
	// there tells whether the catalog's file is still the one that was opened; nil
	// where that cannot change.
	there func() error
}

// ErrNotInitialized says that the catalog, namespace or a table is not there
// yet; `auditlake init` makes them.
var ErrNotInitialized = errors.New("not initialized")

// ConfigError is a mistake in the configuration or the surroundings that
// retrying cannot mend. Its text says what to do.
type ConfigError struct {
	Text string
	Err  error
	// Access says that it is about access, which somebody refuses or stands in the way
	// of: where there was some before, there may be again. Else it is about what is
	// configured, or the tables.
	Access bool
}

func (e *ConfigError) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// ExitCode is the process exit code for this error: usage or configuration.
func (e *ConfigError) ExitCode() int { return 2 }

// Open opens the catalog and registers the project's storage with iceberg-go.
// It does not look at the tables; Load does.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.Name == "" {
		cfg.Name = "auditlake"
	}
	if cfg.Namespace == "" {
		cfg.Namespace = "audit"
	}
	if !namespaceName.MatchString(cfg.Namespace) {
		return nil, &ConfigError{Text: fmt.Sprintf(
			"catalog.namespace %q cannot be a folder of every engine: use letters, digits, _ and -, with . between levels", cfg.Namespace)}
	}
	open, ok := map[string]func(context.Context, Config) (*Catalog, error){
		"sqlite": openSQLite, "postgres": openPostgres, "rest": openREST, "glue": openGlue,
	}[cfg.Type]
	if !ok {
		return nil, &ConfigError{Text: fmt.Sprintf("catalog.type %q is not known: use sqlite, postgres, rest or glue", cfg.Type)}
	}
	if cfg.Warehouse == "" && (cfg.Type == "postgres" || cfg.Type == "glue") {
		return nil, &ConfigError{Text: "warehouse is not set: name a folder such as ./lake/warehouse, or s3://bucket/prefix"}
	}
	if cfg.Type == "rest" {
		cfg.Storage.Vended = storage.NewVended()
	}
	storage.Register(cfg.Storage)
	return open(ctx, cfg)
}

// namespaceName is what every catalog, object store and engine takes as it is.
var namespaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$`)

// Close releases the catalog's connections.
func (c *Catalog) Close() error { return c.close() }

// Namespace returns the namespace of the tables.
func (c *Catalog) Namespace() string { return c.cfg.Namespace }

// Storage returns the storage settings the catalog was opened with.
func (c *Catalog) Storage() storage.Config { return c.cfg.Storage }

func (c *Catalog) ident(name string) table.Identifier {
	return append(strings.Split(c.cfg.Namespace, "."), name)
}

// Table is one table as it was when it was loaded. It does not change; Load
// again to see what others committed since.
type Table struct {
	cat  *Catalog
	name string
	ice  *table.Table
}

// Load reads a table's current metadata. A table that is not there, or that
// somebody else made, is an error that says what to do.
func (c *Catalog) Load(ctx context.Context, name string) (*Table, error) {
	t, err := c.load(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := t.checkOurs(); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Catalog) load(ctx context.Context, name string) (*Table, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	t, err := c.ice.LoadTable(ctx, c.ident(name))
	if errors.Is(err, icecat.ErrNoSuchTable) || errors.Is(err, icecat.ErrNoSuchNamespace) {
		return nil, &ConfigError{
			Text: fmt.Sprintf("table %s.%s does not exist: run `auditlake init`", c.cfg.Namespace, name),
			Err:  ErrNotInitialized,
		}
	}
	if err != nil {
		outcome, err := c.judgeError(name, err, OutcomeRetry)
		err = fmt.Errorf("load table %s.%s: %w", c.cfg.Namespace, name, err)
		var config *ConfigError
		if outcome == OutcomeRefused && c.cfg.Type == "rest" && !errors.As(err, &config) {
			// Nothing of ours is in this request but where and how to ask.
			err = &ConfigError{Text: "the catalog cannot be read", Err: err, Access: true}
		}
		return nil, err
	}
	for _, key := range []string{"s3.", "client."} {
		for property := range t.Properties() {
			if strings.HasPrefix(property, key) {
				return nil, &ConfigError{Text: fmt.Sprintf("table %s.%s has the property %s, which would send files elsewhere: remove it; "+
					"how storage is reached is a matter of the configuration and of the catalog", c.cfg.Namespace, name, property)}
			}
		}
	}
	if c.vended != nil {
		if t, err = c.vended.equip(ctx, t); err != nil {
			return nil, fmt.Errorf("load table %s.%s: %w", c.cfg.Namespace, name, err)
		}
	}
	if t, err = c.withoutRetries(t); err != nil {
		return nil, fmt.Errorf("load table %s.%s: %w", c.cfg.Namespace, name, err)
	}
	return &Table{cat: c, name: name, ice: t}, nil
}

// requestTimeout bounds one reading of a table's state and one sending of a
// commit: a catalog that does not answer must not hold a sink for ever.
const requestTimeout = 2 * time.Minute

// Name returns the table's name without its namespace.
func (t *Table) Name() string { return t.name }

// Location returns the URI of the table's folder.
func (t *Table) Location() string { return t.ice.Location() }

// MetadataLocation returns the URI of the metadata file that was loaded.
func (t *Table) MetadataLocation() string { return t.ice.MetadataLocation() }

// UUID returns the table's identity, which survives renames.
func (t *Table) UUID() string { return t.ice.Metadata().TableUUID().String() }

func (t *Table) properties() iceberg.Properties { return t.ice.Properties() }

// checkOurs refuses a table that this project did not make, or whose columns no
// longer carry what the sink writes.
func (t *Table) checkOurs() error {
	full := t.cat.cfg.Namespace + "." + t.name
	if kind := t.properties().Get(propTable, ""); kind != t.name {
		return &ConfigError{Text: fmt.Sprintf(
			"table %s was not made by auditlake (it lacks the property %s): use another catalog.namespace, or move that table away", full, propTable)}
	}
	def, ok := definition(t.name)
	if !ok {
		return &ConfigError{Text: fmt.Sprintf("table %s is not one this release knows", full)}
	}
	for _, want := range def.Schema.Fields() {
		have, ok := t.ice.Schema().FindFieldByName(want.Name)
		if !ok && want.Required {
			return &ConfigError{Text: fmt.Sprintf("table %s has lost its column %s: another engine changed the schema; put the column back", full, want.Name)}
		}
		if ok && !widened(want.Type, have.Type) {
			return &ConfigError{Text: fmt.Sprintf(
				"column %s of table %s is %s, expected %s: another engine changed the schema; change it back", want.Name, full, have.Type, want.Type)}
		}
	}
	return nil
}

// widened reports whether have is want or a type Iceberg lets it be promoted to.
func widened(want, have iceberg.Type) bool {
	if want.Equals(have) {
		return true
	}
	switch want := want.(type) {
	case iceberg.Int32Type:
		return have.Equals(iceberg.PrimitiveTypes.Int64)
	case iceberg.DecimalType:
		h, ok := have.(iceberg.DecimalType)
		return ok && h.Scale() == want.Scale() && h.Precision() >= want.Precision()
	case *iceberg.ListType:
		// Element ids are the table's own.
		h, ok := have.(*iceberg.ListType)
		return ok && sameShape(want.Element, h.Element)
	}
	return false
}

func sameShape(want, have iceberg.Type) bool {
	w, ok := want.(*iceberg.StructType)
	if !ok {
		return widened(want, have)
	}
	h, ok := have.(*iceberg.StructType)
	if !ok || len(w.FieldList) != len(h.FieldList) {
		return false
	}
	for i := range w.FieldList {
		if w.FieldList[i].Name != h.FieldList[i].Name || !widened(w.FieldList[i].Type, h.FieldList[i].Type) {
			return false
		}
	}
	return true
}
