package sink

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Another member of the group is busy and holds up a rebalance. A sink that waits in
// it and is told to stop does not wait for the end of the rebalance, which would be
// after a minute.
func TestSinkStopsAmidARebalance(t *testing.T) {
	l := newLab(t)
	l.produce(30, 0)
	cfg := l.config()
	cfg.UntilCaughtUp, cfg.Group = false, "held"
	busy, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(l.topic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100*time.Millisecond))
	require.NoError(t, err)
	defer busy.CloseAllowingRebalance()
	polled, cancelPoll := context.WithTimeout(t.Context(), time.Minute)
	defer cancelPoll()
	require.NoError(t, busy.PollFetches(polled).Err()) // it is at work until AllowRebalance

	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	require.Eventually(t, func() bool {
		groups, err := l.admin.DescribeGroups(ctx, cfg.Group)
		return err == nil && groups[cfg.Group].State == "PreparingRebalance"
	}, 30*time.Second, 20*time.Millisecond)
	stop()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for the other member")
	}
}
