package catalog

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Each case breaks one thing that verify claims to find.
func TestVerifyFinds(t *testing.T) {
	ctx := context.Background()
	commit := func(t *testing.T, c *Catalog, name string, r Range, offsets ...int64) {
		r.TopicPartition = testTP
		b := Batch{ID: uuid.NewString(), Ranges: []Range{r}}
		if len(offsets) > 0 {
			b.Files = []DataFile{writeRows(t, c, name, offsets...)}
		}
		_, err := c.CommitBatch(ctx, name, b)
		require.NoError(t, err)
	}
	// foreign is an append as other engines make it.
	foreign := func(t *testing.T, c *Catalog, name string, offsets ...int64) {
		tbl, err := c.Load(ctx, name)
		require.NoError(t, err)
		tx := tbl.ice.NewTransaction()
		require.NoError(t, tx.AddDataFiles(ctx, []iceberg.DataFile{writeRows(t, c, name, offsets...).ice}, nil, table.WithoutAutoNameMapping()))
		_, err = tx.Commit(ctx)
		require.NoError(t, err)
	}
	cases := []struct {
		name string
		make func(t *testing.T, c *Catalog)
		want []string // kinds
	}{
		{"nothing wrong", func(t *testing.T, c *Catalog) {
			commit(t, c, DeadLetters, Range{Start: 0, End: 10, Rows: 1, DeadLetters: 1}, 4)
			commit(t, c, AgentEvents, Range{Start: 0, End: 10, Rows: 8, Events: 8, DeadLetters: 1, Holes: []Hole{{9, 10}}}, 0, 1, 2, 3, 5, 6, 7, 8)
		}, nil},
		{"a dead letter that landed before its events", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 2, Rows: 2, Events: 2}, 0, 1)
			commit(t, c, DeadLetters, Range{Start: 0, End: 10, Rows: 1, DeadLetters: 1}, 4)
		}, nil},
		{"more holes than are listed", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 10, Rows: 4, Events: 4, Holes: []Hole{{1, 2}}, HolesOmitted: 5}, 0, 2, 4, 6)
		}, nil},
		{"gap", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 4, Rows: 3, Events: 4}, 0, 1, 3)
		}, []string{"count", "gap"}},
		{"unlisted hole", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 4, Rows: 3, Events: 3}, 0, 1, 3)
		}, []string{"range", "gap"}},
		{"a row where a hole was", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 4, Rows: 4, Events: 3, Holes: []Hole{{2, 3}}}, 0, 1, 2, 3)
		}, []string{"count", "range"}},
		{"duplicate", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 3, Rows: 4, Events: 3}, 0, 1, 1, 2)
		}, []string{"duplicate", "count"}},
		{"event and dead letter", func(t *testing.T, c *Catalog) {
			commit(t, c, DeadLetters, Range{Start: 0, End: 3, Rows: 1, DeadLetters: 1}, 1)
			commit(t, c, AgentEvents, Range{Start: 0, End: 3, Rows: 3, Events: 3}, 0, 1, 2)
		}, []string{"in_both_tables", "count"}},
		{"rows beyond the offset", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 2, Rows: 3, Events: 2}, 0, 1, 2)
		}, []string{"beyond_committed", "count"}},
		{"rows before the first offset", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 5, End: 7, Rows: 3, Events: 2}, 1, 5, 6)
		}, []string{"beyond_committed", "count"}},
		{"count of the snapshot", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 2, Rows: 7, Events: 2}, 0, 1)
		}, []string{"count", "count"}},
		{"rows of an unknown topic partition", func(t *testing.T, c *Catalog) {
			_, err := c.CommitBatch(ctx, AgentEvents, Batch{ID: uuid.NewString(), Files: []DataFile{writeRows(t, c, AgentEvents, 1)}})
			require.NoError(t, err)
		}, []string{"count", "beyond_committed"}},
		{"snapshots end before the offset", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 4, Rows: 4, Events: 4}, 0, 1, 2, 3)
			setOffset(t, c, Offset{First: 0, Next: 3})
		}, []string{"range", "beyond_committed"}},
		{"snapshots leave offsets out", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 3, Rows: 3, Events: 3}, 0, 1, 2)
			setOffset(t, c, Offset{First: 0, Next: 5})
			commit(t, c, AgentEvents, Range{Start: 5, End: 7, Rows: 2, Events: 2}, 5, 6)
		}, []string{"range", "gap"}},
		{"no snapshot for the first offsets", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 3, End: 5, Rows: 2, Events: 2}, 3, 4)
			setOffset(t, c, Offset{First: 1, Next: 5})
		}, []string{"range", "gap"}},
		{"offsets without any snapshot", func(t *testing.T, c *Catalog) {
			setOffset(t, c, Offset{First: 0, Next: 2})
		}, []string{"range", "gap"}},
		{"two clusters", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 2, Rows: 2, Events: 2}, 0, 1)
			commitOther(t, c, TopicPartition{"c/2", testTP.Topic, testTP.TopicID, testTP.Partition})
		}, []string{"range"}},
		{"two topic ids", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 2, Rows: 2, Events: 2}, 0, 1)
			commitOther(t, c, TopicPartition{testTP.ClusterID, testTP.Topic, "id-2", testTP.Partition})
		}, []string{"range"}},
		{"a file of fewer rows than the manifest says", func(t *testing.T, c *Catalog) {
			b := eventBatch(t, c, 0, 3)
			b.Files[0].ice = withRows(t, c, b.Files[0].ice, 4)
			_, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
		}, []string{"count", "count", "count"}}, // of the file, the snapshot, the table
		{"rows lost where holes are not listed", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 10, Rows: 4, Events: 4, Holes: []Hole{{1, 2}}, HolesOmitted: 5}, 0, 2, 4)
		}, []string{"count", "count", "gap", "gap"}},
		{"events of somebody else", func(t *testing.T, c *Catalog) {
			commit(t, c, AgentEvents, Range{Start: 0, End: 2, Rows: 2, Events: 2}, 0, 1)
			foreign(t, c, AgentEvents, 2)
		}, []string{"range", "beyond_committed"}},
		{"dead letters of somebody else", func(t *testing.T, c *Catalog) {
			foreign(t, c, DeadLetters, 2)
		}, []string{"range", "beyond_committed"}},
		{"file gone", func(t *testing.T, c *Catalog) {
			b := eventBatch(t, c, 0, 3)
			_, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
			require.NoError(t, os.Remove(localPath(b.Files[0].URI)))
		}, []string{"file_missing", "count", "count", "gap"}},
		{"file cut short", func(t *testing.T, c *Catalog) {
			b := eventBatch(t, c, 0, 3)
			_, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(localPath(b.Files[0].URI), b.Files[0].Size-1))
		}, []string{"file_size", "count", "count", "gap"}},
		{"file overwritten", func(t *testing.T, c *Catalog) {
			b := eventBatch(t, c, 0, 3)
			_, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(localPath(b.Files[0].URI), []byte(strings.Repeat("x", int(b.Files[0].Size))), 0o644))
		}, []string{"file_unreadable", "count", "count", "gap"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := initTest(t, testConfig(t))
			tc.make(t, c)
			report, err := c.Verify(ctx, VerifyOptions{})
			require.NoError(t, err)
			var kinds []string
			for _, p := range report.Problems {
				kinds = append(kinds, p.Kind)
				require.NotEmpty(t, p.Text)
			}
			require.ElementsMatch(t, tc.want, kinds, "%+v", report.Problems)
			require.Equal(t, len(tc.want) == 0, report.OK)
		})
	}
}

// setOffset overwrites the committed offset of testTP in agent_events.
func setOffset(t *testing.T, c *Catalog, o Offset) {
	text, err := json.Marshal(o)
	require.NoError(t, err)
	setProperty(t, c, offsetKey(testTP), string(text))
}

// commitOther lands an offset of another log that has the name of testTP.
func commitOther(t *testing.T, c *Catalog, tp TopicPartition) {
	_, err := c.CommitBatch(context.Background(), AgentEvents, Batch{ID: uuid.NewString(), Ranges: []Range{
		{TopicPartition: tp, Start: 0, End: 2, Holes: []Hole{{0, 2}}}}})
	require.NoError(t, err)
}

// withRows is the entry of a data file that claims another count of rows.
func withRows(t *testing.T, c *Catalog, f iceberg.DataFile, rows int64) iceberg.DataFile {
	tbl, err := c.Load(context.Background(), AgentEvents)
	require.NoError(t, err)
	b, err := iceberg.NewDataFileBuilder(tbl.ice.Spec(), f.ContentType(), f.FilePath(), f.FileFormat(), f.Partition(), nil, nil, rows, f.FileSizeBytes())
	require.NoError(t, err)
	return b.Build()
}

// Counts per snapshot cannot be checked once their snapshots have expired: that
// is a note, not a problem.
func TestVerifyAfterExpiry(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	other := testTP
	other.Partition = 9
	_, err := c.CommitBatch(ctx, AgentEvents, Batch{ID: "holes", Ranges: []Range{{TopicPartition: other, End: 4, Holes: []Hole{{0, 4}}}}})
	require.NoError(t, err)
	for i := range int64(3) {
		_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, i, i+1))
		require.NoError(t, err)
	}
	require.Empty(t, verifyClean(t, c).Notes)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	tx := tbl.ice.NewTransaction()
	require.NoError(t, tx.ExpireSnapshots(table.WithOlderThan(0), table.WithRetainLast(1)))
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
	report, err := c.Verify(ctx, VerifyOptions{})
	require.NoError(t, err)
	require.Len(t, report.Notes, 2)
	require.Contains(t, report.Notes[0], "none that is left accounts for offsets [0, 2)")
	require.Contains(t, report.Notes[1], "none that is left accounts for offsets [0, 4)")
	// Holes are known from the snapshots alone.
	require.Len(t, report.Problems, 1, "%+v", report.Problems)
	require.Equal(t, "gap", report.Problems[0].Kind)
	require.EqualValues(t, 9, report.Problems[0].Partition)
}

// A sink that commits while verify looks is no fault: what lands between the
// loads of the two tables must not show half.
func TestVerifyDuringASnapshotCommit(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 5))
	require.NoError(t, err)
	land := func(table string, r Range, offsets ...int64) {
		r.TopicPartition = testTP
		_, err := c.CommitBatch(ctx, table, Batch{ID: uuid.NewString(), Ranges: []Range{r}, Files: []DataFile{writeRows(t, c, table, offsets...)}})
		require.NoError(t, err)
	}
	report, err := c.Verify(ctx, VerifyOptions{loaded: func() {
		land(DeadLetters, Range{Start: 0, End: 8, Rows: 1, DeadLetters: 1}, 6)
		land(AgentEvents, Range{Start: 5, End: 8, Rows: 2, Events: 2, DeadLetters: 1}, 5, 7)
	}})
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.EqualValues(t, 5, report.Partitions[0].Next)
	require.EqualValues(t, 8, verifyClean(t, c).Partitions[0].Next)
}

func localPath(uri string) string { return strings.TrimPrefix(uri, "file://") }
