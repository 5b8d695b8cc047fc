package queries

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/part"
)

// A DuckDB without the iceberg extension stands in: its iceberg_scan reads the
// same files. It shows that the script and the canned queries fit a DuckDB
// that has nothing of ours.
func TestTheSetupScriptMakesTheSameViews(t *testing.T) {
	dir := t.TempDir()
	planner := logPlans(t, dir)
	s := openTest(t, planner, Options{})
	script, err := s.SetupScript(context.Background())
	require.NoError(t, err)
	require.Contains(t, script, "iceberg_scan('/lake/agent_events/metadata/v1.metadata.json', snapshot_from_id = 42)")
	e := plainEngine(t)
	// Columns that no test file has: the real extension takes them from the table's schema.
	require.NoError(t, e.exec(context.Background(), withAllColumns(t, planner, dir)...))
	require.NoError(t, e.exec(context.Background(), "CREATE MACRO iceberg_scan(location, snapshot_from_id := 0) AS TABLE SELECT * FROM read_parquet("+
		literal(filepath.Join(dir, "*.parquet"))+", union_by_name=true, filename=true) WHERE (location LIKE '%agent_events%') = (filename LIKE '%events%')"))
	runScript(t, e, script)
	requireSameAnswers(t, s, e)
}

// withAllColumns adds an empty file with every column of both tables.
func withAllColumns(t *testing.T, p *fakePlanner, dir string) []string {
	var out []string
	for table, name := range map[string]string{catalog.AgentEvents: "events none.parquet", catalog.DeadLetters: "dead none.parquet"} {
		cols, err := columnsOf(p.plans[table])
		require.NoError(t, err)
		out = append(out, "COPY ("+planned{columns: cols}.scan("")+") TO "+literal(filepath.Join(dir, name))+" (FORMAT parquet)")
	}
	return out
}

// DuckDB's iceberg extension is a reader of its own: it finds snapshots, files
// and columns by itself.
func TestTheSetupScriptRunsInDuckDB(t *testing.T) {
	dir := part.Dir("duckdb-extensions")
	_, err := os.Stat(filepath.Join(dir, "version"))
	part.Need(t, "DuckDB's iceberg extension as a file", err == nil, ".ci/parts/duckdb-extensions")
	l := logLake(t)
	l.foreign(renameAndAdd)
	l.commit(event(0, 1000, "late", "2026-03-06T12:00:00Z", `,"data":{"audit.experiment":"e"}`))
	s := l.session(Options{})
	script, err := s.SetupScript(context.Background())
	require.NoError(t, err)
	e := plainEngine(t)
	for _, name := range []string{"avro", "httpfs", "iceberg"} {
		require.NoError(t, e.exec(context.Background(), "LOAD "+literal(filepath.Join(dir, name+".duckdb_extension"))))
	}
	runScript(t, e, script)
	requireSameAnswers(t, s, e)
}

// plainEngine is a DuckDB as anybody has it.
func plainEngine(t *testing.T) *engine {
	e, err := openEngine(context.Background(), 2, 1<<30, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.close()) })
	require.NoError(t, e.exec(context.Background(), "DROP SCHEMA lake"))
	return e
}

func runScript(t *testing.T, e *engine, script string) {
	var rest []string
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(line, "INSTALL ") && !strings.HasPrefix(line, "LOAD ") { // the network's part
			rest = append(rest, line)
		}
	}
	require.NoError(t, e.exec(context.Background(), strings.Join(rest, "")))
}

// requireSameAnswers asks a session and a plain DuckDB the same: the views, and
// the canned queries as their files are.
func requireSameAnswers(t *testing.T, s *Session, plain *engine) {
	ctx := context.Background()
	tables, err := s.planAll(ctx, window{})
	require.NoError(t, err)
	sh := &shape{reads: map[string]bool{"event_rows": true, "dead_letter_rows": true, "maintenance_rows": true}, repeats: true}
	files, err := readable(ctx, s.files, tables, sh)
	require.NoError(t, err)
	defer func() { require.NoError(t, files.release()) }()
	ours, err := openEngine(ctx, 2, 1<<30, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, ours.close()) }()
	require.NoError(t, s.prepare(ctx, ours, tables, sh, files.paths, macros))
	same := func(name, sql string, args ...any) {
		sql = "SELECT to_json(t)::VARCHAR FROM (\n" + sql + "\n) AS t"
		want, err := queryText(ctx, ours, sql, args)
		require.NoError(t, err, name)
		have, err := queryText(ctx, plain, sql, args)
		require.NoError(t, err, name)
		require.Equal(t, want, have, name)
	}
	for _, v := range views {
		same(v.name, "SELECT * FROM "+v.name+" ORDER BY ALL")
	}
	for _, q := range List() {
		params := requiredParams(q)
		if q.Name == "run_timeline" {
			params["run"] = "night"
		}
		values, err := q.values(params, s.opts)
		require.NoError(t, err)
		same(q.Name, q.SQL, values.args(q)...)
	}
}
