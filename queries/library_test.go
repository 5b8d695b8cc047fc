package queries

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const ownQuery = `-- title: Busy tools
-- question: Which tools were called most?
-- window: from .. to
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: least integer = 2: fewest calls
-- column: tool VARCHAR: the tool
-- column: calls BIGINT: how often
SELECT tool_name AS tool, count(*) AS calls
FROM tool_calls
WHERE ($from IS NULL OR event_time >= $from) AND ($to IS NULL OR event_time < $to) AND tool_name IS NOT NULL
GROUP BY tool_name HAVING count(*) >= $least
ORDER BY calls DESC, tool;
`

func writeQuery(t *testing.T, dir, name, text string) string {
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestAFolderOfOwnQueriesStandsBesideTheCannedOnes(t *testing.T) {
	dir := t.TempDir()
	path := writeQuery(t, dir, "busy_tools.sql", "\ufeff"+strings.ReplaceAll(ownQuery, "\n", "\r\n"))
	writeQuery(t, dir, "trace/slow-ones.sql", ownQuery)
	for _, leftAlone := range []string{"README.md", ".hidden.sql", ".git/x.sql", "trace/notes.txt", "trace/deep/y.sql"} {
		writeQuery(t, dir, leftAlone, "no query")
	}
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "linked.sql")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "broken link")))
	l, err := OpenLibrary(dir)
	require.NoError(t, err)
	own := l.List()[len(List()):]
	var names []string
	for _, q := range own {
		names = append(names, q.Surface+"/"+q.Name)
	}
	require.Equal(t, []string{"own/busy_tools", "own/linked", "trace/slow-ones"}, names)
	require.Equal(t, path, own[0].File)
	require.Len(t, Canned().List(), len(List()), "the canned ones stay as they are")

	s := openTest(t, logPlans(t, t.TempDir()), Options{Library: l})
	var b strings.Builder
	_, err = s.Query(context.Background(), "busy_tools", map[string]string{"least": "1"}, Output{Format: CSV}, &b)
	require.NoError(t, err)
	require.Equal(t, sqlText(t, s, "SELECT tool_name AS tool, count(*) AS calls FROM tool_calls WHERE tool_name IS NOT NULL GROUP BY ALL ORDER BY calls DESC, tool", CSV), b.String())
	_, err = s.Query(context.Background(), "own/busy_tools", map[string]string{"lest": "1"}, Output{}, &b)
	require.ErrorContains(t, err, "did you mean least?")
	_, err = s.Query(context.Background(), "busy_tool", nil, Output{}, &b)
	require.ErrorContains(t, err, "did you mean `auditlake query busy_tools`?")
	_, err = s.Query(context.Background(), "action_ledger", nil, Output{}, &b)
	require.NoError(t, err)
}

// What is wrong with a folder of queries is one line that names the file.
func TestAFolderOfQueriesThatIsWrongSaysWhere(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"no header":          {"a.sql", "SELECT 1", "a.sql: the header needs a title"},
		"no SQL":             {"a.sql", strings.Split(ownQuery, "SELECT")[0], "a.sql: there is no SQL"},
		"empty":              {"a.sql", "", "a.sql: the header needs a title"},
		"a typo":             {"x/a.sql", strings.Replace(ownQuery, "title", "titel", 1), `x/a.sql: header key "titel" is not known`},
		"canned name":        {"x/action_ledger.sql", ownQuery, "action_ledger.sql: there is a canned query action_ledger"},
		"not UTF-8":          {"a.sql", ownQuery + "-- \xff", "a.sql: it is no UTF-8 text"},
		"NUL":                {"a.sql", ownQuery + "\x00", "a.sql: it is no UTF-8 text"},
		"too big":            {"a.sql", ownQuery + strings.Repeat("-", maxQueryFile), "a.sql: it is larger than 1 MiB"},
		"a name":             {"a b.sql", ownQuery, `a b.sql: "a b" cannot name a query`},
		"a surface":          {"my own/a.sql", ownQuery, `"my own" cannot name a query`},
		"a flag's name":      {"a.sql", strings.ReplaceAll(ownQuery, "least", "limit"), "param limit: the command line has a flag of that name"},
		"twice":              {"a.sql", strings.Replace(ownQuery, "-- column", "-- param: to text = none: x\n-- column", 1), "param to stands twice"},
		"a column twice":     {"a.sql", strings.Replace(ownQuery, "-- column: calls", "-- column: tool", 1), "column tool stands twice"},
		"default":            {"a.sql", strings.Replace(ownQuery, "= 2", "= two", 1), `param least: its default "two" is not a whole number`},
		"unused":             {"a.sql", strings.Replace(ownQuery, "$least", "2", 1), "param least: the SQL does not use $least"},
		"an example":         {"a.sql", "-- example: --fron 7d\n" + ownQuery, "there is no parameter fron"},
		"a folder as a file": {"a.sql/b", "", "a.sql: it is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeQuery(t, dir, c.file, c.text)
			if name == "a folder as a file" {
				dir = filepath.Join(dir, "..", filepath.Base(dir))
				require.NoError(t, os.Rename(filepath.Join(dir, "a.sql"), filepath.Join(dir, "x")))
				require.NoError(t, os.MkdirAll(filepath.Join(dir, "y", "a.sql"), 0o755))
			}
			_, err := OpenLibrary(dir)
			var usage *UsageError
			require.ErrorAs(t, err, &usage)
			require.ErrorContains(t, err, c.want)
			require.Contains(t, err.Error(), dir)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	dir := t.TempDir()
	_, err := OpenLibrary(filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "none: there is none")
	_, err = OpenLibrary(writeQuery(t, dir, "a.sql", ownQuery))
	require.ErrorContains(t, err, "a.sql: it is no folder")
	writeQuery(t, dir, "x/a.sql", ownQuery)
	_, err = OpenLibrary(dir)
	require.ErrorContains(t, err, "is a query a too")
	require.NoError(t, os.Remove(filepath.Join(dir, "x/a.sql")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, "b.sql")))
	_, err = OpenLibrary(dir)
	require.ErrorContains(t, err, "b.sql: there is none")
}

// Behind a header stands SQL like any other: the gate judges it, and what it
// gives must be what the header says.
func TestOwnQueriesPassTheGate(t *testing.T) {
	header := strings.Split(ownQuery, "SELECT")[0]
	header = header[:strings.Index(header, "-- window")] + "-- column: a BIGINT: n\n"
	dir := t.TempDir()
	for name, c := range map[string]struct {
		sql, want string
		code      int
	}{
		"reads_a_file":   {"SELECT content AS a FROM read_text('/etc/passwd')", "refused: the function read_text", exitRefused},
		"writes":         {"COPY (SELECT 1 AS a) TO '/tmp/x'", "refused: only one SELECT", exitRefused},
		"several":        {"SELECT 1 AS a; SELECT 2 AS a", "refused: one statement at a time", exitRefused},
		"sets":           {"SET threads = 100", "refused: only one SELECT", exitRefused},
		"loads":          {"LOAD httpfs", "refused: only one SELECT", exitRefused},
		"other_columns":  {"SELECT 1 AS b", "other_columns.sql: the SQL gives the columns b, the header says a", exitUsage},
		"no_such_param":  {"SELECT $x AS a", "no_such_param.sql: the SQL has a $parameter that the header does not", exitUsage},
		"not_sql":        {"SELEC 1", "not_sql.sql: ", 1},
		"no_such_column": {"SELECT nothing AS a FROM prompts", "no_such_column.sql: ", 1},
	} {
		writeQuery(t, dir, name+".sql", header+c.sql)
		l, err := OpenLibrary(dir)
		require.NoError(t, err)
		s := openTest(t, emptyPlans(t), Options{Library: l})
		_, err = s.Query(context.Background(), name, nil, Output{}, &strings.Builder{})
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n")
		code := 1
		var known interface{ ExitCode() int }
		if errors.As(err, &known) {
			code = known.ExitCode()
		}
		require.Equal(t, c.code, code, name)
		require.ErrorContains(t, err, dir)
	}
}

func TestEveryQueryHasAnExample(t *testing.T) {
	for _, q := range List() {
		require.NotEmpty(t, q.Examples, q.Name)
		for _, p := range q.Params {
			require.True(t, !p.Required || strings.Contains(q.Examples[0], "--"+p.Name+" "), "the example of %s lacks --%s", q.Name, p.Name)
		}
	}
}
