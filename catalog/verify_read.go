package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/auditlake/auditlake/storage"
)

// logKey names a log as rows do: a table holds one incarnation of a topic.
type logKey struct {
	topic     string
	partition int32
}

// seen is what the rows of one table say of one topic partition. Offsets are
// dense, so a bitmap of runs stays small however many rows there are.
type seen struct {
	byIndex    map[int32]*roaring64.Bitmap // record_index -> offsets
	rows       int64
	duplicates []int64 // offsets of rows that stand twice, the first few
	duplicated int64
}

// Problems list at most this many offsets or ranges of a kind per topic
// partition: a broken table must not make a report that nobody can read.
const maxListed = 20

func (s *seen) add(offset int64, index int32) {
	b := s.byIndex[index]
	if b == nil {
		b = roaring64.New()
		s.byIndex[index] = b
	}
	s.rows++
	if !b.CheckedAdd(uint64(offset)) {
		s.duplicated++
		if len(s.duplicates) < maxListed {
			s.duplicates = append(s.duplicates, offset)
		}
	}
}

// records returns the offsets that have at least one row.
func (s *seen) records() *roaring64.Bitmap {
	if s == nil {
		return roaring64.New()
	}
	all := roaring64.New()
	for _, b := range s.byIndex {
		all.Or(b)
	}
	return all
}

// rowsIn counts rows at offsets [start, end), each (offset, index) once.
func (s *seen) rowsIn(start, end int64) int64 {
	if s == nil {
		return 0
	}
	n := int64(0)
	for _, b := range s.byIndex {
		n += countIn(b, start, end)
	}
	return n
}

// countIn counts the offsets of b in [start, end).
func countIn(b *roaring64.Bitmap, start, end int64) int64 {
	if end <= start {
		return 0
	}
	n := int64(b.Rank(uint64(end - 1)))
	if start > 0 {
		n -= int64(b.Rank(uint64(start - 1)))
	}
	return n
}

// read checks that every data file is there with its size and takes in the
// provenance of its rows.
func (s *side) read(ctx context.Context, report *Report, each func()) error {
	io, err := storage.New(ctx, s.table.Location(), s.table.cat.cfg.Storage)
	if err != nil {
		return err
	}
	for _, f := range s.plan.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.bytes += f.Size
		p := Problem{Table: s.table.name, File: f.URI}
		info, err := io.Stat(f.URI)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.Kind = "file_missing"
			report.problem(p, "data file %s of %s is gone", f.URI, s.table.name)
		case err != nil:
			return fmt.Errorf("look at data file %s: %w", f.URI, err)
		case info.Size() != f.Size:
			p.Kind = "file_size"
			report.problem(p, "data file %s of %s has %d bytes, the table says %d", f.URI, s.table.name, info.Size(), f.Size)
		default:
			rows, err := s.readFile(ctx, io, f)
			if err != nil {
				p.Kind = "file_unreadable"
				report.problem(p, "data file %s of %s cannot be read: %v", f.URI, s.table.name, err)
			} else if rows != f.Rows {
				p.Kind = "count"
				report.problem(p, "data file %s of %s holds %d rows, the table says %d", f.URI, s.table.name, rows, f.Rows)
			}
		}
		each()
	}
	return nil
}

func (s *side) readFile(ctx context.Context, io storage.FileIO, f PlannedFile) (rows int64, err error) {
	src, err := io.Open(f.URI)
	if err != nil {
		return 0, err
	}
	defer func() { _ = src.Close() }() // it was only read
	pf, err := file.NewParquetReader(src)
	if err != nil {
		return 0, err
	}
	defer func() { _ = pf.Close() }()
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return 0, err
	}
	columns, err := s.provenanceColumns(pf)
	if err != nil {
		return 0, err
	}
	batches, err := reader.GetRecordReader(ctx, columns, nil)
	if err != nil {
		return 0, err
	}
	defer batches.Release()
	for batches.Next() {
		n, err := s.takeIn(batches.RecordBatch())
		rows += n
		if err != nil {
			return rows, err
		}
	}
	return rows, batches.Err()
}

// provenance are the columns that say where a row came from; dead_letters has
// no record_index.
var provenance = []string{"kafka_topic", "kafka_partition", "kafka_offset", "record_index"}

// provenanceColumns finds the provenance in a file by Iceberg field id, since
// the names in a file are those of its time.
func (s *side) provenanceColumns(pf *file.Reader) ([]int, error) {
	var out []int
	for _, name := range provenance {
		want, ok := s.table.ice.Schema().FindFieldByName(name)
		if !ok {
			continue
		}
		found := false
		for i := range pf.MetaData().Schema.NumColumns() {
			if int(pf.MetaData().Schema.Column(i).SchemaNode().FieldID()) == want.ID {
				out, found = append(out, i), true
			}
		}
		if !found {
			return nil, fmt.Errorf("it has no column %s (field id %d)", name, want.ID)
		}
	}
	return out, nil
}

func (s *side) takeIn(rb arrow.RecordBatch) (int64, error) {
	cols := map[string]arrow.Array{}
	for i, f := range rb.Schema().Fields() {
		cols[f.Name] = rb.Column(i)
	}
	topics, ok1 := cols["kafka_topic"].(*array.String)
	partitions, ok2 := cols["kafka_partition"].(*array.Int32)
	offsets, ok3 := cols["kafka_offset"].(*array.Int64)
	indexes, _ := cols["record_index"].(*array.Int32)
	if !ok1 || !ok2 || !ok3 {
		return 0, fmt.Errorf("its provenance columns have other types: %v", rb.Schema())
	}
	var last logKey
	var at *seen
	for i := range int(rb.NumRows()) {
		if at == nil || topics.Value(i) != last.topic || partitions.Value(i) != last.partition {
			last = logKey{string([]byte(topics.Value(i))), partitions.Value(i)}
			if at = s.seen[last]; at == nil {
				at = &seen{byIndex: map[int32]*roaring64.Bitmap{}}
				s.seen[last] = at
			}
		}
		index := int32(0)
		if indexes != nil {
			index = indexes.Value(i)
		}
		at.add(offsets.Value(i), index)
		s.rows++
	}
	return rb.NumRows(), nil
}
