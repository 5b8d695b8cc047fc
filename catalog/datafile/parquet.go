package datafile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// createdBy names the writer in the footer, in the form readers parse.
const createdBy = "auditlake version 1.0.0"

var magic = []byte("PAR1")

// parquetWriter writes record batches as a Parquet file: pages of version 1,
// PLAIN or dictionary encoded, with checksums, zstd-compressed. Schema and
// footer are arrow-go's. A row group is held in memory, its full pages
// compressed, and written out whole, columns in the order of the schema.
type parquetWriter struct {
	out    *output
	m      *meter
	nodes  []*node
	leaves []*leaf
	spool  spool
	schema *schema.Schema
	footer *metadata.FileMetaDataBuilder
	groups int
	rows   int   // of the row group
	held   int64 // memory, see measure
}

// newParquetWriter binds the fields of an Arrow schema. stats says for which
// columns, by name, bounds are kept.
func newParquetWriter(out *output, sc *arrow.Schema, level int, stats func(name string) bool) (*parquetWriter, error) {
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDictionaryDefault(false),
		// As the Iceberg spec has it: decimals of up to 18 digits are integers.
		parquet.WithStoreDecimalAsInteger(true), parquet.WithCreatedBy(createdBy), parquet.WithRootName("table"))
	psc, err := pqarrow.ToParquet(sc, props, pqarrow.NewArrowWriterProperties())
	if err != nil {
		return nil, err
	}
	w := &parquetWriter{out: out, m: &meter{}, schema: psc, footer: metadata.NewFileMetadataBuilder(psc, props, nil)}
	w.spool.m = w.m
	for _, f := range sc.Fields() {
		keep := stats(f.Name)
		n, err := newNode(f, 0, 0, func(t arrow.DataType) (*leaf, error) {
			return w.addLeaf(t, keep)
		})
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, n)
	}
	if len(w.leaves) != psc.NumColumns() {
		return nil, fmt.Errorf("the schema has %d leaf columns, its Parquet form %d", len(w.leaves), psc.NumColumns())
	}
	for _, c := range w.leaves {
		c.zstd = level
	}
	return w, nil
}

func (w *parquetWriter) addLeaf(t arrow.DataType, stats bool) (*leaf, error) {
	if len(w.leaves) >= w.schema.NumColumns() {
		return nil, errors.New("not in the Parquet schema")
	}
	k, width, err := layoutOf(t, w.schema.Column(len(w.leaves)))
	if err != nil {
		return nil, err
	}
	c := &leaf{m: w.m, spool: &w.spool, kind: k, width: width, limit: pageBytes, hasStats: stats}
	if k == kindText {
		c.dict = &dictionary{m: w.m}
		c.bounds.utf8 = t.ID() == arrow.STRING
	}
	w.leaves = append(w.leaves, c)
	return c, nil
}

// maxSlice bounds the rows that go to the columns at once, so that a huge record
// batch does not make a huge row group.
const maxSlice = 4096

// write appends the rows of rb and ends row groups of about groupBytes.
func (w *parquetWriter) write(rb arrow.RecordBatch, groupBytes int64) error {
	for at := int64(0); at < rb.NumRows(); at += maxSlice {
		part := rb.NewSlice(at, min(at+maxSlice, rb.NumRows()))
		err := w.writeSlice(part)
		part.Release()
		if err != nil {
			return err
		}
		w.measure()
		if w.rawBytes() >= groupBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *parquetWriter) writeSlice(rb arrow.RecordBatch) error {
	for i, n := range w.nodes {
		n.bind(rb.Column(i))
		n.write()
		n.unbind()
	}
	w.rows += int(rb.NumRows())
	for _, c := range w.leaves {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// rawBytes is the size of the row group before compression.
func (w *parquetWriter) rawBytes() int64 {
	var n int64
	for _, c := range w.leaves {
		n += c.rawBytes()
	}
	return n
}

// measure sums up the memory held, dictionaries' tables included. It is done
// once a record batch: callers ask once a row.
func (w *parquetWriter) measure() {
	w.held = w.m.held
	for _, c := range w.leaves {
		if c.dict != nil {
			w.held += c.dict.size()
		}
	}
}

// unwritten estimates what the row group will add to the file.
func (w *parquetWriter) unwritten() int64 {
	n := w.spool.size
	for _, c := range w.leaves {
		raw, packed := c.rawBytes()-c.raw, c.packed
		if c.raw == 0 || packed == 0 {
			n += raw / 5
		} else {
			n += raw * packed / c.raw
		}
	}
	return n
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 64<<10) }}

// flush ends the row group and writes it to the file.
func (w *parquetWriter) flush() error {
	if w.rows == 0 {
		return nil
	}
	if w.groups == math.MaxInt16 {
		return fmt.Errorf("more than %d row groups in one file", w.groups)
	}
	for _, c := range w.leaves {
		if err := c.finish(); err != nil {
			return err
		}
	}
	buf := writers.Get().(*bufio.Writer)
	buf.Reset(w.out)
	defer func() { buf.Reset(nil); writers.Put(buf) }()
	offset := w.out.n
	if w.groups == 0 {
		n, _ := buf.Write(magic) // its error is Flush's
		offset += int64(n)
	}
	group := w.footer.AppendRowGroup()
	group.SetNumRows(w.rows)
	for _, c := range w.leaves {
		start := offset
		if err := w.writeChunk(buf, c); err != nil {
			return err
		}
		offset += c.packed
		if err := c.describe(group.NextColumnChunk(), start); err != nil {
			return err
		}
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if err := group.Finish(0, int16(w.groups)); err != nil {
		return err
	}
	w.groups++
	w.reset()
	return nil
}

func (w *parquetWriter) writeChunk(buf io.Writer, c *leaf) error {
	write := func(p []byte) error { _, err := buf.Write(p); return err }
	if err := w.spool.each(c.dictPage, write); err != nil {
		return err
	}
	for _, page := range c.pages {
		if err := w.spool.each(page, write); err != nil {
			return err
		}
	}
	return nil
}

// reset gives the row group's memory to whoever comes next.
func (w *parquetWriter) reset() {
	w.rows = 0
	w.spool.reset()
	for _, c := range w.leaves {
		c.reset()
		c.release()
	}
	w.measure()
}

// describe fills a column chunk's metadata; start is its offset in the file.
func (c *leaf) describe(b *metadata.ColumnChunkMetaDataBuilder, start int64) error {
	stats, exactMin, exactMax := c.bounds.encoded(c.kind, c.width)
	stats.HasNullCount, stats.NullCount = true, c.nulls
	b.SetStats(stats)
	if stats.HasMin {
		s := b.Contents().MetaData.Statistics
		s.IsMinValueExact, s.IsMaxValueExact = &exactMin, &exactMax
	}
	info := metadata.ChunkMetaInfo{
		NumValues: c.total, IndexPageOffset: -1, CompressedSize: c.packed, UncompressedSize: c.raw,
		DataPageOffset: start + c.dictPage.to - c.dictPage.from,
	}
	hasDict := c.dictPage.to > 0
	plain := int32(len(c.pages) - c.dictPages)
	enc := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{}}
	if hasDict {
		info.DictPageOffset = start
		enc.DictEncodingStats = map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}
		enc.DataEncodingStats[parquet.Encodings.RLEDict] = int32(c.dictPages)
	}
	if plain > 0 {
		enc.DataEncodingStats[parquet.Encodings.Plain] = plain
	}
	return b.Finish(info, hasDict, hasDict && plain > 0, enc)
}

// close writes the last row group and the footer.
func (w *parquetWriter) close() (*metadata.FileMetaData, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	if w.groups == 0 {
		return nil, errors.New("a data file without rows")
	}
	meta, err := w.footer.Finish()
	if err != nil {
		return nil, err
	}
	start := w.out.n
	buf := bufio.NewWriter(w.out)
	if _, err := meta.WriteTo(buf, nil); err != nil {
		return nil, err
	}
	if err := buf.Flush(); err != nil {
		return nil, err
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(w.out.n-start))
	_, err = w.out.Write(append(end, magic...))
	return meta, err
}

// release gives all memory back.
func (w *parquetWriter) release() {
	w.spool.reset()
	for _, c := range w.leaves {
		c.release()
	}
}
