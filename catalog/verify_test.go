package catalog

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Each case breaks one thing that verify claims to find.
func TestVerifyFinds(t *testing.T) {
	ctx := context.Background()
	commit := func(t *testing.T, c *Catalog, table string, r Range, offsets ...int64) {
		r.TopicPartition = testTP
		b := Batch{ID: uuid.NewString(), Ranges: []Range{r}}
		if len(offsets) > 0 {
			b.Files = []DataFile{writeRows(t, c, table, offsets...)}
		}
		_, err := c.CommitBatch(ctx, table, b)
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
