package queries

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
)

// run runs SQL for its error.
func run(s *Session, sql string) error {
	_, err := s.SQL(context.Background(), sql, Output{Format: CSV}, io.Discard)
	return err
}

func TestTheCatalogDoesNotTellWhereFilesStand(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, logPlans(t, dir), Options{})
	for _, sql := range []string{"FROM duckdb_views()", "FROM duckdb_columns()", "FROM information_schema.views"} {
		text := sqlText(t, s, "SELECT * FROM ("+sql+"), (SELECT count(*) FROM agent_log)", JSON)
		require.Contains(t, text, "event_rows", sql)
		require.NotContains(t, text, dir, sql)
	}
}

func TestTheGateRefusesWhatIsNoQuestion(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, logPlans(t, dir), Options{})
	file := filepath.Join(dir, "events 0.parquet")
	before := readFile(t, file)
	out := filepath.Join(dir, "out")
	for _, sql := range []string{
		"COPY (SELECT 42 AS hacked) TO " + literal(file) + " (FORMAT parquet, USE_TMP_FILE false)",
		"COPY agent_events TO " + literal(out),
		"EXPLAIN ANALYZE COPY (SELECT 42 AS hacked) TO " + literal(file) + " (FORMAT parquet, USE_TMP_FILE false)",
		"EXPLAIN SELECT 1",
		"ATTACH ':memory:' AS other", "ATTACH " + literal(out) + " AS other",
		"LOAD httpfs", "INSTALL httpfs", "LOAD " + literal(file),
		"SET memory_limit='100GB'", "SET enable_external_access=true", "RESET allowed_paths", "PRAGMA enable_external_access=true",
		"SET VARIABLE x = 1", "PREPARE p AS SELECT 1", "CALL pragma_version()",
		"CREATE TABLE t AS SELECT 1 AS a", "CREATE OR REPLACE VIEW agent_events AS SELECT 1 AS a", "DROP VIEW agent_events",
		"CREATE TEMP MACRO m(x) AS x + 1", "DELETE FROM agent_events", "INSERT INTO lake.event_rows (event_id) VALUES ('x')",
		"EXPORT DATABASE " + literal(out), "IMPORT DATABASE " + literal(dir), "CHECKPOINT", "VACUUM",
		"SELECT 1; SELECT 2", "SELECT 1; DROP VIEW agent_events", "FROM range(1); SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('/proc/self/environ')", "SELECT * FROM read_csv('/etc/passwd')",
		"SELECT * FROM '/etc/passwd'", "SELECT * FROM glob('/etc/*')", "SELECT * FROM sniff_csv('/etc/passwd')",
		"SELECT * FROM read_parquet(" + literal(file) + ")", "SELECT * FROM " + literal(file), "SELECT * FROM parquet_metadata(" + literal(file) + ")",
		"SELECT * FROM query('SELECT * FROM read_text(''/etc/hostname'')')", "FROM query_table('/etc/passwd')",
		"SELECT * FROM enable_logging(storage='file', storage_path=" + literal(out) + ")", "CALL enable_logging(storage='file')",
		"SELECT * FROM agent_events, enable_logging()", "SELECT * FROM truncate_duckdb_logs()", "SELECT * FROM force_checkpoint()",
		"FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "SELECT * FROM enable_profiling()",
		"PRAGMA json_execute_serialized_sql('{}')", "PRAGMA version", "PRAGMA enable_profiling", "EXPLAIN ANALYZE SELECT 1", "EXECUTE p", "DEALLOCATE p",
		"BEGIN", "COMMIT", "USE lake", "DETACH memory", "ALTER VIEW agent_events RENAME TO x", "COMMENT ON VIEW prompts IS 'x'", "ANALYZE", "SET SESSION threads=8",
		"CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')", "CREATE OR REPLACE MACRO attribute(a, b) AS 1", "CREATE TYPE t AS ENUM ('a')", "CREATE SEQUENCE q",
		"UPDATE lake.event_rows SET event_id = ''", "TRUNCATE lake.event_rows", "MERGE INTO lake.event_rows USING prompts ON false WHEN NOT MATCHED THEN INSERT *",
		"WITH a AS (DELETE FROM lake.event_rows RETURNING *) FROM a", "PIVOT agent_events ON event_class USING count(*)",
		"SELECT * FROM (FROM enable_logging(storage='file', storage_path=" + literal(out) + "))", "DESCRIBE SELECT * FROM enable_logging()",
		"WITH a AS (FROM enable_logging()) SELECT 1", "SELECT 1 WHERE EXISTS (FROM truncate_duckdb_logs())",
		// What these read is decided when they are bound, and the engine is not the probe.
		"FROM query(CASE WHEN current_setting('threads') = 1 THEN 'SELECT 1 AS a' ELSE 'SELECT * FROM read_text(''/etc/hostname'')' END)",
		"FROM query(CASE WHEN random() < 0.5 THEN 'SELECT 1' ELSE 'FROM enable_logging()' END)", `FROM system.main."QUERY"('SELECT 1')`,
		"FROM query_table('prompts')", "DESCRIBE FROM query_table('prompts')", "FROM histogram_values('prompts', event_id)",
		// What tells about this machine.
		"FROM duckdb_settings()", "FROM pg_catalog.pg_settings", "FROM duckdb_secrets()", "FROM duckdb_secrets(redact=false)", "FROM which_secret('s3://b/k', 's3')",
		"FROM duckdb_extensions()", "FROM duckdb_logs()", "FROM duckdb_temporary_files()", "FROM duckdb_external_file_cache()", "SELECT current_setting('allowed_paths')",
		"SELECT file_name FROM lake.event_rows", `FROM (SELECT 1) WHERE 'x' IN (SELECT file_name FROM memory."LAKE".event_rows)`, "SUMMARIZE lake.event_rows",
		"SELECT getvariable('files_of_event_rows')", "FROM duckdb_variables()",
		"SELECT getenv('HOME')", "SELECT write_log('x')", "SELECT json_serialize_plan('FROM read_text(''/etc/hostname'')')", "FROM read_duckdb('x')", "FROM parquet_schema(" + literal(file) + ")", "FROM parquet_file_metadata(" + literal(file) + ")",
		"FROM parquet_kv_metadata(" + literal(file) + ")", "FROM parquet_bloom_probe(" + literal(file) + ", 'event_id', 'x')", "FROM read_json('x')", "FROM read_ndjson_objects('x')",
	} {
		err := run(s, sql)
		var gate *GateError
		if !isSyntax(err) {
			require.ErrorAs(t, err, &gate, sql)
			require.Equal(t, 3, gate.ExitCode())
		}
		require.Error(t, err, sql)
		require.NotContains(t, err.Error(), "\n", sql)
		require.NoFileExists(t, out, sql)
	}
	require.Equal(t, before, readFile(t, file), "a data file was written to")
}

// Wherever in a question a file, an address or a function of theirs stands, the
// gate finds it before DuckDB opens it.
func TestTheGateLooksEverywhere(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, logPlans(t, dir), Options{})
	planned := literal(filepath.Join(dir, "events 0.parquet"))
	places := []string{
		"SELECT (SELECT count(*) FROM %s)", "SELECT 1 WHERE EXISTS (FROM %s)", "SELECT 1 WHERE 1 IN (SELECT 1 FROM %s)", "SELECT 1 ORDER BY (SELECT count(*) FROM %s)",
		"SELECT 1 LIMIT (SELECT count(*) FROM %s)", "SELECT count(*) FILTER (WHERE EXISTS (FROM %s)) FROM prompts", "SELECT 1 GROUP BY 1 HAVING EXISTS (FROM %s)",
		"SELECT row_number() OVER (ORDER BY (SELECT 1 FROM %s)) FROM prompts", "FROM prompts QUALIFY row_number() OVER () = (SELECT count(*) FROM %s)",
		"WITH a AS MATERIALIZED (FROM %s) FROM a", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r, %s) FROM r", "SELECT 1 UNION ALL SELECT 1 FROM %s",
		"SELECT 1 EXCEPT SELECT 1 FROM %s", "FROM prompts, LATERAL (FROM %s)", "FROM prompts POSITIONAL JOIN %s", "FROM prompts ASOF JOIN %s AS x ON true", "FROM prompts SEMI JOIN %s AS x ON true",
		"FROM (PIVOT (FROM %s) ON 1 IN (1) USING count(*))", "UNPIVOT (FROM %s) ON COLUMNS(*)", "FROM %s TABLESAMPLE 10%%", "DESCRIBE FROM %s", "SUMMARIZE FROM %s", "DESCRIBE %s", "SUMMARIZE %s",
		"SELECT list_transform([1], lambda x: (SELECT count(*) FROM %s))", "SELECT CASE WHEN false THEN (SELECT 1 FROM %s) END", "SELECT 1 FROM prompts WHERE false AND EXISTS (FROM %s)",
		"VALUES ((SELECT count(*) FROM %s))", "SELECT array(SELECT 1 FROM %s)", "SELECT COLUMNS(*) FROM %s", "TABLE %s", "SELECT {a: (SELECT 1 FROM %s)}", "FROM (FROM (FROM %s))", "SHOW TABLES FROM %s",
	}
	things := []string{
		"read_text('/etc/passwd')", "'/etc/passwd'", `"/etc/passwd"`, "read_csv_auto('/etc/pass*')", planned, "parquet_scan(" + planned + ")", "'s3://lake/x.parquet'", "'https://example.org/x.csv'",
		"enable_logging()", "glob('/*')", "lake.event_rows",
	}
	for i := range 3 * max(len(places), len(things)) { // each with some of the other
		sql := fmt.Sprintf(places[i%len(places)], things[(i+i/len(places))%len(things)])
		err := run(s, sql)
		require.Error(t, err, sql)
		require.NotContains(t, err.Error(), "\n", sql)
		require.NotContains(t, err.Error(), "root:", sql)
		var gate *GateError
		if !isSyntax(err) {
			require.ErrorAs(t, err, &gate, sql)
		}
	}
}

// What holds SQL holds a query of the library, of one's own too.
func TestQueriesAreBoundedAsSQLIs(t *testing.T) {
	dir := t.TempDir()
	const header = "-- title: T\n-- question: Q\n-- column: n "
	writeQuery(t, dir, "endless.sql", header+"HUGEINT: n\nSELECT sum(hash(a.range + b.range)) AS n FROM range(1000000) a, range(1000000) b")
	writeQuery(t, dir, "large.sql", header+"BIGINT[]: n\nSELECT list(a.range) AS n FROM range(100000000) a")
	l, err := OpenLibrary(dir)
	require.NoError(t, err)
	ask := func(ctx context.Context, opts Options, name string) error {
		opts.Library = l
		_, err := openTest(t, emptyPlans(t), opts).Query(ctx, name, nil, Output{Format: CSV}, io.Discard)
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(300*time.Millisecond, cancel)
	require.ErrorIs(t, ask(ctx, Options{}, "endless"), context.Canceled)
	err = ask(context.Background(), Options{Timeout: 300 * time.Millisecond}, "endless")
	require.EqualError(t, err, "the query ran longer than 300ms and was stopped: narrow it with --from and --to, or raise sql.timeout")
	err = ask(context.Background(), Options{MemoryLimit: 64 << 20, TempBytes: 1 << 20}, "large")
	require.ErrorIs(t, err, ErrMemory)
	require.Regexp(t, `^the query needs more memory than sql.memory_limit allows: .* or raise the limit \(.*\)$`, err.Error())
}

// isSyntax is a statement that DuckDB itself does not understand here, such as
// CREATE SECRET without its extension. Nothing of it ran either.
func isSyntax(err error) bool {
	var wrong *SQLError
	return errors.As(err, &wrong)
}

// Every table function of this DuckDB is judged: one that a new release brings
// fails here until somebody has looked at it.
func TestEveryTableFunctionIsJudged(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	refused := map[string]bool{}
	for _, names := range []string{
		// read or write files
		"glob sniff_csv read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto read_json_objects read_json_objects_auto read_ndjson",
		"read_ndjson_auto read_ndjson_objects read_parquet read_text parquet_scan parquet_bloom_probe parquet_file_metadata parquet_full_metadata",
		"parquet_kv_metadata parquet_metadata parquet_schema",
		// read memory by its address
		"arrow_scan arrow_scan_dumb seq_scan",
		// change the engine
		"checkpoint force_checkpoint enable_logging disable_logging truncate_duckdb_logs enable_profiling disable_profiling",
		"enable_peg_parser disable_peg_parser check_peg_parser sql_auto_complete",
		// run what a text says
		"query query_table json_execute_serialized_sql histogram histogram_values",
		// tell about the machine, its files and settings
		"duckdb_approx_database_count duckdb_connection_count duckdb_coordinate_systems duckdb_extensions duckdb_external_file_cache duckdb_log_contexts",
		"duckdb_logs duckdb_logs_parsed duckdb_memory duckdb_optimizers duckdb_prepared_statements duckdb_profiling_settings duckdb_secret_types duckdb_secrets",
		"duckdb_settings duckdb_table_sample duckdb_temporary_files duckdb_variables pragma_database_size pragma_metadata_info pragma_storage_info",
		"pragma_user_agent which_secret test_vector_types",
	} {
		for _, name := range strings.Fields(names) {
			refused[name] = true
		}
	}
	for name := range strings.Lines(one(t, s, "SELECT string_agg(DISTINCT function_name, chr(10)) FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro')")) {
		name = strings.Trim(name, "\"\n")
		require.NotEqual(t, refused[name], harmless(name), "%s is neither known to be harmless nor refused, or both", name)
	}
	for name := range refused {
		var gate *GateError
		require.ErrorAs(t, run(s, "FROM "+name+"()"), &gate, name)
	}
}

// Every other function of this DuckDB has been looked at: one that a new release
// brings fails here until somebody has judged it, and put it into the list or among
// those refused.
func TestEveryFunctionHasBeenLookedAt(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	names := sqlText(t, s, `SELECT DISTINCT function_name FROM duckdb_functions()
		WHERE internal AND function_type NOT IN ('table', 'table_macro', 'pragma') ORDER BY function_name COLLATE C`, CSV)
	const golden = "../testdata/queries/functions.csv"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(names), 0o600))
	}
	require.Equal(t, readFile(t, golden), names)
	for _, fn := range refusedFunctions {
		var gate *GateError
		require.ErrorAs(t, run(s, "SELECT "+fn+"('x')"), &gate, fn)
		require.ErrorAs(t, run(s, "SELECT 1 WHERE "+strings.ToUpper(fn)+"() IS NULL"), &gate, fn)
	}
}

// Secrets that somebody keeps for their own DuckDB are not for SQL here.
func TestStoredSecretsAreNotSeen(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	testExec(t, "CREATE PERSISTENT SECRET mine (TYPE http, BEARER_TOKEN 'sesame')")
	e, _ := lockedEngine(t, logPlans(t, t.TempDir()))
	var n int
	require.NoError(t, e.conn.QueryRowContext(context.Background(), "SELECT count(*) FROM duckdb_secrets()").Scan(&n))
	require.Zero(t, n)
}

func TestTheGateLetsQuestionsThrough(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, sql := range []string{
		"SELECT 1", "SELECT 1;", "SELECT 1 ; -- done", "SELECT ';' AS \";\" /* ; /* nested */ ; */ -- ;\n;", "SELECT $$;$$, $a$;$a$ ;",
		"WITH a AS (SELECT 1) SELECT * FROM a", "FROM agent_events LIMIT 1", "VALUES (1), (2)", "DESCRIBE prompts", "SHOW TABLES", "SUMMARIZE outputs",
		"PIVOT (FROM agent_events) ON event_class IN ('prompt', 'output') USING count(*) GROUP BY tenant",
		"SELECT * FROM duckdb_views()", "FROM information_schema.columns", "SUMMARIZE FROM prompts", "SELECT 1 AS a, 2 AS a, 3 AS A", "SELECT * FROM agent_log, json_each('[1]')",
		"SELECT kafka_headers, finish_reasons FROM agent_log", "SELECT message_text('[]'), attribute('{}', 'x')",
		`SELECT E'\';' AS a; -- ;`, "SELECT 1 AS a$b$;", "FROM range(3) r(n), range(r.n) ORDER BY ALL", "(SELECT 1)", "TABLE prompts", "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
		"FROM prompts p ASOF JOIN outputs o ON p.session_id = o.session_id AND p.event_time >= o.event_time", "SHOW ALL TABLES", "SHOW prompts",
		"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) FROM r", "-- a comment first\nSELECT 1",
	} {
		require.NoError(t, run(s, sql), sql)
	}
	for _, sql := range []string{"", " ", ";", "-- nothing", "SELECT $1", "SELECT $name", "SELECT 1\x00"} {
		var usage *UsageError
		require.ErrorAs(t, run(s, sql), &usage, "%q", sql)
	}
}

func TestSQLThatIsWrongSaysSoInOneLine(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	err := run(s, "SELECT nothing\nFROM agent_event")
	var wrong *SQLError
	require.ErrorAs(t, err, &wrong)
	require.Contains(t, err.Error(), "agent_event does not exist")
	require.Contains(t, err.Error(), `Did you mean "agent_events`)
	require.NotContains(t, err.Error(), "\n")
	require.Contains(t, wrong.Detail, "^")
	require.ErrorContains(t, run(s, "SELECT $name, ?"), "Mixing named and positional parameters")
	require.ErrorContains(t, run(s, "SELECT CAST('x' AS INTEGER) FROM range(1)"), "Could not convert string 'x'")
}

// lockedEngine is an engine as a run has it, and one of its data files.
func lockedEngine(t *testing.T, p Planner) (e *engine, file string) {
	s := openTest(t, p, Options{})
	ctx := context.Background()
	tables, err := s.planAll(ctx, window{})
	require.NoError(t, err)
	e, err = openEngine(ctx, 1, 256<<20, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.close()) })
	sh := &shape{reads: map[string]bool{"event_rows": true}}
	files, err := readable(ctx, s.files, tables, sh)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, files.release()) })
	require.NoError(t, s.prepare(ctx, e, tables, sh, files.paths, macros))
	return e, files.paths[catalog.AgentEvents][0]
}

// A run that got past the gate still finds the doors locked. Two stay open,
// which is why there is a gate: COPY over a data file, and the log.
func TestTheEngineIsLockedEvenBehindTheGate(t *testing.T) {
	dir := t.TempDir()
	e, file := lockedEngine(t, logPlans(t, dir))
	ctx := context.Background()
	other := filepath.Join(dir, "other.csv")
	require.NoError(t, os.WriteFile(other, []byte("a\n1\n"), 0o600))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link.csv")))
	for _, sql := range []string{
		"FROM read_csv(" + literal(other) + ")", "FROM glob('/etc/*')", "COPY (SELECT 1) TO " + literal(filepath.Join(dir, "new")),
		"FROM read_text(" + literal(filepath.Join(dir, "link.csv")) + ")", "FROM read_blob(" + literal(filepath.Join(dir, "*")) + ")",
		"COPY (SELECT 1) TO " + literal(filepath.Join(e.resultFile(), "..", "..", "x")), "EXPORT DATABASE " + literal(dir),
		"ATTACH " + literal(filepath.Join(dir, "x.db")) + " AS x", "INSTALL httpfs", "LOAD httpfs", "SET memory_limit='100GB'", "SET lock_configuration=false",
		"SET TimeZone='Europe/Paris'", "RESET allowed_paths", "CREATE PERSISTENT SECRET x (TYPE http, BEARER_TOKEN 'y')",
		"FROM read_text(" + literal(filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "..", "..", "etc", "passwd")) + ")",
		"FROM read_text('https://example.org')", "FROM read_parquet('s3://bucket/key')",
	} {
		require.Error(t, e.exec(ctx, sql), sql)
	}
	require.NoError(t, e.exec(ctx, "SELECT count(*) FROM agent_log"))
}

// The views of one run are gone in the next: every run has its own engine.
func TestRunsDoNotSeeEachOther(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	tables, err := s.planAll(context.Background(), window{})
	require.NoError(t, err)
	_, _, err = probe(context.Background(), tables, statement{text: "SELECT 1"}, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, "0", one(t, s, "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'lake'"), "the probe's tables are in the engine")
}

func TestTheProbeKnowsWhatAStatementReads(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	tables, err := s.planAll(context.Background(), window{})
	require.NoError(t, err)
	for sql, want := range map[string]struct {
		reads   []string
		repeats bool
	}{
		"SELECT 1":                                                   {},
		"SELECT * FROM agent_log":                                    {[]string{"event_rows"}, false},
		`SELECT * FROM "AGENT_EVENTS"`:                               {[]string{"event_rows", "once"}, true},
		"SELECT * FROM prompts WHERE false":                          {[]string{"event_rows", "once"}, true},
		"SELECT * FROM dead_letters LIMIT 0":                         {[]string{"dead_letter_rows"}, false},
		"SELECT (SELECT count(*) FROM sessions)":                     {[]string{"event_rows", "once"}, true},
		"DESCRIBE prompts":                                           {},
		`SELECT 1 WHERE 1 IN (SELECT 1 FROM main."maintenance_log")`: {[]string{"maintenance_rows"}, false},
	} {
		sh, _, err := probe(context.Background(), tables, statement{text: sql}, t.TempDir())
		require.NoError(t, err, sql)
		for _, name := range want.reads {
			require.True(t, sh.reads[name], sql)
		}
		require.Len(t, sh.reads, len(want.reads), sql)
		require.Equal(t, want.repeats, sh.repeats, sql)
	}
}

const endless = "SELECT count(*), sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b"

func TestARunEndsWhenItsTimeIsUp(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{Timeout: 300 * time.Millisecond})
	start := time.Now()
	err := run(s, endless)
	var late *TimeoutError
	require.ErrorAs(t, err, &late)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 10*time.Second)
}

func TestARunEndsWhenItIsInterrupted(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{Timeout: time.Minute, MemoryLimit: 64 << 20})
	for _, c := range []struct {
		form Format
		sql  string
	}{
		{Table, endless}, {formatAnalyzed, endless},
		// half-way through its result, its spill files, its export
		{CSV, "FROM range(1000000000)"}, {NDJSON, "FROM range(1000000000)"}, {Parquet, "SELECT i, random() AS r FROM range(1000000000) t(i) ORDER BY r"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(300*time.Millisecond, cancel)
		start := time.Now()
		var b bytes.Buffer
		_, err := s.SQL(ctx, c.sql, Output{Format: c.form}, &b)
		require.ErrorIs(t, err, context.Canceled, c.sql)
		require.Less(t, time.Since(start), 10*time.Second, c.sql)
		require.Zero(t, b.Len())
		left, err := os.ReadDir(s.opts.TempDir)
		require.NoError(t, err)
		require.Empty(t, left, c.sql)
	}
	require.NoError(t, run(s, "SELECT 1"))
}

func TestARunRemovesWhatAKilledOneLeft(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	killed := filepath.Join(s.opts.TempDir, runPrefix+"123")
	require.NoError(t, os.MkdirAll(filepath.Join(killed, "spill"), 0o700))
	require.NoError(t, os.Chtimes(killed, time.Now(), time.Now().Add(-2*leaveAlone)))
	require.NoError(t, run(s, "SELECT 1"))
	require.NoDirExists(t, killed)
}

func TestARunThatNeedsTooMuchMemorySaysSo(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{MemoryLimit: 64 << 20, TempBytes: 1 << 20})
	err := run(s, "SELECT list(a.range) FROM range(100000000) a")
	require.ErrorIs(t, err, ErrMemory)
	_, err = Open(context.Background(), Options{Planner: emptyPlans(t), MemoryLimit: 1 << 20})
	require.ErrorContains(t, err, "too little")
}

func TestTheSemicolonAtTheEndIsCut(t *testing.T) {
	ctx := context.Background()
	e, err := openEngine(ctx, 1, 256<<20, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, e.close()) }()
	for text, want := range map[string]string{
		"SELECT 1": "SELECT 1", "SELECT 1;": "SELECT 1", "SELECT ';';--x": "SELECT ';'", `SELECT 1 AS ";" ; `: `SELECT 1 AS ";" `,
		"SELECT 1 -- a;b\n+ 1;": "SELECT 1 -- a;b\n+ 1", "/* ; /* ; */ ; */ SELECT 1;": "/* ; /* ; */ ; */ SELECT 1",
		"SELECT $x$;$x$;": "SELECT $x$;$x$", "SELECT $from + $to;": "SELECT $from + $to", "SELECT 'it''s;';": "SELECT 'it''s;'",
		`SELECT E'\';' ; -- ;`: `SELECT E'\';' `, "SELECT 1 AS a$b$;": "SELECT 1 AS a$b$", "SELECT 1;;\n; -- ;a": "SELECT 1", "(SELECT 1);": "(SELECT 1)",
	} {
		have, err := e.judge(ctx, text)
		require.NoError(t, err, text)
		require.Equal(t, want, have)
	}
	for text, want := range map[string]string{
		"SELECT '": "cannot be parsed", "SELECT 1) TO '/tmp/x' --": "cannot be parsed", "SELECT 1; SELECT 2": "one statement at a time",
		"SELECT 1\x00": "NUL byte", "; -- nothing": "no SQL", "SELECT 1; DROP VIEW prompts": "only one SELECT",
	} {
		_, err := e.judge(ctx, text)
		require.ErrorContains(t, err, want, text)
	}
}

// What the gate relies on: DuckDB's Prepare refuses several statements and runs
// none. A new release of the client must keep to that.
func TestPrepareRefusesSeveralStatements(t *testing.T) {
	ctx := context.Background()
	e, err := openEngine(ctx, 1, 256<<20, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, e.close()) }()
	err = e.conn.Raw(func(c any) error {
		_, err := c.(driver.Conn).Prepare("CREATE TABLE ran AS SELECT 1 AS a; SELECT 2")
		return err
	})
	require.Error(t, err)
	require.Error(t, e.exec(ctx, "FROM ran"))
}

func TestTypesOfIcebergAreReadAsDuckDBs(t *testing.T) {
	for iceberg, want := range map[string]string{
		"timestamptz": "TIMESTAMP WITH TIME ZONE", "decimal(18, 9)": "DECIMAL(18,9)", "list<string>": "VARCHAR[]", "fixed[16]": "BLOB",
		"list<struct<key: string, value: binary>>":               `STRUCT("key" VARCHAR, "value" BLOB)[]`,
		"map<string, list<decimal(9,2)>>":                        "MAP(VARCHAR, DECIMAL(9,2)[])",
		"struct<a: struct<b: map<int, long>>, c: decimal(3, 1)>": `STRUCT("a" STRUCT("b" MAP(INTEGER, BIGINT)), "c" DECIMAL(3,1))`,
	} {
		got, err := duckType(iceberg)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", "variant", "list<>", "list<string", "struct<a>", "map<string>"} {
		_, err := duckType(bad)
		require.Error(t, err, bad)
	}
	planner := emptyPlans(t)
	planner.plans[catalog.DeadLetters].Columns[0].Type = "variant"
	require.ErrorContains(t, run(openTest(t, planner, Options{}), "SELECT 1"), "column kafka_topic of table dead_letters")
}

func TestErrorsOfThePlanReachTheUser(t *testing.T) {
	planner := emptyPlans(t)
	planner.err = &catalog.ConfigError{Text: "table agent_events has delete files"}
	err := run(openTest(t, planner, Options{}), "SELECT 1")
	require.ErrorContains(t, err, "has delete files")
	require.False(t, strings.Contains(err.Error(), "Binder"))
}
