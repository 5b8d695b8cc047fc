package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/auditlake/auditlake/catalog/datafile"
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
	store, err := storage.New(ctx, s.table.Location(), s.table.cat.cfg.Storage)
	if err != nil {
		return err
	}
	for _, f := range s.plan.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.bytes += f.Size
		p := Problem{Table: s.table.name, File: f.URI}
		info, err := store.Stat(f.URI)
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
			rows, err := s.readFile(ctx, store, f)
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

func (s *side) readFile(ctx context.Context, store storage.FileIO, f PlannedFile) (int64, error) {
	var check func(*file.Reader, io.ReaderAt) error
	if s.deep {
		check = func(pf *file.Reader, src io.ReaderAt) error { return datafile.Check(pf, src, f.Size) }
	}
	return s.table.readProvenance(ctx, store, f.URI, check, s.takeIn)
}

func (s *side) takeIn(o origins) {
	var last logKey
	var at *seen
	for i, offset := range o.offset.Int64Values() {
		if at == nil || o.topic.Value(i) != last.topic || o.partition.Value(i) != last.partition {
			last = logKey{strings.Clone(o.topic.Value(i)), o.partition.Value(i)}
			if at = s.seen[last]; at == nil {
				at = &seen{byIndex: map[int32]*roaring64.Bitmap{}}
				s.seen[last] = at
			}
		}
		index := int32(0)
		if o.index != nil {
			index = o.index.Value(i)
		}
		at.add(offset, index)
		s.rows++
	}
}
