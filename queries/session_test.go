package queries

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
)

func TestViewsCountAnEventOnce(t *testing.T) {
	s := testSession(t)
	// 737 rows, 54 of them repeats: the golden answer of completeness says so too.
	require.Equal(t, "737,683", one(t, s, "SELECT (SELECT count(*) FROM agent_log), (SELECT count(*) FROM agent_events)"))
	require.Equal(t, "0", one(t, s, "SELECT count(*) - count(DISTINCT (source, event_id)) FROM agent_events"))
	require.Equal(t, "0", one(t, s, `SELECT count(*) FROM agent_events e JOIN agent_log l USING (source, event_id)
		WHERE (l.kafka_topic, l.kafka_partition, l.kafka_offset) < (e.kafka_topic, e.kafka_partition, e.kafka_offset)`))
	// A filter goes below the anti-join and must not move the row numbers.
	require.Equal(t, one(t, s, "SELECT count(DISTINCT event_id) FROM agent_log WHERE run_id = 'r47'"), one(t, s, "SELECT count(*) FROM agent_events WHERE run_id = 'r47'"))
	require.Equal(t, "91,90,46", one(t, s, "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM prompts), (SELECT count(DISTINCT session_id) FROM sessions)"))
	require.Equal(t, "17", one(t, s, "SELECT count(*) FROM dead_letters"))
}

func TestAWindowKeepsRowsNotFiles(t *testing.T) {
	planner := logPlans(t, t.TempDir())
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	s := openTest(t, planner, Options{From: day(2), To: day(4)})
	require.Equal(t, "2026-03-02,2026-03-03", one(t, s, "SELECT min(event_time)::DATE, max(event_time)::DATE FROM agent_log"))
	require.Equal(t, day(2), planner.asked[0].From)
	require.Equal(t, day(4), planner.asked[0].To)
	_, err := Open(context.Background(), Options{Planner: planner, From: day(2), To: day(2)})
	require.ErrorContains(t, err, "is not before")
}

func TestTextsComeOutOfThePayload(t *testing.T) {
	s := testSession(t)
	require.Equal(t, "user: 注文7を返金してください", one(t, s, "SELECT input_text FROM prompts WHERE run_id = 'r7'"))
	require.Equal(t, "assistant: Done with 7. [call noop {\"n\":7}]", strings.ReplaceAll(strings.Trim(one(t, s, "SELECT output_text FROM outputs WHERE run_id = 'r7'"), `"`), `""`, `"`))
	require.Equal(t, "order 7", one(t, s, "SELECT query_text FROM context_retrievals WHERE run_id = 'r7'"))
	require.Equal(t, "done", one(t, s, "SELECT min(result) FROM tool_calls WHERE run_id = 'r7'"))
	require.Equal(t, "VARCHAR", one(t, s, "SELECT column_type FROM (DESCRIBE agent_log) WHERE column_name = 'payload'"))
	require.Equal(t, "h=v", one(t, s, "SELECT kafka_headers[1].key || '=' || kafka_headers[1].value::VARCHAR FROM agent_log LIMIT 1"))
	for messages, want := range map[string]string{
		`NULL`: "", `'plain'`: "plain", `'[{"type":"text","content":"be kind"}]'`: "be kind", `'"quoted"'`: "quoted", `'[]'`: `""`,
		`'[{"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":"42"}]}]'`: "tool: [result 42]",
		`'[{"role":"user","content":"old style"},{"role":"user","parts":[{"type":"blob"}]}]'`:  "\"user: old style\nuser: [blob]\"",
		`'{"role":"user","parts":[{"type":"text","content":"alone"}]}'`:                        "user: alone",
	} {
		require.Equal(t, want, one(t, s, "SELECT message_text("+messages+"::VARCHAR)"), messages)
	}
}

func TestColumnsAreFoundByFieldID(t *testing.T) {
	dir := t.TempDir()
	planner := emptyPlans(t)
	planner.plans[catalog.MaintenanceLog].Columns = []catalog.PlannedColumn{{ID: 1, Name: "old_name", Type: "int"}, {ID: 2, Name: "job", Type: "string"}}
	planner.addFile(t, catalog.MaintenanceLog, filepath.Join(dir, "a.parquet"), []map[string]any{{"old_name": 1, "job": "x"}})
	// The column is renamed and widened, its old name given to another one.
	planner.plans[catalog.MaintenanceLog].Columns = []catalog.PlannedColumn{
		{ID: 1, Name: "new_name", Type: "long"}, {ID: 2, Name: "job", Type: "string"}, {ID: 9, Name: "old_name", Type: "list<string>"},
	}
	planner.addFile(t, catalog.MaintenanceLog, filepath.Join(dir, "event_class=odd", "b.parquet"),
		[]map[string]any{{"new_name": 5000000000, "job": "y", "old_name": []string{"z"}}})
	s := openTest(t, planner, Options{})
	require.Equal(t, "1,x,\n5000000000,y,\"[\"\"z\"\"]\"", one(t, s, "SELECT new_name, job, old_name FROM maintenance_log ORDER BY 1"))
	// Columns of this release that the snapshot lacks read NULL; a folder's name is no column.
	require.Equal(t, "2,0", one(t, s, "SELECT count(*), count(detail) FROM maintenance_log"))
	require.Error(t, run(s, "SELECT event_class FROM maintenance_log"))
}

func TestTablesWithoutFilesAreEmpty(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, v := range views {
		require.Equal(t, "0", one(t, s, "SELECT count(*) FROM "+v.name))
	}
	for _, q := range List() {
		_, err := s.Query(context.Background(), q.Name, requiredParams(q), Output{Format: JSON}, io.Discard)
		require.NoError(t, err, q.Name)
	}
}

func TestARunNamesADataFileThatIsGone(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, logPlans(t, dir), Options{})
	require.NoError(t, os.Remove(filepath.Join(dir, "events 200.parquet")))
	gone := run(s, "SELECT 1 FROM agent_log")
	require.ErrorContains(t, gone, "events 200.parquet of table agent_events: it is gone: if another engine has just rewritten the table ask again, else restore it; `auditlake verify`")
	require.NotContains(t, gone.Error(), "\n")
	require.NoError(t, run(s, "SELECT 1 FROM dead_letters"), "a table that is not read needs no files")
	require.NoError(t, os.Truncate(filepath.Join(dir, "dead's.parquet"), 100))
	require.ErrorContains(t, run(s, "SELECT 1 FROM dead_letters"), "dead's.parquet of table dead_letters: it holds 100 bytes, the table says")
}

// timedPlanner has a snapshot of each table at a time.
type timedPlanner struct {
	*fakePlanner
	first map[string]time.Time
	asked map[string][]catalog.PlanOptions
}

func (p *timedPlanner) Plan(ctx context.Context, table string, opts catalog.PlanOptions) (*catalog.Plan, error) {
	p.asked[table] = append(p.asked[table], opts)
	if !opts.AsOf.IsZero() && opts.AsOf.Before(p.first[table]) {
		return nil, &catalog.ConfigError{Text: "no snapshot as old as that"}
	}
	return p.fakePlanner.Plan(ctx, table, opts)
}

func TestASessionStaysAtItsSnapshots(t *testing.T) {
	p := &timedPlanner{logPlans(t, t.TempDir()), map[string]time.Time{}, map[string][]catalog.PlanOptions{}}
	s := openTest(t, p, Options{})
	require.NoError(t, run(s, "SELECT 1"))
	require.NoError(t, run(s, "SELECT 1"))
	require.EqualValues(t, 0, p.asked[catalog.AgentEvents][0].SnapshotID)
	require.EqualValues(t, 42, p.asked[catalog.AgentEvents][1].SnapshotID)
	require.EqualValues(t, 42, p.asked[catalog.DeadLetters][1].SnapshotID)
}

func TestTimeTravelTakesAllTablesAlong(t *testing.T) {
	at := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC) // of snapshot 42, see planFile
	p := &timedPlanner{logPlans(t, t.TempDir()), map[string]time.Time{catalog.DeadLetters: at.Add(time.Hour)}, map[string][]catalog.PlanOptions{}}
	s := openTest(t, p, Options{SnapshotID: 7})
	require.Equal(t, "0", one(t, s, "SELECT count(*) FROM dead_letters"), "the table had no snapshot then")
	require.EqualValues(t, 7, p.asked[catalog.AgentEvents][0].SnapshotID)
	require.Equal(t, at, p.asked[catalog.MaintenanceLog][0].AsOf)

	p.first[catalog.AgentEvents] = at
	s = openTest(t, p, Options{AsOf: at.Add(-time.Hour)})
	require.ErrorContains(t, run(s, "SELECT 1"), "no snapshot as old")
	_, err := Open(context.Background(), Options{Planner: p, SnapshotID: 1, AsOf: at})
	require.ErrorContains(t, err, "give one of them")
}

func TestLocalPaths(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "a%20b.parquet")
	require.NoError(t, os.WriteFile(raw, nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c d.parquet"), nil, 0o600))
	for uri, want := range map[string]string{
		"file://" + raw: raw, "file:" + raw: raw, raw: raw, "file://" + dir + "/c%20d.parquet": filepath.Join(dir, "c d.parquet"),
		"file:///no/such%ZZ": "/no/such%ZZ",
	} {
		path, ok := localPath(uri)
		require.True(t, ok)
		require.Equal(t, want, path)
	}
	_, ok := localPath("s3://bucket/key")
	require.False(t, ok)
}

func TestResultSaysWhatWasRead(t *testing.T) {
	s := testSession(t)
	var b bytes.Buffer
	res, err := s.SQL(context.Background(), "SELECT * FROM agent_log", Output{MaxRows: 5}, &b)
	require.NoError(t, err)
	require.Equal(t, Result{Rows: 5, More: true, SnapshotID: 42, Files: 4, FilesTotal: 4}, res)
	require.NoError(t, s.Analyze(context.Background(), "SELECT count(*) FROM prompts;", &b))
	require.Contains(t, b.String(), "Total Time")
	require.Error(t, s.Analyze(context.Background(), "COPY (SELECT 1) TO '/tmp/x'", &b))
}
