package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lostLog is the end of a sink whose log does not hold what is to be read next: it
// begins later by now, or it was truncated. In the first case what is pending lands, for
// nobody could read it again. In the other it must not: other records have its offsets
// by now, or will. So all topic partitions are judged before anything lands.
func (s *Sink) lostLog(ctx context.Context, fetches kgo.Fetches) error {
	var unknown, later error
	var at *progress // whose log begins later, and where
	var first int64
	for _, fe := range fetches.Errors() {
		p := s.owned[topicPartition{fe.Topic, fe.Partition}]
		var cut *kgo.ErrDataLoss
		switch {
		case p == nil: // another sink's by now
		case errors.As(fe.Err, &cut):
			if err := s.truncated(p, cut); err != nil {
				return err
			}
		case errors.Is(fe.Err, kerr.OffsetOutOfRange) && !s.rewind: // of what is read next, not of before
			begins, err := s.logBegins(ctx, p)
			switch {
			case err != nil:
				unknown = errors.Join(fe.Err, err)
			case p.next >= begins:
				next := p.next
				s.dropLocked()
				return &Error{Refused: true, Text: fmt.Sprintf("the log of %s/%d no longer holds offset %d, to which it was read: it was truncated. "+
					"The table is at offset %d: see that the log still holds the records before that, or go on under another catalog.namespace",
					fe.Topic, fe.Partition, next, p.start), Err: fe.Err}
			default:
				at, first, later = p, begins, fe.Err
			}
		}
	}
	switch {
	case unknown != nil:
		return unknown // what is pending may be of a truncated log: it is dropped and read again
	case at != nil:
		return s.begunLater(at, first, later)
	}
	return nil
}

// truncated is nil where the log is read anew from the table's offset in any case.
func (s *Sink) truncated(p *progress, cut *kgo.ErrDataLoss) error {
	if cut.ResetTo < p.start {
		s.dropLocked()
		return logEnds(p.id, p.start, cut.ResetTo)
	}
	if s.rewind {
		return nil
	}
	next := p.next
	s.dropLocked()
	return &Error{Text: fmt.Sprintf("the log of %s/%d was truncated to %d after it was read to %d: nothing of that is in the tables; start again to read the log as it is now",
		p.id.Topic, p.id.Partition, cut.ResetTo, next), Err: cut}
}

// logBegins asks Kafka for the first offset of a topic partition.
func (s *Sink) logBegins(ctx context.Context, p *progress) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	starts, err := s.admin.ListStartOffsets(ctx, p.id.Topic)
	first, ok := starts.Lookup(p.id.Topic, p.id.Partition)
	switch {
	case err != nil:
	case !ok:
		err = kerr.UnknownTopicOrPartition
	default:
		err = first.Err
	}
	if err != nil {
		return 0, fmt.Errorf("first offset of %s/%d: %w", p.id.Topic, p.id.Partition, err)
	}
	return first.Offset, nil
}

// begunLater is the end of a sink of which records were deleted before it read them.
func (s *Sink) begunLater(p *progress, first int64, cause error) error {
	next := p.next
	err := s.landPending()
	if gaveWay(err) {
		return &Error{Text: fmt.Sprintf("the log of %s/%d no longer holds offset %d, and another sink has read on: start again", p.id.Topic, p.id.Partition, next), Err: cause}
	}
	if err != nil {
		next = p.start
	}
	return withNotLanded(gone(p.id, next, first), err)
}
