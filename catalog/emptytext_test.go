package catalog

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The empty text is a bound like any other in the partition summaries that
// readers skip manifests by: in the commit that adds it, in those after it, and
// where manifests are merged.
func TestEmptyTextIsABound(t *testing.T) {
	c := openTest(t, testConfig(t))
	_, err := c.Init(context.Background(), InitOptions{PartitionBy: map[string][]string{AgentEvents: {"event_class", "tenant"}}})
	require.NoError(t, err)
	at := int64(0)
	commit := func(texts ...string) {
		b := Batch{ID: uuid.NewString(), Version: "test"}
		start := at
		for _, text := range texts {
			b.Files = append(b.Files, writeTextRows(t, c, AgentEvents, text, at))
			at++
		}
		b.Ranges = []Range{{TopicPartition: testTP, Start: start, End: at, Rows: at - start, Events: at - start}}
		_, err := c.CommitBatch(context.Background(), AgentEvents, b)
		require.NoError(t, err)
	}
	commit("", "b")
	commit("", null)
	commit("")
	commit(null)
	commit("a", null)
	require.ElementsMatch(t, []string{`"" "b" false`, `"" "" true`, `"" "" false`, `none none true`, `"a" "a" true`}, tenantSummaries(t, c))

	// The manifests of an earlier partition spec are merged by the next commit.
	_, err = c.Migrate(context.Background(), MigrateOptions{PartitionBy: map[string][]string{AgentEvents: {"event_class", "truncate[4](tenant)"}}})
	require.NoError(t, err)
	commit("", "longer")
	require.ElementsMatch(t, []string{`"" "long" false`, `"" "b" true`}, tenantSummaries(t, c))
	verifyClean(t, c)
}

// tenantSummaries is, of every manifest, what the summary of the second partition field says.
func tenantSummaries(t *testing.T, c *Catalog) []string {
	tbl, err := c.Load(context.Background(), AgentEvents)
	require.NoError(t, err)
	io, err := tbl.ice.FS(context.Background())
	require.NoError(t, err)
	manifests, err := tbl.ice.CurrentSnapshot().Manifests(io)
	require.NoError(t, err)
	bound := func(b *[]byte) string {
		if b == nil {
			return "none"
		}
		return fmt.Sprintf("%q", *b)
	}
	var out []string
	for _, m := range manifests {
		require.Equal(t, "prompt", string(*m.Partitions()[0].LowerBound))
		s := m.Partitions()[1]
		out = append(out, fmt.Sprintf("%s %s %t", bound(s.LowerBound), bound(s.UpperBound), s.ContainsNull))
	}
	return out
}
