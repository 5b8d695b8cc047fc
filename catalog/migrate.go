package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Kinds of changes that Migrate makes.
const (
	ChangeAddColumn   = "add_column"
	ChangePartitionBy = "partition_by"
)

// Change is one difference between a table and what it is to be. From and To are
// a column's type, or the terms of a partition spec; From is "" where there was
// nothing.
type Change struct {
	Table  string `json:"table"`
	Change string `json:"change"`
	Column string `json:"column,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to"`
}

// MigrateOptions choose what Migrate does.
type MigrateOptions struct {
	// PartitionBy is the partition spec that tables are to write new files by, by
	// table name, see ParsePartitionBy. A table that is not named keeps its own.
	PartitionBy map[string][]string
	DryRun      bool // only look
}

// migrateTimeout bounds the attempts of one table's change.
const migrateTimeout = 2 * time.Minute

// Migrate adds the columns that this release knows and the tables lack, and
// changes the partition spec of tables whose configuration asks for another: a
// change of a table is made here, by someone's decision, never by the sink.
// Columns are only added, nullable: old files read NULL. Old files keep the spec
// they were written by. It looks at every table before it changes one, and makes
// one commit for each. Sinks at work meanwhile make it try again.
func (c *Catalog) Migrate(ctx context.Context, opts MigrateOptions) ([]Change, error) {
	changes := []Change{}
	var pending []Definition
	for _, def := range Definitions() {
		t, err := c.Load(ctx, def.Name)
		if err != nil {
			return nil, err
		}
		plan, err := t.planMigration(def, opts.PartitionBy[def.Name])
		if err != nil {
			return nil, err
		}
		if len(plan.changes) > 0 {
			changes, pending = append(changes, plan.changes...), append(pending, def)
		}
	}
	if opts.DryRun {
		return changes, nil
	}
	for _, def := range pending {
		if err := c.migrateTable(ctx, def, opts.PartitionBy[def.Name]); err != nil {
			return nil, fmt.Errorf("migrate table %s.%s: %w", c.cfg.Namespace, def.Name, err)
		}
	}
	return changes, nil
}

// migrateTable tries until the table is as it is to be. Every attempt reads the
// table anew, so one whose answer was lost, or another process's, is seen.
func (c *Catalog) migrateTable(ctx context.Context, def Definition, partitionBy []string) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		done, err := c.migrateOnce(ctx, def, partitionBy)
		if done || err == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no change in %d attempts, run `auditlake migrate` again: %w", attempt, err)
		case <-time.After(rand.N(min(commitMinWait<<min(attempt-1, 20), commitMaxWait))):
		}
	}
}

// migrateOnce makes one attempt; done says that another one would not help.
func (c *Catalog) migrateOnce(ctx context.Context, def Definition, partitionBy []string) (done bool, err error) {
	t, err := c.Load(ctx, def.Name)
	if err == nil {
		var plan *migration
		if plan, err = t.planMigration(def, partitionBy); err != nil {
			return true, err
		}
		if len(plan.changes) == 0 {
			return true, nil
		}
		var tx *table.Transaction
		if tx, err = t.stageMigration(plan); err != nil {
			return true, err
		}
		// The catalog refuses it where the schema or the spec have moved on since.
		land := func() error { _, err := tx.Commit(ctx); return err }
		if c.cfg.Intercept != nil {
			err = c.cfg.Intercept(def.Name, land)
		} else {
			err = land()
		}
	}
	if err == nil {
		return true, nil
	}
	var config *ConfigError
	if errors.As(err, &config) {
		return true, err
	}
	outcome, err := c.judgeError(def.Name, err, OutcomeUnknown)
	return outcome == OutcomeRefused, err
}

// migration is what a table lacks.
type migration struct {
	columns []iceberg.NestedField
	remove  []string                 // names of partition fields
	add     []iceberg.PartitionField // source by the id in definition's schema
	changes []Change
	props   iceberg.Properties
	def     Definition
}

func (t *Table) planMigration(def Definition, partitionBy []string) (*migration, error) {
	m := &migration{def: def, columns: t.missingColumns(def), props: iceberg.Properties{}}
	for _, f := range m.columns {
		if have, ok := t.ice.Schema().FindFieldByNameCaseInsensitive(f.Name); ok {
			return nil, &ConfigError{Text: fmt.Sprintf(
				"table %s has a column %s and is to get %s, which most engines take for the same: rename the one that is there", t.name, have.Name, f.Name)}
		}
		m.changes = append(m.changes, Change{Table: t.name, Change: ChangeAddColumn, Column: f.Name, To: typeName(f.Type)})
	}
	if partitionBy == nil {
		return m, nil
	}
	want, err := ParsePartitionBy(def.Schema, partitionBy)
	if err != nil {
		return nil, &ConfigError{Text: fmt.Sprintf("tables.%s.partition_by", t.name), Err: err}
	}
	spec := t.ice.Spec()
	have, wanted := map[string]bool{}, map[string]bool{}
	for _, f := range want.Fields() {
		wanted[termOf(def.Schema, f)] = true
	}
	for _, f := range spec.Fields() {
		term := termOf(t.ice.Schema(), f)
		if have[term] = true; !wanted[term] {
			m.remove = append(m.remove, f.Name)
		}
	}
	for _, f := range want.Fields() {
		if !have[termOf(def.Schema, f)] {
			m.add = append(m.add, f)
		}
	}
	if len(m.remove)+len(m.add) > 0 {
		m.changes = append(m.changes, Change{Table: t.name, Change: ChangePartitionBy,
			From: t.PartitionBy(), To: strings.Join(partitionBy, ", ")})
	}
	// Columns' metrics as Init sets them: bounds of the source columns in full.
	for key, value := range tableProperties(def, want) {
		if strings.HasPrefix(key, "write.metadata.metrics.column.") && t.properties().Get(key, "") != value && len(m.changes) > 0 {
			m.props[key] = value
		}
	}
	return m, nil
}

// stageMigration is one transaction with all that a table lacks.
func (t *Table) stageMigration(m *migration) (*table.Transaction, error) {
	tx := t.ice.NewTransaction()
	if len(m.columns) > 0 {
		update := tx.UpdateSchema(true, false)
		for _, f := range m.columns {
			update.AddColumn([]string{f.Name}, f.Type, f.Doc, false, nil)
		}
		if err := update.Commit(); err != nil {
			return nil, err
		}
	}
	if len(m.remove)+len(m.add) > 0 {
		update := tx.UpdateSpec(true)
		for _, name := range m.remove {
			update.RemoveField(name)
		}
		for _, f := range m.add {
			source, _ := m.def.Schema.FindColumnName(f.SourceID())
			update.AddField(source, f.Transform, f.Name)
		}
		if err := update.Commit(); err != nil {
			return nil, err
		}
	}
	return tx, tx.SetProperties(m.props)
}

// PartitionBy is the table's partition spec in the terms of ParsePartitionBy.
func (t *Table) PartitionBy() string {
	spec := t.ice.Spec()
	var terms []string
	for _, f := range spec.Fields() {
		terms = append(terms, termOf(t.ice.Schema(), f))
	}
	return strings.Join(terms, ", ")
}

func termOf(schema *iceberg.Schema, f iceberg.PartitionField) string {
	column, _ := schema.FindColumnName(f.SourceID()) // "" where another engine dropped it
	if _, ok := f.Transform.(iceberg.IdentityTransform); ok {
		return column
	}
	return fmt.Sprintf("%s(%s)", f.Transform, column)
}

// MissingColumns names the columns that this release knows and the table lacks:
// it was made by an older release, or another engine dropped them.
func (t *Table) MissingColumns() []string {
	def, _ := definition(t.name) // Load has seen to it
	var names []string
	for _, f := range t.missingColumns(def) {
		names = append(names, f.Name)
	}
	return names
}
