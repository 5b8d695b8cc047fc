package main

import (
	"bytes"
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/sink"
)

// A job does not say more than it knows: not that the tables hold every record where a
// transaction is open, and nothing of the kind where it was stopped.
func TestJobSaysWhatItKnows(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	tx, err := kgo.NewClient(kgo.SeedBrokers(l.broker), kgo.TransactionalID("open"), kgo.DefaultProduceTopic(labTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(tx.Close)
	require.NoError(t, tx.BeginTransaction())
	require.NoError(t, tx.ProduceSync(ctx, &kgo.Record{Value: prompt(1)}).FirstErr())
	l.send(recordOf(0, prompt(2)))
	require.Equal(t, "nothing new: the tables hold every record that can be read\n", l.must("run", "--until-caught-up"))
	require.NoError(t, tx.EndTransaction(ctx, kgo.TryCommit))

	stoppable, stop := context.WithCancelCause(ctx)
	slow := func(do func()) func(kmsg.Request) (kmsg.Response, error, bool) {
		return func(kmsg.Request) (kmsg.Response, error, bool) {
			do()
			l.cluster.SleepControl(func() { time.Sleep(time.Second) })
			return nil, nil, false
		}
	}
	l.cluster.ControlKey(int16(kmsg.JoinGroup), slow(func() {}))
	l.cluster.ControlKey(int16(kmsg.Fetch), slow(func() { stop(interrupted{syscall.SIGTERM}) })) // it has its goals
	r := callWith(t, stoppable, "", "-c", l.config, "--log-level", "error", "run", "--until-caught-up")
	require.Equal(t, exitInterrupted, r.code)
	require.Equal(t, "nothing committed\n", r.stdout)
	require.Contains(t, r.stderr, "stopped before it had caught up")
	require.Contains(t, l.must("run", "--until-caught-up"), "committed 2 events")
}

// Where the tables are ahead of a log, status says so, and the lag of other topic
// partitions as it is.
func TestStatusOfALogThatLostRecords(t *testing.T) {
	var s status
	s.addPartitions(nil, []sink.PartitionLag{
		{Topic: "t", Partition: 0, Committed: 175, HighWatermark: 100, Ahead: 75},
		{Topic: "t", Partition: 1, Committed: 90, HighWatermark: 100, Lag: 10},
	})
	require.EqualValues(t, 10, *s.Lag)
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr}
	require.NoError(t, a.sayStatus(&s))
	require.Regexp(t, `t/0 +175 +100 +75 ahead\n`, stdout.String())
	require.Regexp(t, `t/1 +90 +100 +10\n`, stdout.String())
	require.Contains(t, stderr.String(), "the tables are ahead of the log of t/0: Kafka lost records after they were read")
}
