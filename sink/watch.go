package sink

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditlake/auditlake/catalog"
)

// told is what OnProgress last heard, and what watchEnds found out. It has a lock of
// its own: while the loop waits for a catalog or a store, watchEnds still tells how far
// Kafka is.
type told struct {
	mu    sync.Mutex
	last  Stats
	ends  map[topicPartition]ends
	gaps  map[topicPartition]gap
	heard time.Time

	lookNext topicPartition // where lookForGaps, which alone knows it, goes on
}

// ends is where a topic partition ends: for all, and for who reads it as we do.
type ends struct{ high, readable int64 }

// watched is whether anybody wants to know: OnProgress, or what looks for gaps.
func (s *Sink) watched() bool {
	return s.cfg.OnProgress != nil || s.peek != nil
}

// report tells OnProgress how the sink does.
func (s *Sink) report() {
	if !s.watched() {
		return
	}
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	s.told.last = s.snapshot()
	s.told.tell(s.cfg.OnProgress)
}

func (t *told) tell(hear func(Stats)) {
	t.last.Heard = t.heard
	t.last.Owned = slices.Clone(t.last.Owned) // whoever heard it last keeps it
	for i, p := range t.last.Owned {
		if e, ok := t.ends[topicPartition{p.Topic, p.Partition}]; ok {
			t.last.Owned[i].HighWatermark = max(p.HighWatermark, e.high)
			t.last.Owned[i].Readable = max(p.Committed, e.readable)
		}
	}
	if hear != nil {
		hear(t.last)
	}
}

// cameRound reports after a poll and what followed from it.
func (s *Sink) cameRound() {
	if !s.watched() {
		return
	}
	s.stats.Polled, s.stats.NoTopic = time.Now(), len(s.cluster.topics()) == 0
	s.report()
}

// watchEnds asks Kafka how far its topic partitions are, tells OnProgress, and looks
// for gaps, whether or not the loop comes round meanwhile, until stop has returned.
func (s *Sink) watchEnds(ctx context.Context) (stop func()) {
	if !s.watched() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.keepAskingEnds(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (s *Sink) keepAskingEnds(ctx context.Context) {
	every := min(max(s.cfg.TargetLag/4, 250*time.Millisecond), 5*time.Second)
	if s.cfg.UntilCaughtUp {
		every = min(every, peekAfter) // somebody waits for its end
	}
	holding := map[topicPartition]holdUp{}
	for wait := time.Duration(0); ; wait = every {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		askCtx, cancel := context.WithTimeout(ctx, connectTimeout)
		found, err := s.askEnds(askCtx)
		cancel()
		if err != nil {
			continue // Heard grows old: whoever watches sees that
		}
		s.sayHeld(holding, time.Now(), found)
		s.told.mu.Lock()
		s.told.ends, s.told.heard = found, time.Now()
		s.told.tell(s.cfg.OnProgress)
		s.told.mu.Unlock()
		s.lookForGaps(ctx, found)
	}
}

// askEnds asks for the ends of the owned topics, so that a sink that owns none
// asks only whether Kafka answers. A job has goals in all topics.
func (s *Sink) askEnds(ctx context.Context) (map[topicPartition]ends, error) {
	s.told.mu.Lock()
	topics := map[string]bool{}
	for _, p := range s.told.last.Owned {
		topics[p.Topic] = true
	}
	s.told.mu.Unlock()
	if s.cfg.UntilCaughtUp {
		for _, topic := range s.cluster.topics() {
			topics[topic] = true
		}
	}
	if len(topics) == 0 {
		_, err := s.topics.find(ctx, s.admin)
		return nil, err
	}
	names := slices.Sorted(maps.Keys(topics))
	high, err := s.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	readable := high
	if !s.cfg.ReadUncommitted {
		if readable, err = s.admin.ListCommittedOffsets(ctx, names...); err != nil {
			return nil, err
		}
	}
	found := map[topicPartition]ends{}
	readable.Each(func(o kadm.ListedOffset) {
		h, ok := high.Lookup(o.Topic, o.Partition)
		if o.Err == nil && ok && h.Err == nil {
			found[topicPartition{o.Topic, o.Partition}] = ends{h.Offset, o.Offset}
		}
	})
	return found, nil
}

// sayLacking says, once, which columns the tables lack: their values are in the
// payload only. A table of an older release is no reason to stop.
func (s *Sink) sayLacking(tables ...lakeTable) {
	var lacking []string
	for _, t := range tables {
		for _, column := range t.MissingColumns() {
			lacking = append(lacking, t.Name()+"."+column)
		}
	}
	if text := strings.Join(lacking, ", "); text != s.lacking {
		if s.lacking = text; text != "" {
			s.log.Warn("the tables lack columns of this release: what belongs there stays in the payload; `auditlake migrate` adds them", "columns", text)
		}
	}
}

// flushError is what a flush that ended so says of the sink's means to commit:
// one that gave way to another sink could have.
func flushError(err error) string {
	var fenced *catalog.FencedError
	if err == nil || errors.As(err, &fenced) {
		return ""
	}
	return err.Error()
}
