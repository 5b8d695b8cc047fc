package catalog

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/auditlake/auditlake/storage"
)

// provenance are the columns that say where a row came from; dead_letters has
// no record_index.
var provenance = []string{"kafka_topic", "kafka_partition", "kafka_offset", "record_index"}

// origins is the provenance of some rows. Index is nil in dead_letters.
type origins struct {
	topic     *array.String
	partition *array.Int32
	offset    *array.Int64
	index     *array.Int32
}

// readProvenance calls take with the provenance of the rows of a data file and
// counts them. check, when set, looks at the open file first.
//
// A damaged file is an error: the Parquet reader panics over some of them. So it
// must do all its work in this goroutine.
func (t *Table) readProvenance(ctx context.Context, fs storage.FileIO, uri string, check func(*file.Reader, io.ReaderAt) error, take func(origins)) (rows int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is damaged: %v", p)
		}
	}()
	src, err := fs.Open(uri)
	if err != nil {
		return 0, err
	}
	defer func() { _ = src.Close() }() // it was only read
	pf, err := file.NewParquetReader(src)
	if err != nil {
		return 0, err
	}
	defer func() { _ = pf.Close() }()
	if check != nil {
		if err := check(pf, src); err != nil {
			return 0, err
		}
	}
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return 0, err
	}
	columns, err := t.provenanceColumns(pf)
	if err != nil {
		return 0, err
	}
	batches, err := reader.GetRecordReader(ctx, columns, nil)
	if err != nil {
		return 0, err
	}
	defer batches.Release()
	for batches.Next() {
		rb := batches.RecordBatch()
		o, err := originsOf(rb)
		if err != nil {
			return rows, err
		}
		take(o)
		rows += rb.NumRows()
	}
	return rows, batches.Err()
}

// provenanceColumns finds the provenance in a file by Iceberg field id, since
// the names in a file are those of its time.
func (t *Table) provenanceColumns(pf *file.Reader) ([]int, error) {
	var out []int
	for _, name := range provenance {
		want, ok := t.ice.Schema().FindFieldByName(name)
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

func originsOf(rb arrow.RecordBatch) (origins, error) {
	cols := map[string]arrow.Array{}
	for i, f := range rb.Schema().Fields() {
		cols[f.Name] = rb.Column(i)
	}
	var o origins
	var ok1, ok2, ok3 bool
	o.topic, ok1 = cols["kafka_topic"].(*array.String)
	o.partition, ok2 = cols["kafka_partition"].(*array.Int32)
	o.offset, ok3 = cols["kafka_offset"].(*array.Int64)
	o.index, _ = cols["record_index"].(*array.Int32)
	if !ok1 || !ok2 || !ok3 {
		return o, fmt.Errorf("its provenance columns have other types: %v", rb.Schema())
	}
	return o, nil
}
