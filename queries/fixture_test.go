package queries

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// fakePlanner plans over files that a test wrote itself.
type fakePlanner struct {
	plans map[string]*catalog.Plan
	asked []catalog.PlanOptions // for agent_events
	err   error
}

func (f *fakePlanner) Plan(_ context.Context, table string, opts catalog.PlanOptions) (*catalog.Plan, error) {
	if f.err != nil {
		return nil, f.err
	}
	if table == catalog.AgentEvents {
		f.asked = append(f.asked, opts)
	}
	plan, ok := f.plans[table]
	if !ok {
		return nil, fmt.Errorf("no plan for %s", table)
	}
	return plan, nil
}

// emptyPlans plans every table without a file, with the columns of this release.
func emptyPlans(t *testing.T) *fakePlanner {
	f := &fakePlanner{plans: map[string]*catalog.Plan{}}
	for _, def := range catalog.Definitions() {
		plan := &catalog.Plan{Table: def.Name, MetadataLocation: "file:///lake/" + def.Name + "/metadata/v1.metadata.json"}
		for _, field := range def.Schema.Fields() {
			name := field.Type.String()
			switch field.Name {
			case "kafka_headers":
				name = "list<struct<key: string, value: binary>>"
			case "finish_reasons", "misfits":
				name = "list<string>"
			}
			plan.Columns = append(plan.Columns, catalog.PlannedColumn{ID: field.ID, Name: field.Name, Type: name, Doc: field.Doc})
		}
		f.plans[def.Name] = plan
	}
	return f
}

// logRow is a line of a log in testdata/queries/logs.
type logRow struct {
	Topic      string `json:"topic"`
	Partition  int    `json:"partition"`
	Offset     int64  `json:"offset"`
	IngestTime string `json:"ingest_time"`
	Value      string `json:"value"`
	Dead       string `json:"dead"`
	AlsoDead   string `json:"also_dead"`
	Copies     int    `json:"copies"`
	// Maintenance is a row of maintenance_log, and the line no record.
	Maintenance map[string]any `json:"maintenance"`
}

func readLog(t *testing.T) []logRow { return readLogOf(t, "base") }

func readLogOf(t *testing.T, name string) []logRow {
	text, err := os.ReadFile("../testdata/queries/logs/" + name + ".ndjson")
	require.NoError(t, err)
	var out []logRow
	for line := range strings.Lines(string(text)) {
		var r logRow
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		out = append(out, r)
	}
	return out
}

// logPlans writes the test log as data files below dir, by field id, and plans them.
func logPlans(t *testing.T, dir string) *fakePlanner {
	f := emptyPlans(t)
	var events, dead []map[string]any
	for _, r := range readLog(t) {
		if r.Dead == "" {
			for range max(1, r.Copies) {
				events = append(events, eventRow(t, r))
			}
		}
		if class := r.Dead + r.AlsoDead; class != "" {
			dead = append(dead, map[string]any{
				"kafka_topic": r.Topic, "kafka_partition": r.Partition, "kafka_offset": r.Offset, "value": blobText(r.Value), "error_class": class,
				"error_text": "no event", "ingest_time": r.IngestTime, "sink_version": "test",
			})
		}
	}
	// Several files, so that a window, a column and a repeat cross them.
	for i := 0; i < len(events); i += 200 {
		f.addFile(t, catalog.AgentEvents, filepath.Join(dir, fmt.Sprintf("events %d.parquet", i)), events[i:min(i+200, len(events))])
	}
	f.addFile(t, catalog.DeadLetters, filepath.Join(dir, "dead's.parquet"), dead)
	return f
}

// eventRow has the typed columns of an event, by the registry.
func eventRow(t *testing.T, r logRow) map[string]any {
	dec := json.NewDecoder(strings.NewReader(r.Value))
	dec.UseNumber()
	var ev map[string]any
	require.NoError(t, dec.Decode(&ev))
	data, _ := ev["data"].(map[string]any)
	row := map[string]any{
		"payload": r.Value, "kafka_topic": r.Topic, "kafka_partition": r.Partition, "kafka_offset": r.Offset, "record_index": 0,
		"ingest_time": r.IngestTime, "kafka_headers": []any{map[string]any{"key": "h", "value": "v"}},
	}
	for _, c := range envelope.Columns {
		if v, ok := ev[c.Context]; ok && c.Context != "" {
			row[c.Name] = v
		} else if v, ok := data[c.Data]; ok && c.Data != "" {
			row[c.Name] = v
		}
	}
	row["event_class"] = strings.TrimPrefix(ev["type"].(string), "agent.")
	if tp, ok := ev["traceparent"].(string); ok {
		row["trace_id"], row["span_id"] = tp[3:35], tp[36:52]
	}
	return row
}

func blobText(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02X`, c)
	}
	return b.String()
}

// addFile writes rows as a Parquet file with the plan's field ids and adds it to
// the plan. A column that no row has is left out of the file.
func (f *fakePlanner) addFile(t *testing.T, table, path string, rows []map[string]any) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	plan := f.plans[table]
	ndjson, err := os.Create(filepath.Join(t.TempDir(), "rows.ndjson"))
	require.NoError(t, err)
	w := bufio.NewWriter(ndjson)
	used := map[string]bool{}
	for _, row := range rows {
		for name := range row {
			used[name] = true
		}
		require.NoError(t, json.NewEncoder(w).Encode(row))
	}
	require.NoError(t, w.Flush())
	require.NoError(t, ndjson.Close())
	var columns, ids []string
	for _, c := range plan.Columns {
		if used[c.Name] {
			kind, err := duckType(c.Type)
			require.NoError(t, err)
			columns = append(columns, literal(c.Name)+": "+literal(kind))
			ids = append(ids, ident(c.Name)+": "+strconv.Itoa(c.ID))
		}
	}
	testExec(t, fmt.Sprintf("COPY (SELECT * FROM read_json(%s, format='newline_delimited', columns={%s})) TO %s (FORMAT parquet, FIELD_IDS {%s})",
		literal(ndjson.Name()), strings.Join(columns, ", "), literal(path), strings.Join(ids, ", ")))
	f.planFile(t, table, "file://"+path, int64(len(rows)))
}

func (f *fakePlanner) planFile(t *testing.T, table, uri string, rows int64) {
	path, ok := localPath(uri)
	require.True(t, ok)
	info, err := os.Stat(path)
	require.NoError(t, err)
	plan := f.plans[table]
	plan.Files = append(plan.Files, catalog.PlannedFile{URI: uri, Size: info.Size(), Rows: rows})
	plan.FilesTotal++
	plan.SnapshotID, plan.SnapshotTime = 42, time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
}

// testExec runs statements in a DuckDB that is not locked.
func testExec(t *testing.T, statements ...string) {
	e, err := openEngine(context.Background(), 2, 1<<30, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, e.close()) }()
	require.NoError(t, e.exec(context.Background(), statements...))
}

// testSession is over the test log.
func testSession(t *testing.T) *Session {
	return openTest(t, logPlans(t, filepath.Join(t.TempDir(), "a [b]'s dir")), Options{})
}

func openTest(t *testing.T, p Planner, opts Options) *Session {
	opts.Planner, opts.TempDir = p, t.TempDir()
	if opts.Threads == 0 {
		opts.Threads = 2
	}
	opts.Now = time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC)
	s, err := Open(context.Background(), opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		left, err := os.ReadDir(opts.TempDir)
		require.NoError(t, err)
		require.Empty(t, left, "a run left temporary files")
	})
	return s
}

// sqlText runs SQL and returns what it wrote.
func sqlText(t *testing.T, s *Session, sql string, format Format) string {
	var b strings.Builder
	_, err := s.SQL(context.Background(), sql, Output{Format: format}, &b)
	require.NoError(t, err, sql)
	return b.String()
}

// one runs SQL that gives one row, as CSV without its header.
func one(t *testing.T, s *Session, sql string) string {
	_, row, _ := strings.Cut(sqlText(t, s, sql, CSV), "\n")
	return strings.TrimSuffix(row, "\n")
}
