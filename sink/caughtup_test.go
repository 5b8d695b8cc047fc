package sink

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
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
