package arrowconv

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/auditlake/auditlake/envelope"
)

// Provenance says where a row comes from. Nothing of it is kept by a builder.
type Provenance struct {
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  int64  // Kafka's timestamp, milliseconds since the Unix epoch; below 0, or past the year 294246, is none
	Key        []byte // nil is none
	Headers    []envelope.Header
	IngestTime int64 // when the sink read the record, microseconds since the Unix epoch
}

// Columns every builder fills from the provenance of a row.
const (
	colTopic     = "kafka_topic"
	colPartition = "kafka_partition"
	colOffset    = "kafka_offset"
	colTimestamp = "kafka_timestamp"
	colKey       = "kafka_key"
	colHeaders   = "kafka_headers"
	colIngest    = "ingest_time"

	colIndex   = "record_index"
	colMisfits = "misfits"
	colPayload = "payload"

	colValue       = "value"
	colErrorClass  = "error_class"
	colErrorText   = "error_text"
	colSinkVersion = "sink_version"
)

// Builder makes record batches of agent_events. It is not safe for concurrent
// use; the record batches it has made are independent of it.
type Builder struct {
	rows
	events  [envelope.NumColumns]*column // nil where the table has no such column
	index   *column
	misfits *column
	payload *column
}

// NewBuilder binds the columns of schema, the Arrow schema of a table with its
// field ids, to the values of events by name: an event column that the schema
// lacks is skipped, a nullable column of the schema that no event fills is NULL.
// It refuses a column whose type does not hold its values, and a required
// column that not every event fills. mem is where buffers come from.
func NewBuilder(schema *arrow.Schema, mem memory.Allocator) (*Builder, error) {
	b := &Builder{}
	bind := newBinder(schema, mem)
	for id := range envelope.Columns {
		c := &envelope.Columns[id]
		b.events[id] = bind.column(c.Name, shapeOf[c.Kind], c.Required)
	}
	b.index = bind.column(colIndex, shapeInteger, true)
	b.misfits = bind.column(colMisfits, shapeTexts, false)
	b.payload = bind.column(colPayload, shapeText, true)
	b.bindProvenance(bind)
	if err := b.finishBinding(bind); err != nil {
		return nil, err
	}
	return b, nil
}

// shapeOf is what the column of a kind of value must look like.
var shapeOf = [...]shape{
	envelope.Text: shapeText, envelope.Integer: shapeLong, envelope.Count: shapeLong, envelope.Sequence: shapeLong,
	envelope.Double: shapeDouble, envelope.Seconds: shapeDouble, envelope.Decimal9: shapeDecimal9,
	envelope.Timestamp: shapeTime, envelope.TextList: shapeTexts,
}

// Append adds one event as a row. The caller takes the record batch long before
// it holds 2 GiB.
func (b *Builder) Append(ev *envelope.Event, at *Provenance) {
	row, size := b.n, 0
	for _, id := range ev.Present() {
		c := b.events[id]
		if c == nil {
			continue
		}
		v := ev.Value(id)
		switch c.layout {
		case layoutText:
			c.appendText(row, v.Text)
			size += len(v.Text) + 4
		case layoutInt64:
			c.appendInt64(row, v.Int)
			size += 8
		case layoutFloat64:
			c.appendFloat64(row, v.Float)
			size += 8
		case layoutDecimal:
			c.appendDecimal(row, v.Int)
			size += 16
		case layoutList:
			size += c.appendTexts(row, v.List)
		}
	}
	if c := b.payload; c != nil {
		c.appendText(row, ev.Payload)
		size += len(ev.Payload) + 4
	}
	if c := b.misfits; c != nil && len(ev.Misfits) > 0 {
		size += c.appendTexts(row, ev.Misfits)
	}
	if c := b.index; c != nil {
		c.appendInteger(row, int64(ev.Index))
	}
	b.appendProvenance(at)
	b.bytes += int64(size)
	b.n++
}

// DeadLetterBuilder makes record batches of dead_letters. It is not safe for
// concurrent use; the record batches it has made are independent of it.
type DeadLetterBuilder struct {
	rows
	value, class, text, version *column
}

// NewDeadLetterBuilder binds the columns of schema by name, as [NewBuilder] does.
func NewDeadLetterBuilder(schema *arrow.Schema, mem memory.Allocator) (*DeadLetterBuilder, error) {
	b := &DeadLetterBuilder{}
	bind := newBinder(schema, mem)
	b.value = bind.column(colValue, shapeBinary, false)
	b.class = bind.column(colErrorClass, shapeText, true)
	b.text = bind.column(colErrorText, shapeText, true)
	b.version = bind.column(colSinkVersion, shapeText, true)
	b.bindProvenance(bind)
	if err := b.finishBinding(bind); err != nil {
		return nil, err
	}
	return b, nil
}

// Append adds one record that holds no event: its value byte for byte, nil for
// a tombstone, and why it holds none.
func (b *DeadLetterBuilder) Append(at *Provenance, value []byte, class, text, sinkVersion string) {
	row := b.n
	if b.value != nil && value != nil {
		b.value.appendText(row, value)
	}
	for _, v := range [...]struct {
		c *column
		s string
	}{{b.class, class}, {b.text, text}, {b.version, sinkVersion}} {
		if v.c != nil {
			v.c.appendString(row, v.s)
		}
	}
	b.appendProvenance(at)
	b.bytes += int64(len(value) + len(class) + len(text) + len(sinkVersion) + 16)
	b.n++
}

// rows is what both builders share: the columns in the schema's order and the
// provenance of a row.
type rows struct {
	schema  *arrow.Schema
	columns []*column
	n       int
	bytes   int64
	zeros   []byte // what columns without a value point to

	topic, partition, offset, timestamp, key, headers, ingest *column
}

func (r *rows) bindProvenance(b *binder) {
	r.topic = b.column(colTopic, shapeText, true)
	r.partition = b.column(colPartition, shapeInteger, true)
	r.offset = b.column(colOffset, shapeLong, true)
	r.timestamp = b.column(colTimestamp, shapeTime, false)
	r.key = b.column(colKey, shapeBinary, false)
	r.headers = b.column(colHeaders, shapeHeaders, false)
	r.ingest = b.column(colIngest, shapeTime, true)
}

func (r *rows) finishBinding(b *binder) error {
	if err := b.finish(); err != nil {
		return err // no column has memory yet
	}
	r.schema, r.columns = b.schema, b.columns
	return nil
}

// provenanceBytes is what the fixed-width columns of a provenance take.
const provenanceBytes = 40

func (r *rows) appendProvenance(at *Provenance) {
	row, size := r.n, provenanceBytes
	if c := r.topic; c != nil {
		c.appendString(row, at.Topic)
		size += len(at.Topic)
	}
	if c := r.partition; c != nil {
		c.appendInteger(row, int64(at.Partition))
	}
	if c := r.offset; c != nil {
		c.appendInt64(row, at.Offset)
	}
	if c := r.timestamp; c != nil && at.Timestamp >= 0 && at.Timestamp <= math.MaxInt64/1000 {
		c.appendInt64(row, at.Timestamp*1000)
	}
	if c := r.key; c != nil && at.Key != nil {
		c.appendText(row, at.Key)
		size += len(at.Key)
	}
	if c := r.headers; c != nil && len(at.Headers) > 0 {
		size += appendHeaders(c, row, at.Headers)
	}
	if c := r.ingest; c != nil {
		c.appendInt64(row, at.IngestTime)
	}
	r.bytes += int64(size)
}

// appendHeaders returns the bytes it added. Kafka does not look at a key's bytes,
// but a text column that is not UTF-8 makes its data file unreadable: what is
// wrong becomes U+FFFD, as in Kafka's own clients.
func appendHeaders(c *column, row int, headers []envelope.Header) int {
	entry := c.beginList(row)
	size := 0
	for i := range headers {
		key, value := headers[i].Key, headers[i].Value
		if !utf8.ValidString(key) {
			key = strings.ToValidUTF8(key, "\uFFFD")
		}
		at := entry.rows
		entry.advance(at)
		entry.children[0].appendString(at, key)
		if value != nil {
			entry.children[1].appendText(at, value)
		}
		size += len(key) + len(value) + 12
	}
	return size
}

// Rows is how many rows the next record batch has.
func (r *rows) Rows() int { return r.n }

// Bytes is what the values of the next record batch take in memory.
func (r *rows) Bytes() int64 { return r.bytes }

// NewRecordBatch returns the rows appended so far and starts over. The caller
// releases the record batch; its memory then serves the builder again.
func (r *rows) NewRecordBatch() arrow.RecordBatch {
	if need := 16 * (r.n + 1); len(r.zeros) < need {
		r.zeros = make([]byte, roundUp(need))
	}
	arrays := make([]arrow.Array, len(r.columns))
	for i, c := range r.columns {
		data := c.finish(r.n, r.zeros)
		arrays[i] = array.MakeFromData(data)
		data.Release()
	}
	rb := array.NewRecordBatch(r.schema, arrays, int64(r.n))
	for _, a := range arrays {
		a.Release()
	}
	r.n, r.bytes = 0, 0
	return rb
}

// Shrink gives back what memory is kept for the next record batch.
func (r *rows) Shrink() {
	for _, c := range r.columns {
		c.shrink()
	}
}

// Release gives the memory back. Record batches that are still out stay valid.
func (r *rows) Release() {
	for _, c := range r.columns {
		c.release()
	}
	r.columns, r.n, r.bytes = nil, 0, 0
}

// binder finds the columns of a schema by name.
type binder struct {
	schema  *arrow.Schema
	mem     memory.Allocator
	columns []*column
	err     error
}

func newBinder(schema *arrow.Schema, mem memory.Allocator) *binder {
	return &binder{schema: schema, mem: mem, columns: make([]*column, schema.NumFields())}
}

// column returns the column called name, nil if the schema has none. always says
// that every row has a value for it.
func (b *binder) column(name string, want shape, always bool) *column {
	found := b.schema.FieldIndices(name)
	if len(found) == 0 {
		return nil
	}
	field := b.schema.Field(found[0])
	c, ok := want.column(field.Type, b.mem)
	switch {
	case len(found) > 1:
		b.fail(fmt.Errorf("the table has %d columns called %s", len(found), name))
		return nil
	case !ok:
		b.fail(fmt.Errorf("column %s is %s, the sink has %s for it: undo the change of its type, or rename the column", name, field.Type, want))
		return nil
	case !always && !field.Nullable:
		b.fail(fmt.Errorf("column %s is required, and not every row has a value for it: make it optional", name))
		return nil
	}
	b.columns[found[0]] = c
	return c
}

func (b *binder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// finish makes the columns that nothing fills.
func (b *binder) finish() error {
	for i, c := range b.columns {
		if c != nil || b.err != nil {
			continue
		}
		field := b.schema.Field(i)
		if !field.Nullable {
			b.fail(fmt.Errorf("column %s is required and the sink has no value for it: make it optional", field.Name))
			break
		}
		b.columns[i] = newColumn(field.Type, layoutUnfilled, b.mem)
	}
	return b.err
}
