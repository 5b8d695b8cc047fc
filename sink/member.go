package sink

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// joined runs when this sink has become a member of the consumer group, or a rebalance
// has ended, before assigned: what the group has given to it is still to be taken over.
func (s *Sink) joined(_ context.Context, _ *kgo.Client, given map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Member, s.stats.GroupErr = true, ""
	for topic, ps := range given {
		for _, p := range ps {
			s.taking[topicPartition{topic, p}] = true
		}
	}
	s.sayTaking()
}

// assigned runs when the group has given topic partitions to this sink: it
// replaces the group's offsets by those of the tables.
func (s *Sink) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tps []topicPartition
	for topic, ps := range offsets {
		for p := range ps {
			tps = append(tps, topicPartition{topic, p})
		}
	}
	slices.SortFunc(tps, topicPartition.compare)
	positions, err := s.resolve(ctx, tps)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err // the session is ending; the next one asks again
		}
		s.couldNotTakeOver(err)
		return nil, err
	}
	out := map[string]map[int32]kgo.Offset{}
	for _, tp := range tps {
		p := positions[tp]
		s.owned[tp] = p
		if out[tp.topic] == nil {
			out[tp.topic] = map[int32]kgo.Offset{}
		}
		out[tp.topic][tp.partition] = kgo.NewOffset().At(p.start)
		s.log.Info("assigned", "topic", tp.topic, "partition", tp.partition, "offset", p.start)
	}
	s.tookOver(tps)
	s.size.divide(len(s.owned))
	return out, nil
}

// revoked runs before topic partitions go to another sink: what is pending is
// flushed if there is time, and dropped if not. Either way the next owner
// starts from the tables.
func (s *Sink) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil {
		flushCtx, cancel := context.WithTimeout(ctx, s.cfg.SessionTimeout*2/3)
		err := s.flush(flushCtx, "rebalance")
		cancel()
		if err != nil {
			s.log.Warn("pending rows dropped at a rebalance; their next owner reads them again", "err", err)
			s.dropLocked()
			s.rewind = true
		}
	}
	s.disown(gone)
	s.neverTook(gone)
}

// lost runs when the group has thrown this sink out, or did not let it in: others may
// already own its topic partitions.
func (s *Sink) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil {
		s.log.Warn("pending rows dropped: the consumer group threw this sink out; their next owner reads them again")
		s.dropLocked()
		s.rewind = true
	}
	s.disown(gone)
	s.out()
}

func (s *Sink) disown(gone map[string][]int32) {
	for topic, ps := range gone {
		for _, p := range ps {
			tp := topicPartition{topic, p}
			if _, had := s.owned[tp]; had { // none of a topic that was deleted
				delete(s.owned, tp)
				delete(s.fetchErrs, tp)
				s.log.Info("revoked", "topic", topic, "partition", p)
			}
		}
	}
	s.size.divide(len(s.owned))
}

// out is the end of the membership: the group has thrown this sink out, or did not let
// it in. The client goes on trying, and joined tells when it is in.
func (s *Sink) out() {
	s.stats.Member = false
	clear(s.taking) // and why that failed stays said until joined
	s.report()
}

// groupError notes why this sink is out of the group. The client told it some time
// ago, and may have joined again since.
func (s *Sink) groupError(err error) {
	if !s.stats.Member {
		s.stats.GroupErr = err.Error()
	}
}

// tookOver is the end of a take-over.
func (s *Sink) tookOver(tps []topicPartition) {
	for _, tp := range tps {
		delete(s.taking, tp)
	}
	s.sayTaking()
}

// neverTook is the end of the take-over of what the group has taken back.
func (s *Sink) neverTook(gone map[string][]int32) {
	maps.DeleteFunc(s.taking, func(tp topicPartition, _ bool) bool { return slices.Contains(gone[tp.topic], tp.partition) })
	s.sayTaking()
}

// sayTaking tells whether a take-over is under way.
func (s *Sink) sayTaking() {
	switch {
	case len(s.taking) == 0:
		s.stats.TakingOver, s.stats.TakeOverErr = time.Time{}, ""
	case s.stats.TakingOver.IsZero():
		s.stats.TakingOver = time.Now()
	}
	s.report()
}
