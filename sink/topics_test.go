package sink

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	require.Equal(t, [][]string{{"a.b"}, {"x-1", "x-2"}, {"x-1", "x-1b"}}, set.entries([]string{"a.b", "x-1", "x-2", "x-1b", "y"}))
	set, err = parseTopics([]string{"a.b"})
	require.NoError(t, err)
	topics, patterns = set.subscription()
	require.False(t, patterns)
	require.Equal(t, []string{"a.b"}, topics)
}

// A topic that goes away stops the sink only where it knows of records that it has not
// read, and not at the first broker that does not know the topic.
func TestDeletedTopic(t *testing.T) {
	for name, high := range map[string]int64{"": 5, "topic gone was deleted, and with it records [5, 7) of its partition 3 that were not read": 7} {
		said := &logged{}
		s := &Sink{log: slog.New(slog.NewTextHandler(said, nil)), cluster: &clusterInfo{id: "c", topicIDs: map[string]string{"gone": "1", "stays": "2"}},
			owned: map[topicPartition]*progress{{"gone", 3}: {id: catalog.TopicPartition{Partition: 3}, next: 5, high: high}, {"stays", 0}: {next: 1, high: 9}},
			goals: map[topicPartition]int64{{"gone", 3}: 5, {"stays", 0}: 9}}
		w := topicWatch{suspect: map[string]*missed{}}
		gone := found{ids: map[string]string{"stays": "2", "new": "3"}}
		require.NoError(t, s.follow(&w, gone))
		require.NoError(t, s.follow(&w, found{ids: map[string]string{"stays": "2", "new": "3", "gone": "1"}}), "a broker that knows it")
		require.NoError(t, s.follow(&w, gone))
		require.NoError(t, s.follow(&w, gone))
		require.Equal(t, []string{"gone", "new", "stays"}, s.cluster.topics())
		err := s.follow(&w, gone)
		if name != "" {
			require.ErrorContains(t, err, name)
			continue
		}
		require.NoError(t, err)
		require.Contains(t, said.String(), "topic was deleted")
		require.Equal(t, []string{"new", "stays"}, s.cluster.topics())
		require.Equal(t, map[topicPartition]int64{{"stays", 0}: 9}, s.goals)
		require.ErrorContains(t, s.follow(&w, found{ids: map[string]string{"stays": "other"}}), "deleted and made again")
	}
}

func TestLongTransactionIsSaidOnce(t *testing.T) {
	said := &logged{}
	s := &Sink{log: slog.New(slog.NewTextHandler(said, nil))}
	holding, tp, at := map[topicPartition]held{}, topicPartition{"t", 1}, time.Now()
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
