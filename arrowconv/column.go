package arrowconv

import (
	"sync"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// maxKept is the largest buffer that is kept for the next record batch, in
// bytes: one huge event must not hold its memory for ever in every builder.
const maxKept = 8 << 20

// slot keeps the memory of one Arrow buffer between record batches. The buffer
// is lent to a record batch and comes home when that is released, at whatever
// time and from whatever goroutine; as an [memory.Allocator] it only frees.
type slot struct {
	mem memory.Allocator

	mu   sync.Mutex
	free []byte // the largest buffer that came home
	gone bool   // the builder is released: buffers go back to mem
}

// take returns a buffer of at least n bytes, from home if there is one.
func (s *slot) take(n int) []byte {
	s.mu.Lock()
	b := s.free
	s.free = nil
	s.mu.Unlock()
	switch {
	case b == nil:
		return s.mem.Allocate(roundUp(n))
	case len(b) < n:
		return s.mem.Reallocate(roundUp(n), b)
	}
	return b
}

// Free takes a buffer home.
func (s *slot) Free(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		s.mem.Free(b)
		return
	}
	if len(b) > len(s.free) && len(b) <= maxKept {
		s.free, b = b, s.free
	}
	if b != nil {
		s.mem.Free(b)
	}
}

// Allocate and Reallocate make slot an Allocator; Arrow never resizes a buffer
// that it was lent.
func (s *slot) Allocate(n int) []byte             { return s.mem.Allocate(n) }
func (s *slot) Reallocate(n int, b []byte) []byte { return s.mem.Reallocate(n, b) }

// shrink frees what is at home.
func (s *slot) shrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free != nil {
		s.mem.Free(s.free)
		s.free = nil
	}
}

func (s *slot) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free != nil {
		s.mem.Free(s.free)
	}
	s.free, s.gone = nil, true
}

func roundUp(n int) int { return (n + 63) &^ 63 }

// vector is a growing Arrow buffer of fixed-width values.
type vector struct {
	slot slot
	buf  []byte // nil until the first value of a batch
	used int    // bytes
}

// extend makes room for n more bytes and returns where they begin.
func (v *vector) extend(n int) int {
	at := v.used
	v.used += n
	if v.used > len(v.buf) {
		v.grow()
	}
	return at
}

func (v *vector) grow() {
	if v.buf == nil {
		v.buf = v.slot.take(max(v.used, 64))
		return
	}
	// By half: a payload buffer is large, and keeps its size.
	v.buf = v.slot.mem.Reallocate(roundUp(max(v.used, len(v.buf)+len(v.buf)/2)), v.buf)
}

func (v *vector) appendBytes(b []byte) {
	at := v.extend(len(b))
	copy(v.buf[at:], b)
}

// put appends one value in the machine's byte order, which is Arrow's.
func put[T int32 | int64 | float64](v *vector, x T) {
	at := v.extend(int(unsafe.Sizeof(x)))
	*(*T)(unsafe.Pointer(unsafe.SliceData(v.buf[at:]))) = x
}

// fill appends n copies of the byte pattern of x.
func fill[T int32 | int64 | float64](v *vector, x T, n int) {
	size := int(unsafe.Sizeof(x))
	at := v.extend(n * size)
	out := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(v.buf[at:]))), n)
	for i := range out {
		out[i] = x
	}
}

// lend hands the buffer to Arrow and starts over.
func (v *vector) lend() *memory.Buffer {
	if v.buf == nil {
		return memory.NewBufferBytes(nil)
	}
	b := memory.NewBufferWithAllocator(v.buf, &v.slot)
	b.ResizeNoShrink(v.used)
	v.buf, v.used = nil, 0
	return b
}

func (v *vector) release() {
	if v.buf != nil {
		v.slot.Free(v.buf)
		v.buf, v.used = nil, 0
	}
	v.slot.release()
}

// layout is how a column's values lie in memory.
type layout uint8

const (
	layoutInt32    layout = iota // 4 bytes
	layoutInt64                  // 8 bytes: integers and microseconds
	layoutFloat64                // 8 bytes
	layoutDecimal                // 16 bytes, two's complement
	layoutText                   // offsets and bytes
	layoutList                   // offsets and one child
	layoutStruct                 // children only
	layoutUnfilled               // NULL in every row, of whatever type
)

// column builds one column of a record batch. Rows that nobody appends to it
// are NULL, at no cost until the next value or the end of the batch.
type column struct {
	layout   layout
	dtype    arrow.DataType
	rows     int // rows it has, behind the batch's while nulls are pending
	nulls    int
	valid    vector // bitmap
	offsets  vector // of layoutText and layoutList
	values   vector
	children []*column
}

func newColumn(dtype arrow.DataType, l layout, mem memory.Allocator, children ...*column) *column {
	c := &column{layout: l, dtype: dtype, children: children}
	c.valid.slot.mem, c.offsets.slot.mem, c.values.slot.mem = mem, mem, mem
	return c
}

// advance makes row the column's next one and valid, NULL the rows before it.
func (c *column) advance(row int) {
	if n := row - c.rows; n > 0 {
		c.appendNulls(n)
	}
	at, bit := row>>3, byte(1)<<(row&7)
	if at >= c.valid.used {
		c.valid.extend(1)
		c.valid.buf[at] = 0 // the buffer served an earlier batch
	}
	c.valid.buf[at] |= bit
	c.rows++
}

func (c *column) appendNulls(n int) {
	rows := c.rows + n
	if need := (rows + 7) >> 3; need > c.valid.used {
		at := c.valid.extend(need - c.valid.used)
		clear(c.valid.buf[at:need])
	}
	switch c.layout {
	case layoutInt32:
		fill(&c.values, int32(0), n)
	case layoutInt64, layoutFloat64:
		fill(&c.values, int64(0), n)
	case layoutDecimal:
		fill(&c.values, int64(0), 2*n)
	case layoutText:
		fill(&c.offsets, int32(c.values.used), n)
	case layoutList:
		fill(&c.offsets, int32(c.children[0].rows), n)
	case layoutStruct:
		for _, child := range c.children {
			child.appendNulls(n)
		}
	}
	c.rows, c.nulls = rows, c.nulls+n
}

// The offsets vector holds where each row begins; the end of the last one is
// added when the batch is finished.

func (c *column) appendText(row int, b []byte) {
	c.advance(row)
	put(&c.offsets, int32(c.values.used))
	c.values.appendBytes(b)
}

func (c *column) appendString(row int, s string) {
	c.appendText(row, unsafe.Slice(unsafe.StringData(s), len(s)))
}

// appendInteger appends a 32-bit value to an int column, or to one widened to long.
func (c *column) appendInteger(row int, v int64) {
	c.advance(row)
	if c.layout == layoutInt32 {
		put(&c.values, int32(v))
		return
	}
	put(&c.values, v)
}

func (c *column) appendInt64(row int, v int64) {
	c.advance(row)
	put(&c.values, v)
}

func (c *column) appendFloat64(row int, v float64) {
	c.advance(row)
	put(&c.values, v)
}

func (c *column) appendDecimal(row int, unscaled int64) {
	c.advance(row)
	put(&c.values, unscaled)     // low half
	put(&c.values, unscaled>>63) // high half: the sign
}

// beginList starts the list of a row; its elements follow as rows of the child.
func (c *column) beginList(row int) *column {
	c.advance(row)
	child := c.children[0]
	put(&c.offsets, int32(child.rows))
	return child
}

// appendTexts returns the bytes it added.
func (c *column) appendTexts(row int, list [][]byte) int {
	child := c.beginList(row)
	size := 4
	for _, b := range list {
		child.appendText(child.rows, b)
		size += len(b) + 4
	}
	return size
}

// finish returns the column as Arrow data of rows rows and starts over. zeros
// has at least 16*(rows+1) bytes.
func (c *column) finish(rows int, zeros []byte) *array.Data {
	if c.layout == layoutUnfilled {
		return unfilled(c.dtype, rows, c.valid.slot.mem)
	}
	if c.rows == 0 && c.children == nil {
		return allNull(c.dtype, c.layout, rows, zeros)
	}
	if n := rows - c.rows; n > 0 {
		c.appendNulls(n)
	}
	var children []arrow.ArrayData
	var end int32
	if c.layout == layoutText {
		end = int32(c.values.used)
	}
	for _, child := range c.children {
		n := rows
		if c.layout == layoutList {
			n = child.rows
			end = int32(n)
		}
		children = append(children, child.finish(n, zeros))
	}
	if c.layout == layoutText || c.layout == layoutList {
		put(&c.offsets, end)
	}
	var buffers [3]*memory.Buffer
	n := 1
	if valid := c.valid.lend(); c.nulls > 0 {
		buffers[0] = valid
	} else {
		valid.Release()
	}
	switch c.layout {
	case layoutText:
		buffers[1], buffers[2], n = c.offsets.lend(), c.values.lend(), 3
	case layoutList:
		buffers[1], n = c.offsets.lend(), 2
	case layoutStruct:
	default:
		buffers[1], n = c.values.lend(), 2
	}
	data := array.NewData(c.dtype, rows, buffers[:n:n], children, c.nulls, 0)
	for _, b := range buffers[:n] {
		if b != nil {
			b.Release()
		}
	}
	for _, child := range children {
		child.Release()
	}
	c.rows, c.nulls = 0, 0
	return data
}

// allNull is a column that got no value: its buffers are all zero, and shared.
func allNull(dtype arrow.DataType, l layout, rows int, zeros []byte) *array.Data {
	size := [...]int{layoutInt32: 4, layoutInt64: 8, layoutFloat64: 8, layoutDecimal: 16}
	valid := memory.NewBufferBytes(zeros[:(rows+7)>>3])
	if l == layoutText {
		offsets := memory.NewBufferBytes(zeros[:4*(rows+1)])
		return array.NewData(dtype, rows, []*memory.Buffer{valid, offsets, memory.NewBufferBytes(nil)}, nil, rows, 0)
	}
	values := memory.NewBufferBytes(zeros[:size[l]*rows])
	return array.NewData(dtype, rows, []*memory.Buffer{valid, values}, nil, rows, 0)
}

func unfilled(dtype arrow.DataType, rows int, mem memory.Allocator) *array.Data {
	a := array.MakeArrayOfNull(mem, dtype, rows)
	defer a.Release()
	data := a.Data().(*array.Data)
	data.Retain()
	return data
}

func (c *column) shrink() {
	c.valid.slot.shrink()
	c.offsets.slot.shrink()
	c.values.slot.shrink()
	for _, child := range c.children {
		child.shrink()
	}
}

func (c *column) release() {
	c.valid.release()
	c.offsets.release()
	c.values.release()
	for _, child := range c.children {
		child.release()
	}
}
