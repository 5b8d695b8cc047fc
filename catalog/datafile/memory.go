package datafile

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Buffers come in sizes that are powers of two and go back to a pool, so that a
// file's memory serves the next one: a sink that runs for months makes no
// garbage of it.
const (
	minBufferBits = 8
	maxBufferBits = 24 // larger ones are rare enough to be garbage
)

var bufferPools [maxBufferBits + 1]sync.Pool

// meter counts the memory that one Writer holds.
type meter struct{ held int64 }

// get returns an empty buffer with room for n bytes.
func (m *meter) get(n int) []byte {
	class := max(bits.Len(uint(n-1)), minBufferBits)
	if n <= 0 {
		class = minBufferBits
	}
	m.held += 1 << class
	if class <= maxBufferBits {
		// A pointer fits an interface without an allocation, a slice does not.
		if p, ok := bufferPools[class].Get().(*byte); ok {
			return unsafe.Slice(p, 1<<class)[:0]
		}
	}
	return make([]byte, 0, 1<<class)
}

// put gives a buffer of get back.
func (m *meter) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	m.held -= int64(cap(b))
	if class := bits.Len(uint(cap(b))) - 1; class <= maxBufferBits {
		bufferPools[class].Put(unsafe.SliceData(b))
	}
}

// grow returns b with room for n more bytes.
func (m *meter) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	out := append(m.get(len(b)+n), b...)
	m.put(b)
	return out
}

// spool holds the compressed pages of a row group in the order they came.
type spool struct {
	m      *meter
	blocks [][]byte
	size   int64
}

const spoolBlock = 128 << 10

// extent is where bytes lie in a spool.
type extent struct{ from, to int64 }

// add appends p and returns its end: extents are contiguous.
func (s *spool) add(p []byte) int64 {
	for len(p) > 0 {
		if len(s.blocks) == 0 || len(s.blocks[len(s.blocks)-1]) == spoolBlock {
			s.blocks = append(s.blocks, s.m.get(spoolBlock))
		}
		last := &s.blocks[len(s.blocks)-1]
		n := min(spoolBlock-len(*last), len(p))
		*last = append(*last, p[:n]...)
		p = p[n:]
		s.size += int64(n)
	}
	return s.size
}

// each calls fn with the bytes of an extent, in pieces.
func (s *spool) each(e extent, fn func([]byte) error) error {
	for e.from < e.to {
		block, at := e.from/spoolBlock, e.from%spoolBlock
		n := min(spoolBlock-at, e.to-e.from)
		if err := fn(s.blocks[block][at : at+n]); err != nil {
			return err
		}
		e.from += n
	}
	return nil
}

func (s *spool) reset() {
	for _, b := range s.blocks {
		s.m.put(b)
	}
	s.blocks, s.size = s.blocks[:0], 0
}
