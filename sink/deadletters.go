package sink

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
)

// deadLetters writes the batch's dead letters. They are few: one file, in the
// table partition of the day of ingest, two for a batch over midnight.
type deadLetters struct {
	table   *catalog.Table
	prefix  string
	opts    catalog.WriteOptions
	builder *arrowconv.DeadLetterBuilder
	writer  *catalog.DataFileWriter
	fields  []catalog.PartitionField
	values  []catalog.PartitionValue
	key     []byte
	names   int
	closed  []catalog.DataFile
	rows    int64
}

func newDeadLetters(t *catalog.Table, prefix string, opts catalog.WriteOptions) *deadLetters {
	return &deadLetters{table: t, prefix: prefix, opts: opts}
}

func (d *deadLetters) append(ctx context.Context, at *arrowconv.Provenance, value []byte, class, text, version string) error {
	if err := d.open(at, class); err != nil {
		return err
	}
	var key []byte
	for i := range d.fields {
		d.values[i], _ = deadValue(d.fields[i].Column, at, class) // open has refused others
		key = d.fields[i].AppendKey(key, d.values[i])
	}
	if d.writer != nil && string(key) != string(d.key) {
		if err := d.finish(); err != nil {
			return err
		}
	}
	d.key = key
	if d.writer == nil {
		d.names++
		w, err := d.table.CreateDataFile(ctx, fmt.Sprintf("%s-dead-%05d", d.prefix, d.names), d.fields, d.values, d.opts)
		if err != nil {
			return err
		}
		d.writer = w
	}
	d.builder.Append(at, value, class, text, version)
	d.rows++
	if d.builder.Rows() >= recordBatchRows || d.builder.Bytes() >= recordBatchBytes {
		return d.drain()
	}
	return nil
}

// open prepares for the first dead letter of the batch.
func (d *deadLetters) open(at *arrowconv.Provenance, class string) error {
	if d.builder != nil {
		return nil
	}
	schema, err := d.table.ArrowSchema()
	if err != nil {
		return err
	}
	if d.fields, err = d.table.PartitionFields(); err != nil {
		return err
	}
	d.values = make([]catalog.PartitionValue, len(d.fields))
	for _, f := range d.fields {
		if _, ok := deadValue(f.Column, at, class); !ok {
			return &Error{Usage: true, Text: fmt.Sprintf(
				"table %s is partitioned by %s: the sink can partition by ingest_time, kafka_timestamp, error_class, kafka_topic and kafka_partition", d.table.Name(), f.Column)}
		}
	}
	d.builder, err = arrowconv.NewDeadLetterBuilder(schema, memory.DefaultAllocator)
	return err
}

// deadValue is a dead letter's value of a column that partitions may be by.
func deadValue(column string, at *arrowconv.Provenance, class string) (catalog.PartitionValue, bool) {
	if column == "error_class" {
		return catalog.PartitionValue{Text: []byte(class)}, true
	}
	return provenanceValue(column, at)
}

func (d *deadLetters) drain() error {
	if d.builder.Rows() == 0 {
		return nil
	}
	rb := d.builder.NewRecordBatch()
	defer rb.Release()
	return d.writer.Write(rb)
}

func (d *deadLetters) finish() error {
	if err := d.drain(); err != nil {
		return err
	}
	df, err := d.writer.Close()
	if err != nil {
		return err
	}
	d.writer = nil
	d.closed = append(d.closed, df)
	return nil
}

func (d *deadLetters) buffered() int64 {
	n := int64(0)
	if d.builder != nil {
		n += d.builder.Bytes()
	}
	if d.writer != nil {
		n += d.writer.Buffered()
	}
	return n
}

// close finishes the open file and returns all of the batch.
func (d *deadLetters) close(context.Context) ([]catalog.DataFile, error) {
	if d.writer != nil {
		if err := d.finish(); err != nil {
			return nil, err
		}
	}
	return d.closed, nil
}

// abort leaves nothing of a file that is still open.
func (d *deadLetters) abort() {
	if d.writer != nil {
		_ = d.writer.Abort() // a leftover is an orphan file, which orphan removal finds
		d.writer = nil
	}
	if d.builder != nil {
		d.builder.Release()
		d.builder = nil
	}
}
