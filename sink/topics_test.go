package sink

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

func TestTopicSet(t *testing.T) {
	_, err := New(Config{Brokers: []string{"b"}, Topics: []string{"^a("}}, nil)
	require.ErrorContains(t, err, "is no regular expression")

	set, err := parseTopics([]string{"a.b", "^x-[0-9]+$", "^x-1"})
	require.NoError(t, err)
	topics, patterns := set.subscription()
	require.True(t, patterns)
	require.Equal(t, []string{`^a\.b$`, "^x-[0-9]+$", "^x-1"}, topics)
	for i, want := range [][]string{{"a.b"}, {"x-1", "x-2"}, {"x-1", "x-1b"}} {
		var asked []string
		for _, topic := range []string{"a.b", "x-1", "x-2", "x-1b", "y"} {
			if set.entries()[i](topic) {
				asked = append(asked, topic)
			}
		}
		require.Equal(t, want, asked)
	}
	set, err = parseTopics([]string{"a.b"})
	require.NoError(t, err)
	topics, patterns = set.subscription()
	require.False(t, patterns)
	require.Equal(t, []string{"a.b"}, topics)
}

// A topic that is deleted and made again between the moment its id was asked for and
// the first fetch: nothing of the new one is taken for the old one's.
func TestRecordsOfAnotherTopicOfThatName(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	l.produce(30, 0)
	meta, err := l.admin.Metadata(ctx, l.topic)
	require.NoError(t, err)
	is := meta.Topics[l.topic].ID.String()
	reader, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumeTopics(l.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	t.Cleanup(reader.Close)
	for _, was := range []string{"another", is} {
		fetches := kgo.Fetches{}
		for fetches.Empty() {
			polled, cancel := context.WithTimeout(ctx, 30*time.Second)
			fetches = reader.PollFetches(polled)
			cancel()
			require.NoError(t, fetches.Err())
		}
		s, err := New(l.config(), l.cat)
		require.NoError(t, err)
		for p := range int32(3) {
			s.owned[topicPartition{l.topic, p}] = &progress{id: catalog.TopicPartition{ClusterID: "c", Topic: l.topic, TopicID: was, Partition: p}}
		}
		err = s.takeFetches(ctx, fetches)
		if was == is {
			require.NoError(t, err)
			require.Equal(t, int64(fetches.NumRecords()), s.batch.rows())
			s.drop()
			return
		}
		require.ErrorContains(t, err, "topic agent-events was deleted and made again: its id was another, it is now "+is)
		require.Nil(t, s.batch)
		s.cfg.UntilCaughtUp = false
		require.True(t, s.mayMend(err), "the watch over topics judges")
		reader.SetOffsets(map[string]map[int32]kgo.EpochOffset{l.topic: {0: {Epoch: -1}, 1: {Epoch: -1}, 2: {Epoch: -1}}})
	}
}

// What is said of a topic that is not there yet is what becomes of it.
func TestMissingTopicIsSaidAsItIs(t *testing.T) {
	for latest, want := range map[bool]string{
		false: "does not exist: it is read from its first record once it is made",
		true:  "does not exist: made while a sink runs it is read from its first record, made while none runs from where it ends at the next start",
	} {
		l := newLab(t)
		cfg, said := l.config(), &lockedLines{}
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(said.text())
			}
		})
		cfg.Topics, cfg.StartLatest, cfg.Log, cfg.MetadataRefresh = []string{"later"}, latest, said.logger(), 200*time.Millisecond
		cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(cfg.MetadataRefresh), kgo.MetadataMinAge(100 * time.Millisecond)}
		s, stop := l.begin(cfg)
		require.Eventually(t, func() bool { return strings.Contains(said.text(), want) }, 30*time.Second, 20*time.Millisecond)
		l.topic = "later"
		l.client.Close()
		var err error
		l.client, err = kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.DefaultProduceTopic(l.topic))
		require.NoError(t, err)
		t.Cleanup(l.client.Close)
		_, err = kadm.NewClient(l.client).CreateTopic(context.Background(), 1, 1, nil, l.topic)
		require.NoError(t, err)
		l.produce(20, 0)
		l.requireRows(s, 20)
		stop()
		l.requireOnce()

		// The same while none runs.
		cfg.Topics = []string{l.topic, "much-later"}
		_, err = kadm.NewClient(l.client).CreateTopic(context.Background(), 1, 1, nil, "much-later")
		require.NoError(t, err)
		require.NoError(t, l.client.ProduceSync(context.Background(), &kgo.Record{Topic: "much-later", Value: event(0)}).FirstErr())
		rows := map[bool]int64{false: 1, true: 0}[latest]
		require.Equal(t, rows, l.catchUp(cfg).CommittedRows)
	}
}

func TestLongTransactionIsSaidOnce(t *testing.T) {
	said := &logged{}
	s := &Sink{log: slog.New(slog.NewTextHandler(said, nil))}
	holding, tp, at := map[topicPartition]holdUp{}, topicPartition{"t", 1}, time.Now()
	for _, step := range []struct {
		after    time.Duration
		readable int64
		said     bool
	}{{0, 5, false}, {heldLong - time.Second, 5, false}, {heldLong, 5, true}, {2 * heldLong, 5, false}, {2 * heldLong, 6, false}, {3 * heldLong, 6, true}, {3 * heldLong, 9, false}, {5 * heldLong, 5, false}} {
		said.text.Reset()
		s.sayHeld(holding, at.Add(step.after), map[topicPartition]ends{tp: {high: 9, readable: step.readable}})
		require.Equal(t, step.said, said.text.Len() > 0, "%+v", step)
	}
	require.Empty(t, said.String())
}

// Kafka need not list each topic partition that the group gives: one that was just made
// is not known to every broker. That is said, and passes.
func TestOffsetsThatAreNotListed(t *testing.T) {
	listed := kadm.ListedOffsets{"t": {1: {Topic: "t", Partition: 1, Offset: 7}}}
	for _, v := range []survey{{}, {starts: listed}, {ends: listed}} {
		_, err := v.begin(catalog.TopicPartition{Topic: "t", Partition: 1})
		require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
		require.Equal(t, "offsets of t/1 are not known: "+kerr.UnknownTopicOrPartition.Error(), err.Error())
		require.True(t, (&Sink{}).mayMend(err))
	}
	denied := kadm.ListedOffsets{"t": {1: {Topic: "t", Partition: 1, Err: kerr.TopicAuthorizationFailed}}}
	_, err := survey{starts: listed, ends: denied}.begin(catalog.TopicPartition{Topic: "t", Partition: 1})
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	require.NotErrorIs(t, err, kerr.UnknownTopicOrPartition)
}

// A sink that has read tables with a snapshot commit has begun, also one that stands by
// and has no topic partition: what refuses its login later may allow it again.
func TestAccessThatWorked(t *testing.T) {
	l := newLab(t)
	refused := &catalog.ConfigError{Text: "refused", Access: true}
	for _, rows := range []int{0, 20} {
		if rows > 0 {
			l.produce(rows, 0)
			l.catchUp(l.config())
		}
		cfg := l.config()
		cfg.UntilCaughtUp = false
		s, err := New(cfg, l.cat)
		require.NoError(t, err)
		s.cluster = &clusterInfo{}
		require.False(t, s.mayMend(refused))
		_, err = s.admitTopics(context.Background())
		require.NoError(t, err)
		require.Equal(t, rows > 0, s.mayMend(refused))
		require.False(t, s.mayMend(&catalog.ConfigError{Text: "another schema"}))
	}
}
