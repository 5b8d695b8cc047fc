package sink

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
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
	p := &progress{id: catalog.TopicPartition{TopicID: "id"}, start: 3}
	s := &Sink{log: slog.New(slog.DiscardHandler), batch: &batch{}}
	s.peek = func(_ context.Context, _ topicPartition, topicID string, from int64) (int64, bool, error) {
		require.Equal(t, "id", topicID)
		asked = append(asked, from)
		return next, found, nil
	}
	look := func(known map[topicPartition]gap, at int64, moved time.Time) map[topicPartition]gap {
		asked = nil
		s.told.gaps = known
		s.told.last.Owned = []OwnedPartition{{Topic: "t", Partition: 1, of: p, next: at, moved: moved}}
		s.lookForGaps(ctx, map[topicPartition]ends{tp: {high: 12, readable: 9}})
		return s.told.gaps
	}
	require.Empty(t, look(nil, 5, time.Now()))
	require.Empty(t, look(nil, 9, silent))
	require.Empty(t, asked, "records came just now, or it is at the end")
	gaps := look(nil, 5, silent)
	require.Equal(t, map[topicPartition]gap{tp: {of: p, from: 5, to: 9}}, gaps)
	require.Equal(t, gaps, look(gaps, 5, silent))
	require.Empty(t, asked, "it is known")
	before := gaps
	p = &progress{id: p.id, start: 3}
	gaps = look(before, 5, silent)
	require.Equal(t, []int64{5}, asked, "it is read anew")

	found, next = true, 6
	records := look(gaps, 6, silent)
	require.Equal(t, []int64{6}, asked)
	require.Equal(t, records, look(records, 6, silent))
	require.Empty(t, asked)
	seen := records[tp]
	seen.found = seen.found.Add(-peekAgain)
	found, next = false, 9
	require.Equal(t, map[topicPartition]gap{tp: {of: p, from: 6, to: 9}}, look(map[topicPartition]gap{tp: seen}, 6, silent), "it was compacted away meanwhile")
	found, next = true, 8
	require.Equal(t, map[topicPartition]gap{tp: {of: p, from: 6, to: 8}}, look(nil, 6, silent), "up to the record")
	found, next = false, 7
	require.Empty(t, look(nil, 7, silent), "the broker does not know the end yet")
	require.Equal(t, []int64{7}, asked)

	s.told.gaps = gaps
	pass := func(p *progress, at int64) int64 {
		p.next = at
		s.owned = map[topicPartition]*progress{tp: p}
		require.NoError(t, s.passGaps(ctx))
		return p.next
	}
	require.EqualValues(t, 6, pass(p, 6))
	require.EqualValues(t, 5, pass(before[tp].of, 5), "of another reading")
	s.rewind = true
	require.EqualValues(t, 5, pass(p, 5))
	s.rewind = false
	require.EqualValues(t, 9, pass(p, 5))
	require.Equal(t, []catalog.Hole{{Start: 5, End: 9}}, p.tally.holes)
	s.told.gaps = records
	require.EqualValues(t, 6, pass(p, 6), "a record comes by the consumer")
}

// What is known to be empty is passed over, though the rest is not known, and as soon as
// it is known. Each topic partition has its time, and all of them have no more than one
// may be waited for: the next look goes on where that was over.
func TestGapsInParts(t *testing.T) {
	const hanging, all = 5, 7
	s := &Sink{}
	var begun []int32
	s.peek = func(ctx context.Context, tp topicPartition, _ string, from int64) (int64, bool, error) {
		switch {
		case ctx.Err() != nil:
			return 0, false, ctx.Err()
		case from < 6:
			if from == 3 {
				require.Len(t, s.told.gaps, len(begun), "what was found before is told")
				begun = append(begun, tp.partition)
			}
			return from + 1, false, nil
		case tp.partition < hanging:
			<-ctx.Done()
			return 0, false, ctx.Err()
		}
		return from, false, nil
	}
	ends := map[topicPartition]ends{}
	for i := range int32(all) {
		s.told.last.Owned = append(s.told.last.Owned, OwnedPartition{Topic: "t", Partition: i, of: &progress{}, next: 3})
		ends[topicPartition{"t", i}] = struct{ high, readable int64 }{9, 9}
	}
	synctest.Test(t, func(t *testing.T) {
		look := func() time.Duration {
			began := time.Now()
			s.lookForGaps(t.Context(), ends)
			for tp, g := range s.told.gaps {
				require.EqualValues(t, 6, g.to, "%v", tp)
			}
			return time.Since(began) // of a clock that nothing but waiting moves
		}
		require.Equal(t, connectTimeout, look())
		require.Equal(t, []int32{0, 1, 2, 3}, begun)
		require.Equal(t, peekTimeout, look())
		require.Equal(t, []int32{0, 1, 2, 3, 4, 5, 6}, begun)

		// It goes on there also where nothing was found.
		s.told.gaps, begun = nil, nil
		s.peek = func(ctx context.Context, tp topicPartition, _ string, _ int64) (int64, bool, error) {
			begun = append(begun, tp.partition)
			<-ctx.Done()
			return 0, false, ctx.Err()
		}
		s.told.lookNext = topicPartition{}
		for range 3 {
			look()
		}
		require.Equal(t, []int32{0, 1, 2, 3, 3, 4, 5, 6, 6, 0, 1, 2}, begun)
	})
}

// A job has nobody beside it who looks for gaps, and nobody who hears how it does: one at
// the end of what it is to read does not hold it.
func TestJobAlonePassesAGapAtItsEnd(t *testing.T) {
	t.Parallel()
	l, ctx := newLab(t), context.Background()
	l.topic = "held-alone"
	require.NoError(t, l.broker.CreateTopic(l.topic, 1, nil))
	aborted, open := l.producer(kgo.TransactionalID("aborted")), l.producer(kgo.TransactionalID("open"))
	l.sendTo(l.producer(), l.topic, 0)
	l.sent++
	require.NoError(t, aborted.BeginTransaction())
	l.sendTo(aborted, l.topic, 0)
	require.NoError(t, open.BeginTransaction())
	l.sendTo(open, l.topic, 0)
	require.NoError(t, aborted.EndTransaction(ctx, kgo.TryAbort))
	cfg := l.config()
	require.Nil(t, cfg.OnProgress)
	require.EqualValues(t, 1, l.catchUp(cfg).CommittedRows)
	require.EqualValues(t, 2, l.next(), "the last stable offset")
	l.requireOnce()
	require.NoError(t, open.EndTransaction(ctx, kgo.TryAbort))
}
