package sink

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// The registry of the event and the table's definition are two rooms' truths
// about the same columns: this holds them together.
func TestRegistryAgreesWithTheTable(t *testing.T) {
	want := map[envelope.Kind]string{
		envelope.Text: "string", envelope.Integer: "long", envelope.Count: "long", envelope.Sequence: "long",
		envelope.Double: "double", envelope.Seconds: "double", envelope.Decimal9: "decimal(18, 9)",
		envelope.Timestamp: "timestamptz", envelope.TextList: "list<string>",
	}
	for _, def := range catalog.Definitions() {
		if def.Name != catalog.AgentEvents {
			continue
		}
		types := map[string]string{}
		for _, c := range def.Columns() {
			types[c.Name] = c.Type
		}
		for _, c := range envelope.Columns {
			require.Equal(t, want[c.Kind], types[c.Name], c.Name)
			delete(types, c.Name)
		}
		var rest []string
		for name := range types {
			rest = append(rest, name)
		}
		require.ElementsMatch(t, []string{"misfits", "payload", "kafka_topic", "kafka_partition", "kafka_offset", "record_index",
			"kafka_timestamp", "kafka_key", "kafka_headers", "ingest_time"}, rest, "columns that no attribute fills")
	}
}
