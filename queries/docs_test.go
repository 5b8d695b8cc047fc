package queries

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/envelope"
)

// docs/queries.md starts with what people wrote; behind the mark stands what the
// code says about views, macros and canned queries.
func TestDocsOfQueries(t *testing.T) {
	const path, mark = "../docs/queries.md", "<!-- from here on written by: go test ./queries -run TestDocsOfQueries -update -->\n"
	have := readFile(t, path)
	head, tail, ok := strings.Cut(have, mark)
	require.True(t, ok, "docs/queries.md has lost the mark of its written part")
	var b strings.Builder
	describeViews(t, &b)
	describeQueries(&b)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(head+mark+b.String()), 0o644))
		return
	}
	require.Equal(t, b.String(), tail, "docs/queries.md is not what the code says: run this test with -update")
	// What people wrote names what there is.
	for _, q := range List() {
		require.Contains(t, tail, "### "+q.Name)
	}
	for _, form := range Formats {
		require.Contains(t, head, "`"+string(form)+"`")
	}
}

func describeViews(t *testing.T, b *strings.Builder) {
	all, err := Views(context.Background(), envelope.Origin)
	require.NoError(t, err)
	b.WriteString("\n## Views\n\n| view | holds |\n|---|---|\n")
	for _, v := range all {
		fmt.Fprintf(b, "| [`%s`](#%s) | %s |\n", v.Name, v.Name, cell(v.Doc))
	}
	b.WriteString("\nA source is an attribute of the event, a key of its `data`, or how the column is made; `auditlake schema VIEW` shows the same. Where an attribute stands in both, or its value " +
		"does not fit, docs/envelope.md says what becomes of it.\n")
	fmt.Fprintf(b, "\n### Columns of every class view\n\nEach class view has these, and its own between `duration_ms` and `classification`.\n")
	common := slices.Concat(commonFirst, commonLast)
	columnTable(t, b, all[slices.IndexFunc(all, func(v View) bool { return v.Class != "" })], func(name string) bool { return slices.Contains(common, name) })
	for i, v := range all {
		fmt.Fprintf(b, "\n### %s\n\n%s.\n", v.Name, strings.ToUpper(v.Doc[:1])+v.Doc[1:])
		switch {
		case v.Name == "agent_log":
			b.WriteString("It has the columns of [agent_events](#agent_events).\n")
			require.Equal(t, all[i+1].Columns, v.Columns)
		case v.Class != "":
			fmt.Fprintf(b, "Events of class `%s`.\n", v.Class)
			columnTable(t, b, v, func(name string) bool { return !slices.Contains(common, name) })
			require.Equal(t, common, slices.DeleteFunc(columnNames(v), func(name string) bool { return !slices.Contains(common, name) }), v.Name)
		default:
			columnTable(t, b, v, func(string) bool { return true })
		}
	}
	b.WriteString("\n## Macros\n\n| macro | gives |\n|---|---|\n")
	for _, m := range Macros() {
		fmt.Fprintf(b, "| `%s(%s)` | %s |\n", m.Name, m.Params, cell(m.Doc))
	}
}

func columnNames(v View) (out []string) {
	for _, c := range v.Columns {
		out = append(out, c.Name)
	}
	return out
}

func columnTable(t *testing.T, b *strings.Builder, v View, shown func(string) bool) {
	b.WriteString("\n| column | type | unit | source | |\n|---|---|---|---|---|\n")
	for _, c := range v.Columns {
		require.NotEmpty(t, c.Doc, "column %s of %s says nothing", c.Name, v.Name)
		require.NotEmpty(t, c.Source, "column %s of %s has no source", c.Name, v.Name)
		if shown(c.Name) {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", c.Name, c.Type, c.Unit, cell(c.Source), cell(c.Doc))
		}
	}
}

// Every number has a unit, or stands among those that have none; and what is
// listed is there.
func TestEveryNumberHasItsUnit(t *testing.T) {
	all, err := Views(context.Background(), envelope.Origin)
	require.NoError(t, err)
	require.Len(t, all, len(views))
	seen := map[string]bool{}
	for _, v := range all {
		require.NotEmpty(t, v.Columns, v.Name)
		for _, c := range v.Columns {
			_, known := units[c.Name]
			number := regexp.MustCompile(`INT$|^DOUBLE|^DECIMAL|INTEGER`).MatchString(c.Type)
			require.Equal(t, number, known, "%s.%s is %s", v.Name, c.Name, c.Type)
			seen[c.Name] = true
		}
		for _, d := range views[slices.IndexFunc(views, func(w view) bool { return w.name == v.Name })].has {
			require.Contains(t, columnNames(v), d.Name, v.Name)
		}
	}
	for name := range units {
		require.True(t, seen[name], "no view has a column %s", name)
	}
	// A session says the same: the types are those of the views that SQL reads.
	s := openTest(t, emptyPlans(t), Options{})
	for _, v := range all {
		var rows []map[string]string
		decode(t, sqlText(t, s, "SELECT column_name AS name, column_type AS type FROM (DESCRIBE "+v.Name+")", JSON), &rows)
		require.Len(t, rows, len(v.Columns))
		for i, row := range rows {
			require.Equal(t, row["name"]+" "+row["type"], v.Columns[i].Name+" "+v.Columns[i].Type)
		}
	}
}

func describeQueries(b *strings.Builder) {
	b.WriteString("\n## Canned queries\n\n| query | surface | question |\n|---|---|---|\n")
	for _, q := range List() {
		fmt.Fprintf(b, "| [`%s`](#%s) | %s | %s |\n", q.Name, q.Name, q.Surface, cell(q.Question))
	}
	for _, q := range List() {
		fmt.Fprintf(b, "\n### %s\n\n**%s** %s\n", q.Name, q.Title+":", q.Question)
		for _, note := range q.Notes {
			fmt.Fprintf(b, "\n%s\n", note)
		}
		b.WriteString("\n| parameter | type | default | |\n|---|---|---|---|\n")
		for _, p := range q.Params {
			kind, otherwise := p.Type, p.Default
			if p.Min != nil || p.Max != nil {
				kind += ", " + p.span()
			}
			if len(p.Choices) > 0 {
				kind += " of " + strings.Join(p.Choices, ", ")
			}
			switch {
			case p.Required:
				otherwise = "required"
			case otherwise != "":
				otherwise = "`" + otherwise + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, kind, otherwise, cell(p.Doc))
		}
		b.WriteString("\n| column | type | |\n|---|---|---|\n")
		for _, c := range q.Columns {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", c.Name, c.Type, cell(c.Doc))
		}
	}
}

// cell keeps a text inside its cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// The head of docs/queries.md shows SQL: it runs.
func TestTheSQLOfTheDocsRuns(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	blocks := strings.Split(readFile(t, "../docs/queries.md"), "```sql\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		sql, _, ok := strings.Cut(block, "```")
		require.True(t, ok)
		if strings.HasPrefix(sql, "-- title") { // a query of one's own
			dir := t.TempDir()
			writeQuery(t, dir, "shown.sql", sql)
			l, err := OpenLibrary(dir)
			require.NoError(t, err)
			_, err = openTest(t, emptyPlans(t), Options{Library: l}).Query(context.Background(), "shown", nil, Output{}, &strings.Builder{})
			require.NoError(t, err)
			continue
		}
		for _, statement := range strings.Split(strings.TrimSpace(sql), "\n\n") {
			_, err := s.SQL(context.Background(), statement, Output{}, &strings.Builder{})
			require.NoError(t, err, statement)
		}
	}
}
