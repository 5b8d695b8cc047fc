package arrowconv

import (
	"fmt"
	"math"
	"slices"
	"strconv"
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
	text    = arrow.BinaryTypes.String
	decimal = &arrow.Decimal128Type{Precision: 18, Scale: 9}
	texts   = arrow.ListOfField(field("element", text, false))
	headers = arrow.ListOfField(field("element", arrow.StructOf(
		field("key", text, false), field("value", arrow.BinaryTypes.Binary, true)), false))
)

func provenanceFields() []arrow.Field {
	return []arrow.Field{
		field(colTopic, text, false), field(colPartition, arrow.PrimitiveTypes.Int32, false), field(colOffset, arrow.PrimitiveTypes.Int64, false),
		field(colTimestamp, arrow.FixedWidthTypes.Timestamp_us, true), field(colKey, arrow.BinaryTypes.Binary, true),
		field(colHeaders, headers, true), field(colIngest, arrow.FixedWidthTypes.Timestamp_us, false),
	}
}

// eventFields are the columns of agent_events as the registry describes them.
func eventFields() []arrow.Field {
	types := map[envelope.Kind]arrow.DataType{
		envelope.Text: text, envelope.Integer: arrow.PrimitiveTypes.Int64, envelope.Count: arrow.PrimitiveTypes.Int64,
		envelope.Sequence: arrow.PrimitiveTypes.Int64, envelope.Double: arrow.PrimitiveTypes.Float64, envelope.Seconds: arrow.PrimitiveTypes.Float64,
		envelope.Decimal9: decimal, envelope.Timestamp: arrow.FixedWidthTypes.Timestamp_us, envelope.TextList: texts,
	}
	var out []arrow.Field
	for _, c := range envelope.Columns {
		out = append(out, field(c.Name, types[c.Kind], true))
	}
	out = append(out, field(colMisfits, texts, true), field(colPayload, text, false), field(colIndex, arrow.PrimitiveTypes.Int32, false))
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
		if id%3 == row%3 {
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

// reference builds n rows from the first one on with Arrow's own builders.
func reference(schema *arrow.Schema, first, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	var ev envelope.Event
	for row := first; row < first+n; row++ {
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
// bitmap and with NULLs in other places each time, since buffers are used again;
// each equal to what Arrow's own builders make.
func TestBuilderMatchesArrowBuilders(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	schema := schemaOf(eventFields()...)
	b, err := NewBuilder(schema, mem)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	for first, n := range []int{1, 7, 8, 9, 64, 1000, 0, 3, 65, 999} {
		for row := first; row < first+n; row++ {
			sampleEvent(&ev, row)
			b.Append(&ev, sampleProvenance(row))
		}
		require.Equal(t, n, b.Rows())
		got, want := b.NewRecordBatch(), reference(schema, first, n)
		require.EqualValues(t, n, got.NumRows())
		for i, c := range got.Columns() {
			require.Truef(t, array.Equal(want.Column(i), c), "%d rows, column %s:\nwant %v\ngot  %v", n, got.ColumnName(i), want.Column(i), c)
			require.Equal(t, want.Column(i).NullN(), c.NullN(), got.ColumnName(i))
			if s, ok := c.(*array.String); ok { // a writer may take the buffer as it is
				require.Equal(t, len(s.ValueBytes()), s.Data().Buffers()[2].Len(), got.ColumnName(i))
			}
		}
		require.Zero(t, b.Rows())
		require.Zero(t, b.Bytes())
		got.Release()
		want.Release()
	}
}

// Columns without a value share one buffer of zeros, as long as the batch.
func TestRowsWithoutValues(t *testing.T) {
	b, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	for _, n := range []int{1, 3, 100, 5000, 17} {
		for range n {
			b.Append(&ev, &Provenance{Timestamp: -1})
		}
		rb := b.NewRecordBatch()
		for i := range envelope.Columns {
			c := rb.Column(i)
			require.Equal(t, n, c.NullN(), rb.ColumnName(i))
			require.Equal(t, "(null)", c.ValueStr(n-1), rb.ColumnName(i))
			for _, buf := range c.Data().Buffers() {
				require.NotNil(t, buf, rb.ColumnName(i))
			}
			if width, ok := c.DataType().(arrow.FixedWidthDataType); ok {
				require.GreaterOrEqual(t, c.Data().Buffers()[1].Len(), n*width.Bytes(), rb.ColumnName(i))
			}
		}
		rb.Release()
	}
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
		for row := n - 1; row < 2*n-1; row++ {
			sampleEvent(&ev, row)
			b.Append(&ev, sampleProvenance(row))
		}
		batches = append(batches, b.NewRecordBatch())
	}
	b.Release()
	for i, rb := range batches {
		want := reference(schema, i, i+1)
		require.True(t, array.RecordEqual(want, rb))
		want.Release()
		rb.Release()
	}
}

func TestBindingByName(t *testing.T) {
	foreign := []arrow.DataType{
		arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Float32, arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time64us, &arrow.FixedSizeBinaryType{ByteWidth: 16},
		&arrow.TimestampType{Unit: arrow.Microsecond}, arrow.MapOf(text, arrow.PrimitiveTypes.Int64), arrow.StructOf(field("a", texts, true)), texts,
	}
	var theirs []arrow.Field
	for i, t := range foreign {
		theirs = append(theirs, field(fmt.Sprintf("foreign_%d", i), t, true))
	}
	schema := schemaOf(append(theirs,
		field("theirs", headers, true),
		field("source", text, true),
		field(colPartition, arrow.PrimitiveTypes.Int64, false), // widened
		field("cost_amount", &arrow.Decimal128Type{Precision: 38, Scale: 9}, true),
	)...)
	b, err := NewBuilder(schema, memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	sampleEvent(&ev, 1)
	ev.Set(envelope.ColSource, textValue("s"))
	ev.Set(envelope.ColCostAmount, envelope.Value{Int: -1})
	b.Append(&ev, &Provenance{Partition: 7, Key: []byte("k"), Headers: []envelope.Header{{Key: "h"}}})
	rb := b.NewRecordBatch()
	defer rb.Release()
	for _, f := range theirs {
		require.Equal(t, "(null)", cell(t, rb, f.Name, 0))
	}
	require.Equal(t, "(null)", cell(t, rb, "theirs", 0))
	require.Equal(t, "s", cell(t, rb, "source", 0))
	require.Equal(t, "7", cell(t, rb, colPartition, 0))
	require.Equal(t, "-1e-09", cell(t, rb, "cost_amount", 0))
	v := rb.Column(len(schema.Fields()) - 1).(*array.Decimal128).Value(0)
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
		{"list", "column misfits is utf8", field(colMisfits, text, true)},
		{"headers", "column kafka_headers is list", field(colHeaders, texts, true)},
		{"header value", "column kafka_headers is list", field(colHeaders, arrow.ListOfField(field("element", arrow.StructOf(
			field("key", text, false), field("value", arrow.BinaryTypes.Binary, false)), false)), true)},
		{"header key type", "column kafka_headers is list", field(colHeaders, arrow.ListOfField(field("element", arrow.StructOf(
			field("key", arrow.BinaryTypes.Binary, false), field("value", arrow.BinaryTypes.Binary, true)), false)), true)},
		{"header value type", "column kafka_headers is list", field(colHeaders, arrow.ListOfField(field("element", arrow.StructOf(
			field("key", text, false), field("value", text, true)), false)), true)},
		{"header fields", "column kafka_headers is list", field(colHeaders, arrow.ListOfField(field("element", arrow.StructOf(
			field("value", arrow.BinaryTypes.Binary, true), field("key", text, false)), false)), true)},
		{"required", "column extra is required and the sink has no value for it", field("extra", text, false)},
		{"not always", "column subject is required, and not every row has a value for it: make it optional", field("subject", text, false)},
		{"not always", "column kafka_timestamp is required", field(colTimestamp, arrow.FixedWidthTypes.Timestamp_us, false)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewBuilder(schemaOf(tc.field), memory.DefaultAllocator)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := NewBuilder(schemaOf(field("source", text, true), field("source", text, true)), memory.DefaultAllocator)
	require.ErrorContains(t, err, "2 columns called source")
}

// A table may require what has a value in every row, and nothing else.
func TestBindingRequired(t *testing.T) {
	always := []string{colPayload, colIndex, colTopic, colPartition, colOffset, colIngest}
	for _, c := range envelope.Columns {
		if c.Required {
			always = append(always, c.Name)
		}
	}
	for _, f := range eventFields() {
		f.Nullable = false
		b, err := NewBuilder(schemaOf(f), memory.DefaultAllocator)
		if slices.Contains(always, f.Name) {
			require.NoError(t, err)
			b.Release()
			continue
		}
		require.ErrorContains(t, err, "column "+f.Name+" is required, and not every row has a value for it")
	}
}

// What Bytes says is what the sink holds its memory by.
func TestBytes(t *testing.T) {
	b, err := NewBuilder(schemaOf(eventFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	for row := range 300 {
		sampleEvent(&ev, row)
		b.Append(&ev, sampleProvenance(row))
	}
	said := b.Bytes()
	rb := b.NewRecordBatch()
	defer rb.Release()
	var have int
	for _, c := range rb.Columns() {
		have += valueBytes(c)
	}
	require.InEpsilon(t, have, said, 0.02)

	ev.Reset()
	ev.Payload, ev.Misfits = make([]byte, 1000), [][]byte{make([]byte, 1000)}
	b.Append(&ev, &Provenance{Topic: "t", Timestamp: -1})
	require.InDelta(t, 2000, b.Bytes(), 60)

	dead, err := NewDeadLetterBuilder(schemaOf(deadFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer dead.Release()
	long := strings.Repeat("x", 1000)
	dead.Append(&Provenance{Topic: long, Key: []byte(long), Headers: []envelope.Header{{Key: long, Value: []byte(long)}}}, []byte(long), long, long, long)
	require.InDelta(t, 8000, dead.Bytes(), 80)
}

// valueBytes is what the values of an array take, without validity bitmaps and
// the room of NULLs.
func valueBytes(a arrow.Array) int {
	valid := a.Len() - a.NullN()
	switch a := a.(type) {
	case *array.String:
		return len(a.ValueBytes()) + 4*valid
	case *array.Binary:
		return len(a.ValueBytes()) + 4*valid
	case *array.List:
		return valueBytes(a.ListValues()) + 4*valid
	case *array.Struct:
		return valueBytes(a.Field(0)) + valueBytes(a.Field(1))
	}
	return a.DataType().(arrow.FixedWidthDataType).Bytes() * valid
}

func deadFields() []arrow.Field {
	return append(provenanceFields(),
		field(colValue, arrow.BinaryTypes.Binary, true), field(colErrorClass, text, false), field(colErrorText, text, false), field(colSinkVersion, text, false))
}

// The record batch has the table's fields, ids and all, down to what is nested.
func TestFieldIDs(t *testing.T) {
	fields := eventFields()
	for i := range fields {
		fields[i].Metadata = arrow.MetadataFrom(map[string]string{"PARQUET:field_id": strconv.Itoa(i + 1)})
	}
	schema := schemaOf(fields...)
	b, err := NewBuilder(schema, memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	sampleEvent(&ev, 2)
	b.Append(&ev, sampleProvenance(2))
	rb := b.NewRecordBatch()
	defer rb.Release()
	require.True(t, rb.Schema().Equal(schema))
	for i, c := range rb.Columns() {
		id, _ := rb.Schema().Field(i).Metadata.GetValue("PARQUET:field_id")
		require.Equal(t, strconv.Itoa(i+1), id)
		require.Same(t, fields[i].Type, c.DataType(), rb.ColumnName(i))
	}
}

// What Kafka lets through and a table cannot hold.
func TestOddProvenance(t *testing.T) {
	b, err := NewBuilder(schemaOf(provenanceFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer b.Release()
	var ev envelope.Event
	for _, timestamp := range []int64{math.MaxInt64 / 1000, math.MaxInt64/1000 + 1, math.MaxInt64, math.MinInt64} {
		b.Append(&ev, &Provenance{Timestamp: timestamp, Headers: []envelope.Header{{Key: "a\xff\xfeé", Value: []byte("\xff")}}})
	}
	rb := b.NewRecordBatch()
	defer rb.Release()
	timestamps := rb.Column(rb.Schema().FieldIndices(colTimestamp)[0]).(*array.Timestamp)
	require.EqualValues(t, math.MaxInt64/1000*1000, timestamps.Value(0))
	require.Equal(t, 3, timestamps.NullN())
	entries := rb.Column(rb.Schema().FieldIndices(colHeaders)[0]).(*array.List).ListValues().(*array.Struct)
	require.Equal(t, "a\uFFFDé", entries.Field(0).(*array.String).Value(0))
	require.Equal(t, []byte("\xff"), entries.Field(1).(*array.Binary).Value(0))
}

func TestDeadLetters(t *testing.T) {
	_, err := NewDeadLetterBuilder(schemaOf(field(colValue, arrow.BinaryTypes.Binary, false)), memory.DefaultAllocator)
	require.ErrorContains(t, err, "column value is required") // a tombstone has none
	bare, err := NewDeadLetterBuilder(schemaOf(provenanceFields()...), memory.DefaultAllocator)
	require.NoError(t, err)
	defer bare.Release()
	bare.Append(&Provenance{}, []byte("x"), "c", "t", "v") // the table has no column for these
	require.Equal(t, 1, bare.Rows())

	b, err := NewDeadLetterBuilder(schemaOf(deadFields()...), memory.DefaultAllocator)
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
	require.Equal(t, "1", cell(t, rb, colOffset, 0))
	require.Equal(t, "empty", cell(t, rb, colErrorText, 2))
	require.Equal(t, "1.0", cell(t, rb, colSinkVersion, 2))
	require.Equal(t, "1970-01-01T00:00:00.005Z", strings.Replace(cell(t, rb, colTimestamp, 1), " ", "T", 1))
}
