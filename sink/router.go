package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// Bounds on the rows of one record batch on its way to a data file.
const (
	recordBatchRows  = 2048
	recordBatchBytes = 4 << 20
)

// maxOpenFiles bounds how many table partitions have an open data file; past it
// the one with the most rows is finished early.
const maxOpenFiles = 128

// router leads event rows to the data file of their table partition.
type router struct {
	table  *catalog.Table
	schema *arrow.Schema
	fields []catalog.PartitionField
	source []envelope.ColumnID // the column of each partition field
	prefix string              // of file names: the commit id
	opts   catalog.WriteOptions
	target int64 // bytes at which a file is finished

	open   map[string]*openFile
	last   *openFile // rows of a session come together: try its partition first
	key    []byte
	values []catalog.PartitionValue
	closed []catalog.DataFile
	spare  []*arrowconv.Builder
	names  int
	rows   int64
	counts map[string]int64 // rows by event class
	held   int64            // sum of the files' held bytes
	rolled bool             // a file has reached its target size
}

// openFile is a data file with the rows on their way to it.
type openFile struct {
	key     string
	values  []catalog.PartitionValue
	builder *arrowconv.Builder
	writer  *catalog.DataFileWriter // nil until the first record batch
	held    int64
}

func newRouter(t *catalog.Table, prefix string, opts catalog.WriteOptions, target int64) (*router, error) {
	schema, err := t.ArrowSchema()
	if err != nil {
		return nil, err
	}
	fields, err := t.PartitionFields()
	if err != nil {
		return nil, err
	}
	r := &router{
		table: t, schema: schema, fields: fields, prefix: prefix, opts: opts, target: target,
		open: map[string]*openFile{}, counts: map[string]int64{}, values: make([]catalog.PartitionValue, len(fields)),
	}
	for _, f := range fields {
		id, ok := columnNamed(f.Column)
		if !ok {
			return nil, &Error{Usage: true, Text: fmt.Sprintf("table %s is partitioned by %s, which is no column of the event: the sink cannot tell an event's table partition", t.Name(), f.Column)}
		}
		r.source = append(r.source, id)
	}
	return r, nil
}

func columnNamed(name string) (envelope.ColumnID, bool) {
	for i := range envelope.Columns {
		if envelope.Columns[i].Name == name {
			return envelope.ColumnID(i), true
		}
	}
	return 0, false
}

// append adds one event's row to its table partition.
func (r *router) append(ctx context.Context, ev *envelope.Event, at *arrowconv.Provenance) error {
	f, err := r.find(ev)
	if err != nil {
		return err
	}
	f.builder.Append(ev, at)
	r.rows++
	r.counts[string(ev.Value(envelope.ColEventClass).Text)]++
	if f.builder.Rows() >= recordBatchRows || f.builder.Bytes() >= recordBatchBytes {
		if err := r.drain(ctx, f); err != nil {
			return err
		}
		if f.writer.Size() >= r.target {
			r.rolled = true
			return r.finish(ctx, f)
		}
		return nil
	}
	r.account(f)
	return nil
}

// find returns the open file of an event's table partition.
func (r *router) find(ev *envelope.Event) (*openFile, error) {
	r.key = r.key[:0]
	for i := range r.fields {
		v := catalog.PartitionValue{Null: !ev.Has(r.source[i])}
		if !v.Null {
			val := ev.Value(r.source[i])
			v.Text, v.Int = val.Text, val.Int
		}
		r.values[i] = v
		r.key = r.fields[i].AppendKey(r.key, v)
	}
	if r.last != nil && r.last.key == string(r.key) {
		return r.last, nil
	}
	f := r.open[string(r.key)]
	if f == nil {
		var err error
		if f, err = r.start(); err != nil {
			return nil, err
		}
	}
	r.last = f
	return f, nil
}

func (r *router) start() (*openFile, error) {
	f := &openFile{key: string(r.key), values: make([]catalog.PartitionValue, len(r.values))}
	for i, v := range r.values {
		v.Text = append([]byte(nil), v.Text...) // it aliases the Kafka buffer
		f.values[i] = v
	}
	if n := len(r.spare); n > 0 {
		f.builder, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		b, err := arrowconv.NewBuilder(r.schema, memory.DefaultAllocator)
		if err != nil {
			return nil, &Error{Text: fmt.Sprintf("table %s has columns the sink cannot fill", r.table.Name()), Err: err}
		}
		f.builder = b
	}
	r.open[f.key] = f
	return f, nil
}

// drain moves a file's pending rows into its Parquet writer.
func (r *router) drain(ctx context.Context, f *openFile) error {
	if f.builder.Rows() == 0 {
		return nil
	}
	if f.writer == nil {
		if len(r.open) > maxOpenFiles {
			if err := r.finishOne(ctx, f); err != nil {
				return err
			}
		}
		r.names++
		w, err := r.table.CreateDataFile(ctx, fmt.Sprintf("%s-%05d", r.prefix, r.names), r.fields, f.values, r.opts)
		if err != nil {
			return err
		}
		f.writer = w
	}
	rb := f.builder.NewRecordBatch()
	err := f.writer.Write(rb)
	rb.Release()
	r.account(f)
	return err
}

func (r *router) account(f *openFile) {
	held := f.builder.Bytes()
	if f.writer != nil {
		held += f.writer.Buffered()
	}
	r.held += held - f.held
	f.held = held
}

func (r *router) buffered() int64 { return r.held }

// finish completes a file; its table partition gets a new one when rows come.
func (r *router) finish(ctx context.Context, f *openFile) error {
	if err := r.drain(ctx, f); err != nil {
		return err
	}
	delete(r.open, f.key)
	if r.last == f {
		r.last = nil
	}
	r.held -= f.held
	r.spare = append(r.spare, f.builder)
	if f.writer == nil {
		return nil
	}
	df, err := f.writer.Close()
	if err != nil {
		return err
	}
	r.closed = append(r.closed, df)
	return nil
}

// finishOne finishes the open file that holds most, but not keep.
func (r *router) finishOne(ctx context.Context, keep *openFile) error {
	if f := r.largest(func(f *openFile) bool { return f != keep && f.writer != nil }); f != nil {
		return r.finish(ctx, f)
	}
	return nil
}

func (r *router) largest(ok func(*openFile) bool) *openFile {
	var max *openFile
	for _, f := range r.open {
		if ok(f) && (max == nil || f.held > max.held || f.held == max.held && f.key < max.key) {
			max = f
		}
	}
	return max
}

// spillLargest writes the row group of the file that holds most; false if no
// file holds anything worth writing.
func (r *router) spillLargest() (bool, error) {
	f := r.largest(func(f *openFile) bool { return f.held > spillMin })
	if f == nil {
		return false, nil
	}
	if err := r.drain(context.Background(), f); err != nil {
		return false, err
	}
	before := f.held
	if err := f.writer.FlushRowGroup(); err != nil {
		return false, err
	}
	r.account(f)
	return f.held < before, nil
}

// spillMin is the least a file must hold to be spilled: smaller row groups cost
// readers more than they free.
const spillMin = 1 << 20

// close finishes every file and returns them all.
func (r *router) close(ctx context.Context) ([]catalog.DataFile, error) {
	for _, f := range sortedFiles(r.open) {
		if err := r.finish(ctx, f); err != nil {
			return nil, err
		}
	}
	return r.closed, nil
}

// abort leaves nothing of the files that are still open.
func (r *router) abort() error {
	var errs []error
	for _, f := range r.open {
		if f.writer != nil {
			errs = append(errs, f.writer.Abort())
		}
		f.builder.Release()
	}
	for _, b := range r.spare {
		b.Release()
	}
	r.open, r.spare, r.last = nil, nil, nil
	return errors.Join(errs...)
}
