package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
)

// deadLetters writes the batch's dead letters: they are few, a file for each
// table partition.
type deadLetters struct {
	table  lakeTable
	prefix string
	opts   catalog.WriteOptions
	schema *arrow.Schema
	fields []catalog.PartitionField
	open   map[string]*deadFile
	key    []byte
	names  int
	closed []catalog.DataFile
	rows   int64
	held   int64
}

// deadFile is a data file of dead letters with the rows on their way to it.
type deadFile struct {
	builder *arrowconv.DeadLetterBuilder
	writer  dataFile
	held    int64
}

func newDeadLetters(t lakeTable, prefix string, opts catalog.WriteOptions) *deadLetters {
	return &deadLetters{table: t, prefix: prefix, opts: opts, open: map[string]*deadFile{}}
}

func (d *deadLetters) append(ctx context.Context, at *arrowconv.Provenance, value []byte, class, text, version string) error {
	if err := d.prepare(at, class); err != nil {
		return err
	}
	d.key = d.key[:0]
	for i := range d.fields {
		v, _ := deadValue(d.fields[i].Column, at, class) // prepare has refused others
		d.key = d.fields[i].AppendKey(d.key, v)
	}
	f := d.open[string(d.key)]
	if f == nil {
		var err error
		if f, err = d.start(ctx, at, class); err != nil {
			return err
		}
	}
	f.builder.Append(at, value, class, text, version)
	d.rows++
	if f.builder.Rows() >= recordBatchRows || f.builder.Bytes() >= recordBatchBytes {
		if err := f.drain(); err != nil {
			return err
		}
	}
	d.account(f)
	return nil
}

// prepare reads the table's schema and spec for the first dead letter of the batch.
func (d *deadLetters) prepare(at *arrowconv.Provenance, class string) error {
	if d.schema != nil {
		return nil
	}
	var err error
	if d.fields, err = d.table.PartitionFields(); err != nil {
		return err
	}
	for _, f := range d.fields {
		if _, ok := deadValue(f.Column, at, class); !ok {
			return &Error{Usage: true, Text: fmt.Sprintf(
				"table %s is partitioned by %s: the sink can partition by ingest_time, kafka_timestamp, error_class, kafka_topic and kafka_partition", d.table.Name(), f.Column)}
		}
	}
	d.schema, err = d.table.ArrowSchema()
	return err
}

// start opens the file of the table partition that d.key names. Past
// maxOpenFiles all others are finished first.
func (d *deadLetters) start(ctx context.Context, at *arrowconv.Provenance, class string) (*deadFile, error) {
	if len(d.open) >= maxOpenFiles {
		if err := d.finish(); err != nil {
			return nil, err
		}
	}
	values := make([]catalog.PartitionValue, len(d.fields))
	for i := range d.fields {
		values[i], _ = deadValue(d.fields[i].Column, at, class)
	}
	builder, err := arrowconv.NewDeadLetterBuilder(d.schema, memory.DefaultAllocator)
	if err != nil {
		return nil, &Error{Usage: true, Text: fmt.Sprintf("table %s has columns the sink cannot fill", d.table.Name()), Err: err}
	}
	d.names++
	w, err := d.table.CreateDataFile(ctx, fmt.Sprintf("%s-dead-%05d", d.prefix, d.names), d.fields, values, d.opts)
	if err != nil {
		builder.Release()
		return nil, err
	}
	f := &deadFile{builder: builder, writer: w}
	d.open[string(d.key)] = f
	return f, nil
}

func (d *deadLetters) account(f *deadFile) {
	held := f.builder.Bytes() + f.writer.Buffered()
	d.held += held - f.held
	f.held = held
}

func (d *deadLetters) buffered() int64 { return d.held }

func (f *deadFile) drain() error {
	if f.builder.Rows() == 0 {
		return nil
	}
	rb := f.builder.NewRecordBatch()
	defer rb.Release()
	return f.writer.Write(rb)
}

// finish completes every open file.
func (d *deadLetters) finish() error {
	for _, key := range slices.Sorted(maps.Keys(d.open)) {
		f := d.open[key]
		if err := f.drain(); err != nil {
			return err
		}
		df, err := f.writer.Close()
		if err != nil {
			return err
		}
		f.builder.Release()
		delete(d.open, key)
		d.held -= f.held
		d.closed = append(d.closed, df)
	}
	return nil
}

// close finishes the open files and returns all of the batch.
func (d *deadLetters) close() ([]catalog.DataFile, error) {
	err := d.finish()
	return d.closed, err
}

// abort leaves nothing of files that are still open.
func (d *deadLetters) abort() {
	for _, f := range d.open {
		_ = f.writer.Abort() // a leftover is an orphan file, which orphan removal finds
		f.builder.Release()
	}
	d.open, d.held = nil, 0
}

// deadValue is a dead letter's value of a column that partitions may be by.
func deadValue(column string, at *arrowconv.Provenance, class string) (catalog.PartitionValue, bool) {
	if column == "error_class" {
		return catalog.PartitionValue{Text: []byte(class)}, true
	}
	return provenanceValue(column, at)
}
