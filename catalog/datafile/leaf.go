package datafile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/bits"
	"sort"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Bounds on a page.
const (
	pageRows = 20_000
	// Texts and other columns: zstd finds most of what it ever finds in a page
	// of this size, see the package's benchmarks.
	pageBytes = 256 << 10
	// Columns of long texts, the payload first.
	longPageBytes = 1 << 20
	longText      = 256
)

var errPageTooLarge = errors.New("a page of more than 2 GiB: Parquet holds no larger value")

// kind is how a leaf column's values are encoded.
type kind uint8

const (
	kindText         kind = iota // BYTE_ARRAY
	kindFixed                    // FIXED_LEN_BYTE_ARRAY
	kindBool                     // BOOLEAN
	kindInt32                    // INT32
	kindInt64                    // INT64
	kindFloat32                  // FLOAT
	kindFloat64                  // DOUBLE
	kindDecimal32                // INT32 of a decimal
	kindDecimal64                // INT64 of a decimal
	kindDecimalFixed             // FIXED_LEN_BYTE_ARRAY of a decimal
)

// leaf writes one leaf column: the page being filled and what is known of the
// column chunk's pages, which lie compressed in the spool.
type leaf struct {
	m        *meter
	spool    *spool
	zstd     int
	kind     kind
	width    int // bytes of a value of fixed width
	maxDef   int
	maxRep   int
	hasStats bool // keep min and max

	// The page being filled.
	limit   int    // bytes at which it is full
	levels  int    // values with NULLs and empty lists
	present int    // values
	values  []byte // in PLAIN encoding, unless in dict
	valid   []byte // bitmap of a flat optional column
	defs    []byte // of a nested column
	reps    []byte
	dict    *dictionary // nil if values are PLAIN

	// The column chunk so far.
	pages     []extent
	dictPage  extent
	dictPages int
	total     int64 // levels
	nulls     int64
	raw       int64 // bytes of pages before compression
	packed    int64 // and after, both with headers
	bounds    bounds
	err       error
	header    []byte
}

// source is a run of an Arrow array's values, as its buffers hold them.
type source struct {
	n       int
	nulls   int
	valid   []byte  // bitmap, nil if there are no NULLs
	offset  int     // of the array in its bitmap, and in bools
	offsets []int32 // of texts, n+1
	data    []byte  // of texts; of values of fixed width, from the first
}

// write appends the values of a column that is not nested.
func (c *leaf) write(src *source) {
	if c.levels == 0 && c.kind == kindText && src.n > 0 {
		c.limit = pageBytes
		if int(src.offsets[src.n]-src.offsets[0]) > longText*src.n {
			c.limit = longPageBytes
			if c.dictPages == 0 {
				c.dict = nil // long texts differ
			}
		}
	}
	for at := 0; at < src.n && c.err == nil; {
		c.judgeDict()
		n, full := c.fit(src, at)
		if c.maxDef > 0 {
			c.addValid(src, at, n)
		}
		if src.nulls == 0 {
			c.appendRun(src, at, n)
		} else if src.nulls < src.n {
			c.appendValid(src, at, n)
		}
		c.levels += n
		at += n
		if full {
			c.flushPage()
		}
	}
}

// fit is how many rows from at on go into the page, and whether it is full then.
func (c *leaf) fit(src *source, at int) (n int, full bool) {
	n = min(src.n-at, pageRows-c.levels)
	full = c.levels+n == pageRows
	switch {
	case src.nulls == src.n:
	case c.dict != nil:
		if n > dictTrial {
			return dictTrial, false
		}
	case c.kind == kindText:
		room := c.limit - len(c.values)
		base := src.offsets[at]
		if int(src.offsets[at+n]-base)+4*n <= room {
			return n, full
		}
		n = sort.Search(n, func(i int) bool { return int(src.offsets[at+i+1]-base)+4*(i+1) > room })
		if n == 0 && c.levels == 0 {
			n = 1 // larger than a page
		}
		return n, true
	default:
		if room := (c.limit - len(c.values)) / max(c.width, 1); room <= n {
			return max(room, 1), true
		}
	}
	return n, full
}

// addValid appends the definition levels of n rows.
func (c *leaf) addValid(src *source, at, n int) {
	if need := (c.levels + n + 7) / 8; need > len(c.valid) {
		old := len(c.valid)
		c.valid = c.m.grow(c.valid, need-old)[:need]
		clear(c.valid[old:])
	}
	if src.nulls == 0 {
		bitutil.SetBitsTo(c.valid, int64(c.levels), int64(n), true)
	} else if src.nulls < src.n {
		bitutil.CopyBitmap(src.valid, src.offset+at, n, c.valid, c.levels)
	}
}

// appendValid appends those values of n rows that are not NULL.
func (c *leaf) appendValid(src *source, at, n int) {
	for end := at + n; at < end; {
		from := src.next(at, end, true)
		at = src.next(from, end, false)
		if at > from {
			c.appendRun(src, from, at-from)
		}
	}
}

// next is the first row from at on that is valid, or NULL; end if there is none.
func (s *source) next(at, end int, valid bool) int {
	for at < end {
		bit := s.offset + at
		b := s.valid[bit>>3]
		if !valid {
			b = ^b
		}
		if b >>= bit & 7; b != 0 {
			return min(at+bits.TrailingZeros8(b), end)
		}
		at += 8 - bit&7
	}
	return end
}

// appendRun appends n values, none of them NULL.
func (c *leaf) appendRun(src *source, at, n int) {
	c.present += n
	switch c.kind {
	case kindText:
		c.appendTexts(src, at, n)
	case kindBool:
		for i := at; i < at+n; i++ {
			c.appendBool(bitutil.BitIsSet(src.data, src.offset+i), c.present-n+i-at)
		}
	case kindDecimal32, kindDecimal64, kindDecimalFixed:
		c.appendDecimals(view[decimal128.Num](src.data, at, n))
	default:
		// Arrow and PLAIN agree, little-endian machines given; the binary runs on
		// no other.
		raw := src.data[at*c.width : (at+n)*c.width]
		c.values = append(c.m.grow(c.values, len(raw)), raw...)
		if c.hasStats {
			c.boundsOf(src, at, n, raw)
		}
	}
}

func (c *leaf) boundsOf(src *source, at, n int, raw []byte) {
	b := &c.bounds
	switch c.kind {
	case kindInt32:
		for _, v := range view[int32](src.data, at, n) {
			b.integer(int64(v))
		}
	case kindInt64:
		widen(b, &b.lo, &b.hi, view[int64](src.data, at, n))
	case kindFloat32:
		for _, v := range view[float32](src.data, at, n) {
			b.float(float64(v))
		}
	case kindFloat64:
		for _, v := range view[float64](src.data, at, n) {
			b.float(v)
		}
	case kindFixed:
		for ; len(raw) > 0; raw = raw[c.width:] {
			b.text(raw[:c.width])
		}
	}
}

// view is values at to at+n of an Arrow buffer.
func view[T any](data []byte, at, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(data))), at+n)[at:]
}

func (c *leaf) appendTexts(src *source, at, n int) {
	offsets := src.offsets[at : at+n+1]
	from := offsets[0]
	if d := c.dict; d != nil {
		for _, to := range offsets[1:] {
			if v := src.data[from:to]; d.add(v) && c.hasStats {
				c.bounds.text(v)
			}
			from = to
		}
		return
	}
	c.values = c.m.grow(c.values, int(offsets[n]-from)+4*n)
	out := c.values
	for _, to := range offsets[1:] {
		v := src.data[from:to]
		out = binary.LittleEndian.AppendUint32(out, uint32(len(v)))
		out = append(out, v...)
		if c.hasStats {
			c.bounds.text(v)
		}
		from = to
	}
	c.values = out
}

func (c *leaf) appendBool(v bool, at int) {
	if at&7 == 0 {
		c.values = append(c.m.grow(c.values, 1), 0)
	}
	var bit int64
	if v {
		c.values[at>>3] |= 1 << (at & 7)
		bit = 1
	}
	if c.hasStats {
		c.bounds.integer(bit)
	}
}

func (c *leaf) appendDecimals(values []decimal128.Num) {
	c.values = c.m.grow(c.values, len(values)*c.width)
	for _, v := range values {
		switch c.kind {
		case kindDecimal32:
			c.values = binary.LittleEndian.AppendUint32(c.values, uint32(v.LowBits()))
		case kindDecimal64:
			c.values = binary.LittleEndian.AppendUint64(c.values, v.LowBits())
		default:
			c.values = appendDecimal(c.values, v, c.width)
		}
		if !c.hasStats {
			continue
		}
		if c.kind == kindDecimalFixed {
			c.bounds.decimal(v)
		} else {
			c.bounds.integer(int64(v.LowBits()))
		}
	}
}

// judgeDict gives a dictionary up that does not pay. A page that was begun with
// it is written with it, or turned to PLAIN if it is the chunk's first.
func (c *leaf) judgeDict() {
	d := c.dict
	if d == nil || !d.bad() {
		return
	}
	if c.dictPages > 0 {
		if c.levels > 0 {
			c.flushPage()
		}
		c.writeDictPage()
	} else {
		for _, i := range d.indices {
			v := d.entry(uint32(i))
			c.values = c.m.grow(c.values, 4+len(v))
			c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(v)))
			c.values = append(c.values, v...)
		}
	}
	d.release()
	c.dict = nil
}

// flushPage compresses the page into the spool and starts the next.
func (c *leaf) flushPage() {
	if c.levels == 0 || c.err != nil {
		return
	}
	encoding := encodingPlain
	useDict := c.dict != nil && c.present > 0
	if useDict {
		encoding = encodingRLEDictionary
		c.dictPages++
	}
	body := c.values
	if c.maxDef > 0 || useDict {
		// Levels take at most a byte each, indices two and their runs.
		body = c.m.get(64 + c.levels*5 + len(c.values))
		defer func() { c.m.put(body) }()
		body = c.appendLevels(body)
		if useDict {
			width := c.dict.width()
			body = appendHybrid(append(body, byte(width)), c.dict.indices, width)
		} else {
			body = append(body, c.values...)
		}
	}
	from := c.spool.size
	c.writePage(pageData, c.levels, encoding, body)
	c.pages = append(c.pages, extent{from, c.spool.size})
	c.total += int64(c.levels)
	c.nulls += int64(c.levels - c.present)
	c.startPage()
}

func (c *leaf) startPage() {
	c.levels, c.present = 0, 0
	c.values, c.valid, c.defs, c.reps = c.values[:0], c.valid[:0], c.defs[:0], c.reps[:0]
	if c.dict != nil {
		c.dict.indices = c.dict.indices[:0]
	}
}

// appendLevels appends repetition and definition levels, each with its length.
func (c *leaf) appendLevels(body []byte) []byte {
	block := func(encode func([]byte) []byte) {
		at := len(body)
		body = encode(append(body, 0, 0, 0, 0))
		binary.LittleEndian.PutUint32(body[at:], uint32(len(body)-at-4))
	}
	if c.maxRep > 0 {
		block(func(b []byte) []byte { return appendHybrid(b, c.reps, bitWidth(c.maxRep)) })
	}
	switch {
	case c.maxDef == 0:
	case len(c.defs) > 0:
		block(func(b []byte) []byte { return appendHybrid(b, c.defs, bitWidth(c.maxDef)) })
	default:
		block(func(b []byte) []byte { return appendBitLevels(b, c.valid, c.levels) })
	}
	return body
}

func (c *leaf) writePage(typ, values, encoding int, body []byte) {
	if len(body) > math.MaxInt32 {
		c.err = errPageTooLarge
		return
	}
	err := compressPage(body, c.zstd, func(out []byte) error {
		c.header = appendPageHeader(c.header[:0], typ, values, encoding, len(body), len(out), crc32.ChecksumIEEE(out))
		c.spool.add(c.header)
		c.spool.add(out)
		c.raw += int64(len(c.header) + len(body))
		c.packed += int64(len(c.header) + len(out))
		return nil
	})
	if err != nil {
		c.err = err
	}
}

func (c *leaf) writeDictPage() {
	from := c.spool.size
	c.writePage(pageDictionary, len(c.dict.ends), encodingPlain, c.dict.data)
	c.dictPage = extent{from, c.spool.size}
}

// finish completes the column chunk's last page and its dictionary.
func (c *leaf) finish() error {
	c.flushPage()
	if c.dict != nil && c.dictPages > 0 {
		c.writeDictPage()
	}
	return c.err
}

// reset starts the next column chunk. A column whose dictionary did not pay has
// none from then on.
func (c *leaf) reset() {
	c.startPage()
	c.pages, c.dictPage, c.dictPages = c.pages[:0], extent{}, 0
	c.total, c.nulls, c.raw, c.packed = 0, 0, 0, 0
	c.bounds.reset()
	if c.dict != nil {
		c.dict.reset()
	}
}

// rawBytes is the size of the column chunk before compression, the page being filled
// included.
func (c *leaf) rawBytes() int64 {
	n := c.raw + int64(len(c.values)+len(c.valid)+len(c.defs)+len(c.reps))
	if c.dict != nil {
		n += int64(len(c.dict.data) + 2*len(c.dict.indices))
	}
	return n
}

func (c *leaf) release() {
	for _, b := range []*[]byte{&c.values, &c.valid, &c.defs, &c.reps} {
		c.m.put(*b)
		*b = nil
	}
	if c.dict != nil {
		c.dict.release()
	}
}
