package sink

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// An entry of which the tables know a topic is no new one, also when that topic is gone.
func TestLatestIsForEntriesThatAreNew(t *testing.T) {
	l := newLab(t)
	cfg := l.config()
	cfg.Topics, cfg.StartLatest = []string{"^day-"}, true
	require.NoError(t, l.broker.CreateTopic("day-1", 1, nil))
	client := l.producer()
	l.sendTo(client, "day-1", 0)
	require.Zero(t, l.catchUp(cfg).CommittedRows, "it was there before")
	l.sendTo(client, "day-1", 0)
	require.EqualValues(t, 1, l.catchUp(cfg).CommittedRows)

	require.NoError(t, l.broker.DeleteTopic("day-1"))
	require.NoError(t, l.broker.CreateTopic("day-2", 1, nil))
	client = l.producer()
	for range 5 {
		l.sendTo(client, "day-2", 0)
	}
	require.EqualValues(t, 5, l.catchUp(cfg).CommittedRows)
}

// Who starts at the end reads what a transaction that is open then commits later.
func TestLatestBeginsBeforeOpenTransactions(t *testing.T) {
	l := newLab(t)
	cfg := l.config()
	cfg.Topics, cfg.StartLatest = []string{"open"}, true
	require.NoError(t, l.broker.CreateTopic("open", 1, nil))
	plain, tx := l.producer(), l.producer(kgo.TransactionalID("open"))
	l.sendTo(plain, "open", 0)
	require.NoError(t, tx.BeginTransaction())
	l.sendTo(tx, "open", 0)
	l.sendTo(plain, "open", 0)
	require.Zero(t, l.catchUp(cfg).CommittedRows)
	for _, o := range l.offsets() {
		require.EqualValues(t, 1, o.Next)
	}
	require.NoError(t, tx.EndTransaction(context.Background(), kgo.TryCommit))
	require.EqualValues(t, 2, l.catchUp(cfg).CommittedRows)
}

// What a running sink sees appear begins at its first record whatever happens next:
// that is noted when it is assigned, not with its first snapshot commit.
func TestLatestNotesWhatAppears(t *testing.T) {
	l := newLab(t)
	cfg := quick(l.config())
	cfg.Topics, cfg.StartLatest = []string{l.topic, "later"}, true
	s, stop := l.begin(cfg)
	require.Eventually(t, func() bool { return len(s.Stats().Owned) == 3 }, faultPatience, faultLook)
	require.NoError(t, l.broker.CreateTopic("later", 1, nil))
	require.Eventually(t, func() bool {
		for id, o := range l.offsets() {
			if id.Topic == "later" {
				return o.Next == 0
			}
		}
		return false
	}, faultPatience, faultLook)
	stop()
	l.sendTo(l.producer(), "later", 0)
	require.EqualValues(t, 1, l.catchUp(cfg).CommittedRows)
}

// Two sinks start at once, one with a topic more: what the other has noted first holds,
// and the rest is noted too.
func TestLatestNotesWhatAnotherDidNot(t *testing.T) {
	l := newLab(t)
	require.NoError(t, l.broker.CreateTopic("more", 1, nil))
	client := l.producer()
	for range 5 {
		l.sendTo(client, "more", 0)
	}
	l.produce(5, 0)
	tables := l.catalog
	tables.Intercept = nil
	other, err := catalog.Open(context.Background(), tables)
	require.NoError(t, err)
	t.Cleanup(func() { other.Close() })
	cfg := l.config()
	cfg.StartLatest = true
	first := cfg
	first.Group = "first"
	l.faults.Store(&faultPlan{table: catalog.AgentEvents, fault: func(land func() error) error {
		s, err := New(first, other)
		require.NoError(t, err)
		require.NoError(t, s.Run(context.Background()))
		return land()
	}})
	cfg.Topics = []string{l.topic, "more"}
	require.Zero(t, l.catchUp(cfg).CommittedRows, "all of it was there before")
	require.Len(t, l.offsets(), 4)
	require.Nil(t, l.faults.Load(), "nothing was noted")
}
