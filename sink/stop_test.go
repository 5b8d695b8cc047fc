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
	was, is := kadm.TopicID{1}, kadm.TopicID{2}
	s := l.unrun("t")
	s.cluster.learn("t", was.String())
	s.owned[topicPartition{"t", 0}].id.TopicID = was.String()
	require.NoError(t, s.work(ctx, fetched("t", was, nil, records("t", 7)...)))
	require.NoError(t, s.work(ctx, fetched("t", was, kerr.UnknownTopicID)))
	require.EqualValues(t, 7, s.owned[topicPartition{"t", 0}].high)
	require.EqualValues(t, 7, s.Stats().Pending)
	err := s.work(ctx, fetched("t", is, nil, &kgo.Record{Topic: "t", Offset: 7, Value: event(7)}))
	require.EqualError(t, err, fmt.Sprintf("topic t was deleted and made again: its id was %s, it is now %s", was, is))
	require.True(t, s.mayMend(err))
	require.EqualValues(t, 7, l.next())
	require.Zero(t, s.Stats().Pending)
}

// unrun is a daemon that does not run: a test does its work. It owns partition 0 of each
// topic, of which the tables know nothing.
func (l *lab) unrun(topics ...string) *Sink {
	l.t.Helper()
	cfg := l.config()
	cfg.UntilCaughtUp, cfg.TargetLag = false, time.Hour
	s, err := New(cfg, l.cat)
	require.NoError(l.t, err)
	s.client, s.cluster = &failing{}, &clusterInfo{id: "c", topicIDs: map[string]string{}}
	for _, topic := range topics {
		tp := topicPartition{topic, 0}
		s.owned[tp] = &progress{id: s.idOf(tp), deadNext: -1}
	}
	l.t.Cleanup(s.drop)
	return s
}

// records are the first n of partition 0 of a topic.
func records(topic string, n int) (out []*kgo.Record) {
	for i := range n {
		out = append(out, &kgo.Record{Topic: topic, Offset: int64(i), Value: event(i)})
	}
	return out
}

// A stop does not hide a reason to end that is there already and stays: the next sink
// would only tell it later. What may mend by itself, and the stop's own, are none.
func TestStopHidesNoReason(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	stop()
	refused, config := &Error{Text: "refused", Refused: true}, &catalog.ConfigError{Text: "no such table"}
	for name, tc := range map[string]struct {
		stop, watched, want error
		pending, job        bool
	}{
		"the stop alone":                         {},
		"a callback's":                           {stop: refused, want: refused},
		"a callback's, of the catalog":           {stop: config, want: config},
		"a callback's, with rows":                {stop: config, want: config, pending: true},
		"the watch's":                            {watched: refused, want: refused},
		"the watch's, with rows":                 {watched: refused, want: refused, pending: true},
		"the watch's end":                        {watched: context.Canceled},
		"a callback's that may mend":             {stop: errTest},
		"a callback's that may mend, of a job's": {stop: errTest, job: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			s := l.unrun("t")
			if tc.pending {
				require.NoError(t, s.work(context.Background(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
			}
			s.stop, s.cfg.UntilCaughtUp = tc.stop, tc.job
			s.admin = begins{}
			watched := make(chan error, 1)
			watched <- tc.watched
			require.Equal(t, tc.want, s.consume(stopped, watched))
			if tc.pending {
				require.EqualValues(t, 7, l.next(), "it lands before the end")
			}
		})
	}
	s := newLab(t).unrun()
	require.Equal(t, error(config), s.reasonBeside(config, nil), "the loop's own")
	require.NoError(t, s.reasonBeside(context.Canceled, nil))
}

// Nor does it where the time for what is pending has run out: the reason has the exit
// code, not the stop.
func TestStopThatRanOutOfTimeHidesNoReason(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	stop()
	l := newLab(t)
	s := l.unrun("t")
	require.NoError(t, s.work(context.Background(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
	s.stop, s.cfg.ShutdownTimeout = &Error{Text: "refused", Refused: true}, -time.Minute
	s.admin = begins{}
	err := s.consume(stopped, make(chan error))
	require.EqualError(t, err, "refused; what was read and not yet committed did not land: "+
		"stopped before the last snapshot commit; the next run starts where the tables are")
	require.NotErrorIs(t, err, context.Canceled, "it passes for an interrupt")

	err = withNotLanded(s.stop, fmt.Errorf("a file: %w", context.Canceled))
	require.NotErrorIs(t, err, context.Canceled)
	var ours *Error
	require.ErrorAs(t, err, &ours)
	require.Equal(t, 3, ours.ExitCode())
}

// A flush that ends by a reason that stays is not made again by a stop.
func TestStopAmidAFlushThatEndsTheSink(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	l := newLab(t)
	s := l.unrun("t")
	require.NoError(t, s.work(context.Background(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
	replaced, flushes := catalog.Replaced("dead_letters", "a", "b"), 0
	l.faults.Store(&faultPlan{table: catalog.DeadLetters, fault: func(func() error) error { stop(); return replaced }})
	s.cfg.OnFlush = func(Flush) { flushes++ }
	s.batch.due = time.Now()
	s.admin = begins{}
	require.EqualError(t, s.consume(ctx, make(chan error)), replaced.Error())
	require.Equal(t, 1, flushes)
	require.Empty(t, l.offsets())
}
