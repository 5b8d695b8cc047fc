package sink

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// A sink that is started against the wrong cluster is refused and leaves nothing in
// the tables that would have the right one refused from then on.
func TestRefusedStartNotesNothing(t *testing.T) {
	l := newLab(t)
	l.produce(20, 0)
	l.catchUp(l.config())
	other, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, testTopic), kfake.ClusterID("another"))
	require.NoError(t, err)
	t.Cleanup(other.Close)
	cfg := l.config()
	cfg.Brokers, cfg.StartLatest, cfg.Client = other.ListenAddrs(), true, nil
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	require.ErrorContains(t, s.Run(context.Background()), "give each cluster its own catalog.namespace")
	l.produce(10, 0)
	l.catchUp(l.config())
	l.requireOnce()
}
