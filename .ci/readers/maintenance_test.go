package readers

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/sink/kafkatest"
)

// Spark rewrites the data files and manifests and expires snapshots; the table
// holds what it held, and ingest goes on.
func testMaintenanceBySpark(t *testing.T, kafka *kafkatest.Broker) {
	topic := newTopic(t, kafka)
	l := localLake(t, kafka.Addr(), topic, "")
	l.must("init")
	for seed := range uint64(4) {
		send(t, kafka.Addr(), topic, oddRecords(50, 10+seed)...)
		l.catchUp()
	}
	before := l.requireAgreed("agent_events", oddWhere...)
	require.GreaterOrEqual(t, len(l.snapshots("agent_events")), 4)

	results := l.spark("agent_events",
		"CALL {catalog}.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))",
		"CALL {catalog}.system.rewrite_manifests('{name}')",
		"CALL {catalog}.system.expire_snapshots(table => '{name}', older_than => TIMESTAMP '2999-01-01 00:00:00', retain_last => 1)")
	require.Positive(t, results[0][0]["rewritten_data_files_count"])
	require.Len(t, l.snapshots("agent_events"), 1)
	require.Empty(t, differences(before, l.requireAgreed("agent_events", oddWhere...), oddWhere))
	l.requireVerified()

	send(t, kafka.Addr(), topic, oddRecords(50, 20)...)
	l.catchUp()
	l.requireVerified()
	require.Equal(t, 250, l.requireAgreed("agent_events", oddWhere...).Rows)
}
