package datafile

import (
	"encoding/binary"
	"math/bits"
)

// Parquet's RLE/bit-packing hybrid, of levels and dictionary indices:
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE

// level is what the hybrid holds: levels are small, indices have 16 bits.
type level interface{ uint8 | uint16 }

// appendHybrid appends values of width bits each.
func appendHybrid[T level](dst []byte, values []T, width int) []byte {
	for at := 0; at < len(values); {
		if n := repeats(values[at:]); n >= 8 || at+n == len(values) {
			dst = appendRun(dst, n, uint32(values[at]), width)
			at += n
			continue
		}
		// Literals in groups of eight, up to where a run of eight begins.
		end := at
		for end < len(values) && repeats(values[end:min(end+8, len(values))]) < 8 {
			end = min(end+8, len(values))
		}
		dst = appendPacked(dst, values[at:end], width)
		at = end
	}
	return dst
}

// repeats is how often the first value stands in a row.
func repeats[T level](values []T) int {
	n := 1
	for n < len(values) && values[n] == values[0] {
		n++
	}
	return n
}

func appendRun(dst []byte, n int, value uint32, width int) []byte {
	dst = binary.AppendUvarint(dst, uint64(n)<<1)
	for ; width > 0; width -= 8 {
		dst = append(dst, byte(value))
		value >>= 8
	}
	return dst
}

// appendPacked pads the last group of eight with zeros, which only the last run
// of a page may need.
func appendPacked[T level](dst []byte, values []T, width int) []byte {
	groups := (len(values) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*width
	var acc uint64
	n := 0
	for _, v := range values {
		acc |= uint64(v) << n
		for n += width; n >= 8; n -= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
		}
	}
	if n > 0 {
		dst = append(dst, byte(acc))
	}
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

// appendBitLevels appends n levels of one bit from a bitmap: whole bytes that
// repeat are runs.
func appendBitLevels(dst, bitmap []byte, n int) []byte {
	full := n / 8
	uniform := func(i int) bool { return bitmap[i] == 0 || bitmap[i] == 0xff }
	for at := 0; at < full; {
		end := at + 1
		if uniform(at) {
			for end < full && bitmap[end] == bitmap[at] {
				end++
			}
			dst = appendRun(dst, 8*(end-at), uint32(bitmap[at]&1), 1)
		} else {
			for end < full && !uniform(end) {
				end++
			}
			dst = binary.AppendUvarint(dst, uint64(end-at)<<1|1)
			dst = append(dst, bitmap[at:end]...)
		}
		at = end
	}
	if rest := n % 8; rest > 0 {
		last := bitmap[full] & (1<<rest - 1)
		if last == 0 || last == 1<<rest-1 {
			return appendRun(dst, rest, uint32(last&1), 1)
		}
		dst = append(binary.AppendUvarint(dst, 3), last)
	}
	return dst
}

// bitWidth is how many bits hold values up to max.
func bitWidth(max int) int { return bits.Len(uint(max)) }

// Page types and encodings of parquet.thrift.
const (
	pageData       = 0
	pageDictionary = 2

	encodingPlain         = 0
	encodingRLE           = 3
	encodingRLEDictionary = 8
)

// appendPageHeader appends a PageHeader in Thrift's compact protocol: raw and
// packed are the body's sizes before and after compression, crc is the CRC-32
// of the packed body.
func appendPageHeader(dst []byte, typ, values, encoding int, raw, packed int, crc uint32) []byte {
	i32 := func(delta byte, v int32) {
		dst = append(dst, delta<<4|5)
		dst = binary.AppendVarint(dst, int64(v))
	}
	i32(1, int32(typ))
	i32(1, int32(raw))
	i32(1, int32(packed))
	i32(1, int32(crc))
	if typ == pageDictionary {
		dst = append(dst, 3<<4|12) // field 7, struct
		i32(1, int32(values))
		i32(1, int32(encoding))
		return append(dst, 0, 0)
	}
	dst = append(dst, 1<<4|12) // field 5, struct
	i32(1, int32(values))
	i32(1, int32(encoding))
	i32(1, encodingRLE) // definition levels
	i32(1, encodingRLE) // repetition levels
	return append(dst, 0, 0)
}
