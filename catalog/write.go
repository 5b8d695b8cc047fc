package catalog

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/auditlake/auditlake/catalog/datafile"
	"github.com/auditlake/auditlake/storage"
)

// WriteOptions say how data files are written.
type WriteOptions struct {
	CompressionLevel int   // zstd level
	RowGroupBytes    int64 // raw bytes of a row group, a bound on what an open file holds in memory
}

// DataFileWriter writes one data file of one table partition. It is not safe
// for concurrent use.
type DataFileWriter struct {
	*datafile.Writer
	uri  string
	rows int64
}

// CreateDataFile starts a data file called name in the table partition that
// values, one per field of PartitionFields, decide. Nothing refers to the file
// until its DataFile is part of a snapshot commit.
func (t *Table) CreateDataFile(ctx context.Context, name string, fields []PartitionField, values []PartitionValue, opts WriteOptions) (*DataFileWriter, error) {
	io, err := t.ice.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("open storage of table %s: %w", t.name, err)
	}
	wio, ok := io.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("storage of table %s is read-only", t.name)
	}
	arrowSchema, err := t.ArrowSchema()
	if err != nil {
		return nil, err
	}
	partition := map[int]any{}
	record := partitionRecord{}
	for i, f := range fields {
		v := f.value(values[i])
		partition[f.id] = v
		record = append(record, v)
	}
	uri := t.ice.Location() + "/data/"
	spec := t.ice.Spec()
	if dir := spec.PartitionToPath(record, t.ice.Schema()); dir != "" {
		uri += dir + "/"
	}
	uri += name + ".parquet"
	w, err := datafile.Create(wio, uri, datafile.Spec{
		Arrow: arrowSchema, Iceberg: t.ice.Schema(), PartitionSpec: spec, Partition: partition,
		Properties: t.properties(), FormatVersion: t.ice.Metadata().Version(),
		CompressionLevel: opts.CompressionLevel, RowGroupBytes: opts.RowGroupBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("create data file %s: %w", uri, err)
	}
	return &DataFileWriter{Writer: w, uri: uri}, nil
}

// Write appends a record batch with the table's ArrowSchema.
func (w *DataFileWriter) Write(rb arrow.RecordBatch) error {
	w.rows += rb.NumRows()
	if err := w.Writer.Write(rb); err != nil {
		return fmt.Errorf("write data file %s: %w", w.uri, err)
	}
	return nil
}

// Close makes the file durable and returns what a snapshot commit needs of it.
func (w *DataFileWriter) Close() (DataFile, error) {
	df, err := w.Writer.Close()
	if err != nil {
		return DataFile{}, fmt.Errorf("finish data file %s: %w", w.uri, err)
	}
	return DataFile{ice: df, Rows: w.rows, Size: df.FileSizeBytes(), URI: w.uri}, nil
}

// DeleteFiles removes data files that no snapshot refers to and none ever will:
// of batches that were never sent, or whose every attempt was definitely refused.
func (t *Table) DeleteFiles(ctx context.Context, files []DataFile) error {
	io, err := storage.New(ctx, t.Location(), t.cat.cfg.Storage)
	if err != nil {
		return err
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.URI
	}
	_, err = io.DeleteFiles(ctx, names)
	return err
}

// partitionRecord is a partition tuple in the order of its spec.
type partitionRecord []any

func (r partitionRecord) Size() int            { return len(r) }
func (r partitionRecord) Get(pos int) any      { return r[pos] }
func (r partitionRecord) Set(pos int, val any) { r[pos] = val }
