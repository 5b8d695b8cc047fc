package catalog

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The empty text is a bound like any other in the partition summaries that
// readers skip manifests by, in the commit that adds it and in those after it.
func TestEmptyTextIsABound(t *testing.T) {
	c := openTest(t, testConfig(t))
	_, err := c.Init(context.Background(), InitOptions{PartitionBy: map[string][]string{AgentEvents: {"event_class", "tenant"}}})
	require.NoError(t, err)
	none := []byte{}
	want := map[int64][2][]byte{}
	at := int64(0)
	for _, texts := range [][]string{{"", "b"}, {""}, {"a"}} {
		b := Batch{ID: uuid.NewString(), Version: "test"}
		start := at
		for _, text := range texts {
			b.Files = append(b.Files, writeTextRows(t, c, AgentEvents, text, at))
			at++
		}
		b.Ranges = []Range{{TopicPartition: testTP, Start: start, End: at, Rows: at - start, Events: at - start}}
		landed, err := c.CommitBatch(context.Background(), AgentEvents, b)
		require.NoError(t, err)
		want[landed.SnapshotID] = [2][]byte{[]byte(texts[0]), []byte(texts[len(texts)-1])}
	}
	tbl, err := c.Load(context.Background(), AgentEvents)
	require.NoError(t, err)
	io, err := tbl.ice.FS(context.Background())
	require.NoError(t, err)
	manifests, err := tbl.ice.CurrentSnapshot().Manifests(io)
	require.NoError(t, err)
	require.Len(t, manifests, 3)
	for _, m := range manifests {
		tenant := m.Partitions()[1]
		require.NotNil(t, tenant.LowerBound)
		require.NotNil(t, tenant.UpperBound)
		require.Equal(t, want[m.SnapshotID()], [2][]byte{append(none, *tenant.LowerBound...), append(none, *tenant.UpperBound...)})
		require.Equal(t, "prompt", string(*m.Partitions()[0].LowerBound))
	}
	verifyClean(t, c)
}
