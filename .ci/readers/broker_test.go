package readers

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newTopic gives a broker, and a topic of three topic partitions for this test.
func newTopic(t testing.TB) (address, topic string) {
	t.Helper()
	topic = strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + "-events"
	if address = os.Getenv("AUDITLAKE_TEST_KAFKA"); address == "" {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		address = cluster.ListenAddrs()[0]
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(context.Background(), 3, 1, nil, topic)
	require.NoError(t, err)
	t.Cleanup(func() {
		client, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err == nil {
			_, _ = kadm.NewClient(client).DeleteTopic(context.Background(), topic) // the broker may be gone
			client.Close()
		}
	})
	return address, topic
}
