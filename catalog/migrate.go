package catalog

import (
	"context"
	"fmt"
)

// Change is one difference between a table and this release's definition of it.
type Change struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Type   string `json:"type"`
}

// Migrate adds the columns that this release knows and the tables lack: a
// schema change is made here, by someone's decision, never by the sink. Columns
// are only added, nullable; old files read NULL. With dryRun it only looks.
func (c *Catalog) Migrate(ctx context.Context, dryRun bool) ([]Change, error) {
	changes := []Change{}
	for _, def := range Definitions() {
		t, err := c.Load(ctx, def.Name)
		if err != nil {
			return nil, err
		}
		missing := t.missingColumns(def)
		for _, f := range missing {
			changes = append(changes, Change{def.Name, f.Name, typeName(f.Type)})
		}
		if len(missing) == 0 || dryRun {
			continue
		}
		tx := t.ice.NewTransaction()
		update := tx.UpdateSchema(true, false)
		for _, f := range missing {
			update.AddColumn([]string{f.Name}, f.Type, f.Doc, false, nil)
		}
		if err := update.Commit(); err != nil {
			return nil, fmt.Errorf("migrate table %s: %w", def.Name, err)
		}
		// A sink may move the head meanwhile: that is no conflict for a column,
		// and the catalog refuses the change if the schema moved.
		if _, err := tx.Commit(ctx); err != nil {
			return nil, fmt.Errorf("migrate table %s: another writer was faster, run `auditlake migrate` again: %w", def.Name, err)
		}
	}
	return changes, nil
}
