// Package datafile writes one data file of a table partition: Parquet made from
// Arrow record batches, and the iceberg.DataFile that a snapshot commit needs.
package datafile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
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
	pq   *parquetWriter
	err  error // after which the file is worth nothing
	done bool  // closed or aborted
}

// aborter is what storage writers offer beside io.Closer: end without leaving
// anything behind.
type aborter interface{ Abort() error }

// Create starts a data file at path. Nothing refers to it before the DataFile
// that Close returns is part of a snapshot commit. A Writer must be ended by
// Close or Abort.
func Create(fs iceio.WriteFileIO, path string, spec Spec) (*Writer, error) {
	if spec.CompressionLevel == 0 {
		spec.CompressionLevel = DefaultLevel
	}
	if spec.RowGroupBytes <= 0 {
		spec.RowGroupBytes = DefaultRowGroupBytes
	}
	out := &output{}
	pq, err := newParquetWriter(out, spec.Arrow, spec.CompressionLevel, func(name string) bool {
		return hasBounds(spec.Properties, name)
	})
	if err != nil {
		return nil, err
	}
	if out.w, err = fs.Create(path); err != nil {
		return nil, err
	}
	return &Writer{spec: spec, path: path, fs: fs, out: out, pq: pq}, nil
}

// hasBounds reports whether the table's metrics mode for a column has bounds.
// Those who read the file itself get none either: of long texts they would cost
// more than they are good for.
func hasBounds(props iceberg.Properties, name string) bool {
	mode := props.Get(table.MetricsModeColumnConfPrefix+"."+name, props.Get(table.DefaultWriteMetricsModeKey, ""))
	return !strings.EqualFold(mode, "none") && !strings.EqualFold(mode, "counts")
}

// Write appends the rows of a record batch, which the caller may release. After
// an error the file can only be aborted.
func (w *Writer) Write(rb arrow.RecordBatch) error {
	if err := w.usable(); err != nil {
		return err
	}
	for i, f := range w.spec.Arrow.Fields() {
		if !f.Nullable && rb.Column(i).NullN() > 0 {
			return fmt.Errorf("column %s is required and has %d NULLs", f.Name, rb.Column(i).NullN())
		}
	}
	w.err = w.pq.write(rb, w.spec.RowGroupBytes)
	return w.err
}

// FlushRowGroup ends the row group, so that nothing of the file is held in
// memory but its footer.
func (w *Writer) FlushRowGroup() error {
	if err := w.usable(); err != nil {
		return err
	}
	w.err = w.pq.flush()
	return w.err
}

func (w *Writer) usable() error {
	if w.done {
		return errors.New("data file is closed")
	}
	return w.err
}

// bufferer is what storage writers offer that hold in memory what they were given:
// parts of an upload.
type bufferer interface{ Buffered() int64 }

// Buffered is how many bytes the writer holds in memory, storage's share included.
func (w *Writer) Buffered() int64 {
	if b, ok := w.out.w.(bufferer); ok {
		return w.pq.held + b.Buffered()
	}
	return w.pq.held
}

// Size is how large the file is, with an estimate of what is still in memory.
func (w *Writer) Size() int64 { return w.out.n + w.pq.unwritten() }

// Close completes the file and makes it durable. After an error nothing of the
// file is left, as after Abort.
func (w *Writer) Close() (iceberg.DataFile, error) {
	if err := w.usable(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	meta, err := w.pq.close()
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	df, err := table.DataFileFromMetadata(table.DataFileArgs{
		Schema: w.spec.Iceberg, Spec: w.spec.PartitionSpec, Format: iceberg.ParquetFile, Metadata: meta,
		FilePath: w.path, FileSize: w.out.n, Content: iceberg.EntryContentData,
		PartitionValues: w.spec.Partition, Properties: w.spec.Properties, FormatVersion: w.spec.FormatVersion,
	})
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if err := w.out.w.Close(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	w.done = true
	w.pq.release()
	return df, nil
}

// Abort ends the writer and leaves nothing of the file. It does nothing after
// Close or Abort.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.pq.release()
	if a, ok := w.out.w.(aborter); ok {
		return a.Abort()
	}
	w.out.w.Close() // its outcome does not matter to a file that goes
	return w.fs.Remove(w.path)
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
