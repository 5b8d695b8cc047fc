package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/internal/nearest"
	"github.com/auditlake/auditlake/queries"
)

func newSchema(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema [list | NAME]",
		Short: "Print the columns of tables and views, and the JSON Schemas of events",
		Long: `Without a name, or with "list", it lists what there is. With the name of a table or view of SQL it prints
its columns as this release makes them: type, unit, and from what of an event each comes; with the name of a macro,
what it takes and gives; with the name of an event schema, its JSON Schema.`,
		Example: "  auditlake schema\n  auditlake schema agent_events\n  auditlake schema runs\n  auditlake schema tool_call > tool_call.schema.json",
		Args:    takes(0, 1, "one NAME"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return schemaNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	out := outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		if len(args) == 0 || args[0] == "list" {
			return a.listSchemas(form)
		}
		return a.printSchema(cmd.Context(), args[0], form)
	}
	return cmd
}

// schemaNames are the names that there are, some of them of a table and a view.
func schemaNames() []string {
	names := slices.Clone(envelope.SchemaNames())
	for _, v := range queries.ViewList() {
		names = append(names, v.Name)
	}
	for _, m := range queries.Macros() {
		names = append(names, m.Name)
	}
	for _, def := range catalog.Definitions() {
		names = append(names, def.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *app) listSchemas(form string) error {
	var rows [][]string
	for _, def := range catalog.Definitions() {
		by := strings.Join(def.PartitionBy, ", ")
		if by != "" {
			by = ", partitioned by " + by
		}
		rows = append(rows, []string{def.Name, "table", def.Doc + by})
	}
	for _, v := range queries.ViewList() {
		if v.Name != v.Table { // else it stands there
			rows = append(rows, []string{v.Name, "view", v.Doc})
		}
	}
	for _, m := range queries.Macros() {
		rows = append(rows, []string{m.Name, "macro", m.Doc})
	}
	for _, name := range envelope.SchemaNames() {
		var says struct{ Title, Description string }
		if text, ok := envelope.Schema(name); ok {
			if err := json.Unmarshal(text, &says); err != nil {
				return fmt.Errorf("JSON Schema %s: %w", name, err)
			}
		}
		rows = append(rows, []string{name, "JSON Schema", cmp.Or(says.Description, says.Title)})
	}
	return writeRows(a.stdout, form, []string{"name", "kind", "meaning"}, rows)
}

func (a *app) printSchema(ctx context.Context, name, form string) error {
	if slices.ContainsFunc(queries.ViewList(), func(v queries.View) bool { return v.Name == name }) {
		return a.printView(ctx, name, form)
	}
	for _, m := range queries.Macros() {
		if m.Name == name {
			return writeRows(a.stdout, form, []string{"macro", "meaning"}, [][]string{{m.Name + "(" + m.Params + ")", m.Doc}})
		}
	}
	if text, ok := envelope.Schema(name); ok {
		_, err := a.stdout.Write(text)
		return err
	}
	hint := "`auditlake schema` lists them"
	if near := nearest.Word(name, schemaNames()); near != "" {
		hint = "did you mean `auditlake schema " + near + "`?"
	}
	return &usageError{"no schema " + name, hint}
}

func (a *app) printView(ctx context.Context, name, form string) error {
	views, err := queries.Views(ctx, envelope.Origin)
	if err != nil {
		return err
	}
	v := views[slices.IndexFunc(views, func(v queries.View) bool { return v.Name == name })]
	if v.Name == v.Table {
		return a.printTable(v, form)
	}
	var rows [][]string
	for _, c := range v.Columns {
		rows = append(rows, []string{c.Name, strings.ToLower(c.Type), c.Unit, c.Source, c.Doc})
	}
	return writeRows(a.stdout, form, []string{"column", "type", "unit", "source", "meaning"}, rows)
}

// printTable prints the columns of a table, with the types that every engine sees.
func (a *app) printTable(v queries.View, form string) error {
	var rows [][]string
	for _, def := range catalog.Definitions() {
		if def.Name != v.Table {
			continue
		}
		for i, c := range def.Columns() {
			null := ""
			if c.Required {
				null = "not null"
			}
			rows = append(rows, []string{c.Name, c.Type, null, v.Columns[i].Unit, v.Columns[i].Source, c.Doc})
		}
	}
	return writeRows(a.stdout, form, []string{"column", "type", "null", "unit", "source", "meaning"}, rows)
}
