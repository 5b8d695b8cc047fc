package datafile

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/stretchr/testify/require"
)

func checkBytes(data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	src := bytes.NewReader(data)
	pf, err := file.NewParquetReader(src)
	if err != nil {
		return err
	}
	return Check(pf, src, int64(len(data)))
}

// footerAt is where the footer begins.
func footerAt(t *testing.T, data []byte) int {
	pf, err := file.NewParquetReader(bytes.NewReader(data))
	require.NoError(t, err)
	c, err := newChecker(pf, bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	return int(c.end)
}

// One flipped byte is found wherever there is a checksum to find it by: in every
// page of every column, its header included.
func TestCheckFindsEveryFlippedByte(t *testing.T) {
	spec := testSpec(t)
	spec.RowGroupBytes = 20 << 10 // several row groups
	rnd := rand.New(rand.NewSource(1))
	path, _ := write(t, spec, randomBatch(spec.Arrow, rnd, 0, 40), randomBatch(spec.Arrow, rnd, 40, 30))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, checkBytes(whole))
	footer := footerAt(t, whole)
	require.Greater(t, footer, len(whole)/3)
	for at := range footer {
		flip := []byte{0x10, 0x55}[at%2]
		bad := bytes.Clone(whole)
		bad[at] ^= flip
		require.Error(t, checkBytes(bad), "byte %d, flipped by %#x", at, flip)
	}
	found := 0
	for at := footer; at < len(whole); at++ {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x55
		if checkBytes(bad) != nil {
			found++
		}
	}
	t.Logf("%d of the %d bytes of the footer", found, len(whole)-footer)
	require.Greater(t, found, (len(whole)-footer)/4)
}

// Other writers may leave checksums out and write pages of version 2: they pass
// when whole, and what cannot be decoded is found.
func TestCheckOtherWriters(t *testing.T) {
	for _, version := range []parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2} {
		spec := testSpec(t)
		rb := randomBatch(spec.Arrow, rand.New(rand.NewSource(3)), 0, 500)
		tbl := array.NewTableFromRecords(spec.Arrow, []arrow.RecordBatch{rb})
		var out bytes.Buffer
		props := parquet.NewWriterProperties(parquet.WithDataPageVersion(version), parquet.WithCompression(compress.Codecs.Gzip), parquet.WithDataPageSize(2048))
		require.NoError(t, pqarrow.WriteTable(tbl, &out, 200, props, pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(memory.DefaultAllocator))))
		whole := out.Bytes()
		require.NoError(t, checkBytes(whole))
		found, of := 0, 0
		for at := 0; at < footerAt(t, whole); at += 211 {
			bad := bytes.Clone(whole)
			bad[at] ^= 0x55
			of++
			if checkBytes(bad) != nil {
				found++
			}
		}
		require.Greater(t, found, of*3/4, "of %d", of)
	}
}
