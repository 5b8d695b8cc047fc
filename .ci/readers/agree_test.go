package readers

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/sink/kafkatest"
)

// Odd values in every kind of column, before and after the table has changed: a
// column that another engine dropped and migrate added again, and a partition
// spec that was changed. Old snapshots stay what they were.
func testReadersAgree(t *testing.T, kafka *kafkatest.Broker) {
	topic := newTopic(t, kafka)
	spec := `tables: {agent_events: {partition_by: ["day(event_time)", event_class, tenant]}}`
	l := localLake(t, kafka.Addr(), topic, spec)
	l.must("init")
	send(t, kafka.Addr(), topic, oddRecords(300, 1)...)
	l.catchUp()
	l.requireVerified()
	first := l.requireAgreed("agent_events", oddWhere...)
	require.Equal(t, 300, first.Rows)
	then := l.snapshots("agent_events")
	require.Equal(t, 30, l.requireAgreed("dead_letters", deadWhere...).Rows)

	dropped := []string{"variant", "finish_reasons", "cost_amount", "seed"}
	started(t, "pyiceberg").ask(t, map[string]any{"do": "drop_columns", "lake": l.spec, "table": "agent_events", "names": dropped}, &struct{}{})
	send(t, kafka.Addr(), topic, oddRecords(60, 2)...)
	l.catchUp()
	l.absent = dropped
	without := l.requireAgreed("agent_events")
	require.Equal(t, 360, without.Rows)
	require.NotContains(t, without.Types, "seed")

	l.absent = nil
	l.configure(strings.Replace(l.text, spec, `tables: {agent_events: {partition_by: ["month(event_time)", event_class, "bucket[3](tenant)", "truncate[3](subject)"]}}`, 1))
	migrated := l.must("migrate")
	for _, name := range dropped {
		require.Contains(t, migrated, name)
	}
	send(t, kafka.Addr(), topic, oddRecords(200, 3)...)
	l.catchUp()
	l.requireVerified()
	last := l.requireAgreed("agent_events", oddWhere...)
	require.Equal(t, 560, last.Rows)
	require.Greater(t, last.Columns["variant"].Nulls, 360, "what was dropped is gone for good")
	require.Less(t, last.Columns["variant"].Nulls, 560)
	require.Equal(t, first.Types["cost_amount"], last.Types["cost_amount"])

	// PyIceberg takes a condition's columns from the table as it is now.
	kept := slices.DeleteFunc(slices.Clone(oddWhere), func(c condition) bool {
		return slices.ContainsFunc(c, func(term [3]any) bool { return slices.Contains(dropped, term[0].(string)) })
	})
	for _, name := range engines[1:] {
		old, err := l.read(name, "agent_events", then[len(then)-1], kept...)
		require.NoError(t, err)
		require.Empty(t, old.contradictions(kept), "the earlier snapshot")
		require.Empty(t, differences(first, old, nil), "the earlier snapshot, read by %s", name)
	}
}

// The comparison sees one value that is not as it was, and two that changed places.
func testDifferencesAreSeen(t *testing.T, kafka *kafkatest.Broker) {
	topic := newTopic(t, kafka)
	l := localLake(t, kafka.Addr(), topic, "")
	l.must("init")
	send(t, kafka.Addr(), topic, oddRecords(40, 5)...)
	l.catchUp()
	before := l.requireAgreed("agent_events")
	at := l.rows(`SELECT kafka_partition AS p, kafka_offset AS o FROM agent_log ORDER BY ALL LIMIT 2`)
	require.Len(t, at, 2)

	l.spark("agent_events", `UPDATE {table} SET top_k = 0.30000000000000004 WHERE kafka_partition = 0 AND kafka_offset = 0`)
	one := l.requireAgreed("agent_events")
	found := differences(before, one, nil)
	require.Len(t, found, 2, "%v", found)
	require.Contains(t, found[0], "column top_k")
	require.Contains(t, found[1], "the rows' checksums")

	l.spark("agent_events", `UPDATE {table} SET event_id = CASE kafka_offset WHEN 0 THEN (SELECT max(event_id) FROM {table} WHERE kafka_partition = 0 AND kafka_offset = 1)
		ELSE (SELECT max(event_id) FROM {table} WHERE kafka_partition = 0 AND kafka_offset = 0) END WHERE kafka_partition = 0 AND kafka_offset IN (0, 1)`)
	two := l.requireAgreed("agent_events")
	found = differences(one, two, nil)
	require.Len(t, found, 1, "%v", found)
	require.Contains(t, found[0], "the rows' checksums")
}
