package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/catalog"
)

func TestSinkLandsEveryRecordOnce(t *testing.T) {
	l := newLab(t)
	l.produce(1000, 10)
	stats := l.catchUp(l.config())
	require.EqualValues(t, 900, stats.CommittedRows)
	require.EqualValues(t, 100, stats.CommittedDead)
	require.EqualValues(t, 100, stats.DeadLetters["not_json"])
	l.requireOnce()

	// Nothing new: nothing is added, not even a snapshot.
	stats = l.catchUp(l.config())
	require.Zero(t, stats.Commits)
	l.produce(50, 0)
	stats = l.catchUp(l.config())
	require.EqualValues(t, 50, stats.CommittedRows)
	l.requireOnce()
}

// The table is the truth: a group whose offsets are gone, or wrong, changes nothing.
func TestSinkIgnoresGroupOffsets(t *testing.T) {
	l := newLab(t)
	l.produce(300, 0)
	l.catchUp(l.config())
	_, err := l.admin.DeleteGroups(context.Background(), "auditlake")
	require.NoError(t, err)
	l.produce(30, 0)
	require.EqualValues(t, 30, l.catchUp(l.config()).CommittedRows)

	wrong := kadm.Offsets{}
	wrong.Add(kadm.Offset{Topic: testTopic, Partition: 0, At: 1, LeaderEpoch: -1})
	require.NoError(t, l.admin.CommitAllOffsets(context.Background(), "auditlake", wrong))
	l.produce(30, 0)
	require.EqualValues(t, 30, l.catchUp(l.config()).CommittedRows)
	l.requireOnce()
}

// Two sinks that do not know of each other (two groups) read the same topic
// into the same tables, as a zombie and its successor do.
func TestSinkFencesASecondOwner(t *testing.T) {
	l := newLab(t)
	l.produce(3000, 10)
	var g errgroup.Group
	var fenced atomic.Int64
	for _, group := range []string{"one", "two"} {
		g.Go(func() error {
			cfg := l.config()
			cfg.Group, cfg.MaxBatchRows = group, 300
			s, err := New(cfg, l.cat)
			if err != nil {
				return err
			}
			err = s.Run(context.Background())
			fenced.Add(s.Stats().Fenced)
			var e *Error
			if errors.As(err, &e) && strings.Contains(e.Text, timesInARow) { // gave way often enough to be sure
				return nil
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.NotZero(t, fenced.Load(), "they never met")
	l.catchUp(l.config())
	l.requireOnce()
	l.requireNoLeftovers()
}

// timesInARow is in the error of a sink that gives way to another one for good.
const timesInARow = "times in a row: another sink outside group "

// A sink that another one is always ahead of ends, and says why.
func TestSinkGivesWayForGood(t *testing.T) {
	l := newLab(t)
	tables := l.catalog
	tables.Intercept = nil
	cat, err := catalog.Open(context.Background(), tables)
	require.NoError(t, err)
	t.Cleanup(func() { cat.Close() })
	ahead := (&lab{t: t, brokers: l.brokers, topic: l.topic, cat: cat}).start(func(cfg *Config) { cfg.Group = "ahead" })
	var sent atomic.Int64
	send := func() {
		sent.Add(1)
		l.produce(1, 0)
		require.Eventually(t, func() bool { return ahead.Stats().CommittedRows == sent.Load() }, faultPatience, faultLook)
	}
	send()
	late := &faultPlan{table: catalog.AgentEvents}
	late.fault = func(land func() error) error {
		l.faults.Store(late)
		for ahead.Stats().CommittedRows < sent.Load() && t.Context().Err() == nil {
			time.Sleep(faultLook)
		}
		return land()
	}
	l.faults.Store(late)
	behind := l.start(func(cfg *Config) { cfg.Group = "behind" })
	for ended := false; !ended; {
		require.LessOrEqual(t, behind.Stats().Fenced, int64(maxFencing+1), "it gives way, but never ends")
		send()
		select {
		case err = <-behind.ended:
			ended = true
		case <-time.After(faultLook):
		}
	}
	require.ErrorContains(t, err, fmt.Sprint("fenced ", maxFencing+1, " ", timesInARow, "behind"))
	ahead.end(t)
	l.requireOnce()
	l.requireNoLeftovers()
}

// A sink that nobody else writes beside is never fenced: not by what it wrote itself,
// and not where several batches have dead letters.
func TestSinkIsNotFencedByItself(t *testing.T) {
	l := newLab(t)
	client := l.producer()
	const batches, each = 3, 10
	for i := range batches * each {
		value := event(i)
		if i%2 == 0 {
			value = []byte("no event")
		}
		require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Partition: 0, Value: value}).FirstErr())
		l.sent++
	}
	cfg := l.config()
	cfg.MaxBatchRows, cfg.TargetLag, cfg.SessionTimeout = each, time.Hour, 20*time.Second
	stats := l.catchUp(cfg)
	require.EqualValues(t, batches, stats.Commits)
	require.EqualValues(t, batches*each/2, stats.CommittedDead)
	require.Zero(t, stats.Fenced)
	l.requireOnce()
}

// The offsets that the group has committed are the tables', over dead letters as well.
func TestSinkCommitsTheTablesOffsets(t *testing.T) {
	l := newLab(t)
	cfg := l.config()
	cfg.SessionTimeout = 20 * time.Second
	for range 2 {
		l.produce(90, 3)
		l.catchUp(cfg)
		committed, err := l.admin.FetchOffsets(context.Background(), "auditlake")
		require.NoError(t, err)
		require.NoError(t, committed.Error())
		got, want, records := map[int32]int64{}, map[int32]int64{}, int64(0)
		committed.Each(func(o kadm.OffsetResponse) { got[o.Partition] = o.At })
		for id, at := range l.offsets() {
			want[id.Partition] = at.Next
			records += at.Next
		}
		require.EqualValues(t, l.sent, records)
		require.Equal(t, want, got)
	}
}

// Two sinks of one group; the second comes while the first is at work, and goes.
func TestSinkRebalances(t *testing.T) {
	l := newLab(t)
	cfg := l.config()
	cfg.UntilCaughtUp = false
	run := func(ctx context.Context, g *errgroup.Group) {
		s, err := New(cfg, l.cat)
		require.NoError(t, err)
		g.Go(func() error { return s.Run(ctx) })
	}
	var g errgroup.Group
	first, stopFirst := context.WithCancel(context.Background())
	second, stopSecond := context.WithCancel(context.Background())
	l.produce(500, 10)
	run(first, &g)
	time.Sleep(300 * time.Millisecond)
	run(second, &g)
	for range 10 {
		l.produce(100, 10)
		time.Sleep(100 * time.Millisecond)
	}
	stopFirst()
	for range 5 {
		l.produce(100, 10)
		time.Sleep(100 * time.Millisecond)
	}
	stopSecond()
	require.NoError(t, g.Wait())
	l.catchUp(l.config())
	l.requireOnce()
}

// verify is right while a sink is at work.
func TestVerifyDuringIngest(t *testing.T) {
	l := newLab(t)
	cfg := l.config()
	cfg.UntilCaughtUp, cfg.TargetLag = false, 20*time.Millisecond
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return s.Run(ctx) })
	for end, n := time.Now().Add(3*time.Second), 0; time.Now().Before(end) || n < 10; n++ {
		l.produce(50, 3)
		report, err := l.cat.Verify(context.Background(), catalog.VerifyOptions{})
		require.NoError(t, err)
		require.Empty(t, report.Problems)
	}
	stop()
	require.NoError(t, g.Wait())
	l.catchUp(l.config())
	l.requireOnce()
}

// What is pending lands before its topic partitions go to another sink.
func TestSinkFlushesBeforeARebalance(t *testing.T) {
	l := newLab(t)
	cfg := l.config()
	cfg.UntilCaughtUp, cfg.TargetLag = false, time.Hour
	var g errgroup.Group
	ctx, stop := context.WithCancel(context.Background())
	first, err := New(cfg, l.cat)
	require.NoError(t, err)
	second, err := New(cfg, l.cat)
	require.NoError(t, err)
	l.produce(100, 10)
	g.Go(func() error { return first.Run(ctx) })
	require.Eventually(t, func() bool { return first.Stats().Pending == 100 }, 30*time.Second, 10*time.Millisecond)
	g.Go(func() error { return second.Run(ctx) })
	require.Eventually(t, func() bool { return first.Stats().CommittedRows == 90 }, 30*time.Second, 10*time.Millisecond)
	stop()
	require.NoError(t, g.Wait())
	l.requireOnce()
	l.requireNoLeftovers()
}

// A stop flushes what is pending, however far the target lag is.
func TestSinkFlushesOnStop(t *testing.T) {
	l := newLab(t)
	l.produce(100, 0)
	cfg := l.config()
	cfg.UntilCaughtUp, cfg.TargetLag = false, time.Hour
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cfg.OnProgress = func(s Stats) {
		if s.Pending == 100 {
			stop()
		}
	}
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	require.NoError(t, s.Run(ctx))
	require.EqualValues(t, 100, s.Stats().CommittedRows)
	l.requireOnce()
}

// Holes of transactions are explained, not called losses; aborted records are not rows.
func TestSinkReadsTransactions(t *testing.T) {
	l := newLab(t)
	l.produce(10, 0)
	tx, err := kgo.NewClient(kgo.SeedBrokers(l.broker.ListenAddrs()...), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic(testTopic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer tx.Close()
	ctx := context.Background()
	for i, commit := range []bool{true, false, true} {
		require.NoError(t, tx.BeginTransaction())
		for j := range 5 {
			require.NoError(t, tx.ProduceSync(ctx, &kgo.Record{Partition: 1, Value: event(1000 + i*5 + j)}).FirstErr())
		}
		require.NoError(t, tx.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
		if commit {
			l.sent += 5
		}
	}
	l.catchUp(l.config())
	report := l.requireOnce()
	require.EqualValues(t, 5+3, report.Partitions[1].Holes, "five aborted records and three markers")
}

// The partition spec is the table's, whatever it is.
func TestSinkWritesToAnyPartitionSpec(t *testing.T) {
	for _, spec := range [][]string{
		{}, {"hour(event_time)"}, {"month(event_time)", "tenant"}, {"bucket[4](session_id)", "truncate[2](event_class)"},
		{"kafka_partition"}, {"year(ingest_time)", "kafka_topic"},
	} {
		t.Run("by "+strings.Join(spec, " "), func(t *testing.T) {
			l := newLab(t)
			l.partitionBy(catalog.AgentEvents, spec...)
			l.produce(200, 10)
			l.catchUp(l.config())
			l.requireOnce()
			events, err := l.cat.Load(context.Background(), catalog.AgentEvents)
			require.NoError(t, err)
			plan, err := events.Plan(context.Background(), catalog.PlanOptions{})
			require.NoError(t, err)
			for _, f := range plan.Files {
				require.Equal(t, len(spec), strings.Count(f.Partition, "="), f.Partition)
			}
		})
	}
}

// More holes than a snapshot summary lists are counted, and verify adds them up.
func TestSinkCountsHolesBeyondItsList(t *testing.T) {
	l := newLab(t)
	tx, err := kgo.NewClient(kgo.SeedBrokers(l.broker.ListenAddrs()...), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic(testTopic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer tx.Close()
	const transactions = maxHoles + 50
	ctx := context.Background()
	for i := range transactions {
		require.NoError(t, tx.BeginTransaction())
		require.NoError(t, tx.ProduceSync(ctx, &kgo.Record{Partition: 1, Value: event(i)}).FirstErr())
		require.NoError(t, tx.EndTransaction(ctx, kgo.TryCommit))
		l.sent++
	}
	cfg := l.config()
	cfg.TargetLag = time.Hour
	l.catchUp(cfg)
	report := l.requireOnce()
	require.Len(t, report.Partitions, 1)
	require.EqualValues(t, transactions, report.Partitions[0].Holes, "a marker each")
}

func TestSinkHoldsItsMemoryBudget(t *testing.T) {
	l := newLab(t)
	random := make([]byte, 1000) // nothing compresses it
	var records []*kgo.Record
	for range 10_000 {
		for i := range random {
			random[i] = "0123456789abcdef"[rand.IntN(16)]
		}
		records = append(records, &kgo.Record{Value: bytes.Replace(event(l.sent), []byte(`"ok"`), fmt.Appendf(nil, `"ok","x":"%s"`, random), 1)})
		l.sent++
	}
	require.NoError(t, l.client.ProduceSync(context.Background(), records...).FirstErr())
	cfg := l.config()
	cfg.Memory, cfg.TargetLag = 4<<20, time.Hour
	highest := int64(0)
	cfg.OnProgress = func(s Stats) { highest = max(highest, s.Buffered) }
	l.catchUp(cfg)
	l.requireOnce()
	require.LessOrEqual(t, highest, cfg.Memory)
	require.NotZero(t, highest)
}

// What cannot be gone on from stops the sink with what to do.
func TestSinkStops(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name string
		make func(l *lab, cfg *Config)
		want string
		code int
	}{
		{"topic made again", func(l *lab, _ *Config) {
			l.produce(50, 0)
			l.catchUp(l.config())
			_, err := l.admin.DeleteTopics(ctx, testTopic)
			require.NoError(l.t, err)
			_, err = l.admin.CreateTopics(ctx, 3, 1, nil, testTopic)
			require.NoError(l.t, err)
		}, "deleted and made again", 3},
		{"records deleted before they were read", func(l *lab, _ *Config) {
			l.produce(50, 0)
			l.catchUp(l.config())
			l.produce(50, 0)
			ends, err := l.admin.ListEndOffsets(ctx, testTopic)
			require.NoError(l.t, err)
			_, err = l.admin.DeleteRecords(ctx, ends.Offsets())
			require.NoError(l.t, err)
		}, "gone from Kafka before they were in the table", 3},
		{"missing topic", func(_ *lab, cfg *Config) { cfg.Topics = []string{"no-such-topic"} }, "does not exist", 2},
		{"no broker", func(_ *lab, cfg *Config) { cfg.Brokers = []string{"127.0.0.1:1"} }, "no Kafka broker answers at 127.0.0.1:1", 1},
		{"nothing configured", func(_ *lab, cfg *Config) { cfg.Brokers = nil }, "kafka.brokers", 2},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			cfg := l.config()
			tc.make(l, &cfg)
			s, err := New(cfg, l.cat)
			if err == nil {
				err = s.Run(ctx)
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, tc.code, e.ExitCode())
		})
	}
}

// A topic made again while the sink runs stops it too.
func TestSinkStopsWhenATopicIsMadeAgain(t *testing.T) {
	l := newLab(t)
	l.produce(50, 0)
	cfg := l.config()
	cfg.UntilCaughtUp = false
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	require.Eventually(t, func() bool { return s.Stats().CommittedRows == 50 }, 20*time.Second, 20*time.Millisecond)
	_, err = l.admin.DeleteTopics(context.Background(), testTopic)
	require.NoError(t, err)
	_, err = l.admin.CreateTopics(context.Background(), 3, 1, nil, testTopic)
	require.NoError(t, err)
	select {
	case err := <-done:
		require.ErrorContains(t, err, "deleted and made again")
	case <-time.After(30 * time.Second):
		t.Fatal("the sink goes on")
	}
}

// Dead letters of several table partitions, in turn, make one file each.
func TestSinkWritesDeadLettersToAnyPartitionSpec(t *testing.T) {
	l := newLab(t)
	l.partitionBy(catalog.DeadLetters, "error_class", "kafka_partition")
	for range 200 {
		require.NoError(t, l.client.ProduceSync(context.Background(),
			&kgo.Record{Value: []byte("no event")}, &kgo.Record{Value: []byte("[]")}, &kgo.Record{Value: []byte("\xff")}).FirstErr())
		l.sent += 3
	}
	cfg := l.config()
	cfg.TargetLag = time.Hour
	stats := l.catchUp(cfg)
	require.EqualValues(t, 600, stats.CommittedDead)
	require.LessOrEqual(t, stats.Files, int64(9), "three classes, three topic partitions")
	l.requireOnce()
}
