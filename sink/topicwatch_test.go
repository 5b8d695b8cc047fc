package sink

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// quick has a sink see soon what becomes of its topics.
func quick(cfg Config) Config {
	cfg.MetadataRefresh = 200 * time.Millisecond
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(cfg.MetadataRefresh), kgo.MetadataMinAge(100 * time.Millisecond)}
	return cfg
}

const wasDeleted = "topic was deleted; what was read of it is in the tables"

// A topic that is deleted concerns nobody any more, however it was asked for: a sink
// that must go back to where the tables are does so with the topics that are left.
func TestDeletedTopicIsLetGo(t *testing.T) {
	for name, entry := range map[string]string{"named": "gone", "of a pattern": "^go"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			require.NoError(t, l.broker.CreateTopic("gone", 1, nil))
			d := l.start(func(cfg *Config) {
				*cfg = quick(*cfg)
				cfg.Topics, cfg.CommitTimeout = []string{l.topic, entry}, time.Second
			})
			l.sendTo(l.producer(), "gone", 0)
			l.produce(10, 0)
			l.requireRows(d.Sink, 11)
			require.NoError(t, l.broker.DeleteTopic("gone"))
			d.awaitLine(t, wasDeleted)
			require.False(t, slices.ContainsFunc(d.Stats().Owned, func(p OwnedPartition) bool { return p.Topic == "gone" }))
			l.failFor(1500 * time.Millisecond)
			l.produce(10, 0)
			l.requireRows(d.Sink, 21)
			require.NotZero(t, d.has("failed; what is pending is read again"))
			d.end(t)
		})
	}
}

// failFor has snapshot commits of agent_events fail for a time.
func (l *lab) failFor(d time.Duration) {
	until := time.Now().Add(d)
	var plan *faultPlan
	plan = &faultPlan{table: catalog.AgentEvents, fault: func(func() error) error {
		if time.Now().Before(until) {
			l.faults.Store(plan)
		}
		return errors.New("503 from the catalog")
	}}
	l.faults.Store(plan)
}

// A topic that was read, deleted, let go and made again stops a running sink, as it
// does one that starts.
func TestTopicMadeAgainAfterItWasLetGo(t *testing.T) {
	for name, entry := range map[string]string{"named": "gone", "of a pattern": "^go"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			require.NoError(t, l.broker.CreateTopic("gone", 1, nil))
			d := l.start(func(cfg *Config) { *cfg = quick(*cfg); cfg.Topics = []string{l.topic, entry} })
			l.sendTo(l.producer(), "gone", 0)
			l.requireRows(d.Sink, 1)
			require.NoError(t, l.broker.DeleteTopic("gone"))
			d.awaitLine(t, wasDeleted)
			require.NoError(t, l.broker.CreateTopic("gone", 1, nil))
			select {
			case err := <-d.ended:
				require.ErrorContains(t, err, "topic gone was deleted and made again: the tables hold offsets of its topic id")
			case <-time.After(faultPatience):
				t.Fatal("the sink goes on")
			}
		})
	}
}

// A topic of which the tables hold nothing may be deleted and made again: its records
// are read, with topic partitions as they are now.
func TestEmptyTopicMadeAgainIsRead(t *testing.T) {
	for name, entry := range map[string]string{"named": "day-1", "of a pattern": "^day-"} {
		for _, missed := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", at once", true: ", after a while"}[missed], func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				l.topic = "day-1"
				require.NoError(t, l.broker.CreateTopic(l.topic, 1, nil))
				d := l.start(func(cfg *Config) { *cfg = quick(*cfg); cfg.Topics = []string{entry} })
				require.Eventually(t, func() bool { return len(d.Stats().Owned) == 1 }, faultPatience, faultLook)
				require.NoError(t, l.broker.DeleteTopic(l.topic))
				if missed {
					d.awaitLine(t, wasDeleted)
				}
				require.NoError(t, l.broker.CreateTopic(l.topic, 2, nil))
				client := l.producer()
				l.sendTo(client, l.topic, 0)
				l.sendTo(client, l.topic, 1)
				l.requireRows(d.Sink, 2)
				d.end(t)
			})
		}
	}
}

// A topic that comes back as another one while a sink runs is refused before anything
// is noted of it: the tables would refuse both from then on.
func TestTopicMadeAgainIsNotNoted(t *testing.T) {
	l := newLab(t)
	require.NoError(t, l.broker.CreateTopic("gone", 1, nil))
	cfg := l.config()
	cfg.Topics, cfg.StartLatest = []string{l.topic, "gone"}, true
	l.catchUp(cfg)
	before := l.offsets()
	require.Len(t, before, 4)
	require.NoError(t, l.broker.DeleteTopic("gone"))
	d := l.start(func(c *Config) {
		*c = quick(*c)
		c.Topics, c.StartLatest, c.MetadataRefresh = cfg.Topics, true, time.Minute // the client sees it first
	})
	require.Eventually(t, func() bool { return len(d.Stats().Owned) == 3 }, faultPatience, faultLook)
	require.NoError(t, l.broker.CreateTopic("gone", 1, nil))
	select {
	case err := <-d.ended:
		require.ErrorContains(t, err, "topic gone was deleted and made again")
	case <-time.After(faultPatience):
		t.Fatal("the sink goes on")
	}
	require.Equal(t, before, l.offsets())
}

// forgetful is a client that notes what it is to forget.
type forgetful struct {
	consumer
	purged, added []string
}

func (f *forgetful) PurgeTopicsFromConsuming(topics ...string) {
	f.purged = append(f.purged, topics...)
}
func (f *forgetful) AddConsumeTopics(topics ...string) { f.added = append(f.added, topics...) }

// A topic that goes away stops the sink only where it knows of records that it has not
// read, and not at the first broker that does not know the topic. It is let go once
// what was read of it is in the tables.
func TestDeletedTopic(t *testing.T) {
	gone := found{ids: map[string]string{"stays": "2", "new": "3"}}
	for name, c := range map[string]struct {
		next, high, goal int64
		other            bool // it is another sink's
		pending          bool
		want             string
	}{
		"all read":               {next: 5, high: 5},
		"all read, some pending": {next: 5, high: 5, pending: true},
		"not all read":           {next: 5, high: 7, want: "topic gone was deleted, and with it records [5, 7) of its partition 3 that were not read"},
		"another sink's":         {other: true, goal: 5, want: "topic gone was deleted, and with it records [0, 5) of its partition 3 that were not read"},
	} {
		t.Run(name, func(t *testing.T) {
			l, ctx := newLab(t), context.Background()
			said, client := &logged{}, &forgetful{}
			s, err := New(l.config(), l.cat)
			require.NoError(t, err)
			s.cfg.TargetLag, s.cfg.SessionTimeout = 0, time.Millisecond
			s.log, s.client = slog.New(slog.NewTextHandler(said, nil)), client
			s.cluster = &clusterInfo{id: "c", topicIDs: map[string]string{"gone": "1", "stays": "2"}}
			p := &progress{id: catalog.TopicPartition{Partition: 3}, start: c.next, next: c.next, high: c.high}
			if c.pending {
				p.start--
			}
			s.owned[topicPartition{"stays", 0}] = &progress{start: 1, next: 1, high: 9}
			s.goals = map[topicPartition]int64{{"stays", 0}: 9}
			if c.other {
				s.goals[topicPartition{"gone", 3}] = c.goal
			} else {
				s.owned[topicPartition{"gone", 3}], s.goals[topicPartition{"gone", 3}] = p, 5
			}
			w := topicWatch{suspect: map[string]*missed{}}
			look := func() error {
				time.Sleep(2 * time.Millisecond)
				return s.follow(ctx, &w, gone)
			}
			require.NoError(t, look())
			require.NoError(t, s.follow(ctx, &w, found{ids: map[string]string{"stays": "2", "new": "3", "gone": "1"}}), "a broker that knows it")
			require.NoError(t, look())
			require.NoError(t, look())
			require.Equal(t, []string{"gone", "new", "stays"}, s.cluster.topics())
			err = look()
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			if c.pending {
				require.NotContains(t, said.String(), wasDeleted, "some of it is not in the tables yet")
				require.Empty(t, client.purged)
				p.start = p.next
				require.NoError(t, look())
			}
			require.Equal(t, 1, strings.Count(said.String(), wasDeleted))
			require.Equal(t, []string{"new", "stays"}, s.cluster.topics())
			require.Equal(t, map[topicPartition]int64{{"stays", 0}: 9}, s.goals)
			require.Len(t, s.owned, 1)
			require.Equal(t, []string{"gone"}, client.purged)
			require.Equal(t, []string{"gone"}, client.added)
			require.ErrorContains(t, s.follow(ctx, &w, found{ids: map[string]string{"stays": "other"}}), "topic stays was deleted, and with it records [1, 9)")
		})
	}
}

// A topic that appears is met by an assignment and by the watch; whoever comes second
// leaves it as it is.
func TestNewTopicIsMetOnce(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	s, err := New(l.config(), l.cat)
	require.NoError(t, err)
	client := &forgetful{}
	s.client, s.cluster = client, &clusterInfo{id: "c", topicIDs: map[string]string{"new": "1"}}
	s.owned[topicPartition{"new", 0}] = &progress{next: 0, high: 9}
	require.NoError(t, s.meet(ctx, &topicWatch{suspect: map[string]*missed{}}, "new", "1"))
	require.Len(t, s.owned, 1)
	require.Empty(t, client.purged)
}
