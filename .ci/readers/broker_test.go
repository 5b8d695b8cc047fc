package readers

import (
	"strings"
	"testing"

	"github.com/auditlake/auditlake/sink/kafkatest"
)

// TestRealParts runs what needs a Kafka on one.
func TestRealParts(t *testing.T) {
	startAll(t)
	kafka := kafkatest.Start(t, kafkatest.Options{})
	t.Run("ReadersAgree", func(t *testing.T) { testReadersAgree(t, kafka) })
	t.Run("DifferencesAreSeen", func(t *testing.T) { testDifferencesAreSeen(t, kafka) })
	t.Run("MaintenanceBySpark", func(t *testing.T) { testMaintenanceBySpark(t, kafka) })
	t.Run("CloudEventsSDKs", func(t *testing.T) { testCloudEventsSDKs(t, kafka) })
	for _, c := range catalogs {
		t.Run("WholePath/"+c.name, func(t *testing.T) { testWholePath(t, kafka, c.start) })
	}
}

// newTopic makes a topic of three topic partitions for this test. It keeps what
// its producer says is older than a week.
func newTopic(t *testing.T, kafka *kafkatest.Broker) string {
	t.Helper()
	topic := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	kafka.Topic(topic, 3, "retention.ms", "-1")
	return topic
}
