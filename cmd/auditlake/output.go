package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
)

// Forms of output.
const (
	asTable   = "table"
	asCSV     = "csv"
	asJSON    = "json"
	asNDJSON  = "ndjson"
	asParquet = "parquet"
)

// output is the form that a command's results take on stdout.
type output struct {
	format string
	json   bool
	allows []string
}

// outputFlags adds -o and --json to a command that knows the given forms.
func outputFlags(cmd *cobra.Command, allows ...string) *output {
	o := &output{allows: allows}
	cmd.Flags().StringVarP(&o.format, "output", "o", asTable, "`FORM` of the result: "+strings.Join(allows, ", "))
	cmd.Flags().BoolVar(&o.json, "json", false, "the same as -o json")
	complete(cmd, "output", allows...)
	return o
}

// form is the one that was asked for.
func (o *output) form() (string, error) {
	if o.json && o.format != asTable && o.format != asJSON {
		return "", usagef("--json and -o %s contradict each other: give one of them", o.format)
	}
	if o.json {
		return asJSON, nil
	}
	if !slices.Contains(o.allows, o.format) {
		return "", usagef("-o %q is not known here: it is one of %s", o.format, strings.Join(o.allows, ", "))
	}
	return o.format, nil
}

// writeJSON writes one value for machines, indented for people.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeRows writes rows of text under a header, as [ui.Table] takes them.
func writeRows(w io.Writer, form string, header []string, rows [][]string) error {
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = strings.TrimSuffix(h, ">")
	}
	switch form {
	case asTable:
		return ui.Table(w, header, rows)
	case asCSV:
		out := csv.NewWriter(w)
		if err := out.WriteAll(append([][]string{names}, rows...)); err != nil {
			return err
		}
		return out.Error()
	case asJSON:
		objects := make([]map[string]string, len(rows))
		for i, row := range rows {
			objects[i] = object(names, row)
		}
		return writeJSON(w, objects)
	case asNDJSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, row := range rows {
			if err := enc.Encode(object(names, row)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no way to write %s", form)
}

func object(names, row []string) map[string]string {
	o := make(map[string]string, len(names))
	for i, n := range names {
		o[n] = row[i]
	}
	return o
}
