package sink

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/catalog"
)

// long has a sink keep what it reads pending for as long as a test takes.
func long(cfg Config) Config {
	cfg = quick(cfg)
	cfg.TargetLag = time.Hour
	return cfg
}

// ends waits for a daemon to end by itself.
func (d *daemon) ends(t *testing.T) error {
	t.Helper()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(faultPatience):
		t.Fatal("the sink goes on")
		return nil
	}
}

// pendingOf starts a daemon that has n records of a topic pending, and landed before of
// them in the tables.
func (l *lab) pendingOf(topic string, before, n int) *daemon {
	l.t.Helper()
	client := l.producer()
	require.NoError(l.t, l.broker.CreateTopic(topic, 1, nil))
	if before > 0 {
		for range before {
			l.sendTo(client, topic, 0)
		}
		cfg := l.config()
		cfg.Topics = []string{topic}
		l.catchUp(cfg)
	}
	d := l.start(func(cfg *Config) { *cfg = long(*cfg); cfg.Topics = []string{topic} })
	for range n {
		l.sendTo(client, topic, 0)
	}
	require.Eventually(l.t, func() bool { return d.Stats().Pending == int64(n) }, faultPatience, faultLook)
	return d
}

// next is the offset that the tables want of the only topic partition that they know.
func (l *lab) next() int64 {
	l.t.Helper()
	offsets := l.offsets()
	require.Len(l.t, offsets, 1)
	for _, o := range offsets {
		return o.Next
	}
	return -1
}

// Records that the sink has read and Kafka has no more are in the tables when the sink
// ends, and what is lost is told from there on.
func TestWhatIsPendingLandsBeforeAnEnd(t *testing.T) {
	t.Run("the topic was made again", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		d := l.pendingOf("gone", 10, 7)
		require.NoError(t, l.broker.DeleteTopic("gone"))
		require.NoError(t, l.broker.CreateTopic("gone", 1, nil))
		require.ErrorContains(t, d.ends(t), "topic gone was deleted and made again")
		require.EqualValues(t, 17, l.next())
	})
	t.Run("the topic was deleted with records that were not read", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		d := l.pendingOf("gone", 10, 7)
		d.mu.Lock()
		for _, p := range d.owned {
			p.high = 20 // a fetch told so
		}
		d.mu.Unlock()
		require.NoError(t, l.broker.DeleteTopic("gone"))
		require.ErrorContains(t, d.ends(t), "records [17, 20) of its partition 0 that were not read")
		require.EqualValues(t, 17, l.next())
	})
	t.Run("the log begins after what is read next", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		d := l.pendingOf("short", 0, 7)
		l.topic = "short"
		fault := l.broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: l.topic, Err: kerr.NotLeaderForPartition, Count: -1})
		require.Eventually(t, func() bool { return fault.Hits() > 0 }, faultPatience, faultLook)
		client := l.producer()
		for range 3 {
			l.sendTo(client, l.topic, 0)
		}
		l.deleteRecords()
		fault.Remove()
		require.ErrorContains(t, d.ends(t), "records [7, 10) of short/0 are gone from Kafka before they were in the table")
		require.EqualValues(t, 7, l.next())
	})
}

// Of a log that was truncated nothing that is pending may land: other records have its
// offsets by now, or will. That comes before whatever else ends the sink.
func TestTruncatedLog(t *testing.T) {
	cut := func(to int64) kgo.Fetches {
		return fetched("cut", kadm.TopicID{}, &kgo.ErrDataLoss{Topic: "cut", ConsumedTo: 17, ResetTo: to})
	}
	outOfRange := fetched("cut", kadm.TopicID{}, kerr.OffsetOutOfRange)
	for name, tc := range map[string]struct {
		poll kgo.Fetches
		want string
		code int
	}{
		"after what the tables hold":      {cut(12), "the log of cut/0 was truncated to 12 after it was read to 17", 1},
		"before":                          {cut(8), "the table is at offset 10 of cut/0, the log ends at 8", 3},
		"the broker does not say how far": {outOfRange, "the log of cut/0 no longer holds offset 17, to which it was read: it was truncated. The table is at offset 10", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			d := l.pendingOf("cut", 10, 7)
			err := d.work(t.Context(), append(kgo.NewErrFetch(kerr.GroupAuthorizationFailed), tc.poll...))
			var ours *Error
			require.ErrorAs(t, err, &ours)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, tc.code, ours.ExitCode())
			require.Zero(t, d.Stats().Pending)
			require.EqualValues(t, 10, l.next())
		})
	}
}

// begins is a cluster of which some topics are asked in vain, and others have lost
// their first records.
type begins struct {
	cluster
	at map[string]int64
}

func (b begins) ListStartOffsets(_ context.Context, topics ...string) (kadm.ListedOffsets, error) {
	out := kadm.ListedOffsets{}
	for _, topic := range topics {
		if at, ok := b.at[topic]; ok {
			out[topic] = map[int32]kadm.ListedOffset{0: {Topic: topic, Offset: at}}
		}
	}
	return out, nil
}

// All topic partitions of a poll are judged before what is pending of any lands.
func TestLogsAreJudgedTogether(t *testing.T) {
	poll := append(fetched("a", kadm.TopicID{}, kerr.OffsetOutOfRange), fetched("b", kadm.TopicID{}, kerr.OffsetOutOfRange)...)
	judge := func(at map[string]int64, change func(*Sink)) (*Sink, error) {
		s, err := New(Config{Brokers: []string{"b"}, Topics: []string{"a", "b"}, Log: slog.New(slog.DiscardHandler)}, nil)
		require.NoError(t, err)
		s.admin = begins{at: at}
		for _, topic := range []string{"a", "b"} {
			s.owned[topicPartition{topic: topic}] = &progress{id: catalog.TopicPartition{Topic: topic}, start: 3, next: 5}
		}
		change(s)
		return s, s.lostLog(t.Context(), poll)
	}
	oneCut := map[string]int64{"a": 9, "b": 0}
	_, err := judge(oneCut, func(*Sink) {})
	require.ErrorContains(t, err, "the log of b/0 no longer holds offset 5, to which it was read")

	s, _ := judge(oneCut, func(s *Sink) { s.stop = &Error{Text: "another reason"} })
	require.ErrorContains(t, s.work(t.Context(), poll), "the log of b/0 no longer holds offset 5", "and before what is pending lands for another reason")

	_, err = judge(map[string]int64{"a": 9}, func(*Sink) {})
	require.ErrorContains(t, err, "first offset of b/0: UNKNOWN_TOPIC_OR_PARTITION")
	var ours *Error
	require.NotErrorAs(t, err, &ours, "it would land what may be of a truncated log")

	_, err = judge(map[string]int64{"a": 9, "b": 9}, func(*Sink) {})
	require.ErrorContains(t, err, "records [5, 9) of")
	_, err = judge(oneCut, func(s *Sink) { s.rewind = true })
	require.NoError(t, err, "the errors are of offsets before the rewind")
}

// What could not land is told with the reason to end.
func TestWhatIsPendingCannotLand(t *testing.T) {
	l := newLab(t)
	d := l.pendingOf("short", 0, 7)
	l.faults.Store(&faultPlan{table: catalog.DeadLetters, fault: func(func() error) error { return catalog.Replaced("dead_letters", "a", "b") }})
	err := d.endBy(&Error{Text: "a reason"})
	require.ErrorContains(t, err, "a reason; what was read and not yet committed did not land: ")
	require.Zero(t, d.Stats().Pending)
	d.end(t)
}

// A topic that is deleted is let go long before the target lag, and said once.
func TestDeletedTopicWithRowsPending(t *testing.T) {
	l := newLab(t)
	d := l.pendingOf("gone", 0, 7)
	require.NoError(t, l.broker.DeleteTopic("gone"))
	d.awaitLine(t, wasDeleted)
	require.EqualValues(t, 7, l.next())
	require.LessOrEqual(t, d.has("msg=\"fetch; trying again\""), 3)
	d.end(t)
}

// failing is a client of which every poll brings an error of a topic partition at once.
type failing struct {
	consumer
	polls int
}

func (f *failing) PollFetches(context.Context) kgo.Fetches {
	f.polls++
	return fetched("t", kadm.TopicID{}, kerr.UnknownTopicID)
}
func (f *failing) AllowRebalance() {}
func (f *failing) CommitOffsetsSync(context.Context, map[string]map[int32]kgo.EpochOffset, func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error)) {
}

func fetched(topic string, id kadm.TopicID, err error, records ...*kgo.Record) kgo.Fetches {
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: topic, TopicID: id,
		Partitions: []kgo.FetchPartition{{Err: err, HighWatermark: int64(len(records)), Records: records}}}}}}
}

// Errors that come back at once, as those of a topic that is gone do, are waited for and
// said once.
func TestFetchErrorsThatComeBackAtOnce(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	said, client := &logged{}, &failing{}
	s, err := New(Config{Brokers: []string{"b"}, Topics: []string{"t"}, Log: slog.New(slog.NewTextHandler(said, nil))}, nil)
	require.NoError(t, err)
	s.client = client
	waits := 0
	s.wait = func(_ context.Context, d time.Duration) error {
		require.GreaterOrEqual(t, d, 10*time.Millisecond)
		if waits++; waits == 5 {
			stop()
		}
		return nil
	}
	require.ErrorIs(t, s.loop(ctx, nil), context.Canceled)
	require.Equal(t, 5, client.polls)
	require.Equal(t, 1, strings.Count(said.String(), "fetch; trying again"))
}

// Records of a topic that was made again are turned away, and what is pending of the
// former one lands. Whether that is the end is for the watch over topics to judge.
func TestRecordsOfATopicMadeAgain(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	s, err := New(l.config(), l.cat)
	require.NoError(t, err)
	was, is := kadm.TopicID{1}, kadm.TopicID{2}
	s.cfg.UntilCaughtUp, s.cfg.TargetLag = false, time.Hour
	s.client, s.cluster = &failing{}, &clusterInfo{id: "c", topicIDs: map[string]string{"t": was.String()}}
	s.owned[topicPartition{"t", 0}] = &progress{id: s.idOf(topicPartition{"t", 0}), deadNext: -1}
	var records []*kgo.Record
	for i := range 7 {
		records = append(records, &kgo.Record{Topic: "t", Offset: int64(i), Value: event(i)})
	}
	require.NoError(t, s.work(ctx, fetched("t", was, nil, records...)))
	require.NoError(t, s.work(ctx, fetched("t", was, kerr.UnknownTopicID)))
	require.EqualValues(t, 7, s.owned[topicPartition{"t", 0}].high)
	require.EqualValues(t, 7, s.Stats().Pending)
	err = s.work(ctx, fetched("t", is, nil, &kgo.Record{Topic: "t", Offset: 7, Value: event(7)}))
	require.EqualError(t, err, fmt.Sprintf("topic t was deleted and made again: its id was %s, it is now %s", was, is))
	require.True(t, s.mayMend(err))
	require.EqualValues(t, 7, l.next())
	require.Zero(t, s.Stats().Pending)
}
