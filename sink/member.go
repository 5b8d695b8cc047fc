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
