package datafile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// oneColumn is a spec for one column of type t.
func oneColumn(t testing.TB, typ iceberg.Type, required bool) Spec {
	sc := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: typ, Required: required})
	return Spec{Arrow: arrowSchema(t, sc), Iceberg: sc, PartitionSpec: *iceberg.UnpartitionedSpec, FormatVersion: 2}
}

func batchOf(spec Spec, fill func(array.Builder)) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, spec.Arrow)
	defer b.Release()
	fill(b.Field(0))
	return b.NewRecordBatch()
}

func encodings(t testing.TB, path string) map[parquet.Encoding]bool {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	require.NoError(t, err)
	defer r.Close()
	chunk, err := r.MetaData().RowGroup(0).ColumnChunk(0)
	require.NoError(t, err)
	out := map[parquet.Encoding]bool{}
	for _, s := range chunk.EncodingStats() {
		out[s.Encoding] = true
	}
	return out
}

// The ways a text column's pages come about: what is read back is the same, and
// a dictionary is there only where it pays.
func TestTextPages(t *testing.T) {
	const many = 3*pageRows + 17
	for _, tc := range []struct {
		name string
		rows int
		text func(row int) (string, bool)
		dict bool
	}{
		{"one value", many, func(int) (string, bool) { return "agent", true }, true},
		{"few values", many, func(i int) (string, bool) { return fmt.Sprint(i * i % 97), true }, true},
		{"empty texts", many, func(int) (string, bool) { return "", true }, true},
		{"all different", many, func(i int) (string, bool) { return fmt.Sprintf("%032d", i), true }, false},
		{"few rows", 3, func(i int) (string, bool) { return fmt.Sprint(i), true }, true},
		{"different after a page", many, func(i int) (string, bool) { return fmt.Sprint(max(i-pageRows-5, 0)), true }, true},
		{"a page of NULLs first", many, func(i int) (string, bool) { return "x", i > pageRows+100 }, true},
		{"NULLs after", many, func(i int) (string, bool) { return "x", i < 100 }, true},
		{"alternating NULLs", many, func(i int) (string, bool) { return fmt.Sprint(i % 5), i%2 == 0 }, true},
		{"only NULLs", many, func(int) (string, bool) { return "", false }, false},
		{"long texts", 3000, func(i int) (string, bool) { return strings.Repeat(fmt.Sprint(i), 400), true }, false},
		{"texts larger than a page", 5, func(i int) (string, bool) { return strings.Repeat(fmt.Sprint(i), 3<<20), true }, false},
		{"one long among short", 2000, func(i int) (string, bool) { return strings.Repeat("y", 1+i%1999/1998*(5<<20)), true }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := oneColumn(t, iceberg.PrimitiveTypes.String, false)
			spec.RowGroupBytes = 1 << 40
			rb := batchOf(spec, func(b array.Builder) {
				for i := range tc.rows {
					if s, ok := tc.text(i); ok {
						b.(*array.StringBuilder).Append(s)
					} else {
						b.AppendNull()
					}
				}
			})
			path, df := write(t, spec, rb)
			requireSameRows(t, []arrow.RecordBatch{rb}, read(t, path))
			require.EqualValues(t, rb.Column(0).NullN(), df.NullValueCounts()[1])
			require.Equal(t, tc.dict, encodings(t, path)[parquet.Encodings.RLEDict])
		})
	}
}

// Random shapes: NULL runs of any length, batches and row groups of any size.
func TestRandomFiles(t *testing.T) {
	for seed := range 60 {
		rnd := rand.New(rand.NewSource(int64(seed)))
		spec := testSpec(t)
		spec.RowGroupBytes = int64(1 << rnd.Intn(24))
		var batches []arrow.RecordBatch
		rows := 0
		for range 1 + rnd.Intn(5) {
			n := rnd.Intn(1 << rnd.Intn(13))
			batches = append(batches, randomBatch(spec.Arrow, rnd, rows, n))
			rows += n
		}
		if rows == 0 {
			continue
		}
		// The middle of a larger record batch: arrays with an offset.
		if last := batches[len(batches)-1]; last.NumRows() > 3 {
			cut := last.NewSlice(1+rnd.Int63n(2), last.NumRows()-rnd.Int63n(2))
			batches[len(batches)-1] = cut
		}
		path, _ := write(t, spec, batches...)
		requireSameRows(t, batches, read(t, path))
	}
}

// A record batch larger than a row group makes several.
func TestHugeBatch(t *testing.T) {
	spec := testSpec(t)
	spec.RowGroupBytes = 200_000
	rb := randomBatch(spec.Arrow, rand.New(rand.NewSource(9)), 0, 3*maxSlice+5)
	path, df := write(t, spec, rb)
	requireSameRows(t, []arrow.RecordBatch{rb}, read(t, path))
	require.Len(t, df.SplitOffsets(), 4)
}

// Bounds of values too long to keep whole still hold every value, in each row
// group: else readers would leave rows out.
func TestLongBounds(t *testing.T) {
	long := strings.Repeat("ü", maxBound)
	for _, tc := range []struct {
		name   string
		typ    iceberg.Type
		values []string
	}{
		{"text", iceberg.PrimitiveTypes.String, []string{"b", long, long + "z"}},
		{"greatest character", iceberg.PrimitiveTypes.String, []string{"b", strings.Repeat(string(utf8.MaxRune), maxBound)}},
		{"before the surrogates", iceberg.PrimitiveTypes.String, []string{"b", strings.Repeat("\ud7ff", maxBound)}},
		{"bytes", iceberg.PrimitiveTypes.Binary, []string{"b", strings.Repeat("\xff", maxBound-1) + "abc", "\xfe\xfe"}},
		{"greatest byte", iceberg.PrimitiveTypes.Binary, []string{"b", strings.Repeat("\xff", maxBound+1)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := oneColumn(t, tc.typ, true)
			rb := batchOf(spec, func(b array.Builder) {
				for _, v := range tc.values {
					switch b := b.(type) {
					case *array.StringBuilder:
						b.Append(v)
					case *array.BinaryBuilder:
						b.Append([]byte(v))
					}
				}
			})
			path, df := write(t, spec, rb)
			requireSameRows(t, []arrow.RecordBatch{rb}, read(t, path))
			r, err := file.OpenParquetFile(path, false)
			require.NoError(t, err)
			defer r.Close()
			stats := r.MetaData().RowGroups[0].Columns[0].MetaData.Statistics
			for _, v := range tc.values {
				require.LessOrEqual(t, bytes.Compare(stats.MinValue, []byte(v)), 0)
				require.GreaterOrEqual(t, bytes.Compare(stats.MaxValue, []byte(v)), 0)
				if up, ok := df.UpperBoundValues()[1]; ok {
					require.GreaterOrEqual(t, bytes.Compare(up, []byte(v)), 0, "Iceberg's upper bound")
				}
			}
			if tc.typ == iceberg.PrimitiveTypes.String {
				require.True(t, utf8.Valid(stats.MaxValue))
			}
			exact := bytes.Equal(stats.MaxValue, []byte(tc.values[len(tc.values)-1]))
			require.Equal(t, exact, *stats.IsMaxValueExact)
		})
	}
}

func TestFloatBounds(t *testing.T) {
	spec := oneColumn(t, iceberg.PrimitiveTypes.Float64, true)
	rb := batchOf(spec, func(b array.Builder) {
		b.(*array.Float64Builder).AppendValues([]float64{math.NaN(), 0, 2.5, math.NaN()}, nil)
	})
	path, _ := write(t, spec, rb)
	r, err := file.OpenParquetFile(path, false)
	require.NoError(t, err)
	defer r.Close()
	stats := r.MetaData().RowGroups[0].Columns[0].MetaData.Statistics
	require.Equal(t, binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.Copysign(0, -1))), stats.MinValue)
	require.Equal(t, binary.LittleEndian.AppendUint64(nil, math.Float64bits(2.5)), stats.MaxValue)
}

// Columns that others may add to a table, which the sink writes as NULL.
func TestOtherTypes(t *testing.T) {
	for _, tc := range []struct {
		typ  iceberg.Type
		fill func(array.Builder)
	}{
		{iceberg.PrimitiveTypes.Date, func(b array.Builder) { b.(*array.Date32Builder).Append(19_000) }},
		{iceberg.PrimitiveTypes.Time, func(b array.Builder) { b.(*array.Time64Builder).Append(5) }},
		{iceberg.PrimitiveTypes.Timestamp, func(b array.Builder) { b.(*array.TimestampBuilder).Append(-5) }},
		{iceberg.PrimitiveTypes.Float32, func(b array.Builder) { b.(*array.Float32Builder).Append(1.5) }},
		{iceberg.FixedTypeOf(3), func(b array.Builder) { b.(*array.FixedSizeBinaryBuilder).Append([]byte("abc")) }},
		{iceberg.PrimitiveTypes.UUID, func(b array.Builder) { b.(*extensions.UUIDBuilder).Append(uuid.Max) }},
		{&iceberg.MapType{KeyID: 2, ValueID: 3, KeyType: iceberg.PrimitiveTypes.String, ValueType: iceberg.PrimitiveTypes.Int64}, func(b array.Builder) {
			m := b.(*array.MapBuilder)
			m.Append(true)
			m.KeyBuilder().(*array.StringBuilder).Append("k")
			m.ItemBuilder().AppendNull()
		}},
		{&iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 2, Name: "a", Type: iceberg.PrimitiveTypes.Int32}, {ID: 3, Name: "b", Type: iceberg.PrimitiveTypes.Bool, Required: true}}}, func(b array.Builder) {
			s := b.(*array.StructBuilder)
			s.Append(true)
			s.FieldBuilder(0).AppendNull()
			s.FieldBuilder(1).(*array.BooleanBuilder).Append(true)
		}},
	} {
		t.Run(tc.typ.String(), func(t *testing.T) {
			spec := oneColumn(t, tc.typ, false)
			rb := batchOf(spec, func(b array.Builder) {
				b.AppendNull()
				tc.fill(b)
				b.AppendNull()
				tc.fill(b)
			})
			path, _ := write(t, spec, rb, rb)
			requireSameRows(t, []arrow.RecordBatch{rb, rb}, read(t, path))
		})
	}
}

// Writers of different files share pooled memory and zstd contexts.
func TestConcurrentWriters(t *testing.T) {
	spec := testSpec(t)
	spec.RowGroupBytes = 100_000
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewSource(int64(g)))
			for round := range 3 {
				var batches []arrow.RecordBatch
				w, err := Create(iceio.LocalFS{}, filepath.Join(t.TempDir(), fmt.Sprint(g, round)), spec)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 3 {
					rb := randomBatch(spec.Arrow, rnd, i, 800)
					batches = append(batches, rb)
					if err := w.Write(rb); err != nil {
						t.Error(err)
					}
				}
				if _, err := w.Close(); err != nil {
					t.Error(err)
				}
				requireSameRows(t, batches, read(t, w.path))
			}
		})
	}
	wg.Wait()
}

func TestWriterAfterItsEnd(t *testing.T) {
	spec := testSpec(t)
	rb := randomBatch(spec.Arrow, rand.New(rand.NewSource(1)), 0, 3)
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(iceio.LocalFS{}, path, spec)
	require.NoError(t, err)
	require.NoError(t, w.Write(rb))
	_, err = w.Close()
	require.NoError(t, err)
	require.Error(t, w.Write(rb))
	require.Error(t, w.FlushRowGroup())
	_, err = w.Close()
	require.Error(t, err)
	require.NoError(t, w.Abort())
	require.FileExists(t, path, "Abort after Close removes nothing")

	empty, err := Create(iceio.LocalFS{}, path+"2", spec)
	require.NoError(t, err)
	_, err = empty.Close()
	require.ErrorContains(t, err, "without rows")
	require.NoFileExists(t, path+"2")
}

// The codec is arrow-go's for the whole process: it reads what others wrote and
// refuses what is broken.
func TestCodec(t *testing.T) {
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	require.NoError(t, err)
	require.IsType(t, libzstd{}, codec)
	src := []byte(strings.Repeat("agent events ", 1000))
	for _, level := range []int{compress.DefaultCompressionLevel, 1, 3, 19} {
		packed := codec.EncodeLevel(nil, src, level)
		require.Less(t, len(packed), len(src)/10)
		got, err := compress.Decode(codec, make([]byte, len(src)), packed)
		require.NoError(t, err)
		require.Equal(t, src, got)
	}
	for _, broken := range [][]byte{nil, []byte("no zstd"), codec.Encode(nil, src)[:20]} {
		_, err := compress.Decode(codec, nil, broken)
		require.Error(t, err)
	}
}

// What a hybrid run encodes is what a plain decoder of the format finds in it.
func FuzzHybrid(f *testing.F) {
	f.Add([]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2, 3}, byte(2))
	f.Add([]byte{0}, byte(1))
	f.Add(bytes.Repeat([]byte{0, 1, 2}, 100), byte(7))
	f.Fuzz(func(t *testing.T, values []byte, width byte) {
		width = width%8 + 1
		for i := range values {
			values[i] &= 1<<width - 1
		}
		require.Equal(t, values, decodeHybrid(t, appendHybrid(nil, values, int(width)), int(width), len(values)))
		bitmap := make([]byte, (len(values)+7)/8)
		bits := make([]byte, len(values))
		for i, v := range values {
			bits[i] = v & 1
			bitmap[i/8] |= v & 1 << (i % 8)
		}
		require.Equal(t, bits, decodeHybrid(t, appendBitLevels(nil, bitmap, len(bits)), 1, len(bits)))
	})
}

func decodeHybrid(t *testing.T, p []byte, width, n int) []byte {
	out := []byte{}
	for len(out) < n {
		head, k := binary.Uvarint(p)
		require.Positive(t, k)
		p = p[k:]
		if head&1 == 0 {
			require.NotZero(t, head)
			out = append(out, bytes.Repeat(p[:1], int(head>>1))...)
			p = p[1:]
			continue
		}
		for i := range int(head>>1) * 8 {
			var v byte
			for b := range width {
				at := i*width + b
				v |= p[at/8] >> (at % 8) & 1 << b
			}
			out = append(out, v)
		}
		p = p[int(head>>1)*width:]
	}
	require.Empty(t, p)
	require.Less(t, len(out)-n, 8)
	return out[:n]
}
