package arrowconv

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/envelope"
)

func field(name string, t arrow.DataType, nullable bool) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: nullable, Metadata: arrow.MetadataFrom(map[string]string{"PARQUET:field_id": "1"})}
}

var (
	utf8    = arrow.BinaryTypes.String
	decimal = &arrow.Decimal128Type{Precision: 18, Scale: 9}
	texts   = arrow.ListOfField(field("element", utf8, false))
	headers = arrow.ListOfField(field("element", arrow.StructOf(
		field("key", utf8, false), field("value", arrow.BinaryTypes.Binary, true)), false))
)

func provenanceFields() []arrow.Field {
	return []arrow.Field{
		field(colTopic, utf8, false), field(colPartition, arrow.PrimitiveTypes.Int32, false), field(colOffset, arrow.PrimitiveTypes.Int64, false),
		field(colTimestamp, arrow.FixedWidthTypes.Timestamp_us, true), field(colKey, arrow.BinaryTypes.Binary, true),
		field(colHeaders, headers, true), field(colIngest, arrow.FixedWidthTypes.Timestamp_us, false),
	}
}

// eventFields are the columns of agent_events as the registry describes them.
func eventFields() []arrow.Field {
	types := map[envelope.Kind]arrow.DataType{
		envelope.Text: utf8, envelope.Integer: arrow.PrimitiveTypes.Int64, envelope.Count: arrow.PrimitiveTypes.Int64,
		envelope.Sequence: arrow.PrimitiveTypes.Int64, envelope.Double: arrow.PrimitiveTypes.Float64, envelope.Seconds: arrow.PrimitiveTypes.Float64,
		envelope.Decimal9: decimal, envelope.Timestamp: arrow.FixedWidthTypes.Timestamp_us, envelope.TextList: texts,
	}
	var out []arrow.Field
	for _, c := range envelope.Columns {
		out = append(out, field(c.Name, types[c.Kind], true))
	}
	out = append(out, field(colMisfits, texts, true), field(colPayload, utf8, false), field(colIndex, arrow.PrimitiveTypes.Int32, false))
	return append(out, provenanceFields()...)
}

func schemaOf(fields ...arrow.Field) *arrow.Schema { return arrow.NewSchema(fields, nil) }

// cell is the text of a value, "(null)" for NULL.
func cell(t testing.TB, rb arrow.RecordBatch, name string, row int) string {
	t.Helper()
	found := rb.Schema().FieldIndices(name)
	require.Len(t, found, 1, name)
	return rb.Column(found[0]).ValueStr(row)
}

func textValue(s string) envelope.Value { return envelope.Value{Text: []byte(s)} }

// sampleEvent sets a value of every kind, different in each row.
func sampleEvent(ev *envelope.Event, row int) {
	ev.Reset()
	for id, c := range envelope.Columns {
		if id%3 == row%3 || c.Kind == envelope.Decimal9 {
			var v envelope.Value
			switch c.Kind {
			case envelope.Text:
				v = textValue(fmt.Sprintf("%s-%d", c.Name, row))
			case envelope.TextList:
				v.List = [][]byte{[]byte("a"), []byte(""), fmt.Appendf(nil, "%d", row)}
			case envelope.Double, envelope.Seconds:
				v.Float = float64(row) + 0.5
			default:
				v.Int = int64(row) - 2
			}
			ev.Set(envelope.ColumnID(id), v)
		}
	}
	ev.Payload = fmt.Appendf(nil, `{"row":%d}`, row)
	ev.Index = int32(row)
	if row%2 == 1 {
		ev.Misfits = append(ev.Misfits, []byte("top_k"))
	}
}

// reference builds the same rows with Arrow's own builders.
func reference(schema *arrow.Schema, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	var ev envelope.Event
	for row := range n {
		sampleEvent(&ev, row)
		for i := range envelope.Columns {
			id, fb := envelope.ColumnID(i), b.Field(i)
			if !ev.Has(id) {
				fb.AppendNull()
				continue
			}
			v := ev.Value(id)
			switch fb := fb.(type) {
			case *array.StringBuilder:
				fb.Append(string(v.Text))
			case *array.Int64Builder:
				fb.Append(v.Int)
			case *array.Float64Builder:
				fb.Append(v.Float)
			case *array.TimestampBuilder:
				fb.Append(arrow.Timestamp(v.Int))
			case *array.Decimal128Builder:
				if err := fb.AppendValueFromString(fmt.Sprintf("%de-9", v.Int)); err != nil {
					panic(err)
				}
			case *array.ListBuilder:
				fb.Append(true)
				for _, s := range v.List {
					fb.ValueBuilder().(*array.StringBuilder).Append(string(s))
				}
			}
		}
		rest := func(i int) array.Builder { return b.Field(len(envelope.Columns) + i) }
		if len(ev.Misfits) == 0 {
			rest(0).AppendNull()
		} else {
			rest(0).(*array.ListBuilder).Append(true)
			rest(0).(*array.ListBuilder).ValueBuilder().(*array.StringBuilder).Append("top_k")
		}
		rest(1).(*array.StringBuilder).Append(string(ev.Payload))
		rest(2).(*array.Int32Builder).Append(ev.Index)
		at := sampleProvenance(row)
		rest(3).(*array.StringBuilder).Append(at.Topic)
		rest(4).(*array.Int32Builder).Append(at.Partition)
		rest(5).(*array.Int64Builder).Append(at.Offset)
		if at.Timestamp < 0 {
			rest(6).AppendNull()
		} else {
			rest(6).(*array.TimestampBuilder).Append(arrow.Timestamp(at.Timestamp * 1000))
		}
		if at.Key == nil {
			rest(7).AppendNull()
		} else {
			rest(7).(*array.BinaryBuilder).Append(at.Key)
		}
		appendReferenceHeaders(rest(8).(*array.ListBuilder), at.Headers)
		rest(9).(*array.TimestampBuilder).Append(arrow.Timestamp(at.IngestTime))
	}
	return b.NewRecordBatch()
}

func appendReferenceHeaders(lb *array.ListBuilder, hs []envelope.Header) {
	if len(hs) == 0 {
		lb.AppendNull()
		return
	}
	lb.Append(true)
	sb := lb.ValueBuilder().(*array.StructBuilder)
	for _, h := range hs {
		sb.Append(true)
		sb.FieldBuilder(0).(*array.StringBuilder).Append(h.Key)
		if h.Value == nil {
			sb.FieldBuilder(1).AppendNull()
		} else {
			sb.FieldBuilder(1).(*array.BinaryBuilder).Append(h.Value)
		}
	}
}

func sampleProvenance(row int) *Provenance {
	at := &Provenance{Topic: "t", Partition: 3, Offset: int64(row), Timestamp: int64(row%4) - 1, IngestTime: 1_700_000_000_000_000}
	switch row % 3 {
	case 1:
		at.Key = []byte{}
	case 2:
		at.Key = []byte{0, 0xff, byte(row)}
		at.Headers = []envelope.Header{{Key: "k", Value: []byte("v")}, {Key: "k"}, {Key: "", Value: []byte{}}}
	}
	return at
}

// Several batches from one builder, of sizes around a byte of the validity
// bitmap, each equal to what Arrow's own builders make.
func TestBuilderMatchesArrowBuilders(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	schema := schemaOf(eventFields()...)
	b, err := NewBuilder(schema, mem)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	for _, n := range []int{1, 7, 8, 9, 64, 1000, 0, 3} {
		for row := range n {
			sampleEvent(&ev, row)
			b.Append(&ev, sampleProvenance(row))
		}
		require.Equal(t, n, b.Rows())
		got, want := b.NewRecordBatch(), reference(schema, n)
		require.EqualValues(t, n, got.NumRows())
		for i, c := range got.Columns() {
			require.Truef(t, array.Equal(want.Column(i), c), "%d rows, column %s:\nwant %v\ngot  %v", n, got.ColumnName(i), want.Column(i), c)
			require.Equal(t, want.Column(i).NullN(), c.NullN(), got.ColumnName(i))
		}
		require.Zero(t, b.Rows())
		require.Zero(t, b.Bytes())
		got.Release()
		want.Release()
	}
}

// Strings alias the decoder's input, which is overwritten by the next record.
func TestBuilderCopies(t *testing.T) {
	b, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	buf := []byte("original")
	var ev envelope.Event
	ev.Set(envelope.ColSource, envelope.Value{Text: buf})
	ev.Set(envelope.ColFinishReasons, envelope.Value{List: [][]byte{buf}})
	ev.Payload, ev.Misfits = buf, [][]byte{buf}
	b.Append(&ev, &Provenance{Key: buf, Headers: []envelope.Header{{Key: "k", Value: buf}}, Timestamp: -1})
	copy(buf, "changed!")
	rb := b.NewRecordBatch()
	defer rb.Release()
	for i, c := range rb.Columns() {
		require.NotContains(t, c.ValueStr(0), "changed", rb.ColumnName(i))
	}
	require.Equal(t, "original", cell(t, rb, colPayload, 0))
}

// A record batch stays as it is while its builder goes on, and after it is gone.
func TestRecordBatchIsIndependent(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	schema := schemaOf(eventFields()...)
	b, err := NewBuilder(schema, mem)
	require.NoError(t, err)
	var batches []arrow.RecordBatch
	var ev envelope.Event
	for n := 1; n < 20; n++ {
		for row := range n {
			sampleEvent(&ev, row)
			b.Append(&ev, sampleProvenance(row))
		}
		batches = append(batches, b.NewRecordBatch())
	}
	b.Release()
	for i, rb := range batches {
		want := reference(schema, i+1)
		require.True(t, array.RecordEqual(want, rb))
		want.Release()
		rb.Release()
	}
}

func TestBindingByName(t *testing.T) {
	schema := schemaOf(
		field("added_by_someone", arrow.FixedWidthTypes.Boolean, true),
		field("theirs", headers, true),
		field("source", utf8, true),
		field(colPartition, arrow.PrimitiveTypes.Int64, false), // widened
		field("cost_amount", &arrow.Decimal128Type{Precision: 38, Scale: 9}, true),
	)
	b, err := NewBuilder(schema, memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	sampleEvent(&ev, 1)
	ev.Set(envelope.ColSource, textValue("s"))
	ev.Set(envelope.ColCostAmount, envelope.Value{Int: -1})
	b.Append(&ev, &Provenance{Partition: 7})
	rb := b.NewRecordBatch()
	defer rb.Release()
	require.Equal(t, "(null)", cell(t, rb, "added_by_someone", 0))
	require.Equal(t, "(null)", cell(t, rb, "theirs", 0))
	require.Equal(t, "s", cell(t, rb, "source", 0))
	require.Equal(t, "7", cell(t, rb, colPartition, 0))
	require.Equal(t, "-1e-09", cell(t, rb, "cost_amount", 0))
	v := rb.Column(4).(*array.Decimal128).Value(0)
	require.Equal(t, "-1", v.BigInt().String())
}

func TestBindingRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		field      arrow.Field
	}{
		{"wrong type", "column source is int64, the sink has text for it", field("source", arrow.PrimitiveTypes.Int64, true)},
		{"too narrow", "column input_tokens is int32", field("input_tokens", arrow.PrimitiveTypes.Int32, true)},
		{"single precision", "column top_p is float32", field("top_p", arrow.PrimitiveTypes.Float32, true)},
		{"scale", "column cost_amount is decimal(18, 2)", field("cost_amount", &arrow.Decimal128Type{Precision: 18, Scale: 2}, true)},
		{"zone", "column event_time is timestamp[us]", field("event_time", &arrow.TimestampType{Unit: arrow.Microsecond}, true)},
		{"list", "column misfits is utf8", field(colMisfits, utf8, true)},
		{"headers", "column kafka_headers is list", field(colHeaders, texts, true)},
		{"required", "column extra is required and the sink has no value for it", field("extra", utf8, false)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewBuilder(schemaOf(tc.field), memory.DefaultAllocator)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := NewBuilder(schemaOf(field("source", utf8, true), field("source", utf8, true)), memory.DefaultAllocator)
	require.ErrorContains(t, err, "2 columns called source")
}

func TestDeadLetters(t *testing.T) {
	fields := append(provenanceFields(),
		field(colValue, arrow.BinaryTypes.Binary, true), field(colErrorClass, utf8, false), field(colErrorText, utf8, false), field(colSinkVersion, utf8, false))
	b, err := NewDeadLetterBuilder(schemaOf(fields...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	b.Append(&Provenance{Topic: "t", Offset: 1, Timestamp: -1}, nil, "not_json", "empty", "1.0")
	b.Append(&Provenance{Topic: "t", Offset: 2, Timestamp: 5, Headers: []envelope.Header{{Key: "a"}}}, []byte{0xff, 0}, "not_utf8", "byte 0", "1.0")
	b.Append(&Provenance{Topic: "t", Offset: 3, Timestamp: 5}, []byte{}, "not_json", "empty", "1.0")
	rb := b.NewRecordBatch()
	defer rb.Release()
	value := rb.Column(rb.Schema().FieldIndices(colValue)[0]).(*array.Binary)
	require.True(t, value.IsNull(0))
	require.Equal(t, []byte{0xff, 0}, value.Value(1))
	require.False(t, value.IsNull(2))
	require.Equal(t, "not_utf8", cell(t, rb, colErrorClass, 1))
	require.Equal(t, "(null)", cell(t, rb, colTimestamp, 0))
	require.Equal(t, "1970-01-01T00:00:00.005Z", strings.Replace(cell(t, rb, colTimestamp, 1), " ", "T", 1))
}

// In a steady state a row allocates nothing: what is left is Arrow's own
// objects, some per column and record batch.
func TestSteadyStateAllocations(t *testing.T) {
	b, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	sampleEvent(&ev, 2)
	at := sampleProvenance(2)
	const rows = 4096
	batch := func() {
		for range rows {
			b.Append(&ev, at)
		}
		b.NewRecordBatch().Release()
	}
	batch()
	require.Less(t, testing.AllocsPerRun(5, batch)/rows, 0.3)
	runtime.KeepAlive(b)
}

func BenchmarkAppend(b *testing.B) {
	builder, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(b, err)
	defer builder.Release()
	// About 29 columns and a payload of 1,290 bytes, as in a typical event.
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
