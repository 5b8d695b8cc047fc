package sink

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// peeker reads beside the consumer, which tells of records only: where reading has
// passed over those of an aborted transaction, or over none at all, it stays silent.
type peeker struct {
	client          *kgo.Client
	readUncommitted bool
}

// next looks for the first record at or after an offset, control records included. If
// it finds none it returns how far there is none.
func (k peeker) next(ctx context.Context, tp topicPartition, topicID string, from int64) (next int64, found bool, err error) {
	var id kadm.TopicID
	if raw, err := base64.StdEncoding.DecodeString(topicID); err != nil || copy(id[:], raw) != len(id) {
		return 0, false, fmt.Errorf("topic id %q of %s", topicID, tp.topic)
	}
	leader, _, err := k.client.PartitionLeader(tp.topic, tp.partition)
	if err != nil || leader < 0 {
		meta, err := kadm.NewClient(k.client).Metadata(ctx, tp.topic)
		if err != nil {
			return 0, false, err
		}
		if leader = meta.Topics[tp.topic].Partitions[tp.partition].Leader; leader < 0 {
			return 0, false, fmt.Errorf("%s/%d has no leader", tp.topic, tp.partition)
		}
	}
	isolation := kgo.ReadCommitted()
	req := kmsg.NewPtrFetchRequest()
	req.IsolationLevel = 1
	if k.readUncommitted {
		isolation, req.IsolationLevel = kgo.ReadUncommitted(), 0
	}
	req.MinBytes, req.MaxBytes, req.SessionEpoch = 1, peekBytes, -1
	topic, partition := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	topic.Topic, topic.TopicID = tp.topic, id
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = tp.partition, from, peekBytes
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	answer, err := k.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return 0, false, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return 0, false, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, false, fmt.Errorf("a fetch of %s/%d was not answered", tp.topic, tp.partition)
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: from, IsolationLevel: isolation, Topic: tp.topic, Partition: tp.partition,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	switch {
	case got.Err != nil:
		return 0, false, got.Err
	case len(got.Records) > 0:
		return got.Records[0].Offset, true, nil
	}
	return max(next, from), false, nil
}

const (
	// peekAfter is how long a topic partition is silent below where it can be read to
	// before it is asked whether anything is left to come.
	peekAfter = time.Second
	// peekAgain is how long a record that was found is waited for: compaction may take
	// it before the consumer fetches it.
	peekAgain = 10 * time.Second
	// peekTimeout is the time of one topic partition among those that are looked at.
	peekTimeout = 4 * time.Second
	// peekBytes is what a peek asks for, of which it gets a record batch at least: a
	// topic partition may be silent because others have much to read.
	peekBytes = 256 << 10
)

// emptyUntil is how far it is known, towards end, that nothing is left to read from an
// offset on. found is whether a record is there.
func (s *Sink) emptyUntil(ctx context.Context, tp topicPartition, topicID string, from, end int64) (next int64, found bool) {
	ctx, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	for next = from; next < end; {
		at, found, err := s.peek(ctx, tp, topicID, next)
		switch {
		case err != nil:
			return next, false // the consumer says it
		case found:
			return at, true
		case at <= next:
			return next, false
		}
		next = at
	}
	return next, false
}

// moveOver moves an owned topic partition on to next, without a record.
func (s *Sink) moveOver(ctx context.Context, p *progress, next int64) error {
	if s.batch == nil {
		var err error
		if s.batch, err = s.newBatch(ctx); err != nil {
			return err
		}
	}
	p.tally.hole(p.next, next)
	p.next = next
	return nil
}

// gap is where a topic partition has nothing to read: [from, to). It is of one reading:
// another one, from a rewind or an assignment on, may find other records there.
type gap struct {
	of       *progress
	from, to int64
	found    time.Time // when a record was there, instead
}

// lookForGaps finds where nothing is left to read before what comes later can be read:
// records of aborted transactions whose markers come later, or batches that compaction
// has emptied. It looks from beside the loop, which a broker that hangs must not hold,
// and at each offset once, or seldom. It tells of each gap at once, and stops after a
// while, since nobody asks Kafka how far it is meanwhile: the next look goes on there.
func (s *Sink) lookForGaps(ctx context.Context, ends map[topicPartition]ends) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	s.told.mu.Lock()
	owned := s.told.last.Owned
	gaps := map[topicPartition]gap{}
	for _, p := range owned {
		tp := topicPartition{p.Topic, p.Partition}
		if g, ok := s.told.gaps[tp]; ok && g.of == p.of && g.from == p.next && (g.found.IsZero() || time.Since(g.found) < peekAgain) {
			gaps[tp] = g
		}
	}
	s.told.gaps = gaps
	s.told.mu.Unlock()
	first := slices.IndexFunc(owned, func(p OwnedPartition) bool {
		return topicPartition{p.Topic, p.Partition}.compare(s.told.lookNext) >= 0
	})
	first = max(first, 0)
	for _, p := range slices.Concat(owned[first:], owned[:first]) {
		tp := topicPartition{p.Topic, p.Partition}
		if _, known := gaps[tp]; known { // only this goroutine changes them
			continue
		}
		if end, ok := ends[tp]; !ok || p.next >= end.readable || time.Since(p.moved) < peekAfter {
			continue
		}
		g := gap{of: p.of, from: p.next}
		var found bool
		if g.to, found = s.emptyUntil(ctx, tp, p.of.id.TopicID, p.next, ends[tp].readable); found && g.to == g.from {
			g.found = time.Now()
		}
		if !g.found.IsZero() || g.to > g.from {
			s.told.mu.Lock()
			gaps[tp] = g
			s.told.mu.Unlock()
		}
		if ctx.Err() != nil {
			s.told.lookNext = tp // it may not have had its time
			return
		}
	}
}

// passGaps moves the owned topic partitions over the gaps that they stand before.
func (s *Sink) passGaps(ctx context.Context) error {
	s.told.mu.Lock()
	gaps := maps.Clone(s.told.gaps)
	s.told.mu.Unlock()
	for tp, g := range gaps {
		p := s.owned[tp]
		if s.rewind || p == nil || p != g.of || p.next != g.from || g.to == g.from {
			continue
		}
		if err := s.moveOver(ctx, p, g.to); err != nil {
			return err
		}
		s.log.Info("nothing is left to read there: records of aborted transactions, or compacted away",
			"topic", tp.topic, "partition", tp.partition, "from", g.from, "to", g.to)
	}
	return nil
}

// holdUp is where an open transaction has reading end.
type holdUp struct {
	at    int64
	since time.Time
	said  bool
}

// heldLong is how long a transaction may hold reading back before that is said: the
// longest that brokers allow a transaction to take is 15 min by default.
const heldLong = 5 * time.Minute

// sayHeld says, once each, which open transactions hold reading back for long.
func (s *Sink) sayHeld(holding map[topicPartition]holdUp, now time.Time, ends map[topicPartition]ends) {
	for tp, e := range ends {
		h, ok := holding[tp]
		switch {
		case e.readable >= e.high:
			delete(holding, tp)
			continue
		case !ok || h.at != e.readable:
			h = holdUp{at: e.readable, since: now}
		case !h.said && now.Sub(h.since) >= heldLong:
			h.said = true
			s.log.Warn("an open transaction holds reading back: what comes after it is read once its producer ends it, or Kafka's tools abort it (kafka-transactions find-hanging)",
				"topic", tp.topic, "partition", tp.partition, "offset", e.readable, "waiting", e.high-e.readable, "since", h.since.UTC().Format(time.RFC3339))
		}
		holding[tp] = h
	}
}
