package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// lostLog is the end of a sink whose log does not hold what is to be read next: it
// begins later by now, or it was truncated. In the first case what is pending lands, for
// nobody could read it again. In the other it must not: other records have its offsets
// by now, or will. So all topic partitions are judged before anything lands.
func (s *Sink) lostLog(ctx context.Context, fetches kgo.Fetches) error {
	var out []*progress // whose logs do not hold what is next
	again := false
	for _, fe := range fetches.Errors() {
		p := s.owned[topicPartition{fe.Topic, fe.Partition}]
		var cut *kgo.ErrDataLoss
		switch {
		case p == nil: // another sink's by now
		case errors.As(fe.Err, &cut):
			if err := s.truncated(p, cut); err != nil {
				return err
			}
			again = true
		case errors.Is(fe.Err, kerr.OffsetOutOfRange) && !s.rewind && !slices.Contains(out, p): // of what is read next, not of before
			out = append(out, p)
		}
	}
	if err := s.outOfRange(ctx, out); err != nil {
		return err
	}
	if again {
		s.dropLocked()
		s.rewind = true
	}
	return nil
}

// truncated is nil where it is right to read on from the table's offset: that is about
// to happen in any case, or nothing that was taken was cut off. The client tells of a
// truncation also after it was sent back, and of records that it had not handed out.
func (s *Sink) truncated(p *progress, cut *kgo.ErrDataLoss) error {
	if cut.ResetTo < p.start {
		s.dropLocked()
		return logEnds(p.id, p.start, cut.ResetTo)
	}
	if s.rewind {
		return nil
	}
	if cut.ResetTo >= p.next {
		s.log.Warn("a log was truncated, none of what was read of it; it is read again from where the tables are",
			"topic", p.id.Topic, "partition", p.id.Partition, "to", cut.ResetTo, "read_to", p.next)
		return nil
	}
	next := max(p.next, cut.ConsumedTo)
	s.dropLocked()
	return &Error{Text: fmt.Sprintf("the log of %s/%d was truncated to %d after it was read to %d: nothing of that is in the tables; start again to read the log as it is now",
		p.id.Topic, p.id.Partition, cut.ResetTo, next), Err: cut}
}

// outOfRange judges topic partitions of which Kafka says that their logs do not hold
// what is next.
//
// Where Kafka does not say where one of the logs begins, what is pending may be of a
// truncated one, and is dropped at once: neither a rebalance nor a stop may land it. A
// batch lands whole or not at all, so what it has of the other logs is dropped with it.
// It is read again from where the tables are, if those logs still hold it then; of one
// that begins later by now that is refused.
func (s *Sink) outOfRange(ctx context.Context, out []*progress) error {
	if len(out) == 0 {
		return nil
	}
	begins, unknown := s.logsBegin(ctx, out)
	var ended []string
	var later []catalog.Range // what is lost
	for _, p := range out {
		first, known := begins[p]
		switch {
		case !known: // unknown says why
		case p.next >= first:
			ended = append(ended, fmt.Sprintf("the log of %s/%d no longer holds offset %d, to which it was read, and begins at %d (the table is at offset %d)",
				p.id.Topic, p.id.Partition, p.next, first, p.start))
		default:
			later = append(later, catalog.Range{TopicPartition: p.id, Start: p.next, End: first})
		}
	}
	switch {
	case len(ended) > 0:
		s.dropLocked()
		text := strings.Join(ended, "; ") + ": it seems truncated. Nothing of what was pending is in the tables. " +
			"See that the log still holds the last records that the table has: if so, start again; if not, go on under another catalog.namespace"
		if len(later) > 0 {
			text += ". Besides, " + gone(s.fromTables(later)...).Error()
		}
		if unknown != nil {
			text += ". Besides, " + unknown.Error()
		}
		return &Error{Refused: true, Text: text, Err: kerr.OffsetOutOfRange}
	case unknown != nil:
		s.dropLocked()
		s.rewind = true
		return unknown
	}
	return s.begunLater(ctx, later)
}

// Kafka is asked so often where logs begin before that counts as not known.
const (
	beginTries = 3
	beginWait  = 200 * time.Millisecond
)

// logsBegin asks Kafka for the first offsets of topic partitions. Those that it does
// not tell are missing, and unknown says why. A stop does not end it at once: what is
// pending lands or not by what it finds.
func (s *Sink) logsBegin(ctx context.Context, of []*progress) (begins map[*progress]int64, unknown error) {
	ctx, cancel := s.detached(ctx)
	defer cancel()
	var topics []string
	for _, p := range of {
		if !slices.Contains(topics, p.id.Topic) {
			topics = append(topics, p.id.Topic)
		}
	}
	begins = map[*progress]int64{}
	for try := 1; ; try++ {
		askCtx, cancel := context.WithTimeout(ctx, connectTimeout/beginTries)
		starts, err := s.admin.ListStartOffsets(askCtx, topics...) // with an error too it has what it was told
		cancel()
		unknown = nil
		for _, p := range of {
			if _, told := begins[p]; told {
				continue
			}
			first, ok := starts.Lookup(p.id.Topic, p.id.Partition)
			if ok && first.Err == nil {
				begins[p] = first.Offset
				continue
			}
			topic, _ := starts.Lookup(p.id.Topic, -1) // where the client files an error of the whole topic
			why := fmt.Errorf("the log of %s/%d does not hold offset %d, and Kafka does not say where it begins: %w",
				p.id.Topic, p.id.Partition, p.next, cmp.Or(first.Err, topic.Err, err, error(kerr.UnknownTopicOrPartition)))
			if unknown != nil {
				why = fmt.Errorf("%w; %w", unknown, why)
			}
			unknown = why
		}
		if unknown == nil || try == beginTries {
			return begins, unknown
		}
		select {
		case <-ctx.Done():
			return begins, unknown
		case <-time.After(beginWait):
		}
	}
}

// begunLater is the end of a sink of which records were deleted before it read them;
// nil where there are none.
func (s *Sink) begunLater(ctx context.Context, lost []catalog.Range) error {
	if len(lost) == 0 {
		return nil
	}
	err := s.landPending()
	if gaveWay(err) {
		// A new owner may have read what this sink has lost.
		all := lost
		if lost = s.notTaken(ctx, all, err); len(lost) == 0 {
			var logs []string
			for _, r := range all {
				logs = append(logs, fmt.Sprintf("the log of %s/%d no longer holds offset %d", r.Topic, r.Partition, r.Start))
			}
			return &Error{Text: strings.Join(logs, ", ") + ", and another sink has read on: start again", Err: kerr.OffsetOutOfRange}
		}
	}
	return withNotLanded(gone(s.fromTables(lost)...), err)
}

// fromTables has what is lost begin where the table is now, whether or not what was
// pending has landed.
func (s *Sink) fromTables(lost []catalog.Range) []catalog.Range {
	for i := range lost {
		lost[i].Start = s.owned[topicPartition{lost[i].Topic, lost[i].Partition}].start
	}
	return lost
}

// notTaken leaves out what is of topic partitions that another sink has taken over: the
// one that fenced names, and those of which the table says so, if it can be asked.
func (s *Sink) notTaken(ctx context.Context, lost []catalog.Range, fenced error) []catalog.Range {
	var by *catalog.FencedError
	errors.As(fenced, &by)
	ctx, cancel := s.detached(ctx)
	defer cancel()
	held, _ := s.askTables(ctx) // nothing is known of what could not be asked
	return slices.DeleteFunc(slices.Clone(lost), func(r catalog.Range) bool {
		p := s.owned[topicPartition{r.Topic, r.Partition}]
		at, known := held.offsets[r.TopicPartition]
		return r.TopicPartition == by.Partition || known && (at.Next != p.start || at.Mark != p.seen)
	})
}
