package datafile

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/sql"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// testSchema has every type and nesting that the tables have, required and not.
func testSchema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: 2, Name: "class", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: 3, Name: "at", Type: iceberg.PrimitiveTypes.TimestampTz, Required: true},
		iceberg.NestedField{ID: 4, Name: "tokens", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 5, Name: "part", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 6, Name: "score", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{ID: 7, Name: "cost", Type: iceberg.DecimalTypeOf(18, 9)},
		iceberg.NestedField{ID: 8, Name: "wide", Type: iceberg.DecimalTypeOf(38, 9)},
		iceberg.NestedField{ID: 9, Name: "key", Type: iceberg.PrimitiveTypes.Binary},
		iceberg.NestedField{ID: 10, Name: "reasons", Type: &iceberg.ListType{ElementID: 20, Element: iceberg.PrimitiveTypes.String, ElementRequired: true}},
		iceberg.NestedField{ID: 11, Name: "headers", Type: &iceberg.ListType{ElementID: 21, ElementRequired: true, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 22, Name: "key", Type: iceberg.PrimitiveTypes.String, Required: true},
			{ID: 23, Name: "value", Type: iceberg.PrimitiveTypes.Binary},
		}}}},
		iceberg.NestedField{ID: 12, Name: "never", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 13, Name: "small", Type: iceberg.DecimalTypeOf(9, 2)},
		iceberg.NestedField{ID: 14, Name: "flag", Type: iceberg.PrimitiveTypes.Bool},
		iceberg.NestedField{ID: 15, Name: "payload", Type: iceberg.PrimitiveTypes.String, Required: true},
	)
}

func arrowSchema(t testing.TB, sc *iceberg.Schema) *arrow.Schema {
	t.Helper()
	out, err := table.SchemaToArrowSchema(sc, nil, true, false)
	require.NoError(t, err)
	return out
}

// randomBatch fills rows of testSchema; what is NULL, how long texts are and how
// many different ones there are comes from rnd.
func randomBatch(sc *arrow.Schema, rnd *rand.Rand, first, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	text := func() string { return strings.Repeat(string(rune('a'+rnd.Intn(26)))+"é", rnd.Intn(20)) }
	for row := first; row < first+n; row++ {
		for i, f := range sc.Fields() {
			if f.Nullable && (rnd.Intn(4) == 0 || f.Name == "never") {
				b.Field(i).AppendNull()
				continue
			}
			switch fb := b.Field(i).(type) {
			case *array.StringBuilder:
				switch f.Name {
				case "class":
					fb.Append([]string{"prompt", "tool_call", "action"}[rnd.Intn(3)])
				case "id":
					fb.Append(fmt.Sprintf("%08d", row))
				default:
					fb.Append(text())
				}
			case *array.BinaryBuilder:
				fb.Append([]byte(text() + "\xff\x00"))
			case *array.TimestampBuilder:
				fb.Append(arrow.Timestamp(1_700_000_000_000_000 + row))
			case *array.Int64Builder:
				fb.Append(rnd.Int63() - rnd.Int63())
			case *array.Int32Builder:
				fb.Append(int32(rnd.Intn(7) - 3))
			case *array.Float64Builder:
				fb.Append(rnd.NormFloat64())
			case *array.BooleanBuilder:
				fb.Append(rnd.Intn(2) == 0)
			case *array.Decimal128Builder:
				if err := fb.AppendValueFromString(fmt.Sprintf("%d.%02d", rnd.Intn(2000)-1000, rnd.Intn(100))); err != nil {
					panic(err)
				}
			case *array.ListBuilder:
				fb.Append(true)
				for range rnd.Intn(3) {
					switch vb := fb.ValueBuilder().(type) {
					case *array.StringBuilder:
						vb.Append(text())
					case *array.StructBuilder:
						vb.Append(true)
						vb.FieldBuilder(0).(*array.StringBuilder).Append(text())
						if rnd.Intn(2) == 0 {
							vb.FieldBuilder(1).AppendNull()
						} else {
							vb.FieldBuilder(1).(*array.BinaryBuilder).Append([]byte(text()))
						}
					}
				}
			default:
				panic(f.Name)
			}
		}
	}
	return b.NewRecordBatch()
}

func testSpec(t testing.TB) Spec {
	sc := testSchema()
	return Spec{Arrow: arrowSchema(t, sc), Iceberg: sc, PartitionSpec: *iceberg.UnpartitionedSpec, FormatVersion: 2}
}

// write makes a file of the record batches and returns its path and DataFile.
func write(t testing.TB, spec Spec, batches ...arrow.RecordBatch) (string, iceberg.DataFile) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.parquet")
	w, err := Create(iceio.LocalFS{}, path, spec)
	require.NoError(t, err)
	for _, rb := range batches {
		require.NoError(t, w.Write(rb))
	}
	df, err := w.Close()
	require.NoError(t, err)
	return path, df
}

// read returns the file as arrow-go reads it.
func read(t testing.TB, path string) arrow.Table {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	tbl, err := pqarrow.ReadTable(context.Background(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	require.NoError(t, err)
	t.Cleanup(tbl.Release)
	return tbl
}

func requireSameRows(t testing.TB, want []arrow.RecordBatch, got arrow.Table) {
	t.Helper()
	for i := range int(got.NumCols()) {
		var parts []arrow.Array
		for _, rb := range want {
			parts = append(parts, rb.Column(i))
		}
		all, err := array.Concatenate(parts, memory.DefaultAllocator)
		require.NoError(t, err)
		is, err := array.Concatenate(got.Column(i).Data().Chunks(), memory.DefaultAllocator)
		require.NoError(t, err)
		require.Truef(t, array.Equal(all, is), "column %s", got.Schema().Field(i).Name)
		all.Release()
		is.Release()
	}
}

func TestRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name    string
		batches []int
		group   int64
	}{
		{"one row", []int{1}, 0},
		{"an empty batch between", []int{5, 0, 4}, 0},
		{"not multiples of eight", []int{7, 9, 64, 1, 63, 1000}, 0},
		{"several row groups", []int{500, 500, 500, 500}, 60_000},
		{"a row group for each batch", []int{3, 3, 3}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := testSpec(t)
			spec.RowGroupBytes = tc.group
			rnd := rand.New(rand.NewSource(1))
			var batches []arrow.RecordBatch
			rows := 0
			for _, n := range tc.batches {
				batches = append(batches, randomBatch(spec.Arrow, rnd, rows, n))
				rows += n
			}
			path, df := write(t, spec, batches...)
			got := read(t, path)
			require.EqualValues(t, rows, got.NumRows())
			requireSameRows(t, batches, got)
			require.EqualValues(t, rows, df.Count())
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, info.Size(), df.FileSizeBytes())
		})
	}
}

// What a snapshot commit takes from the file: counts, bounds and split offsets
// are compared with what the rows say.
func TestDataFile(t *testing.T) {
	spec := testSpec(t)
	spec.RowGroupBytes = 60_000
	spec.Properties = iceberg.Properties{
		"write.metadata.metrics.column.payload": "counts", "write.metadata.metrics.column.class": "full",
	}
	rnd := rand.New(rand.NewSource(2))
	var batches []arrow.RecordBatch
	for i := range 4 {
		batches = append(batches, randomBatch(spec.Arrow, rnd, i*700, 700))
	}
	path, df := write(t, spec, batches...)
	for i, f := range spec.Iceberg.Fields() {
		if _, nested := f.Type.(*iceberg.ListType); nested {
			continue
		}
		nulls := 0
		for _, rb := range batches {
			nulls += rb.Column(i).NullN()
		}
		require.EqualValues(t, nulls, df.NullValueCounts()[f.ID], f.Name)
		require.EqualValues(t, 2800, df.ValueCounts()[f.ID], f.Name)
		require.Positive(t, df.ColumnSizes()[f.ID], f.Name)
	}
	bound := func(m map[int][]byte, id int, typ iceberg.Type) string {
		require.Contains(t, m, id)
		lit, err := iceberg.LiteralFromBytes(typ, m[id])
		require.NoError(t, err)
		return lit.String()
	}
	require.Equal(t, "00000000", bound(df.LowerBoundValues(), 1, iceberg.PrimitiveTypes.String))
	require.Equal(t, "00002799", bound(df.UpperBoundValues(), 1, iceberg.PrimitiveTypes.String))
	require.Equal(t, "action", bound(df.LowerBoundValues(), 2, iceberg.PrimitiveTypes.String))
	require.Equal(t, "tool_call", bound(df.UpperBoundValues(), 2, iceberg.PrimitiveTypes.String))
	require.Equal(t, "-3", bound(df.LowerBoundValues(), 5, iceberg.PrimitiveTypes.Int32))
	require.Equal(t, "3", bound(df.UpperBoundValues(), 5, iceberg.PrimitiveTypes.Int32))
	require.NotContains(t, df.LowerBoundValues(), 15, "payload has counts only")
	require.NotContains(t, df.LowerBoundValues(), 12, "nothing but NULL has no bounds")
	r, err := file.OpenParquetFile(path, false)
	require.NoError(t, err)
	defer r.Close()
	require.Greater(t, r.NumRowGroups(), 1)
	require.Len(t, df.SplitOffsets(), r.NumRowGroups())
	require.EqualValues(t, 4, df.SplitOffsets()[0])
	for i, off := range df.SplitOffsets() {
		require.Equal(t, r.MetaData().RowGroups[i].GetFileOffset(), off)
	}
}

// localTable makes a partitioned table in a SQLite catalog.
func localTable(t testing.TB) *table.Table {
	t.Helper()
	dir, ctx := t.TempDir(), context.Background()
	cat, err := catalog.Load(ctx, "test", iceberg.Properties{
		"type": "sql", "uri": "file:" + filepath.Join(dir, "catalog.db"), sql.DriverKey: "sqlite", sql.DialectKey: string(sql.SQLite),
		"warehouse": "file://" + dir,
	})
	require.NoError(t, err)
	require.NoError(t, cat.CreateNamespace(ctx, table.Identifier{"audit"}, nil))
	spec := iceberg.NewPartitionSpec(
		iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "at_day", Transform: iceberg.DayTransform{}},
		iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1001, Name: "class", Transform: iceberg.IdentityTransform{}})
	tbl, err := cat.CreateTable(ctx, table.Identifier{"audit", "t"}, testSchema(), catalog.WithPartitionSpec(&spec))
	require.NoError(t, err)
	return tbl
}

// The rows come back through iceberg-go's own scan after a snapshot commit, and
// a filter prunes by the partition values and bounds of the DataFile.
func TestIcebergScan(t *testing.T) {
	ctx := context.Background()
	tbl := localTable(t)
	fs, err := tbl.FS(ctx)
	require.NoError(t, err)
	rnd := rand.New(rand.NewSource(3))
	spec := Spec{
		Arrow: arrowSchema(t, tbl.Schema()), Iceberg: tbl.Schema(), PartitionSpec: tbl.Spec(), FormatVersion: tbl.Metadata().Version(),
		Partition: map[int]any{1000: iceberg.Date(19675), 1001: "tool_call"}, RowGroupBytes: 60_000,
	}
	w, err := Create(fs.(iceio.WriteFileIO), tbl.Location()+"/data/at_day=2023-11-14/class=tool_call/a.parquet", spec)
	require.NoError(t, err)
	class := array.NewStringBuilder(memory.DefaultAllocator)
	var batches []arrow.RecordBatch
	for i := range 3 {
		rb := randomBatch(spec.Arrow, rnd, i*900, 900)
		for range 900 {
			class.Append("tool_call")
		}
		cols := append([]arrow.Array(nil), rb.Columns()...)
		cols[1] = class.NewArray()
		rb = array.NewRecordBatch(spec.Arrow, cols, 900)
		require.NoError(t, w.Write(rb))
		batches = append(batches, rb)
	}
	df, err := w.Close()
	require.NoError(t, err)
	tx := tbl.NewTransaction()
	require.NoError(t, tx.AddDataFiles(ctx, []iceberg.DataFile{df}, nil, table.WithoutAutoNameMapping()))
	tbl, err = tx.Commit(ctx)
	require.NoError(t, err)
	got, err := tbl.Scan().ToArrowTable(ctx)
	require.NoError(t, err)
	defer got.Release()
	require.EqualValues(t, 2700, got.NumRows())
	requireSameRows(t, batches, got)

	count := func(filter iceberg.BooleanExpression) (files int, rows int64) {
		scan := tbl.Scan(table.WithRowFilter(filter))
		tasks, err := scan.PlanFiles(ctx)
		require.NoError(t, err)
		out, err := scan.ToArrowTable(ctx)
		require.NoError(t, err)
		defer out.Release()
		return len(tasks), out.NumRows()
	}
	files, rows := count(iceberg.EqualTo(iceberg.Reference("id"), "00001234"))
	require.Equal(t, 1, files)
	require.EqualValues(t, 1, rows)
	files, _ = count(iceberg.EqualTo(iceberg.Reference("id"), "9"))
	require.Zero(t, files)
	files, _ = count(iceberg.EqualTo(iceberg.Reference("class"), "prompt"))
	require.Zero(t, files)
}

func TestRefusesNullInRequiredColumn(t *testing.T) {
	spec := testSpec(t)
	b := array.NewRecordBuilder(memory.DefaultAllocator, spec.Arrow)
	defer b.Release()
	for _, fb := range b.Fields() {
		fb.AppendNull()
	}
	w, err := Create(iceio.LocalFS{}, filepath.Join(t.TempDir(), "f"), spec)
	require.NoError(t, err)
	require.ErrorContains(t, w.Write(b.NewRecordBatch()), "column id is required and has 1 NULL")
	require.NoError(t, w.Abort())
}

// FlushRowGroup is how the sink sheds memory.
func TestFlushRowGroupShedsMemory(t *testing.T) {
	spec := testSpec(t)
	path := filepath.Join(t.TempDir(), "f.parquet")
	w, err := Create(iceio.LocalFS{}, path, spec)
	require.NoError(t, err)
	rnd := rand.New(rand.NewSource(4))
	var batches []arrow.RecordBatch
	for i := range 3 {
		rb := randomBatch(spec.Arrow, rnd, i*2000, 2000)
		batches = append(batches, rb)
		require.NoError(t, w.Write(rb))
		before := w.Buffered()
		require.Greater(t, before, int64(100_000))
		size := w.Size()
		require.NoError(t, w.FlushRowGroup())
		require.Less(t, w.Buffered(), before/4)
		require.InEpsilon(t, float64(size), float64(w.Size()), 0.5, "the estimate of the file's size")
		require.NoError(t, w.FlushRowGroup(), "nothing to flush")
	}
	_, err = w.Close()
	require.NoError(t, err)
	requireSameRows(t, batches, read(t, path))
}

// brokenFS fails at the n-th write, at Close, or both, and sees what is left.
type brokenFS struct {
	iceio.LocalFS
	failAfter int
	failClose bool
	aborted   int
	closed    int
}

type brokenFile struct {
	iceio.FileWriter
	fs   *brokenFS
	path string
}

func (f *brokenFS) Create(path string) (iceio.FileWriter, error) {
	w, err := f.LocalFS.Create(path)
	return &brokenFile{w, f, path}, err
}

var errBroken = errors.New("disk full")

func (f *brokenFile) Write(p []byte) (int, error) {
	if f.fs.failAfter--; f.fs.failAfter < 0 {
		return 0, errBroken
	}
	return f.FileWriter.Write(p)
}

func (f *brokenFile) Close() error {
	f.fs.closed++
	if f.fs.failClose {
		return errBroken
	}
	return f.FileWriter.Close()
}

func (f *brokenFile) Abort() error {
	f.fs.aborted++
	return errors.Join(f.FileWriter.Close(), os.Remove(f.path))
}

// Wherever a write fails, no DataFile comes of it, and Abort leaves no file.
func TestStorageFailures(t *testing.T) {
	spec := testSpec(t)
	spec.RowGroupBytes = 50_000
	rnd := rand.New(rand.NewSource(5))
	rb := randomBatch(spec.Arrow, rnd, 0, 500)
	attempt := func(fs *brokenFS) (string, error) {
		path := filepath.Join(t.TempDir(), "f.parquet")
		w, err := Create(fs, path, spec)
		for range 4 {
			if err == nil {
				err = w.Write(rb)
			}
		}
		if err == nil {
			_, err = w.Close()
		}
		if err != nil && w != nil {
			require.NoError(t, w.Abort())
		}
		return path, err
	}
	failures := 0
	for n := 0; ; n++ {
		fs := &brokenFS{failAfter: n}
		path, err := attempt(fs)
		if err == nil {
			require.FileExists(t, path)
			require.Zero(t, fs.aborted)
			break
		}
		failures++
		require.ErrorIs(t, err, errBroken)
		require.NoFileExists(t, path)
		require.Equal(t, 1, fs.aborted)
	}
	require.Greater(t, failures, 3)
	fs := &brokenFS{failAfter: 1 << 30, failClose: true}
	path, err := attempt(fs)
	require.ErrorIs(t, err, errBroken)
	require.NoFileExists(t, path)
}
