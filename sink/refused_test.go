package sink

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
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

// The same where one of its workers would own a topic that is new, and the other one
// the topic that is refused.
func TestRefusedStartOfTwoWorkersNotesNothing(t *testing.T) {
	l := newLab(t)
	l.produce(20, 0)
	l.catchUp(l.config())
	other, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, testTopic, "second"), kfake.ClusterID("another"), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(other.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(other.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	for i := range 10 {
		require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: "second", Value: event(i)}).FirstErr())
	}
	before := l.offsets()
	other.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		other.KeepControl()
		t.Error("a worker joins the group, so that it may be given the topic that is new")
		return nil, nil, false
	})
	for try := range 4 { // who gets what is up to the group
		cfg := l.config()
		cfg.Brokers, cfg.Topics, cfg.UntilCaughtUp, cfg.Group = other.ListenAddrs(), []string{testTopic, "second"}, false, fmt.Sprint("g", try)
		workers, ctx := errgroup.WithContext(context.Background())
		for range 2 {
			s, err := New(cfg, l.cat)
			require.NoError(t, err)
			workers.Go(func() error { return s.Run(ctx) })
		}
		require.ErrorContains(t, workers.Wait(), "give each cluster its own catalog.namespace")
		require.Equal(t, before, l.offsets())
	}
}
