package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/internal/nearest"
)

func newSchema(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema [list | NAME]",
		Short: "Print the JSON Schemas of events and the columns of tables",
		Long: `Without a name, or with "list", it lists what there is. With the name of an event schema it prints
its JSON Schema; with the name of a table, its columns as this release makes them.`,
		Example: "  auditlake schema\n  auditlake schema agent_events\n  auditlake schema tool_call > tool_call.schema.json",
		Args:    takes(0, 1, "one NAME"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return schemaNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	out := outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		if len(args) == 0 || args[0] == "list" {
			return a.listSchemas(form)
		}
		return a.printSchema(args[0], form)
	}
	return cmd
}

func schemaNames() []string {
	names := slices.Clone(envelope.SchemaNames())
	for _, def := range catalog.Definitions() {
		names = append(names, def.Name)
	}
	return names
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

func (a *app) printSchema(name, form string) error {
	for _, def := range catalog.Definitions() {
		if def.Name != name {
			continue
		}
		var rows [][]string
		for _, f := range def.Schema.Fields() {
			null := ""
			if f.Required {
				null = "not null"
			}
			rows = append(rows, []string{f.Name, f.Type.String(), null, f.Doc})
		}
		return writeRows(a.stdout, form, []string{"column", "type", "", "meaning"}, rows)
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
