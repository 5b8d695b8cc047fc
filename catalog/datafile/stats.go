package datafile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// maxBound is the longest text that a column chunk's bounds hold; a longer one
// is cut, the upper bound up. Without any bound for one row group Iceberg's
// bounds for the file would be those of the others, and rows would be pruned.
const maxBound = 1024

// bounds keeps the least and greatest value of a column chunk.
type bounds struct {
	set      bool
	min, max []byte // of texts and bytes
	lo, hi   int64  // of integers
	flo, fhi float64
	dlo, dhi decimal128.Num
	utf8     bool // texts, not bytes
}

func (b *bounds) text(v []byte) {
	switch {
	case !b.set:
		b.set = true
		b.min, b.max = append(b.min[:0], v...), append(b.max[:0], v...)
	case bytes.Compare(v, b.min) < 0:
		b.min = append(b.min[:0], v...)
	case bytes.Compare(v, b.max) > 0:
		b.max = append(b.max[:0], v...)
	}
}

func widen[T cmp.Ordered](b *bounds, lo, hi *T, values []T) {
	if len(values) == 0 {
		return
	}
	if !b.set {
		b.set, *lo, *hi = true, values[0], values[0]
	}
	l, h := *lo, *hi
	for _, v := range values {
		l, h = min(l, v), max(h, v)
	}
	*lo, *hi = l, h
}

func (b *bounds) integer(v int64) {
	if !b.set {
		b.set, b.lo, b.hi = true, v, v
		return
	}
	b.lo, b.hi = min(b.lo, v), max(b.hi, v)
}

// float leaves NaN out, which has no place in an order.
func (b *bounds) float(v float64) {
	switch {
	case math.IsNaN(v):
	case !b.set:
		b.set, b.flo, b.fhi = true, v, v
	default:
		b.flo, b.fhi = min(b.flo, v), max(b.fhi, v)
	}
}

func (b *bounds) decimal(v decimal128.Num) {
	switch {
	case !b.set:
		b.set, b.dlo, b.dhi = true, v, v
	case v.Less(b.dlo):
		b.dlo = v
	case v.Greater(b.dhi):
		b.dhi = v
	}
}

func (b *bounds) reset() { b.set = false }

// encoded returns the bounds as Parquet writes them, and whether they are
// values of the column. The memory is not b's.
func (b *bounds) encoded(kind kind, width int) (out metadata.EncodedStatistics, exactMin, exactMax bool) {
	if !b.set {
		return out, true, true
	}
	exactMin, exactMax = true, true
	out.HasMin, out.HasMax, out.Signed = true, true, kind != kindText && kind != kindFixed
	switch kind {
	case kindText:
		out.Min, exactMin = lowerBound(b.min, b.utf8)
		out.Max, exactMax = upperBound(b.max, b.utf8)
		out.Min, out.Max = bytes.Clone(out.Min), bytes.Clone(out.Max)
		if out.Min == nil {
			out.Min = []byte{}
		}
		if out.Max == nil {
			out.Max = []byte{}
		}
	case kindFixed:
		out.Min, out.Max = bytes.Clone(b.min), bytes.Clone(b.max)
	case kindBool:
		out.Min, out.Max = []byte{byte(b.lo)}, []byte{byte(b.hi)}
	case kindInt32, kindDecimal32:
		out.Min, out.Max = le32(uint32(b.lo)), le32(uint32(b.hi))
	case kindInt64, kindDecimal64:
		out.Min, out.Max = le64(uint64(b.lo)), le64(uint64(b.hi))
	case kindFloat32:
		lo, hi := zeros(b.flo, b.fhi)
		out.Min, out.Max = le32(math.Float32bits(float32(lo))), le32(math.Float32bits(float32(hi)))
	case kindFloat64:
		lo, hi := zeros(b.flo, b.fhi)
		out.Min, out.Max = le64(math.Float64bits(lo)), le64(math.Float64bits(hi))
	case kindDecimalFixed:
		out.Min, out.Max = appendDecimal(nil, b.dlo, width), appendDecimal(nil, b.dhi, width)
	}
	return out, exactMin, exactMax
}

// zeros makes a bound of zero cover both zeros, as Parquet asks.
func zeros(lo, hi float64) (float64, float64) {
	if lo == 0 {
		lo = math.Copysign(0, -1)
	}
	if hi == 0 {
		hi = 0
	}
	return lo, hi
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// appendDecimal appends the last width bytes of v, big-endian.
func appendDecimal(dst []byte, v decimal128.Num, width int) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(v.HighBits()))
	binary.BigEndian.PutUint64(raw[8:], v.LowBits())
	return append(dst, raw[16-width:]...)
}

// lowerBound cuts v to maxBound bytes, texts between characters.
func lowerBound(v []byte, text bool) (bound []byte, exact bool) {
	if len(v) <= maxBound {
		return v, true
	}
	v = v[:maxBound]
	for i := 0; text && i < utf8.UTFMax && len(v) > 0; i++ {
		if r, n := utf8.DecodeLastRune(v); r != utf8.RuneError || n > 1 {
			break
		}
		v = v[:len(v)-1]
	}
	return v, false
}

// upperBound is lowerBound with its last character that has a greater one
// raised to that. A value that has no such bound is its own, whatever its length.
func upperBound(v []byte, text bool) (bound []byte, exact bool) {
	short, exact := lowerBound(v, text)
	if exact {
		return v, true
	}
	for len(short) > 0 {
		if !text {
			if last := short[len(short)-1]; last < 0xff {
				return append(bytes.Clone(short[:len(short)-1]), last+1), false
			}
			short = short[:len(short)-1]
			continue
		}
		r, n := utf8.DecodeLastRune(short)
		short = short[:len(short)-n]
		switch next := r + 1; {
		case n == 1 && r == utf8.RuneError, next > utf8.MaxRune:
		case next == 0xd800: // surrogates are no characters
			return utf8.AppendRune(bytes.Clone(short), 0xe000), false
		default:
			return utf8.AppendRune(bytes.Clone(short), next), false
		}
	}
	return v, true
}
