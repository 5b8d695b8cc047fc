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
release as they are: what has no column there stays in the payload. Where tables.NAME.partition_by
is configured and the table has another partition spec, new files are written by the configured one
from then on; old files stay as they are. Sinks of either release may be at work meanwhile.`,
		Args: takes(0, 0, ""),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change and change nothing")
	out := outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		specs, err := partitionSpecs(cfg)
		if err != nil {
			return err
		}
		return a.withCatalog(cmd.Context(), false, func(cat *catalog.Catalog) error {
			changes, err := cat.Migrate(cmd.Context(), catalog.MigrateOptions{PartitionBy: specs, DryRun: dryRun})
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
		rows[i] = []string{c.Table, c.Change, c.Column, c.From, c.To}
	}
	if len(changes) == 0 && form == asTable {
		a.note("the tables have every column of this release and the configured partition specs")
	} else if err := writeRows(a.stdout, form, []string{"table", "change", "column", "from", "to"}, rows); err != nil {
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
