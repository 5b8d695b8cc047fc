package envelope

// Value is one typed value of an event. Which field holds it follows from the
// column's [Kind]. Text and List alias the decoder's input: they are valid
// until the record's bytes are reused, and whoever keeps them must copy them.
type Value struct {
	Text  []byte
	List  [][]byte
	Int   int64
	Float float64
}

// Event is one decoded audit event. It is owned by the [Decoder] that made it
// and is valid until that decoder's next call.
type Event struct {
	// Payload is the event verbatim: the JSON as received, or the structured
	// form made from a carrier that has none. It may alias the record's value.
	Payload []byte
	// Index is the event's position in its record, 0 for carriers of one event.
	Index int32
	// Misfits names the attributes whose value does not fit their column; the
	// column is NULL and the value stays in Payload.
	Misfits [][]byte
	// Unknown is how many attributes have no column, context and data together.
	Unknown int

	values  [NumColumns]Value
	present []ColumnID // the columns that have a value, in order of discovery
	has     [NumColumns]bool
	listBuf [][]byte // memory of the one list column
}

// Present returns the columns that have a value, each once, in no useful order.
func (e *Event) Present() []ColumnID { return e.present }

// Has reports whether column c has a value.
func (e *Event) Has(c ColumnID) bool { return e.has[c] }

// Value returns the value of column c; it means something only if [Event.Has].
func (e *Event) Value(c ColumnID) *Value { return &e.values[c] }

// Class returns the event's class, such as "tool_call".
func (e *Event) Class() []byte { return e.values[ColEventClass].Text }

// Time returns the event's time in microseconds since the Unix epoch, UTC.
func (e *Event) Time() int64 { return e.values[ColEventTime].Int }

// Set gives column c a value. Decoders use it; so do tests that build events.
func (e *Event) Set(c ColumnID, v Value) {
	e.values[c] = v
	e.mark(c)
}

// mark says that values[c] is a value.
func (e *Event) mark(c ColumnID) {
	if !e.has[c] {
		e.has[c] = true
		e.present = append(e.present, c)
	}
}

// Reset makes e empty and keeps its memory, but nothing of the record that its
// values alias: a rare column would hold an old fetch of Kafka's in memory.
func (e *Event) Reset() {
	for _, c := range e.present {
		e.has[c], e.values[c] = false, Value{}
	}
	clear(e.listBuf)
	e.present = e.present[:0]
	e.Misfits = e.Misfits[:0]
	e.Payload, e.Index, e.Unknown = nil, 0, 0
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Record is what a decoder sees of a Kafka record. Nothing in it is copied.
type Record struct {
	Value     []byte
	Headers   []Header
	Timestamp int64 // Kafka's timestamp, milliseconds since the Unix epoch
}
