package catalog

import (
	"context"
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// damaged calls look with a data file in which one byte is flipped, at every
// step'th offset in turn. The file is whole again afterwards.
func damaged(t *testing.T, path string, step int, look func(at int)) {
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := 0; at < len(whole); at += step {
		bad := append([]byte{}, whole...)
		bad[at] ^= 0x55
		require.NoError(t, os.WriteFile(path, bad, 0o644))
		look(at)
	}
	require.NoError(t, os.WriteFile(path, whole, 0o644))
}

// The Parquet reader panics over damaged footers; verify must not, and nor must
// a sink that asks for dead letters.
func TestDamagedFilesDoNotPanic(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	file := writeRows(t, c, DeadLetters, span(0, 20)...)
	_, err := c.CommitBatch(ctx, DeadLetters, Batch{ID: "a", Files: []DataFile{file}, Ranges: []Range{{TopicPartition: testTP, End: 20, Rows: 20, DeadLetters: 20}}})
	require.NoError(t, err)
	tbl, err := c.Load(ctx, DeadLetters)
	require.NoError(t, err)
	unreadable := 0
	damaged(t, localPath(file.URI), 7, func(at int) {
		report, err := c.Verify(ctx, VerifyOptions{})
		require.NoError(t, err, "byte %d", at)
		_, err = tbl.OffsetsIn(ctx, testTP, 0, 20)
		for _, p := range report.Problems {
			if p.Kind == "file_unreadable" {
				unreadable++
				require.Error(t, err, "byte %d", at)
			}
		}
	})
	require.Greater(t, unreadable, 15)
	verifyClean(t, c)
	have, err := tbl.OffsetsIn(ctx, testTP, 5, 7)
	require.NoError(t, err)
	require.Equal(t, map[int64]struct{}{5: {}, 6: {}}, have)
}

// Rot in a column that verify does not read for its proof is found by Deep.
func TestVerifyDeepFindsBitRot(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	b := eventBatch(t, c, 0, 20)
	_, err := c.CommitBatch(ctx, AgentEvents, b)
	require.NoError(t, err)
	report, err := c.Verify(ctx, VerifyOptions{Deep: true})
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	path := localPath(b.Files[0].URI)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	footer := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	shallow, looked := 0, 0
	damaged(t, path, 61, func(at int) {
		if at >= footer {
			return // has no checksum
		}
		looked++
		report, err := c.Verify(ctx, VerifyOptions{Deep: true})
		require.NoError(t, err)
		require.NotEmpty(t, report.Problems, "byte %d", at)
		require.Equal(t, "file_unreadable", report.Problems[0].Kind, "byte %d", at)
		report, err = c.Verify(ctx, VerifyOptions{})
		require.NoError(t, err)
		if report.OK {
			shallow++
		}
	})
	require.Greater(t, looked, 25)
	require.Positive(t, shallow) // or Deep would not be needed
}
