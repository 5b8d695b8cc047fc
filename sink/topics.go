package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/auditlake/auditlake/catalog"
)

// topicSet is what Config.Topics asks for: names, and patterns, which begin with ^.
type topicSet struct {
	names    []string
	patterns []*regexp.Regexp
}

func parseTopics(entries []string) (topicSet, error) {
	var set topicSet
	for _, entry := range entries {
		if !strings.HasPrefix(entry, "^") {
			set.names = append(set.names, entry)
			continue
		}
		pattern, err := regexp.Compile(entry)
		if err != nil {
			return set, &Error{Text: fmt.Sprintf("kafka.topics: %q is no regular expression: mend it", entry), Usage: true, Err: err}
		}
		set.patterns = append(set.patterns, pattern)
	}
	return set, nil
}

// subscription is what to tell the client, and whether that is patterns.
func (t topicSet) subscription() (topics []string, patterns bool) {
	if len(t.patterns) == 0 {
		return t.names, false
	}
	for _, name := range t.names {
		topics = append(topics, "^"+regexp.QuoteMeta(name)+"$")
	}
	for _, p := range t.patterns {
		topics = append(topics, p.String())
	}
	return topics, true
}

// found is what a cluster has of a topicSet.
type found struct {
	cluster string
	ids     map[string]string // of its topics, by name
	missing []string          // names that do not exist
}

// find asks the cluster. Names are asked for by name, so that one that may not be
// described is known from one that is not there; patterns never match internal topics.
func (t topicSet) find(ctx context.Context, admin cluster) (found, error) {
	out := found{ids: map[string]string{}}
	if len(t.names) > 0 {
		meta, err := admin.Metadata(ctx, t.names...)
		if err != nil {
			return out, err
		}
		out.cluster = meta.Cluster
		for _, name := range t.names {
			d, ok := meta.Topics[name]
			switch {
			case !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition):
				out.missing = append(out.missing, name)
			case errors.Is(d.Err, kerr.TopicAuthorizationFailed):
				return out, notAllowed(name, d.Err)
			case errors.Is(d.Err, kerr.InvalidTopicException):
				return out, &Error{Text: fmt.Sprintf("no topic can be called %q: correct kafka.topics; a pattern begins with ^", name), Usage: true, Err: d.Err}
			case d.Err != nil:
				return out, &Error{Text: fmt.Sprintf("topic %s cannot be read", name), Err: d.Err}
			default:
				out.ids[name] = d.ID.String()
			}
		}
	}
	if len(t.patterns) > 0 {
		meta, err := admin.Metadata(ctx)
		if err != nil {
			return out, err
		}
		out.cluster = meta.Cluster
		for name, d := range meta.Topics {
			if d.Err == nil && !d.IsInternal && t.matches(name) {
				out.ids[name] = d.ID.String()
			}
		}
	}
	return out, nil
}

func (t topicSet) matches(name string) bool {
	return slices.ContainsFunc(t.patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}

// entries tells, for each entry of Config.Topics, whether it asks for a topic.
func (t topicSet) entries() (asks []func(topic string) bool) {
	for _, name := range t.names {
		asks = append(asks, func(topic string) bool { return topic == name })
	}
	for _, p := range t.patterns {
		asks = append(asks, p.MatchString)
	}
	return asks
}

// clusterInfo is what the offsets in the tables are keyed by.
type clusterInfo struct {
	id string

	mu       sync.Mutex
	topicIDs map[string]string // of the topics that are known, by name
}

func (c *clusterInfo) topicID(topic string) (id string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, known = c.topicIDs[topic]
	return id, known
}

// topics are the names of the topics that are known, in order.
func (c *clusterInfo) topics() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.topicIDs))
}

// learn notes a topic's id, and tells whether it was known.
func (c *clusterInfo) learn(topic, id string) (known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known = c.topicIDs[topic] == id
	c.topicIDs[topic] = id
	return known
}

func (c *clusterInfo) forget(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topicIDs, topic)
}

// learnTopics asks for the ids of topics that were assigned before they were looked for.
func (s *Sink) learnTopics(ctx context.Context, tps []topicPartition) error {
	var unknown []string
	for _, tp := range tps {
		if _, known := s.cluster.topicID(tp.topic); !known && !slices.Contains(unknown, tp.topic) {
			unknown = append(unknown, tp.topic)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	ids, err := s.askIDs(ctx, unknown)
	if err != nil {
		return err
	}
	for topic, id := range ids {
		s.sayNew(topic, id)
	}
	return nil
}

// sayNew notes a topic that appeared, of which an assignment or the watch over topics
// hears first.
func (s *Sink) sayNew(topic, id string) {
	if !s.cluster.learn(topic, id) {
		s.log.Info("a new topic", "topic", topic)
	}
}

// askIDs asks for the ids of topics that must be there.
func (s *Sink) askIDs(ctx context.Context, topics []string) (map[string]string, error) {
	meta, err := s.admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("look for topics %s: %w", strings.Join(topics, ", "), err)
	}
	ids := map[string]string{}
	for _, topic := range topics {
		d, ok := meta.Topics[topic]
		if !ok || d.Err != nil {
			return nil, fmt.Errorf("topic %s is not there: %w", topic, cmp.Or(d.Err, error(kerr.UnknownTopicOrPartition)))
		}
		ids[topic] = d.ID.String()
	}
	return ids, nil
}

// sameIDs makes sure that topics are still those that are known. Offsets are asked for
// by name: those of another topic must not be taken for a former one's. That one has
// gone, or was made again, is for the watch over topics to judge.
func (s *Sink) sameIDs(ctx context.Context, topics []string) error {
	ids, err := s.askIDs(ctx, topics)
	if err != nil {
		return err
	}
	for topic, is := range ids {
		if was, _ := s.cluster.topicID(topic); was != is {
			return anotherTopic(topic, was, is)
		}
	}
	return nil
}

func anotherTopic(topic, was, is string) error {
	return fmt.Errorf("topic %s was deleted and made again: its id was %s, it is now %s", topic, was, is)
}

// sayMissing says what of Config.Topics is not there yet; with UntilCaughtUp a name
// that does not exist can never be caught up with.
func (s *Sink) sayMissing(now found) error {
	if len(now.missing) > 0 && s.cfg.UntilCaughtUp {
		return noTopic(now.missing[0], s.cfg.Brokers)
	}
	from := "it is read from its first record once it is made"
	if s.cfg.StartLatest {
		// Only a sink that saw it missing knows that it is new: nothing of it can be noted in the tables.
		from = "made while a sink runs it is read from its first record, made while none runs from where it ends at the next start (kafka.start: latest)"
	}
	for _, name := range now.missing {
		s.log.Warn("a topic of kafka.topics does not exist: "+from, "topic", name)
	}
	if len(now.ids) == 0 && len(now.missing) == 0 {
		s.log.Warn("no topic matches kafka.topics yet", "topics", strings.Join(s.cfg.Topics, " "))
	}
	return nil
}

func noTopic(topic string, brokers []string) error {
	return &Error{Text: fmt.Sprintf("topic %s does not exist on %s: create it, or correct kafka.topics", topic, strings.Join(brokers, ", ")), Usage: true}
}

// pinLatest notes in the tables where topics begin of which StartLatest wants only
// what is new: at their ends as of now, for good. It is for entries of Config.Topics
// that ask for no topic which the tables know, be it still there or not. Any other
// topic or topic partition that they do not know has come since, and begins at its
// first record.
func (s *Sink) pinLatest(ctx context.Context, held tables) error {
	known := held.topics(s.cluster.id)
	var fresh []string
	for _, asks := range s.topics.entries() {
		if slices.ContainsFunc(known, asks) {
			continue
		}
		for _, topic := range s.cluster.topics() {
			if asks(topic) {
				fresh = append(fresh, topic)
			}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	// Where a consumer that starts at the end does: before the transactions that are open.
	list := s.admin.ListCommittedOffsets
	if s.cfg.ReadUncommitted {
		list = s.admin.ListEndOffsets
	}
	ends, err := list(ctx, fresh...)
	if err != nil {
		return fmt.Errorf("list the last offsets of %s: %w", strings.Join(fresh, ", "), err)
	}
	at := map[topicPartition]int64{}
	var failed error
	ends.Each(func(o kadm.ListedOffset) {
		failed = errors.Join(failed, o.Err)
		at[topicPartition{o.Topic, o.Partition}] = o.Offset
	})
	if failed != nil {
		return fmt.Errorf("list the last offsets of %s: %w", strings.Join(fresh, ", "), failed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pin(ctx, at)
}

// pin makes a snapshot commit without rows that says where topic partitions begin. Where
// another sink has said so first, its word holds; of the others ours does.
func (s *Sink) pin(ctx context.Context, at map[topicPartition]int64) error {
	for tries := 1; len(at) > 0; tries++ {
		b := catalog.Batch{ID: uuid.NewString()}
		for _, tp := range slices.SortedFunc(maps.Keys(at), topicPartition.compare) {
			b.Ranges = append(b.Ranges, catalog.Range{TopicPartition: s.idOf(tp), Start: at[tp], End: at[tp], Mark: b.ID})
		}
		_, err := s.commit(ctx, catalog.AgentEvents, b)
		var fenced *catalog.FencedError
		switch {
		case err == nil:
			for _, r := range b.Ranges {
				s.log.Info("start noted in the tables", "topic", r.Topic, "partition", r.Partition, "offset", r.Start)
			}
			return nil
		case !errors.As(err, &fenced), tries > maxFencing:
			return err
		}
		if err := s.leaveOutNoted(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// leaveOutNoted takes out of at what the tables know by now.
func (s *Sink) leaveOutNoted(ctx context.Context, at map[topicPartition]int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	held, err := s.loadTables(ctx)
	if err != nil {
		return err
	}
	for tp := range at {
		if err := held.admits(s.idOf(tp)); err != nil {
			return err
		}
	}
	maps.DeleteFunc(at, func(tp topicPartition, _ int64) bool { return held.knows(s.idOf(tp)) })
	return nil
}
