package main

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// There is no switch that opens the gate: these are all flags of the commands that
// run analysts' SQL, and whoever adds one looks here.
func TestNoFlagOpensTheGate(t *testing.T) {
	root := newRoot(&app{})
	names := func(words ...string) (out []string) {
		cmd, _, err := root.Find(words)
		require.NoError(t, err)
		add := func(f *pflag.Flag) { out = append(out, f.Name) }
		cmd.InitDefaultHelpFlag()
		cmd.LocalNonPersistentFlags().VisitAll(add)
		slices.Sort(out)
		return out
	}
	require.Equal(t, []string{"analyze", "as-of", "columns", "explain", "extension-directory", "file", "from", "help", "json", "limit", "output", "setup", "snapshot", "to"}, names("sql"))
	require.Equal(t, []string{"as-of", "columns", "explain", "extension-directory", "from", "help", "json", "limit", "output", "param", "snapshot", "to", "topic"}, names("query", "completeness"))
	var global []string
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { global = append(global, f.Name) })
	slices.Sort(global)
	require.Equal(t, []string{"config", "detailed-exit-code", "log-format", "log-level"}, global)
	query, _, err := root.Find([]string{"query"})
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(query.Commands(), func(c *cobra.Command) bool { return c.Name() == "completeness" }))
}

// A query is bounded from the command line as well: by its time, its memory, and
// whoever waits for it.
func TestQueriesEndWhenTheyMust(t *testing.T) {
	l := newLab(t, "sql: {timeout: 500ms, memory_limit: 64MiB}")
	dir := t.TempDir()
	const header = "-- title: T\n-- question: Q\n-- column: n HUGEINT: n\n"
	writeFile(t, dir, "endless.sql", header+"SELECT sum(hash(a.range + b.range)) AS n FROM range(1000000) a, range(1000000) b")
	writeFile(t, dir, "reads.sql", header+"SELECT size AS n FROM read_text('/etc/passwd')")
	requireOneLine(t, l.call("query", "--queries", dir, "endless"), exitFailed, "the query ran longer than 500ms and was stopped")
	requireOneLine(t, l.call("query", "--queries", dir, "reads"), exitRefused, "reads.sql: refused: the function read_text is not allowed here")
	requireOneLine(t, l.call("query", "--queries", dir, "reads", "--explain"), exitRefused, "reads.sql: refused: the function read_text is not allowed here")

	patient := writeFile(t, l.dir, "patient.yaml", replaceOne(t, readFile(t, l.config), "timeout: 500ms", "timeout: 5m"))
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(500*time.Millisecond, func() { cancel(interrupted{syscall.SIGINT}) })
	r := callWith(t, ctx, "", "query", "-c", patient, "--queries", dir, "endless")
	requireOneLine(t, r, exitInterrupted, "stopped by interrupt")
	require.Empty(t, r.stdout)
}
