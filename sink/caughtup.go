package sink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditlake/auditlake/catalog"
)

// setGoals notes the end of every topic partition as it is now: the last stable
// offset, or the high watermark when uncommitted records are read.
func (s *Sink) setGoals(ctx context.Context) error {
	topics := s.cluster.topics()
	goals := map[topicPartition]int64{}
	if len(topics) > 0 { // asked for none, Kafka tells of all
		high, err := s.admin.ListEndOffsets(ctx, topics...)
		if err != nil {
			return fmt.Errorf("list the last offsets of %s: %w", strings.Join(topics, ", "), err)
		}
		ends := high
		if !s.cfg.ReadUncommitted {
			if ends, err = s.admin.ListCommittedOffsets(ctx, topics...); err != nil {
				return fmt.Errorf("list the last stable offsets of %s: %w", strings.Join(topics, ", "), err)
			}
		}
		starts, err := s.admin.ListStartOffsets(ctx, topics...)
		if err != nil {
			return fmt.Errorf("list the first offsets of %s: %w", strings.Join(topics, ", "), err)
		}
		if goals, err = s.goalsOf(starts, ends, high); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goals = goals
	return nil
}

func (s *Sink) goalsOf(starts, ends, high kadm.ListedOffsets) (map[topicPartition]int64, error) {
	goals := map[topicPartition]int64{}
	for topic, ps := range ends {
		for p, end := range ps {
			if end.Err != nil {
				return nil, fmt.Errorf("last offset of %s/%d: %w", topic, p, end.Err)
			}
			if start, ok := starts.Lookup(topic, p); ok && start.Offset < end.Offset {
				goals[topicPartition{topic, p}] = end.Offset
			}
			if h, ok := high.Lookup(topic, p); ok && h.Err == nil && end.Offset < h.Offset {
				s.log.Warn("an open transaction holds the goal back: the records after it are for a later run, once it has ended",
					"topic", topic, "partition", p, "offset", end.Offset, "after", h.Offset-end.Offset)
			}
		}
	}
	return goals, nil
}

// checkCaughtUp ends the loop once every topic partition has reached its goal:
// those this sink owns by its own progress, the others by what the table says,
// since another sink of the group may own them.
func (s *Sink) checkCaughtUp(ctx context.Context) error {
	if !s.cfg.UntilCaughtUp {
		return nil
	}
	others := false
	s.stats.CaughtUp, s.stats.CaughtUpGoal = 0, 0
	for tp, goal := range s.goals {
		s.stats.CaughtUpGoal += goal
		p := s.owned[tp]
		if p == nil {
			others = true
			continue
		}
		if err := s.passOver(ctx, tp, p, goal); err != nil {
			return err
		}
		s.stats.CaughtUp += min(p.next, goal)
		if p.next < goal {
			return nil
		}
	}
	if err := s.flushOrDrop(ctx, "caught up"); err != nil || s.rewind {
		return err
	}
	if others {
		reached, err := s.othersReached(ctx)
		if err != nil || !reached {
			return err
		}
	}
	s.report()
	return errCaughtUp
}

// othersReached asks the table about the topic partitions this sink does not
// own, at most once a second.
func (s *Sink) othersReached(ctx context.Context) (bool, error) {
	if time.Since(s.askedOthers) < time.Second {
		return false, nil
	}
	s.askedOthers = time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	_, offsets, err := s.loadOffsets(ctx, catalog.AgentEvents)
	if err != nil {
		return false, err
	}
	reached := map[topicPartition]int64{}
	for id, o := range offsets {
		if topicID, _ := s.cluster.topicID(id.Topic); id.ClusterID == s.cluster.id && id.TopicID == topicID {
			reached[topicPartition{id.Topic, id.Partition}] = o.Next
		}
	}
	for tp, goal := range s.goals {
		if s.owned[tp] == nil && reached[tp] < goal {
			return false, nil
		}
	}
	return true, nil
}
