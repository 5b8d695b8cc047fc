package datafile

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"
)

// benchSchema is shaped like agent_events: of 80 columns 30 have values, and a
// payload.
func benchSchema() *iceberg.Schema {
	var fields []iceberg.NestedField
	add := func(name string, t iceberg.Type, n int) {
		for i := range n {
			fields = append(fields, iceberg.NestedField{ID: len(fields) + 1, Name: fmt.Sprint(name, i), Type: t})
		}
	}
	add("id", iceberg.PrimitiveTypes.String, 8)
	add("name", iceberg.PrimitiveTypes.String, 14)
	add("number", iceberg.PrimitiveTypes.Int64, 7)
	add("absent", iceberg.PrimitiveTypes.String, 50)
	add("payload", iceberg.PrimitiveTypes.String, 1)
	return iceberg.NewSchema(0, fields...)
}

var words = strings.Fields(`the agent called a tool with these arguments and got back a result which it then
	summarised for the user who had asked about an order refund invoice delivery because of the policy on returns`)

func benchBatch(sc *arrow.Schema, rnd *rand.Rand, rows int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	var text strings.Builder
	for range rows {
		for i, f := range sc.Fields() {
			switch fb := b.Field(i).(type) {
			case *array.Int64Builder:
				fb.Append(rnd.Int63n(5000))
			case *array.StringBuilder:
				switch f.Name[0] {
				case 'i':
					fb.Append(fmt.Sprintf("%016x%016x", rnd.Uint64(), rnd.Uint64()))
				case 'n':
					fb.Append(words[rnd.Intn(20)])
				case 'a':
					fb.AppendNull()
				default:
					text.Reset()
					for text.Len() < 1290 {
						fmt.Fprintf(&text, `{"%s":"%s %d"},`, words[rnd.Intn(len(words))], words[rnd.Intn(len(words))], rnd.Intn(1000))
					}
					fb.Append(text.String())
				}
			}
		}
	}
	return b.NewRecordBatch()
}

// BenchmarkWrite is the way of one row from a record batch into one of 14 open
// files.
func BenchmarkWrite(b *testing.B) {
	const files, rows = 14, 1024
	sc := benchSchema()
	spec := Spec{Arrow: arrowSchema(b, sc), Iceberg: sc, PartitionSpec: *iceberg.UnpartitionedSpec, FormatVersion: 2,
		Properties: iceberg.Properties{"write.metadata.metrics.column.payload0": "counts"}}
	rnd := rand.New(rand.NewSource(1))
	var batches []arrow.RecordBatch
	for range files {
		batches = append(batches, benchBatch(spec.Arrow, rnd, rows))
	}
	dir := b.TempDir()
	var ws []*Writer
	for i := range files {
		w, err := Create(iceio.LocalFS{}, filepath.Join(dir, fmt.Sprint(i)), spec)
		require.NoError(b, err)
		ws = append(ws, w)
	}
	b.ReportAllocs()
	var held int64
	done := 0
	for b.Loop() {
		if done%rows == 0 { // one row in a thousand pays for all of its record batch
			i := done / rows % files
			require.NoError(b, ws[i].Write(batches[i]))
			held = max(held, ws[i].Buffered())
		}
		done++
	}
	var size int64
	for _, w := range ws {
		if w.Size() == 0 {
			require.NoError(b, w.Abort())
			continue
		}
		df, err := w.Close()
		require.NoError(b, err)
		size += df.FileSizeBytes()
	}
	b.ReportMetric(float64(size)/float64(done), "file-B/op")
	b.ReportMetric(float64(held), "held-B/file")
}
