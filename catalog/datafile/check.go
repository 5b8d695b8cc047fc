package datafile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/thrift/lib/go/thrift"
)

// Check reads all of a Parquet file of size bytes and returns an error if it is
// damaged: the CRC-32 of every page that has one, and every value of every
// column is decoded. Files of this package's writer must also have a CRC-32 on
// every page, canonical page headers and nothing between the pages. A footer has
// no checksum: what it says of places, sizes and counts is held against the
// pages, its names and bounds are not. Memory is that of a page or two. It may
// panic as the Parquet reader does.
func Check(pf *file.Reader, src io.ReaderAt, size int64) error {
	c, err := newChecker(pf, src, size)
	if err != nil {
		return err
	}
	for g := range pf.NumRowGroups() {
		group := pf.RowGroup(g)
		for i := range pf.MetaData().Schema.NumColumns() {
			name := pf.MetaData().Schema.Column(i).Path()
			chunk, err := group.MetaData().ColumnChunk(i)
			if err == nil {
				err = c.pages(chunk)
			}
			if err == nil {
				err = decode(group, i, chunk.NumValues())
			}
			if err != nil {
				return fmt.Errorf("row group %d, column %s: %w", g, name, err)
			}
		}
	}
	if c.ours && c.next != c.end {
		return fmt.Errorf("its pages end at byte %d, its footer starts at %d", c.next, c.end)
	}
	return nil
}

type checker struct {
	src  io.ReaderAt
	ours bool
	next int64 // where the next column chunk begins, in files of ours
	end  int64 // where the footer begins
}

func newChecker(pf *file.Reader, src io.ReaderAt, size int64) (*checker, error) {
	head, tail := make([]byte, len(magic)), make([]byte, 4+len(magic))
	if _, err := src.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if _, err := src.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(head, magic) || !bytes.Equal(tail[4:], magic) {
		return nil, fmt.Errorf("it begins with %q and ends with %q, not with %q", head, tail[4:], magic)
	}
	end := size - int64(len(tail)) - int64(binary.LittleEndian.Uint32(tail))
	return &checker{src: src, ours: pf.MetaData().GetCreatedBy() == createdBy, next: int64(len(magic)), end: end}, nil
}

// pages checks the pages of a column chunk.
func (c *checker) pages(chunk *metadata.ColumnChunkMetaData) error {
	start, size := chunk.DataPageOffset(), chunk.TotalCompressedSize()
	if d := chunk.DictionaryPageOffset(); chunk.HasDictionaryPage() && d > 0 && d < start {
		start = d
	}
	if start < int64(len(magic)) || size < 0 || start > c.end-size {
		return fmt.Errorf("it has %d bytes at %d, outside of the file's pages", size, start)
	}
	if c.ours && start != c.next {
		return fmt.Errorf("its pages begin at byte %d, expected %d", start, c.next)
	}
	c.next = start + size
	at := &counted{r: bufio.NewReaderSize(io.NewSectionReader(c.src, start, size), 64<<10)}
	values, dictionary := int64(0), false
	for at.n < size {
		offset := start + at.n
		h, err := c.page(at, size, chunk.TotalUncompressedSize())
		if err != nil {
			return fmt.Errorf("page at byte %d: %w", offset, err)
		}
		switch inDictionary := h.encoding == encodingPlainDictionary || h.encoding == encodingRLEDictionary; {
		case h.typ == pageDictionary:
			dictionary = true
			if c.ours && h.encoding != encodingPlain {
				return fmt.Errorf("page at byte %d: its dictionary has encoding %d", offset, h.encoding)
			}
		case inDictionary && !dictionary:
			return fmt.Errorf("page at byte %d: there is no dictionary for it", offset)
		default:
			values += int64(h.values)
		}
	}
	if values != chunk.NumValues() {
		return fmt.Errorf("its pages hold %d values, the footer says %d", values, chunk.NumValues())
	}
	return nil
}

func (c *checker) page(at *counted, size, raw int64) (pageHeader, error) {
	at.head = at.head[:0]
	h, err := readPageHeader(at)
	if err != nil {
		return h, fmt.Errorf("its header: %w", err)
	}
	if c.ours {
		want := appendPageHeader(nil, int(h.typ), int(h.values), int(h.encoding), int(h.raw), int(h.packed), uint32(h.crc))
		if !bytes.Equal(want, at.head) {
			return h, errors.New("its header is damaged")
		}
	}
	if h.packed < 0 || h.raw < 0 || int64(h.packed) > size-at.n || int64(h.raw) > raw {
		return h, fmt.Errorf("its header says %d bytes, %d before compression", h.packed, h.raw)
	}
	sum := crc32.NewIEEE()
	var to io.Writer = sum
	var body bytes.Buffer
	if c.ours && h.typ == pageDictionary {
		to = io.MultiWriter(sum, &body)
	}
	n, err := io.CopyN(to, at.r, int64(h.packed))
	at.n += n
	if err != nil {
		return h, err
	}
	if h.hasCRC && sum.Sum32() != uint32(h.crc) {
		return h, fmt.Errorf("checksum is %08x, its header says %08x", sum.Sum32(), uint32(h.crc))
	}
	if c.ours && h.typ == pageDictionary {
		return h, checkDictionary(body.Bytes(), h)
	}
	return h, nil
}

// checkDictionary counts the texts of a dictionary page: readers take it from
// the header how many there are.
func checkDictionary(body []byte, h pageHeader) error {
	texts, err := libzstd{}.DecodeWithError(make([]byte, h.raw), body)
	if err != nil {
		return err
	}
	n := int32(0)
	for ; len(texts) >= 4; n++ {
		end := 4 + uint64(binary.LittleEndian.Uint32(texts))
		if end > uint64(len(texts)) {
			return errors.New("its dictionary ends within a text")
		}
		texts = texts[end:]
	}
	if len(texts) != 0 || n != h.values {
		return fmt.Errorf("its dictionary holds %d values, its header says %d", n, h.values)
	}
	return nil
}

// counted counts the bytes that are read and keeps those of a page header.
type counted struct {
	r    *bufio.Reader
	n    int64
	head []byte
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.head = append(c.head, p[:n]...)
	return n, err
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
		c.head = append(c.head, b)
	}
	return b, err
}

// encodingPlainDictionary is what old writers call encodingRLEDictionary.
const encodingPlainDictionary = 2

// pageHeader is what is needed of a PageHeader of parquet.thrift.
type pageHeader struct {
	typ, raw, packed, crc, values, encoding int32
	hasCRC                                  bool
}

// thriftLimits bound what a damaged length can make the decoder take.
var thriftLimits = &thrift.TConfiguration{MaxMessageSize: 16 << 20, MaxFrameSize: 16 << 20}

func readPageHeader(r io.Reader) (h pageHeader, err error) {
	ctx := context.Background()
	in := thrift.NewTCompactProtocolConf(&thrift.StreamTransport{Reader: r}, thriftLimits)
	err = eachField(ctx, in, func(id int16, t thrift.TType) (bool, error) {
		switch {
		case t == thrift.I32 && id >= 1 && id <= 4:
			h.hasCRC = h.hasCRC || id == 4
			*[]*int32{&h.typ, &h.raw, &h.packed, &h.crc}[id-1], err = in.ReadI32(ctx)
			return true, err
		case t == thrift.STRUCT && (id == 5 || id == 7 || id == 8): // data, dictionary, data of version 2
			encoding := int16(2)
			if id == 8 {
				encoding = 4
			}
			return true, eachField(ctx, in, func(id int16, t thrift.TType) (bool, error) {
				switch {
				case t == thrift.I32 && id == 1:
					h.values, err = in.ReadI32(ctx)
				case t == thrift.I32 && id == encoding:
					h.encoding, err = in.ReadI32(ctx)
				default:
					return false, nil
				}
				return true, err
			})
		}
		return false, nil
	})
	return h, err
}

// eachField calls read with every field of a struct and skips those it did not
// read.
func eachField(ctx context.Context, in thrift.TProtocol, read func(int16, thrift.TType) (bool, error)) error {
	if _, err := in.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, t, id, err := in.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if t == thrift.STOP {
			return in.ReadStructEnd(ctx)
		}
		done, err := read(id, t)
		if err == nil && !done {
			err = in.Skip(ctx, t)
		}
		if err != nil {
			return err
		}
	}
}

// decode reads all values of a column chunk.
func decode(group *file.RowGroupReader, column int, want int64) error {
	col, err := group.Column(column)
	if err != nil {
		return err
	}
	got := int64(0)
	switch col := col.(type) {
	case *file.BooleanColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.Int32ColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.Int64ColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.Int96ColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.Float32ColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.Float64ColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.ByteArrayColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	case *file.FixedLenByteArrayColumnChunkReader:
		got, err = drain(col.HasNext, col.ReadBatch)
	default:
		return fmt.Errorf("columns of %s are not known", col.Type())
	}
	if err == nil {
		err = col.Err()
	}
	if err == nil && got != want {
		err = fmt.Errorf("%d values can be decoded, the footer says %d", got, want)
	}
	return err
}

func drain[T parquet.ColumnTypes](more func() bool, read func(int64, []T, []int16, []int16) (int64, int, error)) (int64, error) {
	const n = 1024
	values, def, rep := make([]T, n), make([]int16, n), make([]int16, n)
	got := int64(0)
	for more() {
		levels, _, err := read(n, values, def, rep)
		got += levels
		if err != nil || levels == 0 {
			return got, err
		}
	}
	return got, nil
}
