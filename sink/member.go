package sink

import (
	"context"
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
	s.report()
}

// groupError notes why this sink is out of the group. The client told it some time
// ago, and may have joined again since.
func (s *Sink) groupError(err error) {
	if !s.stats.Member {
		s.stats.GroupErr = err.Error()
	}
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
