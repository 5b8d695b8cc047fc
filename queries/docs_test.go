package queries

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
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
	docs := map[string]string{}
	for _, def := range catalog.Definitions() {
		if def.Name == catalog.AgentEvents {
			for _, c := range def.Columns() {
				docs[c.Name] = c.Doc
			}
		}
	}
	types := viewColumns(t)
	b.WriteString("\n## Views\n\n| view | holds |\n|---|---|\n")
	for _, v := range views {
		fmt.Fprintf(b, "| [`%s`](#%s) | %s |\n", v.name, v.name, cell(v.doc))
	}
	common := func(names []string) (out []described) {
		for _, name := range names {
			out = append(out, described{name, docs[name]})
		}
		return out
	}
	fmt.Fprintf(b, "\n### Columns of every class view\n\nEach class view has these, and its own between `duration_ms` and `classification`.\n")
	columnTable(t, b, append(common(commonFirst), common(commonLast)...), types["prompts"])
	for _, v := range views {
		fmt.Fprintf(b, "\n### %s\n\n%s.\n", v.name, strings.ToUpper(v.doc[:1])+v.doc[1:])
		switch {
		case v.of != "":
			fmt.Fprintf(b, "It has the columns of [%s](tables.md#%s).\n", v.of, v.of)
			require.Equal(t, tableColumns(v.of), names(types[v.name]), v.name)
		case v.class != "":
			own := common(v.columns)
			for _, text := range v.texts {
				own = append(own, described{text.name, text.doc})
			}
			fmt.Fprintf(b, "Events of class `%s`.\n", v.class)
			columnTable(t, b, own, types[v.name])
			all := slices.Concat(commonFirst, v.columns, textNames(v), commonLast)
			require.Equal(t, all, names(types[v.name]), v.name)
		default:
			columnTable(t, b, v.has, types[v.name])
			require.Len(t, types[v.name], len(v.has), v.name)
		}
	}
	b.WriteString("\n## Macros\n\n| macro | gives |\n|---|---|\n")
	for _, m := range macros {
		fmt.Fprintf(b, "| `%s(%s)` | %s |\n", m.name, m.params, cell(m.doc))
	}
}

// viewColumns are the columns that DuckDB says the views have.
func viewColumns(t *testing.T) map[string][]Column {
	s := openTest(t, emptyPlans(t), Options{})
	out := map[string][]Column{}
	for _, v := range views {
		var rows []map[string]string
		decode(t, sqlText(t, s, "SELECT column_name AS name, column_type AS type FROM (DESCRIBE "+v.name+")", JSON), &rows)
		for _, row := range rows {
			out[v.name] = append(out[v.name], Column{Name: row["name"], Type: row["type"]})
		}
	}
	return out
}

func names(columns []Column) (out []string) {
	for _, c := range columns {
		out = append(out, c.Name)
	}
	return out
}

func textNames(v view) (out []string) {
	for _, t := range v.texts {
		out = append(out, t.name)
	}
	return out
}

func tableColumns(table string) (out []string) {
	for _, def := range catalog.Definitions() {
		if def.Name == table {
			for _, c := range def.Columns() {
				out = append(out, c.Name)
			}
		}
	}
	return out
}

func columnTable(t *testing.T, b *strings.Builder, columns []described, types []Column) {
	b.WriteString("\n| column | type | |\n|---|---|---|\n")
	for _, c := range columns {
		i := slices.IndexFunc(types, func(have Column) bool { return have.Name == c.Name })
		require.GreaterOrEqual(t, i, 0, "no column %s", c.Name)
		require.NotEmpty(t, c.Doc, "column %s says nothing", c.Name)
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", c.Name, types[i].Type, cell(c.Doc))
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
