package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/sink"
)

// A sink that the consumer group throws out, and does not let in again, reads nothing:
// it is neither ready nor, after a while, healthy. Once it is let in it is both.
func TestHealthOutsideTheGroup(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 100ms}")
	w.sendPrompts(30)
	w.start()
	w.wants("/readyz", up, "ready: 3 topic partitions, 0 records wait")
	out := w.cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.GroupMaxSizeReached, Count: -1})
	w.wants("/readyz", down, "not ready: worker 1: not a member of the consumer group: ", "GROUP_MAX_SIZE_REACHED")
	w.sendPrompts(30)
	w.wants("/healthz", down, "unhealthy: worker 1: not a member of the consumer group for ", "longer than metrics.stalled_after (4s): ", "GROUP_MAX_SIZE_REACHED")
	w.wants("/metrics", up, "auditlake_ready 0\n", "auditlake_healthy 0\n", "auditlake_assigned_partitions 0\n")
	out.Remove()
	w.wants("/readyz", up, "ready: 3 topic partitions, 0 records wait")
	w.wants("/healthz", up, "healthy: nothing waits")
	w.wants("/metrics", up, `auditlake_committed_offset{partition="0",topic="agent-events"} 20`+"\n")
}

// A topic partition without a leader: what the group has given to the sink cannot be
// taken over, so it reads nothing, and is not one that stands by.
func TestHealthWhereATakeOverFails(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 100ms}")
	w.sendPrompts(30)
	leaderless := w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: labTopic, Partitions: []int32{1}, Err: kerr.LeaderNotAvailable, Count: -1})
	w.start()
	w.wants("/readyz", down, "not ready: worker 1: taking over topic partitions for ")
	w.wants("/healthz", down, "unhealthy: worker 1: taking over topic partitions for ", "longer than metrics.stalled_after (4s)")
	w.wants("/healthz", down, "unhealthy: worker 1: ", "offsets of agent-events/1 are not known: LEADER_NOT_AVAILABLE")
	w.wants("/readyz", down, "not ready: worker 1: ", "offsets of agent-events/1 are not known: LEADER_NOT_AVAILABLE")
	leaderless.Remove()
	w.wants("/readyz", up, "ready: 3 topic partitions, 0 records wait")
	w.wants("/healthz", up, "healthy: nothing waits")
}

// A named topic that is deleted, an empty one, leaves nothing to wait for.
func TestReadyAfterATopicIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 100ms}")
	require.NoError(t, w.cluster.CreateTopic("gone", 1, nil))
	text := replaceOne(t, readFile(t, w.config), "topics: ["+labTopic+"]", "metadata_refresh: 500ms, topics: ["+labTopic+", gone]")
	w.config = writeFile(t, w.dir, "two.yaml", text)
	w.sendPrompts(30)
	w.start()
	w.wants("/readyz", up, "ready: 4 topic partitions, 0 records wait")
	require.NoError(t, w.cluster.DeleteTopic("gone"))
	w.wants("/readyz", up, "ready: 3 topic partitions, 0 records wait")
	w.sendPrompts(30)
	w.wants("/metrics", up, `auditlake_committed_offset{partition="0",topic="agent-events"} 20`+"\n")
	w.staysUp()
}

// Topics that are not there yet are waited for: a restart would not make them.
func TestHealthWhereNoTopicExistsYet(t *testing.T) {
	t.Parallel()
	for entry, topic := range map[string]string{"later": "later", "^nope-": "nope-1"} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			w := newWatched(t, "sink: {target_lag: 100ms}")
			text := replaceOne(t, readFile(t, w.config), "topics: ["+labTopic+"]", "metadata_refresh: 500ms, topics: [\""+entry+"\"]")
			w.config = writeFile(t, w.dir, "later.yaml", text)
			w.start()
			w.wants("/readyz", up, "ready: standing by: no topic of kafka.topics exists yet")
			w.staysUp() // for longer than metrics.stalled_after
			w.wants("/healthz", up, "healthy: standing by: no topic of kafka.topics exists yet")
			require.NoError(t, w.cluster.CreateTopic(topic, 1, nil))
			w.wants("/readyz", up, "ready: 1 topic partition, 0 records wait")
			w.wants("/healthz", up, "healthy: nothing waits")
		})
	}
}

// A job that is told to stop before it has read anything does not say that the tables
// hold every record.
func TestStoppedJobClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.sendPrompts(3)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.GroupMaxSizeReached, Count: -1})
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	ended := make(chan result, 1)
	go func() {
		ended <- callWith(t, ctx, "", "-c", w.config, "--log-level", "error", "run", "--until-caught-up")
	}()
	w.wants("/readyz", down, "not a member of the consumer group: ", "GROUP_MAX_SIZE_REACHED") // it polls
	stop(interrupted{syscall.SIGTERM})
	r := <-ended
	require.NotEqual(t, exitDone, r.code)
	require.Contains(t, r.stderr, "stopped before it had caught up; the next run goes on from there")
	require.Equal(t, "nothing committed\n", r.stdout)
}

// What the group and take-overs do to the answers, from what the sinks say.
func TestHealthJudgesMembership(t *testing.T) {
	start := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var said sink.Stats
	h := newHealth(10*time.Second, time.Minute, func() []sink.Stats { return []sink.Stats{said} }, func(context.Context) error { return nil })
	now := 0
	look := func(s int) (ready, healthy string) {
		for ; now <= s; now++ {
			said.Heard, said.Polled = at(now), at(now)
			h.look(at(now))
		}
		isReady, r := h.ready(context.Background(), at(s))
		isHealthy, k := h.healthy(at(s))
		mark := map[bool]string{true: "+", false: "-"}
		return mark[isReady] + r, mark[isHealthy] + k
	}
	requireSaid := func(s int, ready, healthy string) {
		t.Helper()
		r, k := look(s)
		require.True(t, strings.HasPrefix(r, ready), r)
		require.True(t, strings.HasPrefix(k, healthy), k)
	}
	requireSaid(1, "-worker 1: not a member of the consumer group", "+worker 1: not a member of the consumer group")
	said = sink.Stats{Member: true, TakingOver: at(2)}
	requireSaid(3, "-worker 1: taking over topic partitions for 1s", "+worker 1: taking over topic partitions")
	said = sink.Stats{Member: true}
	requireSaid(4, "+standing by", "+nothing waits")
	// Who stands by has caught up with nothing yet: what it gets it has to catch up with.
	said.TakingOver = at(5)
	requireSaid(5, "-worker 1: taking over topic partitions", "+worker 1: taking over topic partitions")
	said = sink.Stats{Member: true, Owned: []sink.OwnedPartition{{Topic: "t", Committed: 1, Readable: 60_001}}}
	requireSaid(6, "-catching up: the tables are 60,000 records behind t/0", "+at work")
	said.Owned[0].Committed = 60_001
	requireSaid(7, "+1 topic partition, 0 records wait", "+nothing waits")
	said = sink.Stats{Member: true}
	// Once it has caught up, a take-over may take a while.
	said.TakingOver = at(8)
	requireSaid(15, "+standing by", "+worker 1: taking over topic partitions")
	requireSaid(19, "-worker 1: taking over topic partitions for 11s", "+worker 1: taking over topic partitions")
	said.TakeOverErr = "the catalog\nis away"
	requireSaid(20, "-worker 1: topic partitions cannot be taken over: the catalog is away", "+worker 1: topic partitions cannot be taken over: the catalog is away")
	said.Member, said.GroupErr = false, "it is full"
	requireSaid(21, "-worker 1: not a member of the consumer group: it is full", "+worker 1: not a member of the consumer group: it is full")
	said.Member = true
	requireSaid(67, "-", "+")
	requireSaid(68, "-worker 1: topic partitions cannot be taken over", "-worker 1: topic partitions cannot be taken over for 1m1s, longer than metrics.stalled_after (1m): the catalog is away")
	// An attempt that works makes it well at once.
	said = sink.Stats{Member: true, Owned: []sink.OwnedPartition{{Topic: "t", Committed: 5, Readable: 5}}}
	requireSaid(69, "+1 topic partition", "+nothing waits")
	said.Member = false
	requireSaid(130, "-worker 1: not a member", "-worker 1: not a member of the consumer group for 1m1s")

	// Where Kafka does not tell of a topic partition, nothing is said to lack.
	said.Member = true
	requireSaid(133, "+1 topic partition", "+nothing waits")
	said.Owned[0].Readable = -1
	requireSaid(143, "+1 topic partition, 0 records wait", "+nothing waits")
	requireSaid(144, "-Kafka has not told for 11s where t/0 ends, longer than metrics.ready_lag (10s)", "+nothing waits")
}
