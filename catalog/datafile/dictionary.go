package datafile

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// Bounds on a dictionary: past them the column has too many different values
// for one to pay.
const (
	maxDictEntries = 4096
	maxDictBytes   = 128 << 10
	// After this many values, half of them different is too many.
	dictTrial = 512
)

var dictSeed = maphash.MakeSeed()

// dictionary gives each different text of a column chunk an index, in order of
// appearance.
type dictionary struct {
	m       *meter
	data    []byte   // entries in PLAIN encoding: the dictionary page
	ends    []uint32 // end of each entry in data
	slots   []uint32 // open addressing: index+1, 0 is free
	hashes  []uint32 // of each entry
	indices []uint16 // of the page's values
	total   int      // values of the chunk
	last    uint32   // index of the value before
}

// add appends one value.
func (d *dictionary) add(b []byte) (fresh bool) {
	d.total++
	// Events of one producer come together: most values are the one before.
	if len(d.ends) == 0 || !bytes.Equal(d.entry(d.last), b) {
		fresh = d.find(b)
	}
	d.indices = append(d.indices, uint16(d.last))
	return fresh
}

// find makes last the index of b, a new one if it is fresh.
func (d *dictionary) find(b []byte) (fresh bool) {
	if 2*len(d.ends) >= len(d.slots) {
		d.rehash()
	}
	h := uint32(maphash.Bytes(dictSeed, b))
	mask := uint32(len(d.slots) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		slot := d.slots[at]
		if slot == 0 {
			d.slots[at] = uint32(len(d.ends)) + 1
			break
		}
		if d.hashes[slot-1] == h && bytes.Equal(d.entry(slot-1), b) {
			d.last = slot - 1
			return false
		}
	}
	d.last = uint32(len(d.ends))
	d.hashes = append(d.hashes, h)
	d.data = d.m.grow(d.data, 4+len(b))
	d.data = binary.LittleEndian.AppendUint32(d.data, uint32(len(b)))
	d.data = append(d.data, b...)
	d.ends = append(d.ends, uint32(len(d.data)))
	return true
}

// entry returns the bytes of entry i.
func (d *dictionary) entry(i uint32) []byte {
	from := uint32(4)
	if i > 0 {
		from += d.ends[i-1]
	}
	return d.data[from:d.ends[i]]
}

func (d *dictionary) rehash() {
	d.slots = make([]uint32, max(64, 4*len(d.slots)))
	mask := uint32(len(d.slots) - 1)
	for i, h := range d.hashes {
		at := h & mask
		for d.slots[at] != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = uint32(i) + 1
	}
}

// bad reports that the column is better off without a dictionary.
func (d *dictionary) bad() bool {
	n := len(d.ends)
	return n > maxDictEntries || len(d.data) > maxDictBytes || d.total >= dictTrial && 2*n > d.total
}

// width is the bits of an index, at least one: readers differ about none.
func (d *dictionary) width() int { return max(1, bitWidth(len(d.ends)-1)) }

// size is the memory beside data, which the meter knows.
func (d *dictionary) size() int64 {
	return int64(4*(cap(d.ends)+cap(d.slots)+cap(d.hashes)) + 2*cap(d.indices))
}

// reset starts the next column chunk.
func (d *dictionary) reset() {
	clear(d.slots)
	d.data, d.ends, d.hashes, d.indices = d.data[:0], d.ends[:0], d.hashes[:0], d.indices[:0]
	d.total, d.last = 0, 0
}

// release gives the memory back.
func (d *dictionary) release() {
	d.m.put(d.data)
	*d = dictionary{m: d.m}
}
