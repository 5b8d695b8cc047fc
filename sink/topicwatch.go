package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// topicWatch follows topics while the sink runs: those that are made, deleted, and
// deleted and made again under the same name. The client follows the first only.
type topicWatch struct {
	every   time.Duration
	suspect map[string]*missed
}

// missed is a topic that was not there when it was looked for last.
type missed struct {
	since time.Time
	looks int
	had   map[topicPartition]*progress // what this sink had of it
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
		if err := s.follow(ctx, &w, now); err != nil {
			return err
		}
	}
}

func (s *Sink) follow(ctx context.Context, w *topicWatch, now found) error {
	for topic, id := range now.ids {
		was, known := s.cluster.topicID(topic)
		if known && was == id {
			delete(w.suspect, topic)
			continue
		}
		if err := s.meet(ctx, w, topic, id); err != nil {
			return err
		}
	}
	for _, topic := range s.cluster.topics() {
		if _, there := now.ids[topic]; there {
			continue
		}
		if err := s.miss(ctx, w, topic); err != nil {
			return err
		}
	}
	return nil
}

// meet is told of a topic that is not known under its id: a new one, or one that was
// deleted and made again, whether or not it was missed in between. The tables tell.
func (s *Sink) meet(ctx context.Context, w *topicWatch, topic, id string) error {
	held, err := s.askTables(ctx)
	if err != nil {
		return nil // the next look is soon, and whatever reads the topic asks the tables too
	}
	is := s.idOf(topicPartition{topic: topic})
	is.TopicID = id
	if err := held.admits(is); err != nil {
		if m := s.suspected(w, topic); !s.hurry(m) {
			return s.withUnread(err, m)
		}
		return nil // the next look is after the flush
	}
	switch was, known := s.cluster.topicID(topic); {
	case known && was == id:
		return nil // an assignment has met it meanwhile
	case known:
		// The tables hold nothing of the former one.
		if gone, err := s.letGo(w, topic, held); err != nil || !gone {
			return err
		}
		s.log.Info("a topic was deleted and made again before anything of it was in the tables", "topic", topic)
		s.cluster.learn(topic, id)
		s.fetchAnew(topic)
		return nil
	}
	s.sayNew(topic, id)
	return nil
}

// miss is told each time a known topic is not there. A topic that was deleted is no
// reason to stop where all of it was read: topics that match a pattern come and go.
func (s *Sink) miss(ctx context.Context, w *topicWatch, topic string) error {
	m := s.suspected(w, topic)
	s.hurry(m)
	if m.looks++; m.looks < looksUntilDeleted {
		return nil
	}
	held, err := s.askTables(ctx)
	if err != nil {
		return nil // as in meet
	}
	if gone, err := s.letGo(w, topic, held); err != nil || !gone {
		return err
	}
	s.log.Warn("topic was deleted; what was read of it is in the tables", "topic", topic)
	s.fetchAnew(topic)
	return nil
}

// suspected is what is known of a topic that is missing. What this sink had of it is
// noted as long as it has it: the group may give it to nobody any more.
func (s *Sink) suspected(w *topicWatch, topic string) *missed {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := w.suspect[topic]
	if m == nil {
		m = &missed{since: time.Now(), had: map[topicPartition]*progress{}}
		w.suspect[topic] = m
	}
	for tp, p := range s.owned {
		if tp.topic == topic {
			m.had[tp] = p
		}
	}
	return m
}

// hurry makes the pending batch due at once where some of a topic is in it that may be
// gone: nobody could read that again. It tells whether some is.
func (s *Sink) hurry(m *missed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hurryLocked(m)
}

func (s *Sink) hurryLocked(m *missed) bool {
	for _, p := range m.had {
		if p.next == p.start {
			continue
		}
		if s.batch != nil {
			s.batch.due = time.Now()
		}
		return true
	}
	return false
}

// withUnread adds to a refusal what was not read of the former topic.
func (s *Sink) withUnread(refusal error, m *missed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tp := range m.sorted() {
		if p := m.had[tp]; p.next < p.high {
			return &Error{Refused: true, Text: fmt.Sprintf("%v. Of the former one records [%d, %d) of partition %d were not read", refusal, p.next, p.high, tp.partition)}
		}
	}
	return refusal
}

func (m *missed) sorted() []topicPartition {
	return slices.SortedFunc(maps.Keys(m.had), topicPartition.compare)
}

// letGo forgets a topic that was deleted, once what was read of it is in the tables. It
// refuses where records went with it that were not read. held is what the tables say.
func (s *Sink) letGo(w *topicWatch, topic string, held tables) (gone bool, err error) {
	m := s.suspected(w, topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hurryLocked(m) {
		return false, nil // what is lost is known after the flush
	}
	for _, tp := range m.sorted() {
		if p := m.had[tp]; p.next < p.high {
			return false, deletedUnread(tp, p.next, p.high)
		}
	}
	for tp, goal := range s.goals {
		if next := held.offsets[s.idOf(tp)].Next; tp.topic == topic && m.had[tp] == nil && next < goal {
			if time.Since(m.since) < s.cfg.TargetLag+s.cfg.SessionTimeout {
				return false, nil // it may be in the pending batch of another sink
			}
			return false, deletedUnread(tp, next, goal)
		}
	}
	delete(w.suspect, topic)
	s.cluster.forget(topic)
	of := func(tp topicPartition) bool { return tp.topic == topic }
	maps.DeleteFunc(s.owned, func(tp topicPartition, _ *progress) bool { return of(tp) })
	maps.DeleteFunc(s.goals, func(tp topicPartition, _ int64) bool { return of(tp) })
	maps.DeleteFunc(s.taking, func(tp topicPartition, _ bool) bool { return of(tp) })
	maps.DeleteFunc(s.fetchErrs, func(tp topicPartition, _ string) bool { return of(tp) })
	s.sayTaking()
	return true, nil
}

func deletedUnread(tp topicPartition, from, to int64) error {
	return &Error{Text: fmt.Sprintf("topic %s was deleted, and with it records [%d, %d) of its partition %d that were not read: "+
		"restore them under another name, or take the topic out of kafka.topics to go on without them", tp.topic, from, to, tp.partition)}
}

// fetchAnew has the client forget a topic that was deleted. If it is made again, or
// was, the client reads it as a new one.
func (s *Sink) fetchAnew(topic string) {
	s.client.PurgeTopicsFromConsuming(topic)
	s.client.AddConsumeTopics(topic) // those of patterns it finds by itself
}
