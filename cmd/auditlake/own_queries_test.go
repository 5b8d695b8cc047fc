package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/queries"
)

const ownQuery = `-- title: Rows
-- question: How many rows are there?
-- param: class text = none: only this class
-- param: by choice(day|class) = class: what is counted by
-- column: part VARCHAR: day or class
-- column: n BIGINT: rows
SELECT CASE $by WHEN 'day' THEN CAST(event_time::DATE AS VARCHAR) ELSE event_class END AS part, count(*) AS n
FROM agent_log WHERE $class IS NULL OR event_class = $class GROUP BY ALL ORDER BY part
`

func TestOwnQueriesOnTheCommandLine(t *testing.T) {
	l := newLab(t, "sql: {queries_dir: mine}")
	dir := filepath.Join(l.dir, "mine")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "team"), 0o755))
	writeFile(t, filepath.Join(dir, "team"), "rows.sql", ownQuery)

	other := t.TempDir()
	writeFile(t, other, "others.sql", ownQuery)
	for name, args := range map[string][]string{
		"by configuration": {"-c", l.config, "query"}, "by flag": {"query", "--queries", dir}, "flag first": {"--log-level=error", "query", "--queries=" + dir},
	} {
		list := mustCall(t, args...)
		require.Regexp(t, `(?m)^team +rows +Rows +How many rows are there\?$`, list, name)
		require.Contains(t, list, "action_ledger", name)
		require.Contains(t, mustCall(t, append(args, "-o", "csv")...), "\nteam,rows,Rows,How many", name)
		help := mustCall(t, append(args, "rows", "--help")...)
		require.Contains(t, help, "How many rows are there?", name)
		require.Contains(t, help, "--by choice", name)
		require.Contains(t, help, "auditlake query rows\n", name)
	}
	require.Contains(t, mustCall(t, "help", "query", "rows", "-c", l.config), "How many rows")
	require.Equal(t, "part,n\n", mustCall(t, "query", "rows", "-c", l.config, "--by", "day", "-o", "csv"))
	require.Equal(t, "part,n\n", mustCall(t, "query", "-c", l.config, "team/rows", "--class", "prompt", "-o", "csv"))
	require.Equal(t, "part,n\n", mustCall(t, "query", "-c", l.config, "--queries", other, "others", "-o", "csv"), "the flag wins")

	require.Contains(t, mustCall(t, "__complete", "query", "--queries", dir, "ro"), "rows\tHow many rows")
	require.Contains(t, mustCall(t, "__complete", "query", "--queries", dir, "rows", "--by", ""), "day\nclass")
	require.Contains(t, mustCall(t, "__complete", "query", "--queries", dir+"/te"), ":16", "a folder's name is completed by the shell")

	for _, c := range []struct{ args, want string }{
		{"query rows", `there is no query "rows"`},
		{"query row -c " + l.config, "did you mean `auditlake query rows`?"},
		{"query rows --by month -c " + l.config, `parameter by of query rows: "month" is not one of day, class`},
		{"query --queries " + dir + "/none", "the folder of queries " + dir + "/none: there is none"},
		{"query action_ledger --queries " + dir + "/none --help", "there is none"},
	} {
		requireOneLine(t, call(t, strings.Fields(c.args)...), exitUsage, c.want)
	}
	writeFile(t, dir, "bad.sql", "SELECT 1")
	requireOneLine(t, call(t, "query", "rows", "-c", l.config), exitUsage, "bad.sql: the header needs a title")
	require.Contains(t, mustCall(t, "sql", "-c", l.config, "-o", "csv", "SELECT 'query' AS word"), "query", "other commands do not look")

	broken := writeFile(t, t.TempDir(), "auditlake.yaml", "warehous: x\n")
	requireOneLine(t, call(t, "query", "rows", "-c", broken), exitUsage, `unknown key "warehous"`)
	require.Contains(t, mustCall(t, "query", "-c", broken), "action_ledger")
}

// What no parameter may be called is what flags every query has.
func TestParametersDoNotCollideWithFlags(t *testing.T) {
	q, err := queries.Find("completeness")
	require.NoError(t, err)
	root := newRoot(&app{})
	cmd, _, err := root.Find([]string{"query", q.Name})
	require.NoError(t, err)
	cmd.InitDefaultHelpFlag()
	dir := t.TempDir()
	look := func(f *pflag.Flag) {
		for _, p := range q.Params {
			if p.Name == f.Name {
				return
			}
		}
		if strings.Contains(f.Name, "-") {
			return // no parameter's name
		}
		writeFile(t, dir, "a.sql", fmt.Sprintf("-- title: T\n-- question: Q\n-- param: %s text = none: x\n-- column: a BIGINT: n\nSELECT 1 AS a WHERE $%[1]s IS NULL", f.Name))
		_, err := queries.OpenLibrary(dir)
		require.ErrorContains(t, err, "the command line has a flag of that name", f.Name)
	}
	cmd.Flags().VisitAll(look)
	cmd.InheritedFlags().VisitAll(look)
}

// The examples of the helps are command lines: every word of them is known.
func TestExamplesOfQueriesParse(t *testing.T) {
	for _, q := range queries.List() {
		for _, text := range q.Examples {
			cmd := newCannedQuery(&app{}, q)
			require.NoError(t, cmd.ParseFlags(strings.Fields(text)), "%s: %s", q.Name, text)
			require.Empty(t, cmd.Flags().Args(), "%s: %s", q.Name, text)
		}
	}
}

func TestExplainOnTheCommandLine(t *testing.T) {
	l := newLab(t)
	for i := range 30 {
		l.send(recordOf(i%3, prompt(i)))
	}
	l.catchUp()
	for _, args := range [][]string{{"query", "action_ledger"}, {"sql", "FROM actions"}} {
		text := l.must(append(args, "--explain")...)
		require.Regexp(t, `(?m)^table +files +of +size +of +row groups +rows$`, text)
		require.Regexp(t, `(?m)^agent_events +\d+ +\d+ +\S+ KiB .* 30$`, text)
		require.Contains(t, text, "PARQUET")
		var r queries.Reading
		require.NoError(t, json.Unmarshal([]byte(l.must(append(args, "--explain", "--json")...)), &r))
		require.Len(t, r.Tables, 1)
		require.EqualValues(t, 30, r.Tables[0].Rows)
		requireOneLine(t, l.call(append(args, "--explain", "-o", "csv")...), exitUsage, "leave -o csv out")
	}
	require.Contains(t, l.must("sql", "--explain", "SELECT 1"), "It reads no table.")
	requireOneLine(t, l.call("sql", "--explain", "--analyze", "SELECT 1"), exitUsage, "give one of them")
	require.Contains(t, l.must("sql", "--analyze", "FROM actions"), "Total Time")

	r := l.call("query", "run_timeline", "--run", "nobody's", "-o", "json")
	require.Equal(t, exitDone, r.code)
	require.Regexp(t, `^time range: all of it, \d{4}-\S+Z to \d{4}-\S+Z \(no --from, --to\)\nno rows: nothing of run "nobody's" in \S+ to \S+\n$`, r.stderr)
}
