package sink

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/catalog"
)

// slowJoin has the consumer group take its time, as Kafka's does for a group that is
// new (group.initial.rebalance.delay.ms is 3 s): a job polls before it owns anything.
func (l *lab) slowJoin() {
	l.broker.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		l.broker.SleepControl(func() { time.Sleep(3 * time.Second) })
		return nil, nil, false
	})
}

func (l *lab) run(cfg Config) (*Sink, error) {
	l.t.Helper()
	s, err := New(cfg, l.cat)
	require.NoError(l.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = s.Run(ctx)
	require.NoError(l.t, ctx.Err(), "the sink does not end")
	return s, err
}

// deleteRecords empties the topic as retention does.
func (l *lab) deleteRecords() {
	l.t.Helper()
	ends, err := l.admin.ListEndOffsets(context.Background(), l.topic)
	require.NoError(l.t, err)
	_, err = l.admin.DeleteRecords(context.Background(), ends.Offsets())
	require.NoError(l.t, err)
}

// moveTables has the tables account for n more offsets of each topic partition than
// the log has, as after an unclean leader election.
func (l *lab) moveTables(n int64, partitions ...int32) {
	l.t.Helper()
	b := catalog.Batch{ID: uuid.NewString()}
	for id, o := range l.offsets() {
		for _, p := range partitions {
			if id.Partition == p {
				b.Ranges = append(b.Ranges, catalog.Range{TopicPartition: id, Start: o.Next, End: o.Next + n, Seen: o.Mark, Mark: b.ID,
					Holes: []catalog.Hole{{Start: o.Next, End: o.Next + n}}})
			}
		}
	}
	require.Len(l.t, b.Ranges, len(partitions))
	_, err := l.cat.CommitBatch(context.Background(), catalog.AgentEvents, b)
	require.NoError(l.t, err)
}

// A job looks before it says that it has caught up: also where nothing is left to
// read, and before the group has given it anything.
func TestJobLooksBeforeItHasCaughtUp(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *lab)
		want   string
	}{
		"records are gone and the log is empty": {func(l *lab) {
			l.produce(50, 0)
			l.deleteRecords()
		}, "gone from Kafka before they were in the table"},
		"the topic was made again and is empty": {func(l *lab) {
			_, err := l.admin.DeleteTopics(context.Background(), l.topic)
			require.NoError(t, err)
			_, err = l.admin.CreateTopics(context.Background(), 3, 1, nil, l.topic)
			require.NoError(t, err)
		}, "deleted and made again"},
		"the log is shorter than the tables": {func(l *lab) { l.moveTables(30, 0, 1, 2) }, "records were lost in Kafka after they were read"},
		"one log of three is, and another has records": {func(l *lab) {
			l.moveTables(1000, 1)
			l.produce(60, 0)
		}, "records were lost in Kafka after they were read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.produce(60, 0)
			l.catchUp(l.config())
			c.change(l)
			before := l.offsets()
			l.slowJoin()
			s, err := l.run(l.config())
			var e *Error
			require.ErrorAs(t, err, &e)
			require.ErrorContains(t, err, c.want)
			require.Zero(t, s.Stats().Commits)
			require.Equal(t, before, l.offsets())
		})
	}
}

// What other sinks of the group own is caught up with once it is in the tables. What
// holds no record needs nobody to read it.
func TestJobWaitsForOtherSinks(t *testing.T) {
	l := newLab(t)
	l.produce(30, 0)
	l.deleteRecords() // never read, so the tables say nothing of it
	cfg := l.config()
	cfg.TargetLag = time.Hour
	daemon, stop := l.begin(cfg)
	require.Eventually(t, func() bool { return len(daemon.Stats().Owned) == 3 }, faultPatience, 10*time.Millisecond)
	_, err := l.run(l.config())
	require.NoError(t, err)
	require.Empty(t, l.offsets())

	stop()

	ctx := context.Background()
	l.produce(30, 0)
	job, err := New(l.config(), l.cat)
	require.NoError(t, err)
	job.admin = l.admin
	now, err := findTopics(ctx, job.topics, job.admin, l.brokers)
	require.NoError(t, err)
	job.cluster = &clusterInfo{id: now.cluster, topicIDs: now.ids}
	require.NoError(t, job.setGoals(ctx))
	require.Len(t, job.goals, 3)
	require.NoError(t, job.checkCaughtUp(ctx), "nothing of it is in the tables")
	l.catchUp(l.config())
	l.produce(30, 0) // what comes later is no goal of it
	job.askedOthers = time.Time{}
	require.ErrorIs(t, job.checkCaughtUp(ctx), errCaughtUp)
}

// logs is a cluster that tells where the first partitions of topics end.
type logs struct {
	cluster
	ends map[string]int64
	id   kadm.TopicID
	err  error
}

func (c logs) ListEndOffsets(_ context.Context, topics ...string) (kadm.ListedOffsets, error) {
	out := kadm.ListedOffsets{}
	for _, topic := range topics {
		out[topic] = map[int32]kadm.ListedOffset{0: {Topic: topic, Offset: c.ends[topic]}}
	}
	if c.err != nil {
		return nil, c.err
	}
	return out, nil
}

func (c logs) Metadata(_ context.Context, topics ...string) (kadm.Metadata, error) {
	out := kadm.Metadata{Topics: kadm.TopicDetails{}}
	for _, topic := range topics {
		out.Topics[topic] = kadm.TopicDetail{Topic: topic, ID: c.id}
	}
	return out, nil
}

// A job does not wait for what a log had when it began and lost since, in a topic
// partition of its own or of another sink: it may never be there again.
func TestJobOfALogThatWasTruncated(t *testing.T) {
	id := kadm.TopicID{1}
	const ofA = "the log of a/0 ends at 8, and ended at 100 when this run began"
	for name, tc := range map[string]struct {
		change func(s *Sink)
		seen   map[string]int64
		kafka  logs
		want   string
		next   int64 // of the tables afterwards, of a
	}{
		"one that it reads":            {kafka: logs{ends: map[string]int64{"a": 8, "b": 9}}, want: ofA + ": it seems truncated", next: 7},
		"it was read to its end":       {kafka: logs{ends: map[string]int64{"a": 7, "b": 9}}, want: "the log of a/0 ends at 7", next: 7},
		"both":                         {kafka: logs{ends: map[string]int64{"a": 8, "b": 6}}, want: ofA + "; the log of b/0 ends at 6, and ended at 9", next: 7},
		"one that another one reads":   {change: func(s *Sink) { s.goals[topicPartition{"a", 0}] = 7 }, kafka: logs{ends: map[string]int64{"a": 8, "b": 6}}, want: "the log of b/0 ends at 6, and ended at 9", next: 7},
		"none":                         {kafka: logs{ends: map[string]int64{"a": 100, "b": 9}}},
		"it was seen before the goals": {seen: map[string]int64{"a": 8, "b": 9}, kafka: logs{ends: map[string]int64{"a": 100, "b": 9}}},
		"below what was read":          {kafka: logs{ends: map[string]int64{"a": 6, "b": 6}}},
		"Kafka does not tell":          {seen: map[string]int64{"a": 8, "b": 9}, kafka: logs{err: errTest}},
		"the topic was made again":     {seen: map[string]int64{"a": 8, "b": 9}, kafka: logs{ends: map[string]int64{"a": 8}, id: kadm.TopicID{2}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, ctx := newLab(t), t.Context()
			s := l.unrun("a")
			require.NoError(t, s.work(ctx, fetched("a", kadm.TopicID{}, nil, records("a", 7)...)))
			for _, topic := range []string{"a", "b"} {
				s.cluster.learn(topic, id.String())
			}
			s.cfg.UntilCaughtUp = true
			s.goals = map[topicPartition]int64{{"a", 0}: 100, {"b", 0}: 9}
			if tc.change != nil {
				tc.change(s)
			}
			if tc.kafka.id == (kadm.TopicID{}) {
				tc.kafka.id = id
			}
			if tc.seen == nil {
				tc.seen = tc.kafka.ends
			}
			s.admin, s.topics = logs{ends: tc.seen, id: id}, topicSet{names: []string{"a", "b"}}
			s.cfg.ReadUncommitted = true
			seen, err := s.askEnds(ctx)
			require.NoError(t, err)
			require.Len(t, seen, 2, "also of what it does not own")
			s.told.ends, s.admin = seen, tc.kafka
			err = s.work(ctx, nil)
			if tc.want == "" {
				require.NoError(t, err)
				require.EqualValues(t, 7, s.Stats().Pending)
				return
			}
			var ours *Error
			require.ErrorAs(t, err, &ours)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, 1, ours.ExitCode())
			require.Equal(t, tc.next, l.next())
		})
	}
}

// The same, amid a run: what was read lands, and the next run ends where the log does.
func TestJobWhoseLogIsCutAmidItsRun(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.topic = "cut"
	require.NoError(t, l.broker.CreateTopic(l.topic, 1, nil))
	client := l.producer()
	for range 8 {
		l.sendTo(client, l.topic, 0)
		l.sent++
	}
	var cut atomic.Bool
	l.broker.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.broker.KeepControl()
		asked := req.(*kmsg.ListOffsetsRequest)
		if cut.Load() || len(asked.Topics) != 1 || asked.Topics[0].Partitions[0].Timestamp != -1 {
			return nil, nil, false
		}
		answer := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic, partition := kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
		topic.Topic, partition.Offset = l.topic, 100
		topic.Partitions = append(topic.Partitions, partition)
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	cfg := l.config()
	cfg.TargetLag = time.Hour
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	require.Eventually(t, func() bool { s := s.Stats(); return s.CaughtUpGoal == 100 && s.CaughtUp == 8 }, faultPatience, faultLook)
	cut.Store(true)
	require.ErrorContains(t, <-ended, "the log of cut/0 ends at 8, and ended at 100 when this run began")
	require.EqualValues(t, 8, l.next())
	l.catchUp(l.config())
	l.requireOnce()
}
