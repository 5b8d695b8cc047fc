package queries

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// lake is a real one: a SQLite catalog, Iceberg tables, and rows that went
// through the decoder and the writer of the sink.
type lake struct {
	t   *testing.T
	cat *catalog.Catalog
	cfg catalog.Config
}

func newLake(t *testing.T) *lake {
	dir := filepath.Join(t.TempDir(), "a [b]'s dir")
	return openLake(t, catalog.Config{Type: "sqlite", URI: filepath.Join(t.TempDir(), "catalog.db"), Warehouse: "file://" + dir, Create: true})
}

func openLake(t *testing.T, cfg catalog.Config) *lake {
	ctx := context.Background()
	cat, err := catalog.Open(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cat.Close()) })
	_, err = cat.Init(ctx, catalog.InitOptions{})
	require.NoError(t, err)
	return &lake{t, cat, cfg}
}

func (l *lake) session(opts Options) *Session {
	opts.Storage = l.cfg.Storage
	return openTest(l.t, Tables(l.cat), opts)
}

// commit makes a snapshot of the rows' events, and one of their dead letters if
// there are any. It returns the id of the first.
func (l *lake) commit(rows ...logRow) int64 {
	var events, dead []logRow
	for _, r := range rows {
		if r.Dead == "" {
			events = append(events, r)
		}
		if r.Dead+r.AlsoDead != "" {
			dead = append(dead, r)
		}
	}
	if len(dead) > 0 {
		l.land(catalog.DeadLetters, l.deadFiles(dead)...)
	}
	return l.land(catalog.AgentEvents, l.eventFiles(events)...)
}

func (l *lake) land(table string, files ...catalog.DataFile) int64 {
	landed, err := l.cat.CommitBatch(context.Background(), table, catalog.Batch{ID: uuid.NewString(), Files: files, Version: "test"})
	require.NoError(l.t, err)
	return landed.SnapshotID
}

// eventFiles writes a data file for each table partition.
func (l *lake) eventFiles(rows []logRow) []catalog.DataFile {
	table, schema := l.table(catalog.AgentEvents)
	decoder := envelope.NewDecoder(envelope.DefaultLimits)
	parts := newParts(l, table, func() *arrowconv.Builder {
		b, err := arrowconv.NewBuilder(schema, memory.DefaultAllocator)
		require.NoError(l.t, err)
		return b
	})
	for _, r := range rows {
		events, err := decoder.Decode(&envelope.Record{Value: []byte(r.Value), Timestamp: -1})
		require.NoError(l.t, err, r.Value)
		ev := &events[0]
		builder := parts.of(catalog.PartitionValue{Int: ev.Time(), Text: append([]byte{}, ev.Class()...)})
		for range max(1, r.Copies) {
			builder.Append(ev, r.provenance(l.t))
		}
	}
	return parts.write()
}

func (l *lake) deadFiles(rows []logRow) []catalog.DataFile {
	table, schema := l.table(catalog.DeadLetters)
	parts := newParts(l, table, func() *arrowconv.DeadLetterBuilder {
		b, err := arrowconv.NewDeadLetterBuilder(schema, memory.DefaultAllocator)
		require.NoError(l.t, err)
		return b
	})
	for _, r := range rows {
		at := r.provenance(l.t)
		parts.of(catalog.PartitionValue{Int: at.IngestTime}).Append(at, []byte(r.Value), r.Dead+r.AlsoDead, "no event", "test")
	}
	return parts.write()
}

type rowBuilder interface {
	NewRecordBatch() arrow.RecordBatch
	Release()
}

// parts are rows on their way to the data files of their table partitions.
type parts[B rowBuilder] struct {
	l        *lake
	table    *catalog.Table
	fields   []catalog.PartitionField
	start    func() B
	keys     []string // in order of appearance
	values   map[string][]catalog.PartitionValue
	builders map[string]B
}

func newParts[B rowBuilder](l *lake, table *catalog.Table, start func() B) *parts[B] {
	fields, err := table.PartitionFields()
	require.NoError(l.t, err)
	return &parts[B]{l: l, table: table, fields: fields, start: start, values: map[string][]catalog.PartitionValue{}, builders: map[string]B{}}
}

// of is the builder of the table partition that a row with this value, in all of
// its partition fields, belongs to.
func (p *parts[B]) of(v catalog.PartitionValue) B {
	var values []catalog.PartitionValue
	var key []byte
	for _, f := range p.fields {
		values, key = append(values, v), f.AppendKey(key, v)
	}
	k := string(key)
	if _, ok := p.builders[k]; !ok {
		p.keys, p.values[k], p.builders[k] = append(p.keys, k), values, p.start()
	}
	return p.builders[k]
}

func (p *parts[B]) write() (out []catalog.DataFile) {
	for _, key := range p.keys {
		rb := p.builders[key].NewRecordBatch()
		w, err := p.table.CreateDataFile(context.Background(), uuid.NewString(), p.fields, p.values[key], catalog.WriteOptions{CompressionLevel: 1})
		require.NoError(p.l.t, err)
		require.NoError(p.l.t, w.Write(rb))
		file, err := w.Close()
		require.NoError(p.l.t, err)
		rb.Release()
		p.builders[key].Release()
		out = append(out, file)
	}
	return out
}

func (l *lake) table(name string) (*catalog.Table, *arrow.Schema) {
	table, err := l.cat.Load(context.Background(), name)
	require.NoError(l.t, err)
	schema, err := table.ArrowSchema()
	require.NoError(l.t, err)
	return table, schema
}

func (r logRow) provenance(t *testing.T) *arrowconv.Provenance {
	ingested, err := time.Parse(time.RFC3339Nano, r.IngestTime)
	require.NoError(t, err)
	return &arrowconv.Provenance{
		Topic: r.Topic, Partition: int32(r.Partition), Offset: r.Offset, Timestamp: -1, IngestTime: ingested.UnixMicro(),
		Headers: []envelope.Header{{Key: "h", Value: []byte("v")}},
	}
}

// logLake holds the test log, in two snapshots.
func logLake(t *testing.T) *lake { return lakeOf(t, readLog(t)) }

func lakeOf(t *testing.T, rows []logRow) *lake {
	l := newLake(t)
	for _, r := range rows {
		if r.Maintenance != nil {
			l.maintain(r.Maintenance)
		}
	}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r logRow) bool { return r.Maintenance != nil })
	half := len(rows) / 2
	l.commit(rows[:half]...)
	l.commit(rows[half:]...)
	return l
}

// maintain adds a row to maintenance_log.
func (l *lake) maintain(row map[string]any) {
	text := func(name string) string { s, _ := row[name].(string); return s }
	number := func(name string) int64 { n, _ := row[name].(float64); return int64(n) }
	at := func(name string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, text(name))
		require.NoError(l.t, err)
		return t
	}
	require.NoError(l.t, l.cat.LogMaintenance(context.Background(), catalog.MaintenanceEntry{
		RunID: text("run_id"), Job: text("job"), Started: at("started_at"), Finished: at("finished_at"), Actor: text("actor"), Policy: text("policy"),
		Target: text("target"), Detail: text("detail"), Rows: number("row_count"), SnapBefore: number("snapshot_before"), SnapAfter: number("snapshot_after"),
	}, "test"))
}

// event is a row of a lake test: an action with these ids at this time.
func event(partition int, offset int64, id, at, more string) logRow {
	return logRow{
		Topic: "agent-events", Partition: partition, Offset: offset, IngestTime: "2026-03-07T00:00:00Z",
		Value: `{"specversion":"1.0","source":"/a","id":"` + id + `","type":"agent.action","time":"` + at + `"` + more + `}`,
	}
}
