package sink

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// Bounds on the rows of one record batch on its way to a data file. Where many
// files are open each has less, so that all together keep to a quarter of the
// memory budget.
const (
	recordBatchRows     = 2048
	recordBatchBytes    = 4 << 20
	minRecordBatchBytes = 32 << 10
)

// Bounds on the data files of a batch: those that are open, past which the one
// with the most rows is finished early, and those that are finished, past which
// the batch is full. Producers choose the names of classes, and so how many table
// partitions there are.
const (
	maxOpenFiles     = 256
	maxFinishedFiles = 1000
)

// builderCost is what a builder holds beside its buffers, in bytes.
const builderCost = 64 << 10

// router leads event rows to the data file of their table partition.
type router struct {
	table  lakeTable
	schema *arrow.Schema
	fields []catalog.PartitionField
	source []partitionSource // of each partition field
	prefix string            // of file names: the commit id
	opts   catalog.WriteOptions
	target int64 // bytes at which a file is finished
	budget int64 // of memory

	open   map[string]*openFile
	last   *openFile // rows of a session come together: try its partition first
	key    []byte
	values []catalog.PartitionValue
	closed []catalog.DataFile
	spare  []*arrowconv.Builder
	names  int
	rows   int64
	counts map[string]int64 // rows by event class
	held   int64            // sum of what the files' writers hold
	mem    allocator        // of the builders
	rolled bool             // a file has reached its target size
}

// openFile is a data file with the rows on their way to it.
type openFile struct {
	key     string
	values  []catalog.PartitionValue
	builder *arrowconv.Builder
	writer  dataFile // nil until the first record batch
	held    int64    // by the writer
}

// size is what writing the file's rows out would free.
func (f *openFile) size() int64 { return f.builder.Bytes() + f.held }

// allocator counts what the builders hold, their reserves included.
type allocator struct{ held atomic.Int64 }

func (a *allocator) Allocate(n int) []byte {
	a.held.Add(int64(n))
	return memory.DefaultAllocator.Allocate(n)
}

func (a *allocator) Reallocate(n int, b []byte) []byte {
	a.held.Add(int64(n - len(b)))
	return memory.DefaultAllocator.Reallocate(n, b)
}

func (a *allocator) Free(b []byte) {
	a.held.Add(-int64(len(b)))
	memory.DefaultAllocator.Free(b)
}

func newRouter(t lakeTable, prefix string, opts catalog.WriteOptions, target, budget int64) (*router, error) {
	schema, err := t.ArrowSchema()
	if err != nil {
		return nil, err
	}
	fields, err := t.PartitionFields()
	if err != nil {
		return nil, err
	}
	r := &router{
		table: t, schema: schema, fields: fields, prefix: prefix, opts: opts, target: target, budget: budget,
		open: map[string]*openFile{}, counts: map[string]int64{}, values: make([]catalog.PartitionValue, len(fields)),
	}
	for _, f := range fields {
		src, ok := sourceNamed(f.Column)
		if !ok {
			return nil, &Error{Usage: true, Text: fmt.Sprintf(
				"table %s is partitioned by %s: the sink can partition by a column of the event, and by ingest_time, kafka_timestamp, kafka_topic and kafka_partition", t.Name(), f.Column)}
		}
		r.source = append(r.source, src)
	}
	return r, nil
}

// partitionSource gives a row's value of the column that a partition field is of.
type partitionSource func(ev *envelope.Event, at *arrowconv.Provenance) catalog.PartitionValue

func sourceNamed(column string) (partitionSource, bool) {
	for i := range envelope.Columns {
		if envelope.Columns[i].Name != column {
			continue
		}
		return func(ev *envelope.Event, _ *arrowconv.Provenance) catalog.PartitionValue {
			if !ev.Has(envelope.ColumnID(i)) {
				return catalog.PartitionValue{Null: true}
			}
			v := ev.Value(envelope.ColumnID(i))
			return catalog.PartitionValue{Text: v.Text, Int: v.Int}
		}, true
	}
	if _, ok := provenanceValue(column, &arrowconv.Provenance{}); !ok {
		return nil, false
	}
	return func(_ *envelope.Event, at *arrowconv.Provenance) catalog.PartitionValue {
		v, _ := provenanceValue(column, at)
		return v
	}, true
}

// provenanceValue is a record's value of a column that says where it came from.
func provenanceValue(column string, at *arrowconv.Provenance) (catalog.PartitionValue, bool) {
	switch column {
	case "ingest_time":
		return catalog.PartitionValue{Int: at.IngestTime}, true
	case "kafka_timestamp":
		return catalog.PartitionValue{Int: at.Timestamp * 1000, Null: at.Timestamp < 0}, true
	case "kafka_topic":
		return catalog.PartitionValue{Text: []byte(at.Topic)}, true
	case "kafka_partition":
		return catalog.PartitionValue{Int: int64(at.Partition)}, true
	}
	return catalog.PartitionValue{}, false
}

// append adds one event's row to its table partition.
func (r *router) append(ctx context.Context, ev *envelope.Event, at *arrowconv.Provenance) error {
	f, err := r.find(ctx, ev, at)
	if err != nil {
		return err
	}
	f.builder.Append(ev, at)
	r.rows++
	r.count(ev.Value(envelope.ColEventClass).Text)
	if f.builder.Rows() >= recordBatchRows || f.builder.Bytes() >= r.batchBytes() {
		if err := r.drain(ctx, f); err != nil {
			return err
		}
		if f.writer.Size() >= r.target {
			r.rolled = true
			return r.finish(ctx, f)
		}
	}
	return nil
}

// count counts a row by its class.
func (r *router) count(class []byte) {
	if _, known := r.counts[string(class)]; known || len(r.counts) < maxNames {
		r.counts[string(class)]++
	} else {
		r.counts[OtherNames]++
	}
}

// batchBytes is how large the record batch of a file may get.
func (r *router) batchBytes() int64 {
	share := r.budget / 4 / int64(max(len(r.open), 1))
	return min(max(share, minRecordBatchBytes), recordBatchBytes)
}

// find returns the open file of an event's table partition.
func (r *router) find(ctx context.Context, ev *envelope.Event, at *arrowconv.Provenance) (*openFile, error) {
	r.key = r.key[:0]
	for i := range r.fields {
		r.values[i] = r.source[i](ev, at)
		r.key = r.fields[i].AppendKey(r.key, r.values[i])
	}
	if r.last != nil && r.last.key == string(r.key) {
		return r.last, nil
	}
	f := r.open[string(r.key)]
	if f == nil {
		var err error
		if f, err = r.start(ctx); err != nil {
			return nil, err
		}
	}
	r.last = f
	return f, nil
}

func (r *router) start(ctx context.Context) (*openFile, error) {
	if len(r.open) >= maxOpenFiles {
		if err := r.finish(ctx, r.largest()); err != nil {
			return nil, err
		}
	}
	f := &openFile{key: string(r.key), values: make([]catalog.PartitionValue, len(r.values))}
	for i, v := range r.values {
		v.Text = append([]byte(nil), v.Text...) // it aliases the Kafka buffer
		f.values[i] = v
	}
	if n := len(r.spare); n > 0 {
		f.builder, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		b, err := arrowconv.NewBuilder(r.schema, &r.mem)
		if err != nil {
			return nil, &Error{Usage: true, Text: fmt.Sprintf("table %s has columns the sink cannot fill", r.table.Name()), Err: err}
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
	held := f.writer.Buffered()
	r.held += held - f.held
	f.held = held
}

func (r *router) buffered() int64 {
	return r.held + r.mem.held.Load() + builderCost*int64(len(r.open)+len(r.spare))
}

// finish completes a file; its table partition gets a new one when rows come.
func (r *router) finish(ctx context.Context, f *openFile) error {
	return r.finishAll(ctx, []*openFile{f})
}

// closeAtOnce is how many files are made durable at the same time: most of that
// is waiting.
const closeAtOnce = 8

// finishAll completes files. Their last rows go out one file after another.
func (r *router) finishAll(ctx context.Context, files []*openFile) error {
	var group errgroup.Group
	group.SetLimit(closeAtOnce)
	done := make([]catalog.DataFile, len(files))
	var err error
	for i, f := range files {
		if err = r.drain(ctx, f); err != nil {
			break
		}
		r.held -= f.held
		r.spare = append(r.spare, f.builder)
		delete(r.open, f.key)
		group.Go(func() (err error) {
			done[i], err = f.writer.Close()
			return err
		})
	}
	r.last = nil
	err = errors.Join(err, group.Wait())
	for _, df := range done {
		if df.URI != "" {
			r.closed = append(r.closed, df)
		}
	}
	return err
}

// largest is the open file that holds most.
func (r *router) largest() *openFile {
	var max *openFile
	for _, f := range r.open {
		if max == nil || f.size() > max.size() || f.size() == max.size() && f.key < max.key {
			max = f
		}
	}
	return max
}

// spillLargest frees memory: reserves that no file uses, else by writing the row
// group of the file that holds most. It reports whether that freed anything.
func (r *router) spillLargest() (bool, error) {
	before := r.buffered()
	for _, b := range r.spare {
		b.Shrink()
	}
	if r.buffered() < before {
		return true, nil
	}
	f := r.largest()
	if f == nil || f.size() <= spillMin {
		return false, nil
	}
	if err := r.drain(context.Background(), f); err != nil {
		return false, err
	}
	if err := f.writer.FlushRowGroup(); err != nil {
		return false, err
	}
	r.account(f)
	f.builder.Shrink()
	return r.buffered() < before, nil
}

// spillMin is the least a file must hold to be spilled: smaller row groups cost
// readers more than they free.
const spillMin = 1 << 20

// close finishes every file and returns them all.
func (r *router) close(ctx context.Context) ([]catalog.DataFile, error) {
	err := r.finishAll(ctx, sortedFiles(r.open))
	return r.closed, err
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
