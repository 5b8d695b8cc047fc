package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

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

// entries groups topics by the entry of Config.Topics that asks for them; one that
// several ask for is in each.
func (t topicSet) entries(topics []string) [][]string {
	var out [][]string
	for _, name := range t.names {
		if slices.Contains(topics, name) {
			out = append(out, []string{name})
		}
	}
	for _, p := range t.patterns {
		var of []string
		for _, name := range topics {
			if p.MatchString(name) {
				of = append(of, name)
			}
		}
		out = append(out, of)
	}
	return out
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

func (c *clusterInfo) learn(topic, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topicIDs[topic] = id
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
	meta, err := s.admin.Metadata(ctx, unknown...)
	if err != nil {
		return fmt.Errorf("look for topics %s: %w", strings.Join(unknown, ", "), err)
	}
	for _, topic := range unknown {
		d, ok := meta.Topics[topic]
		if !ok || d.Err != nil {
			return fmt.Errorf("topic %s was assigned and is not known: %w", topic, errors.Join(d.Err))
		}
		s.cluster.learn(topic, d.ID.String())
	}
	return nil
}

// topicWatch follows topics while the sink runs: those that are made, deleted, and
// deleted and made again under the same name. The client follows the first only.
type topicWatch struct {
	every   time.Duration
	suspect map[string]*missed
}

// missed is a topic that was not there when it was looked for last.
type missed struct {
	looks int
	had   []*progress // what this sink had of it
}

// A topic that is missing may be one that a broker has not heard of yet.
const looksUntilDeleted = 3

func (s *Sink) watchTopics(ctx context.Context) error {
	w := topicWatch{every: min(5*time.Second, s.cfg.MetadataRefresh), suspect: map[string]*missed{}}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		askCtx, cancel := context.WithTimeout(ctx, connectTimeout)
		now, err := s.topics.find(askCtx, s.admin)
		cancel()
		if err != nil {
			continue // brokers that do not answer, or no longer allow it, are the loop's to report
		}
		if err := s.follow(&w, now); err != nil {
			return err
		}
	}
}

func (s *Sink) follow(w *topicWatch, now found) error {
	for topic, id := range now.ids {
		delete(w.suspect, topic)
		switch was, known := s.cluster.topicID(topic); {
		case !known:
			s.log.Info("a new topic", "topic", topic)
			s.cluster.learn(topic, id)
		case was != id:
			return recreated(topic, was, id)
		}
	}
	for _, topic := range s.cluster.topics() {
		if _, there := now.ids[topic]; there {
			continue
		}
		if err := s.miss(w, topic); err != nil {
			return err
		}
	}
	return nil
}

// miss is told each time a known topic is not there. A topic that was deleted is no
// reason to stop where all of it was read: topics that match a pattern come and go.
func (s *Sink) miss(w *topicWatch, topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := w.suspect[topic]
	if m == nil {
		m = &missed{}
		w.suspect[topic] = m
		for tp, p := range s.owned {
			if tp.topic == topic {
				m.had = append(m.had, p)
			}
		}
	}
	if m.looks++; m.looks < looksUntilDeleted {
		return nil
	}
	for _, p := range m.had {
		if p.next < p.high {
			return &Error{Text: fmt.Sprintf("topic %s was deleted, and with it records [%d, %d) of its partition %d that were not read: "+
				"restore them under another name, or take the topic out of kafka.topics to go on without them", topic, p.next, p.high, p.id.Partition)}
		}
	}
	s.log.Warn("topic was deleted; what was read of it is in the tables", "topic", topic)
	delete(w.suspect, topic)
	s.cluster.forget(topic)
	maps.DeleteFunc(s.goals, func(tp topicPartition, _ int64) bool { return tp.topic == topic })
	return nil
}

func recreated(topic, was, is string) error {
	return &Error{Text: fmt.Sprintf(
		"topic %s was deleted and made again: the tables hold offsets of its topic id %s, the topic is now %s. "+
			"Its offsets start over, so its rows could not be told apart: give the new topic another name, or another catalog.namespace", topic, was, is)}
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
// of which the tables know no topic. Any other topic or topic partition that they do
// not know has come since, and begins at its first record.
func (s *Sink) pinLatest(ctx context.Context) error {
	known, err := s.knownTopics(ctx)
	if err != nil {
		return err
	}
	var fresh []string
	for _, topics := range s.topics.entries(s.cluster.topics()) {
		if !slices.ContainsFunc(topics, func(t string) bool { return known[t] }) {
			fresh = append(fresh, topics...)
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

// knownTopics are those of which a table holds an offset.
func (s *Sink) knownTopics(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	known := map[string]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, table := range []string{catalog.DeadLetters, catalog.AgentEvents} {
		_, offsets, err := s.loadOffsets(ctx, table)
		if err != nil {
			return nil, err
		}
		for _, topic := range s.cluster.topics() {
			if err := sameTopic(s.idOf(topicPartition{topic: topic}), offsets); err != nil {
				return nil, err
			}
		}
		for id := range offsets {
			known[id.Topic] = known[id.Topic] || id.ClusterID == s.cluster.id
		}
	}
	return known, nil
}

// pin makes a snapshot commit without rows that says where topic partitions begin. Where
// another sink has said so first, its word holds.
func (s *Sink) pin(ctx context.Context, at map[topicPartition]int64) error {
	b := catalog.Batch{ID: uuid.NewString()}
	for _, tp := range slices.SortedFunc(maps.Keys(at), topicPartition.compare) {
		b.Ranges = append(b.Ranges, catalog.Range{TopicPartition: s.idOf(tp), Start: at[tp], End: at[tp], Mark: b.ID})
		s.log.Info("start noted in the tables", "topic", tp.topic, "partition", tp.partition, "offset", at[tp])
	}
	_, err := s.commit(ctx, catalog.AgentEvents, b)
	var fenced *catalog.FencedError
	if errors.As(err, &fenced) {
		return nil
	}
	return err
}
