package sink

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/sink/kafkatest"
)

// What the sink does on a real Apache Kafka; one broker for all of it.
func TestOnKafka(t *testing.T) {
	broker := kafkatest.Start(t, kafkatest.Options{})
	t.Run("at once", func(t *testing.T) { onKafkaAtOnce(t, broker) })
	t.Run("restarts", func(t *testing.T) { onKafkaRestarts(t, broker) })
}

// onKafkaAtOnce is what has topics of its own each.
func onKafkaAtOnce(t *testing.T, broker *kafkatest.Broker) {
	for name, test := range map[string]func(t *testing.T, broker *kafkatest.Broker){
		"transactions": onKafkaTransactions, "goal held back": onKafkaGoalHeldBack, "compacted": onKafkaCompacted,
		"codecs": onKafkaCodecs, "patterns": onKafkaPatterns, "latest": onKafkaLatest, "deleted": onKafkaDeleted, "made again": onKafkaMadeAgain,
		"named later": onKafkaNamedLater, "rebalances": onKafkaRebalances, "held back": onKafkaHeldBack,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, broker)
		})
	}
}

// logged keeps what a sink logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newLabOnKafka(t *testing.T, broker *kafkatest.Broker, topic string, partitions int32, config ...string) (*lab, Config, *logged) {
	broker.Topic(topic, partitions, config...)
	l := newLabOn(t, []string{broker.Addr()}, topic)
	cfg, said := l.config(), &logged{}
	cfg.Group, cfg.SessionTimeout, cfg.MetadataRefresh = topic, 3*time.Second, 300*time.Millisecond
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(cfg.MetadataRefresh), kgo.MetadataMinAge(100 * time.Millisecond)}
	cfg.Log = slog.New(slog.NewTextHandler(said, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said)
		}
	})
	return l, cfg, said
}

// begin runs a sink until stop is called, which wants it to have ended well.
func (l *lab) begin(cfg Config) (s *Sink, stop func()) {
	l.t.Helper()
	cfg.UntilCaughtUp = false
	s, err := New(cfg, l.cat)
	require.NoError(l.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	l.t.Cleanup(cancel)
	return s, func() {
		l.t.Helper()
		cancel()
		require.NoError(l.t, <-ended)
	}
}

func (l *lab) requireRows(s *Sink, want int64) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return s.Stats().CommittedRows+s.Stats().CommittedDead == want }, time.Minute, 20*time.Millisecond,
		"%d rows wanted", want)
}

func (l *lab) producer(opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(l.brokers...), kgo.DefaultProduceTopic(l.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(l.t, err)
	l.t.Cleanup(client.Close)
	return client
}

// sendTo sends one event to a topic partition.
func (l *lab) sendTo(client *kgo.Client, topic string, partition int32) {
	l.t.Helper()
	require.NoError(l.t, client.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Partition: partition, Value: event(l.sent)}).FirstErr())
}

func onKafkaTransactions(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, said := newLabOnKafka(t, broker, "transactions", 2)
	tx := l.producer(kgo.TransactionalID("t1"))
	ctx := context.Background()
	const each = 20
	aborted, markers := 0, 0
	for i := range each {
		require.NoError(t, tx.BeginTransaction())
		for n := range 3 {
			l.sendTo(tx, l.topic, int32(n%2))
		}
		commit := kgo.TransactionEndTry(i%2 == 0)
		require.NoError(t, tx.EndTransaction(ctx, commit))
		if commit {
			l.sent += 3
		} else {
			aborted += 3
		}
		markers += 2
	}
	for p := range int32(2) {
		l.awaitStable(p, int64(each*3)/3*(2-int64(p))+each)
	}
	require.EqualValues(t, l.sent, l.catchUp(cfg).CommittedRows)
	report := l.requireOnce()
	var holes int64
	for _, p := range report.Partitions {
		holes += p.Holes
	}
	require.EqualValues(t, aborted+markers, holes, "a hole for each marker and each record of an aborted transaction, and no other")
	require.NotContains(t, said.String(), "holds the goal back")

	// The same log read uncommitted, by another table: what was aborted is there, too.
	l.partitionBy(catalog.AgentEvents)
	cfg.ReadUncommitted, cfg.Group = true, "transactions-uncommitted"
	require.EqualValues(t, l.sent+aborted, l.catchUp(cfg).CommittedRows)
}

// An open transaction holds reading back. What comes before it lands, and the sink
// stops there: also where the last records before it are of a transaction that is
// aborted by a marker that comes after it.
func onKafkaGoalHeldBack(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, said := newLabOnKafka(t, broker, "held", 2)
	ctx := context.Background()
	plain, first, second := l.producer(), l.producer(kgo.TransactionalID("h1")), l.producer(kgo.TransactionalID("h2"))
	l.sendTo(plain, l.topic, 0) // offset 0
	l.sent++
	require.NoError(t, first.BeginTransaction())
	l.sendTo(first, l.topic, 0) // 1, to be aborted
	require.NoError(t, second.BeginTransaction())
	l.sendTo(second, l.topic, 0) // 2, stays open: the last stable offset
	l.sendTo(plain, l.topic, 0)  // 3, after it
	require.NoError(t, first.EndTransaction(ctx, kgo.TryAbort))
	l.awaitStable(0, 2) // the markers come after the answer

	stats := l.catchUp(cfg)
	require.EqualValues(t, 1, stats.CommittedRows)
	require.Contains(t, said.String(), "an open transaction holds the goal back")
	require.Contains(t, said.String(), "topic=held partition=0 offset=2 after=")
	report := l.requireOnce()
	require.Len(t, report.Partitions, 1)
	require.EqualValues(t, 1, report.Partitions[0].Holes, "the record that was aborted")
	require.Zero(t, l.catchUp(cfg).Commits, "nothing new, and it ends")

	require.NoError(t, second.EndTransaction(ctx, kgo.TryCommit))
	l.sent += 2
	l.awaitStable(0, 6)
	require.EqualValues(t, 2, l.catchUp(cfg).CommittedRows)
	l.requireOnce()
}

// awaitStable waits for the last stable offset of a topic partition.
func (l *lab) awaitStable(partition int32, want int64) {
	l.t.Helper()
	require.Eventually(l.t, func() bool {
		ends, err := l.admin.ListCommittedOffsets(context.Background(), l.topic)
		end, ok := ends.Lookup(l.topic, partition)
		return err == nil && ok && end.Offset == want
	}, 30*time.Second, 20*time.Millisecond)
}

func onKafkaCompacted(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, _ := newLabOnKafka(t, broker, "compacted", 1, "cleanup.policy", "compact", "segment.ms", "500",
		"min.cleanable.dirty.ratio", "0.01", "min.compaction.lag.ms", "0", "max.compaction.lag.ms", "500", "delete.retention.ms", "0")
	client, ctx := l.producer(), context.Background()
	const records, keys = 200, 5
	send := func(from int) {
		for i := range records {
			require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%keys), Value: event(from + i)}).FirstErr())
		}
	}
	remaining := func() int {
		reader, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: {0: kgo.NewOffset().AtStart()}}))
		require.NoError(t, err)
		defer reader.Close()
		n, end := 0, int64(-1)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			pollCtx, cancel := context.WithTimeout(ctx, time.Second)
			fetches := reader.PollFetches(pollCtx)
			cancel()
			fetches.EachPartition(func(p kgo.FetchTopicPartition) { end = p.HighWatermark })
			fetches.EachRecord(func(r *kgo.Record) {
				n++
				if r.Offset == end-1 {
					deadline = time.Time{}
				}
			})
		}
		return n
	}
	send(0)
	// Compaction leaves the active segment alone: something must roll it.
	require.Eventually(t, func() bool {
		require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Key: []byte("roll"), Value: event(0)}).FirstErr())
		return remaining() < records/2
	}, 90*time.Second, 700*time.Millisecond, "the log is not compacted")
	l.catchUp(cfg)
	report, err := l.cat.Verify(ctx, catalog.VerifyOptions{})
	require.NoError(t, err)
	require.True(t, report.OK, "%+v", report.Problems)
	require.NotZero(t, report.Partitions[0].Holes)
	require.Equal(t, report.Partitions[0].Next-report.Partitions[0].First, report.Partitions[0].Events+report.Partitions[0].Holes)
	require.Zero(t, l.catchUp(cfg).Commits)
}

func onKafkaCodecs(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, _ := newLabOnKafka(t, broker, "codecs", 3, "max.message.bytes", "8388608")
	ctx := context.Background()
	large := strings.Repeat("0123456789abcdef", 300_000) // 4.8 MB
	dead := 0
	for i, codec := range []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	} {
		client := l.producer(kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(8<<20))
		var records []*kgo.Record
		for n := range 300 {
			records = append(records, &kgo.Record{Partition: int32(n % 3), Key: []byte("k"), Value: event(l.sent),
				Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0, 1}}, {Key: "h", Value: nil}, {Key: "", Value: []byte("x")}}})
			l.sent++
		}
		records = append(records,
			&kgo.Record{Partition: 0, Key: []byte{}, Value: event(l.sent)},
			&kgo.Record{Partition: 1, Key: nil, Value: bytes.Replace(event(l.sent+1), []byte(`"ok"`), fmt.Appendf(nil, `"ok","x":%q`, large), 1)},
			&kgo.Record{Partition: 2, Key: []byte("tombstone"), Value: nil},
			&kgo.Record{Partition: int32(i % 3), Key: nil, Value: []byte{}})
		l.sent += 4
		dead += 2
		require.NoError(t, client.ProduceSync(ctx, records...).FirstErr())
	}
	stats := l.catchUp(cfg)
	require.EqualValues(t, l.sent-dead, stats.CommittedRows)
	require.EqualValues(t, dead, stats.CommittedDead, "a record without a value is no event")
	l.requireOnce()
}

// Topics that match a pattern are read: those that are there, those that are made
// later, and topic partitions that are added. Nothing of them is skipped, whatever
// StartLatest says of what was there first.
func onKafkaPatterns(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, said := newLabOnKafka(t, broker, "pattern-a", 1)
	cfg.Topics = []string{"^pattern-[a-z]$", "^__consumer.*"}
	client := l.producer()
	broker.Topic("pattern-10", 1) // does not match
	l.sendTo(client, "pattern-10", 0)
	l.sendTo(client, l.topic, 0)
	l.sent++
	s, stop := l.begin(cfg)
	l.requireRows(s, 1)

	broker.Topic("pattern-b", 2)
	for p := range int32(2) {
		l.sendTo(client, "pattern-b", p)
		l.sent++
	}
	l.requireRows(s, 3)
	require.Contains(t, said.String(), "a new topic")
	_, err := l.admin.CreatePartitions(context.Background(), 2, "pattern-a")
	require.NoError(t, err)
	l.client.ForceMetadataRefresh()
	grown := l.producer(kgo.MetadataMaxAge(200*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))
	require.Eventually(t, func() bool {
		return grown.ProduceSync(context.Background(), &kgo.Record{Partition: 2, Value: event(l.sent)}).FirstErr() == nil
	}, 30*time.Second, 100*time.Millisecond)
	l.sent++
	l.requireRows(s, 4)
	stop()
	l.requireOnce()

	lags, err := Lag(context.Background(), cfg, l.offsets())
	require.NoError(t, err)
	require.Len(t, lags, 5)
	for _, lag := range lags {
		require.Zero(t, lag.Lag, "%+v", lag)
	}
	broker.Topic("pattern-c", 1)
	l.sendTo(client, "pattern-c", 0)
	l.sent++
	require.EqualValues(t, 1, l.catchUp(cfg).CommittedRows)
	l.requireOnce()

	cfg.Topics = []string{"^pattern-none$"}
	require.Zero(t, l.catchUp(cfg).Commits)
	require.Contains(t, said.String(), "no topic matches kafka.topics yet")
}

func (l *lab) offsets() catalog.Offsets {
	l.t.Helper()
	table, err := l.cat.Load(context.Background(), catalog.AgentEvents)
	require.NoError(l.t, err)
	offsets, err := table.Offsets()
	require.NoError(l.t, err)
	return offsets
}

func onKafkaLatest(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, said := newLabOnKafka(t, broker, "latest-a", 2)
	cfg.StartLatest, cfg.Topics = true, []string{"^latest-"}
	client := l.producer()
	for range 5 {
		l.sendTo(client, l.topic, 0)
		l.sendTo(client, l.topic, 1)
	}
	require.Zero(t, l.catchUp(cfg).CommittedRows, "all of it was there before")
	require.Contains(t, said.String(), "start noted in the tables")

	// What comes while no sink runs is new, also where nothing was committed since.
	l.sendTo(client, l.topic, 0)
	l.sent++
	broker.Topic("latest-b", 1) // the pattern was known before
	l.sendTo(client, "latest-b", 0)
	l.sent++
	_, err := l.admin.CreatePartitions(context.Background(), 1, l.topic)
	require.NoError(t, err)
	grown := l.producer()
	l.sendTo(grown, l.topic, 2)
	l.sent++
	require.EqualValues(t, 3, l.catchUp(cfg).CommittedRows)

	s, stop := l.begin(cfg)
	broker.Topic("latest-c", 1)
	l.sendTo(client, "latest-c", 0)
	l.sent++
	l.requireRows(s, 1)
	stop()
	l.requireOnce()
}

// A topic that is named and not there yet is read once it is made.
func onKafkaNamedLater(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, said := newLabOnKafka(t, broker, "named", 1)
	cfg.Topics = []string{l.topic, "named-later"}
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	require.ErrorContains(t, s.Run(context.Background()), "topic named-later does not exist")
	lags, err := Lag(context.Background(), cfg, nil)
	require.ErrorContains(t, err, "topic named-later does not exist")
	require.Len(t, lags, 1)

	client := l.producer()
	l.sendTo(client, l.topic, 0)
	l.sent++
	s, stop := l.begin(cfg)
	l.requireRows(s, 1)
	require.Contains(t, said.String(), "a topic of kafka.topics does not exist: it is read from its first record once it is made")
	broker.Topic("named-later", 1)
	l.sendTo(client, "named-later", 0)
	l.sent++
	l.requireRows(s, 2)
	stop()
	l.requireOnce()
}

// A topic that is deleted is said where all of it was read. One that is made again
// stops the sink, while it runs and when it starts.
func onKafkaDeleted(t *testing.T, broker *kafkatest.Broker) {
	for name, topics := range map[string][]string{"by name": {"deleted-by-name", "deleted-other"}, "by pattern": {"^deleted-by-p", "deleted-other"}} {
		t.Run(name, func(t *testing.T) {
			topic := "deleted-" + strings.ReplaceAll(name, " ", "-")
			l, cfg, said := newLabOnKafka(t, broker, topic, 1)
			other := strings.Replace(topic, "deleted", "other", 1)
			broker.Topic(other, 1)
			cfg.Topics = []string{topics[0], other}
			client := l.producer()
			l.sendTo(client, topic, 0)
			l.sent++
			s, stop := l.begin(cfg)
			l.requireRows(s, 1)
			broker.DeleteTopic(topic)
			require.Eventually(t, func() bool {
				return strings.Contains(said.String(), "topic was deleted; what was read of it is in the tables")
			}, time.Minute, 50*time.Millisecond)
			l.sendTo(client, other, 0)
			l.sent++
			l.requireRows(s, 2)
			stop()
			l.requireOnce()

			broker.Topic(topic, 1)
			cfg.UntilCaughtUp = false
			s, err := New(cfg, l.cat)
			require.NoError(t, err)
			require.ErrorContains(t, s.Run(context.Background()), "was deleted and made again")
		})
	}
}

// A topic that a running sink has let go and that is made again stops it where the
// tables hold offsets of the former one, and is read where they hold none.
func onKafkaMadeAgain(t *testing.T, broker *kafkatest.Broker) {
	for name, entry := range map[string]string{"by name": "", "by pattern": "^"} {
		t.Run(name, func(t *testing.T) {
			prefix := "again-" + strings.ReplaceAll(name, " ", "-")
			read, empty := prefix+"-read", prefix+"-empty"
			l, cfg, _ := newLabOnKafka(t, broker, prefix, 1)
			broker.Topic(read, 1)
			broker.Topic(empty, 1)
			d := l.start(func(c *Config) {
				*c = cfg
				c.UntilCaughtUp, c.Topics = false, []string{prefix, entry + read, entry + empty}
			})
			client := l.producer()
			l.sendTo(client, prefix, 0)
			l.sendTo(client, read, 0)
			l.requireRows(d.Sink, 2)
			require.Eventually(t, func() bool { return len(d.Stats().Owned) == 3 }, time.Minute, 50*time.Millisecond)
			broker.DeleteTopic(read)
			broker.DeleteTopic(empty)
			require.Eventually(t, func() bool { return d.has(wasDeleted) == 2 }, time.Minute, 50*time.Millisecond)
			require.Len(t, d.Stats().Owned, 1)

			broker.Topic(empty, 2)
			client = l.producer()
			l.sendTo(client, empty, 0)
			l.sendTo(client, empty, 1)
			l.sendTo(client, prefix, 0)
			l.requireRows(d.Sink, 5)
			broker.Topic(read, 1)
			select {
			case err := <-d.ended:
				require.ErrorContains(t, err, "topic "+read+" was deleted and made again")
			case <-time.After(time.Minute):
				t.Fatal("the sink goes on")
			}
		})
	}
}

// Several sinks come and go while records come in.
func onKafkaRebalances(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, _ := newLabOnKafka(t, broker, "rebalances", 4)
	var stops []func()
	for range 3 {
		_, stop := l.begin(cfg)
		stops = append(stops, stop)
		for range 5 {
			l.produce(50, 7)
			time.Sleep(50 * time.Millisecond)
		}
	}
	for _, stop := range stops {
		stop()
		l.produce(100, 7)
	}
	l.catchUp(cfg)
	l.requireOnce()
	l.requireNoLeftovers()
}

// The broker is stopped and killed under sinks at work, and comes back: they go on by
// themselves. It is the last test of its broker.
func onKafkaRestarts(t *testing.T, broker *kafkatest.Broker) {
	l, cfg, _ := newLabOnKafka(t, broker, "restarts", 3)
	cfg.SessionTimeout = 10 * time.Second
	s1, stop1 := l.begin(cfg)
	s2, stop2 := l.begin(cfg)
	both := func() int64 {
		a, b := s1.Stats(), s2.Stats()
		return a.CommittedRows + a.CommittedDead + b.CommittedRows + b.CommittedDead
	}
	for _, end := range []func(){broker.Stop, broker.Kill} {
		l.produce(300, 10)
		var sending errgroup.Group
		end()
		sending.Go(func() error {
			l.produce(300, 10) // retried until the broker is back
			return nil
		})
		broker.Restart()
		require.NoError(t, sending.Wait())
		require.Eventually(t, func() bool { return both() >= int64(l.sent) }, 2*time.Minute, 100*time.Millisecond, "%d of %d", both(), l.sent)
	}
	stop1()
	stop2()
	l.catchUp(cfg)
	l.requireOnce()
}
