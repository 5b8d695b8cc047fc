package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditlake/auditlake/catalog"
)

// setGoals notes the end of every topic partition that the tables have not reached, as
// it is now: the last stable offset, or the high watermark when uncommitted records are
// read. It judges all of them, and so before any may count as caught up: whether this
// sink or another one is to read it, and also where nothing is left to read.
func (s *Sink) setGoals(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	goals, err := s.askGoals(ctx)
	var refused *Error
	if errors.As(err, &refused) {
		// Another sink may have moved on between the two looks, at the tables and at the logs.
		goals, err = s.askGoals(ctx)
	}
	s.goals = goals
	return err
}

func (s *Sink) askGoals(ctx context.Context) (map[topicPartition]int64, error) {
	topics := s.cluster.topics()
	if len(topics) == 0 { // asked for none, Kafka tells of all
		return map[topicPartition]int64{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	v, err := s.survey(ctx, topics)
	if err != nil {
		return nil, err
	}
	ends := v.ends
	if !s.cfg.ReadUncommitted {
		if ends, err = s.admin.ListCommittedOffsets(ctx, topics...); err != nil {
			return nil, fmt.Errorf("list the last stable offsets of %s: %w", strings.Join(topics, ", "), err)
		}
	}
	return s.goalsOf(v, ends)
}

func (s *Sink) goalsOf(v survey, ends kadm.ListedOffsets) (map[topicPartition]int64, error) {
	goals := map[topicPartition]int64{}
	for topic, ps := range ends {
		for p, end := range ps {
			if end.Err != nil {
				return nil, fmt.Errorf("last offset of %s/%d: %w", topic, p, end.Err)
			}
			tp := topicPartition{topic, p}
			begins, err := v.begin(s.idOf(tp))
			if err != nil {
				return nil, err
			}
			if begins.start < end.Offset {
				goals[tp] = end.Offset
			}
			if end.Offset < begins.high {
				s.log.Warn("an open transaction holds the goal back: the records after it are for a later run, once it has ended",
					"topic", topic, "partition", p, "offset", end.Offset, "after", begins.high-end.Offset)
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
	others, behind := false, false
	s.stats.CaughtUp, s.stats.CaughtUpGoal = 0, 0
	for tp, goal := range s.goals {
		s.stats.CaughtUpGoal += goal
		p := s.owned[tp]
		if p == nil {
			others = true
			continue
		}
		s.stats.CaughtUp += min(p.next, goal)
		behind = behind || p.next < goal
	}
	if behind {
		return s.endBelowGoal(ctx)
	}
	if err := s.flushOrDrop(ctx, "caught up"); err != nil || s.rewind {
		return err
	}
	if others {
		reached, err := s.othersReached(ctx)
		if err != nil {
			return err
		}
		if !reached {
			return s.endBelowGoal(ctx)
		}
	}
	s.report()
	return errCaughtUp
}

// endBelowGoal ends a job of which a log ends before its goal by now, and may never get
// there again; nil where none does. What was read lands. What watchEnds found may be from
// before the goals, or of a topic that was made again, so Kafka is asked anew. Of a log
// that ends before what was read of it nothing may land: that is for lostLog to judge.
func (s *Sink) endBelowGoal(ctx context.Context) error {
	s.told.mu.Lock()
	seen := s.told.ends
	s.told.mu.Unlock()
	var suspects []topicPartition
	for tp, goal := range s.goals {
		if e, ok := seen[tp]; ok && e.high < goal {
			suspects = append(suspects, tp)
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	slices.SortFunc(suspects, topicPartition.compare)
	askCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	topics := topicsOf(suspects)
	now, _ := s.admin.ListEndOffsets(askCtx, topics...)
	if err := s.sameIDs(askCtx, topics); err != nil {
		return nil // the next look is soon
	}
	var short []string
	for _, tp := range suspects {
		end, ok := now.Lookup(tp.topic, tp.partition)
		if !ok || end.Err != nil || end.Offset >= s.goals[tp] {
			continue
		}
		if p := s.owned[tp]; p != nil && end.Offset < p.next {
			return nil
		}
		short = append(short, fmt.Sprintf("the log of %s/%d ends at %d, and ended at %d when this run began", tp.topic, tp.partition, end.Offset, s.goals[tp]))
	}
	if len(short) == 0 {
		return nil
	}
	return s.landBefore(&Error{Text: strings.Join(short, "; ") + ": it seems truncated. Start again to read the log as it is now"})
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
	t, err := s.load(ctx, catalog.AgentEvents)
	if err != nil {
		return false, err
	}
	offsets, err := t.Offsets()
	if err != nil {
		return false, err
	}
	for tp, goal := range s.goals {
		if s.owned[tp] == nil && offsets[s.idOf(tp)].Next < goal {
			return false, nil
		}
	}
	return true, nil
}
