package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/internal/nearest"
	"github.com/auditlake/auditlake/sink"
)

func newInit(a *app) *cobra.Command {
	var repair bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the catalog, its namespace and the tables",
		Long: `Makes what is not there and says what it made; what is there stays as it is, so it may be run again.
It refuses tables that somebody else made and states it cannot tell to be safe, and says the way out.`,
		Args: takes(0, 0, ""),
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "make a missing table empty although others hold rows")
	out := outputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		report, err := a.initTables(cmd.Context(), cfg, repair)
		if err != nil {
			return err
		}
		if form == asJSON {
			err = writeJSON(a.stdout, report)
		} else {
			err = a.sayInit(report)
		}
		if err == nil && len(report.Created) == 0 && !report.NamespaceCreated {
			err = errNothingToDo
		}
		return err
	}
	return cmd
}

func (a *app) initTables(ctx context.Context, cfg *config.Config, repair bool) (report *catalog.InitReport, err error) {
	specs, err := partitionSpecs(cfg)
	if err != nil {
		return nil, err
	}
	err = a.withCatalog(ctx, true, func(cat *catalog.Catalog) error {
		report, err = cat.Init(ctx, catalog.InitOptions{PartitionBy: specs, Repair: repair})
		return err
	})
	return report, err
}

func partitionSpecs(cfg *config.Config) (map[string][]string, error) {
	var names []string
	for _, def := range catalog.Definitions() {
		names = append(names, def.Name)
	}
	specs := map[string][]string{}
	for name, t := range cfg.Tables {
		if !slices.Contains(names, name) {
			hint := "the tables are " + strings.Join(names, ", ")
			if near := nearest.Word(name, names); near != "" {
				hint = "did you mean " + near + "?"
			}
			return nil, cfg.Fault("tables."+name, "there is no table "+name, hint)
		}
		if t.PartitionBy == nil {
			continue
		}
		columns, err := catalog.PartitionColumns(name, t.PartitionBy)
		if err != nil {
			return nil, cfg.Fault("tables."+name+".partition_by", err.Error(), "docs/config.md lists the terms")
		}
		for _, column := range columns {
			if !sink.CanPartitionBy(name, column) {
				return nil, cfg.Fault("tables."+name+".partition_by", "the sink cannot partition "+name+" by "+column, "docs/config.md lists the columns")
			}
		}
		specs[name] = t.PartitionBy
	}
	return specs, nil
}

func (a *app) sayInit(report *catalog.InitReport) error {
	for _, name := range report.Created {
		if err := a.say("created %s", name); err != nil {
			return err
		}
	}
	for _, name := range report.Existed {
		if err := a.say("exists  %s", name); err != nil {
			return err
		}
	}
	return nil
}
