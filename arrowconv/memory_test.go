package arrowconv

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/envelope"
)

// records are Kafka records of every class, with escapes, misfits and unknown
// attributes, structured and binary.
func records(t testing.TB) []envelope.Record {
	files, err := filepath.Glob("../envelope/testdata/examples/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	structured := func(value []byte) envelope.Record {
		h := envelope.Header{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}
		return envelope.Record{Value: value, Headers: []envelope.Header{h}, Timestamp: -1}
	}
	var out []envelope.Record
	for _, name := range files {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		var compact bytes.Buffer // as producers write it
		require.NoError(t, json.Compact(&compact, raw))
		out = append(out, structured(compact.Bytes()))
	}
	odd := `{"specversion":"1.0","id":"\u00e9","source":"/\t","type":"agent.prompt","time":"2026-01-31T12:00:00Z","subject":[],"x":1,` +
		`"data":{"gen_ai.response.finish_reasons":["a","\u0062"],"gen_ai.request.seed":"odd","gen_ai.conversation.id":"c\n"}}`
	out = append(out, structured([]byte(odd)))
	binary := envelope.Record{Value: []byte(`{"gen_ai.tool.name":"t\u0061"}`), Timestamp: -1}
	for _, h := range [][2]string{{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/a"}, {"ce_type", "agent.tool_call"}, {"ce_time", "2026-01-31T12:00:00Z"}} {
		binary.Headers = append(binary.Headers, envelope.Header{Key: h[0], Value: []byte(h[1])})
	}
	return append(out, binary)
}

// The event's strings alias Kafka's buffer, which is gone after Append: a batch
// whose records were overwritten is the same as one whose records were not.
func TestBuilderCopies(t *testing.T) {
	schema := schemaOf(eventFields()...)
	build := func(after func([]byte)) arrow.RecordBatch {
		b, err := NewBuilder(schema, memory.DefaultAllocator)
		require.NoError(t, err)
		defer b.Release()
		d := envelope.NewDecoder(envelope.DefaultLimits)
		for _, r := range records(t) {
			key := []byte("key")
			events, err := d.Decode(&r)
			require.NoError(t, err)
			b.Append(&events[0], &Provenance{Topic: "t", Key: key, Headers: r.Headers})
			after(key)
			after(r.Value)
			after(events[0].Payload)
			for _, h := range r.Headers {
				after(h.Value)
			}
		}
		return b.NewRecordBatch()
	}
	want := build(func([]byte) {})
	defer want.Release()
	have := build(func(buf []byte) {
		for i := range buf {
			buf[i] = '#'
		}
	})
	defer have.Release()
	for i, c := range have.Columns() {
		require.Truef(t, array.Equal(want.Column(i), c), "column %s:\nwant %v\ngot  %v", have.ColumnName(i), want.Column(i), c)
	}
	require.Equal(t, "é", cell(t, have, "event_id", len(records(t))-2))
	require.Equal(t, `["subject","gen_ai.request.seed"]`, cell(t, have, colMisfits, len(records(t))-2))
	require.Equal(t, "ta", cell(t, have, "tool_name", len(records(t))-1))
}

// In a steady state decoding and appending an event allocates nothing: what is
// left is Arrow's own objects, some per column and record batch.
func TestSteadyStateAllocations(t *testing.T) {
	b, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	d := envelope.NewDecoder(envelope.DefaultLimits)
	all := records(t)
	at := sampleProvenance(2)
	const rows = 4096
	batch := func() {
		for i := range rows {
			events, err := d.Decode(&all[i%len(all)])
			require.NoError(t, err)
			b.Append(&events[0], at)
		}
		b.NewRecordBatch().Release()
	}
	batch()
	require.Less(t, testing.AllocsPerRun(5, batch)/rows, 0.3)
}

// Record batches are released by another goroutine while the builder goes on.
func TestReleaseElsewhere(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	schema := schemaOf(eventFields()...)
	b, err := NewBuilder(schema, mem)
	require.NoError(t, err)
	type numbered struct {
		first int
		rb    arrow.RecordBatch
	}
	batches, done := make(chan numbered, 3), make(chan int)
	go func() {
		equal := 0
		for n := range batches {
			want := reference(schema, n.first, 20)
			if array.RecordEqual(want, n.rb) {
				equal++
			}
			want.Release()
			n.rb.Release()
		}
		done <- equal
	}()
	var ev envelope.Event
	for first := range 50 {
		for row := first; row < first+20; row++ {
			sampleEvent(&ev, row)
			b.Append(&ev, sampleProvenance(row))
		}
		batches <- numbered{first, b.NewRecordBatch()}
	}
	b.Release()
	close(batches)
	require.Equal(t, 50, <-done)
	mem.AssertSize(t, 0)
}

// A builder that is released with rows in it gives everything back.
func TestReleaseWithRows(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	b, err := NewBuilder(schemaOf(eventFields()...), mem)
	require.NoError(t, err)
	var ev envelope.Event
	for row := range 100 {
		sampleEvent(&ev, row)
		b.Append(&ev, sampleProvenance(row))
	}
	b.Release()
	mem.AssertSize(t, 0)
}

// One huge event does not hold its memory after its record batch.
func TestHugeEventsAreNotKept(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	b, err := NewBuilder(schemaOf(eventFields()...), mem)
	require.NoError(t, err)
	var ev envelope.Event
	fill := func(size int) {
		ev.Payload = make([]byte, size)
		b.Append(&ev, sampleProvenance(0))
		b.NewRecordBatch().Release()
	}
	fill(16 << 20)
	require.Less(t, mem.CurrentAlloc(), 1<<20)
	fill(4 << 20)
	require.Greater(t, mem.CurrentAlloc(), 4<<20)
	b.Release()
	mem.AssertSize(t, 0)
}
