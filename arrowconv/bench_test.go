package arrowconv

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/envelope"
)

// BenchmarkAppend appends events of about 29 columns and 1,290 bytes.
func BenchmarkAppend(b *testing.B) {
	builder, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(b, err)
	defer builder.Release()
	events := make([]envelope.Event, 3)
	for i := range events {
		sampleEvent(&events[i], i)
		events[i].Payload = []byte(strings.Repeat("x", 1290))
	}
	at := sampleProvenance(2)
	b.SetBytes(1290)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		builder.Append(&events[i%len(events)], at)
		if builder.Rows() == 2048 {
			builder.NewRecordBatch().Release()
		}
	}
}

// BenchmarkDecodeAppend is the hot path up to the Parquet writer: Kafka records
// of every class, 1.3 kB on average, to record batches of 2,048 rows.
func BenchmarkDecodeAppend(b *testing.B) {
	builder, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(b, err)
	defer builder.Release()
	d := envelope.NewDecoder(envelope.DefaultLimits)
	all := records(b)
	size := 0
	for i := range all {
		r := &all[i]
		content := fmt.Sprintf(`{"content":%q,`, strings.Repeat("a message, as long as they are. ", 18))
		r.Value = bytes.Replace(r.Value, []byte("{\"gen_ai"), []byte(content+"\"gen_ai"), 1)
		size += len(r.Value)
	}
	at := &Provenance{Topic: "agent-events", Key: []byte("fac7c6d3b0fb0882"), Headers: all[0].Headers}
	b.SetBytes(int64(size / len(all)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at.Offset++
		events, err := d.Decode(&all[i%len(all)])
		if err != nil {
			b.Fatal(err)
		}
		builder.Append(&events[0], at)
		if builder.Rows() == 2048 {
			builder.NewRecordBatch().Release()
		}
	}
}
