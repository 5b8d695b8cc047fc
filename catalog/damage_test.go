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

// Metadata files that are gone, cut short or overwritten are problems that name
// the file; what else can go wrong stays an error.
func TestVerifyDamagedMetadata(t *testing.T) {
	ctx := context.Background()
	files := map[string]func(t *testing.T, tbl *Table) string{
		"metadata file": func(_ *testing.T, tbl *Table) string { return tbl.MetadataLocation() },
		"manifest list": func(_ *testing.T, tbl *Table) string { return tbl.ice.CurrentSnapshot().ManifestList },
		"manifest": func(t *testing.T, tbl *Table) string {
			io, err := tbl.ice.FS(ctx)
			require.NoError(t, err)
			manifests, err := tbl.ice.CurrentSnapshot().Manifests(io)
			require.NoError(t, err)
			return manifests[0].FilePath()
		},
	}
	damages := map[string]func(path string) error{
		"gone":        os.Remove,
		"cut short":   func(path string) error { return os.Truncate(path, 300) },
		"empty":       func(path string) error { return os.Truncate(path, 0) },
		"overwritten": func(path string) error { return os.WriteFile(path, []byte("something else"), 0o644) },
	}
	for what, file := range files {
		for how, damage := range damages {
			t.Run(what+" "+how, func(t *testing.T) {
				c := initTest(t, testConfig(t))
				_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
				require.NoError(t, err)
				tbl, err := c.Load(ctx, AgentEvents)
				require.NoError(t, err)
				uri := file(t, tbl)
				require.NoError(t, damage(localPath(uri)))
				report, err := c.Verify(ctx, VerifyOptions{})
				require.NoError(t, err)
				require.False(t, report.OK)
				require.Len(t, report.Problems, 1)
				p := report.Problems[0]
				require.Equal(t, "metadata_unreadable", p.Kind)
				require.Equal(t, AgentEvents, p.Table)
				require.Equal(t, uri, p.File)
				require.Contains(t, p.Text, what+" "+uri)
				require.Contains(t, p.Text, "restored from a backup")
			})
		}
	}
	t.Run("a folder in the way is an error", func(t *testing.T) {
		c := initTest(t, testConfig(t))
		tbl, err := c.Load(ctx, AgentEvents)
		require.NoError(t, err)
		require.NoError(t, os.Remove(localPath(tbl.MetadataLocation())))
		require.NoError(t, os.Mkdir(localPath(tbl.MetadataLocation()), 0o755))
		_, err = c.Verify(ctx, VerifyOptions{})
		require.Error(t, err)
	})
	t.Run("not initialized is an error", func(t *testing.T) {
		_, err := openTest(t, testConfig(t)).Verify(ctx, VerifyOptions{})
		require.ErrorIs(t, err, ErrNotInitialized)
	})
}
