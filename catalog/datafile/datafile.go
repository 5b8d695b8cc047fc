// Package datafile writes one data file of a table partition: Parquet made from
// Arrow record batches, and the iceberg.DataFile that a snapshot commit needs.
package datafile

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// DefaultRowGroupBytes bounds a row group: its values before compression.
const DefaultRowGroupBytes = 16 << 20

// Spec says what a data file is part of and how it is written.
type Spec struct {
	Arrow   *arrow.Schema   // of the record batches, with PARQUET:field_id metadata
	Iceberg *iceberg.Schema // the table's, of the same columns

	PartitionSpec iceberg.PartitionSpec
	Partition     map[int]any // value of each partition field, by its field id

	// Properties are the table's: they decide which columns have bounds in the
	// manifest (write.metadata.metrics.*).
	Properties    iceberg.Properties
	FormatVersion int

	CompressionLevel int   // zstd level; 0 is DefaultLevel
	RowGroupBytes    int64 // bound on a row group before compression; 0 is DefaultRowGroupBytes
}

// Writer writes one data file. It is not safe for concurrent use; writers of
// different files are independent.
type Writer struct {
	spec Spec
	path string
	fs   iceio.WriteFileIO
	out  *output
	pq   *pqarrow.FileWriter
	held int64
}

// aborter is what storage writers offer beside io.Closer: end without leaving
// anything behind.
type aborter interface{ Abort() error }

// Create starts a data file at path. Nothing refers to it before the DataFile
// that Close returns is part of a snapshot commit.
func Create(fs iceio.WriteFileIO, path string, spec Spec) (*Writer, error) {
	if spec.CompressionLevel == 0 {
		spec.CompressionLevel = DefaultLevel
	}
	if spec.RowGroupBytes <= 0 {
		spec.RowGroupBytes = DefaultRowGroupBytes
	}
	file, err := fs.Create(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{spec: spec, path: path, fs: fs, out: &output{w: file}}
	props := parquet.NewWriterProperties(parquet.WithDictionaryDefault(false), parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithCompressionLevel(spec.CompressionLevel), parquet.WithStats(true), parquet.WithBatchSize(4096))
	if w.pq, err = pqarrow.NewFileWriter(spec.Arrow, w.out, props, pqarrow.NewArrowWriterProperties()); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

// Write appends the rows of a record batch, which the caller may release.
func (w *Writer) Write(rb arrow.RecordBatch) error {
	if rb.NumRows() == 0 {
		return nil
	}
	for i, f := range w.spec.Arrow.Fields() {
		if !f.Nullable && rb.Column(i).NullN() > 0 {
			return fmt.Errorf("column %s is required and has %d NULLs", f.Name, rb.Column(i).NullN())
		}
	}
	if err := w.pq.WriteBuffered(rb); err != nil {
		return err
	}
	for _, c := range rb.Columns() {
		w.held += int64(c.Data().SizeInBytes())
	}
	if w.held >= w.spec.RowGroupBytes {
		return w.FlushRowGroup()
	}
	return nil
}

// FlushRowGroup ends the row group, so that nothing of the file is held in
// memory but its footer.
func (w *Writer) FlushRowGroup() error {
	if w.held == 0 {
		return nil
	}
	w.held = 0
	w.pq.NewBufferedRowGroup()
	return w.out.err
}

// Buffered is how many bytes the writer holds in memory.
func (w *Writer) Buffered() int64 { return w.held }

// Size is how large the file is, with an estimate of what is still in memory.
func (w *Writer) Size() int64 { return w.out.n + w.held/5 }

// Close completes the file and makes it durable.
func (w *Writer) Close() (iceberg.DataFile, error) {
	if err := w.pq.Close(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	meta, err := w.pq.FileMetadata()
	if err != nil {
		return nil, err
	}
	if w.out.err != nil {
		return nil, errors.Join(w.out.err, w.Abort())
	}
	if err := w.out.w.Close(); err != nil {
		return nil, err
	}
	return table.DataFileFromMetadata(table.DataFileArgs{
		Schema: w.spec.Iceberg, Spec: w.spec.PartitionSpec, Format: iceberg.ParquetFile, Metadata: meta,
		FilePath: w.path, FileSize: w.out.n, Content: iceberg.EntryContentData,
		PartitionValues: w.spec.Partition, Properties: w.spec.Properties, FormatVersion: w.spec.FormatVersion,
	})
}

// Abort ends the writer and leaves nothing of the file.
func (w *Writer) Abort() error {
	if a, ok := w.out.w.(aborter); ok {
		return a.Abort()
	}
	return errors.Join(w.out.w.Close(), w.fs.Remove(w.path))
}

// output counts what goes to storage and remembers the first error.
type output struct {
	w   io.WriteCloser
	n   int64
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.n += int64(n)
	o.err = err
	return n, err
}

// Close keeps the file open: who wrote the footer is not who makes it durable.
func (o *output) Close() error { return nil }
