package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/queries"
)

// newQuery makes a subcommand of every canned query, so that each has its help,
// its flags and their completion.
func newQuery(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query [NAME]",
		Short: "Run a canned query; without a name, list them",
		Long: `Runs a canned query. Its parameters are flags, or --param NAME=VALUE; "auditlake query NAME --help" says what
it answers, what it takes and what its columns mean. Without a name it lists the queries.

A folder of your own .sql files, by --queries or sql.queries_dir, is listed and run beside them: docs/queries.md says
how such a file begins.`,
		Example: "  auditlake query\n  auditlake query action_ledger --from 7d --principal user:42\n  auditlake query cost_rollup -o csv > cost.csv",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.unknownQuery(args[0])
			}
			return nil
		},
	}
	var own string // read ahead, by openLibrary
	queriesFlag(cmd.PersistentFlags(), &own)
	mustNot(cmd.MarkPersistentFlagDirname("queries"))
	out := outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON)
	cmd.RunE = func(*cobra.Command, []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		return a.listQueries(form)
	}
	for _, q := range a.queryLibrary().List() {
		cmd.AddCommand(newCannedQuery(a, q))
	}
	return cmd
}

func (a *app) unknownQuery(name string) error {
	_, err := a.queryLibrary().Find(name)
	return cmp.Or(a.libraryErr, err)
}

// listQueries lists the queries, for people by surface.
func (a *app) listQueries(form string) error {
	list := a.queryLibrary().List()
	if form == asJSON {
		return writeJSON(a.stdout, list)
	}
	var rows [][]string
	surface := ""
	for _, q := range list {
		row := []string{q.Surface, q.Name, q.Title, q.Question}
		if form == asTable && q.Surface == surface {
			row[0] = ""
		}
		rows, surface = append(rows, row), q.Surface
	}
	return writeRows(a.stdout, form, []string{"surface", "name", "title", "question"}, rows)
}

func newCannedQuery(a *app, q queries.Query) *cobra.Command {
	cmd := &cobra.Command{
		Use:     q.Name,
		Aliases: []string{q.Surface + "/" + q.Name},
		Short:   q.Question,
		Long:    describeQuery(q),
		Example: exampleOf(q),
		Args:    takes(0, 0, ""),
	}
	out, scan := addRowsFlags(cmd), addSnapshotFlags(cmd)
	f := cmd.Flags()
	var (
		pairs   []string
		explain bool
	)
	for _, p := range q.Params {
		doc := p.Doc
		if p.Required {
			doc += " (required)"
		}
		if len(p.Choices) > 0 {
			doc += ": " + strings.Join(p.Choices, ", ")
		}
		f.Var(&paramValue{p.Default, p.Type}, p.Name, doc)
		if len(p.Choices) > 0 {
			complete(cmd, p.Name, p.Choices...)
		}
		if p.Type == "timestamp" {
			complete(cmd, p.Name, "now", "24h", "7d", "30d")
		}
	}
	var names []string
	for _, c := range q.Columns {
		names = append(names, c.Name)
	}
	complete(cmd, "columns", names...)
	f.BoolVar(&explain, "explain", false, "say which files it reads, and DuckDB's plan; fetch and run nothing")
	f.StringArrayVar(&pairs, "param", nil, "a parameter as `NAME=VALUE`, instead of its flag")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params, err := queryParams(f, q, pairs)
		if err != nil {
			return err
		}
		s, err := scan.parse(time.Now())
		if err != nil {
			return err
		}
		return a.withSession(cmd.Context(), s, func(_ *catalog.Catalog, session *queries.Session) error {
			form, err := a.rows(out)
			if err != nil {
				return err
			}
			return a.watched(cmd.Context(), func(w io.Writer) error {
				if explain {
					return a.explain(form.Format, func() (queries.Reading, error) { return session.ExplainQuery(cmd.Context(), q.Name, params) })
				}
				_, err := session.Query(cmd.Context(), q.Name, params, form, w)
				return err
			})
		})
	}
	return cmd
}

// paramValue is the flag of a query's parameter; the query itself judges its text.
type paramValue struct{ text, kind string }

func (v *paramValue) String() string     { return v.text }
func (v *paramValue) Set(s string) error { v.text = s; return nil }
func (v *paramValue) Type() string       { return v.kind }

// queryParams are the parameters that the user gave, by flag or by --param.
func queryParams(f *pflag.FlagSet, q queries.Query, pairs []string) (map[string]string, error) {
	params := map[string]string{}
	for _, p := range q.Params {
		if f.Changed(p.Name) {
			params[p.Name] = f.Lookup(p.Name).Value.String()
		}
	}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--param %q has no value: write --param NAME=VALUE", pair)
		}
		if _, twice := params[name]; twice {
			return nil, usagef("parameter %s is given twice", name)
		}
		params[name] = value
	}
	return params, nil
}

func describeQuery(q queries.Query) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s\n", q.Title, q.Surface, q.Question)
	for _, n := range q.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	b.WriteString("\nColumns:\n")
	rows := make([][]string, len(q.Columns))
	for i, c := range q.Columns {
		rows[i] = []string{"  " + c.Name, strings.ToLower(c.Type), c.Doc}
	}
	mustNot(ui.List(&b, rows)) // a strings.Builder takes everything
	return strings.TrimRight(b.String(), "\n")
}

func exampleOf(q queries.Query) string {
	lines := make([]string, len(q.Examples))
	for i, text := range q.Examples {
		lines[i] = strings.TrimRight("  auditlake query "+q.Name+" "+text, " ")
	}
	return strings.Join(lines, "\n")
}
