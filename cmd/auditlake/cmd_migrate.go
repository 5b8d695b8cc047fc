package main

import (
	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
)

func newMigrate(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Add the columns that this release knows and the tables lack",
		Long: `Columns are only added, and old files read NULL in them. The sink writes to tables of an older
release as they are: what has no column there stays in the payload.`,
		Args: takes(0, 0, ""),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change and change nothing")
	out := outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		return a.withCatalog(cmd.Context(), false, func(cat *catalog.Catalog) error {
			changes, err := cat.Migrate(cmd.Context(), dryRun)
			if err != nil {
				return err
			}
			return a.sayChanges(changes, dryRun, form)
		})
	}
	return cmd
}

func (a *app) sayChanges(changes []catalog.Change, dryRun bool, form string) error {
	rows := make([][]string, len(changes))
	for i, c := range changes {
		rows[i] = []string{c.Table, c.Column, c.Type}
	}
	if len(changes) == 0 && form == asTable {
		a.note("the tables have every column of this release")
	} else if err := writeRows(a.stdout, form, []string{"table", "column", "type"}, rows); err != nil {
		return err
	}
	if len(changes) == 0 {
		return errNothingToDo
	}
	if dryRun {
		a.note("dry run: nothing was changed")
	}
	return nil
}
