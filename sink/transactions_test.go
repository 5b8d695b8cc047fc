package sink

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/sink/kafkatest"
)

// Records of an aborted transaction lie below one that is open, and the marker that
// tells of the abort above it: the consumer stays silent. A sink that runs on is not
// behind there, and a job of its group, which waits for it, ends.
func TestSinkPassesAbortedRecordsBelowAnOpenTransaction(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.topic = "held"
	require.NoError(t, l.broker.CreateTopic(l.topic, 1, nil))
	passesAborted(l, l.config())
}

func onKafkaHeldBack(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, _ := newLabOnKafka(t, broker, "held-daemon", 1)
	passesAborted(l, cfg)
}

func passesAborted(l *lab, cfg Config) {
	t, ctx := l.t, context.Background()
	plain, aborted, open := l.producer(), l.producer(kgo.TransactionalID("aborted")), l.producer(kgo.TransactionalID("open"))
	send := func(client *kgo.Client) { l.sendTo(client, l.topic, 0); l.sent++ }
	send(plain)
	require.NoError(t, aborted.BeginTransaction())
	l.sendTo(aborted, l.topic, 0)
	require.NoError(t, open.BeginTransaction())
	send(open)
	send(plain)
	require.NoError(t, aborted.EndTransaction(ctx, kgo.TryAbort))
	s, stop := l.begin(cfg)
	committed := func() (next int64) {
		for _, o := range l.offsets() {
			next = o.Next // of the one topic partition
		}
		return next
	}
	require.Eventually(t, func() bool { return committed() == 2 }, faultPatience, 50*time.Millisecond, "the last stable offset")
	require.EqualValues(t, 1, s.Stats().CommittedRows)
	l.catchUp(cfg) // while the other one is there
	require.NoError(t, open.EndTransaction(ctx, kgo.TryCommit))
	require.Eventually(t, func() bool { return committed() == 6 }, faultPatience, 50*time.Millisecond, "three records, one that was aborted, two markers")
	stop()
	l.requireOnce()
}

// What is next is looked for where reading is silent below what can be read, and once
// at each offset; a topic partition goes over a gap only where it stands before it.
func TestGaps(t *testing.T) {
	ctx, tp, silent := context.Background(), topicPartition{"t", 1}, time.Now().Add(-time.Minute)
	var asked []int64
	next, found := int64(9), false
	s := &Sink{log: slog.New(slog.DiscardHandler), batch: &batch{}}
	s.peek = func(_ context.Context, _ topicPartition, topicID string, from int64) (int64, bool, error) {
		require.Equal(t, "id", topicID)
		asked = append(asked, from)
		return next, found, nil
	}
	look := func(known map[topicPartition]gap, at int64, moved time.Time) map[topicPartition]gap {
		asked = nil
		s.told.last.Owned = []OwnedPartition{{Topic: "t", Partition: 1, topicID: "id", next: at, moved: moved}}
		return s.lookForGaps(ctx, known, map[topicPartition]ends{tp: {high: 12, readable: 9}})
	}
	require.Empty(t, look(nil, 5, time.Now()))
	require.Empty(t, look(nil, 9, silent))
	require.Empty(t, asked, "records came just now, or it is at the end")
	gaps := look(nil, 5, silent)
	require.Equal(t, map[topicPartition]gap{tp: {topicID: "id", from: 5, to: 9}}, gaps)
	require.Equal(t, gaps, look(gaps, 5, silent))
	require.Empty(t, asked, "it is known")
	found = true
	records := look(gaps, 6, silent)
	require.Equal(t, []int64{6}, asked)
	require.Equal(t, records, look(records, 6, silent))
	require.Empty(t, asked)
	found, next = false, 7
	require.Empty(t, look(nil, 7, silent), "the broker does not know the end yet")
	require.Equal(t, []int64{7}, asked)

	s.told.gaps = gaps
	pass := func(p progress) progress {
		s.owned = map[topicPartition]*progress{tp: &p}
		require.NoError(t, s.passGaps(ctx))
		return p
	}
	at := func(id string, next int64) progress {
		return progress{id: catalog.TopicPartition{TopicID: id}, start: 3, next: next}
	}
	require.Equal(t, at("id", 6), pass(at("id", 6)))
	require.Equal(t, at("another", 5), pass(at("another", 5)))
	s.rewind = true
	require.Equal(t, at("id", 5), pass(at("id", 5)))
	s.rewind = false
	want := at("id", 9)
	want.tally.holes = []catalog.Hole{{Start: 5, End: 9}}
	require.Equal(t, want, pass(at("id", 5)))
	s.told.gaps = records
	require.Equal(t, at("id", 6), pass(at("id", 6)), "a record comes by the consumer")
}
