package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/envelope"
)

// fetchErrors stops on what waiting does not cure and logs the rest.
func (s *Sink) fetchErrors(fetches kgo.Fetches) error {
	for _, fe := range fetches.Errors() {
		var tooLarge *kgo.ErrDecompressTooLarge
		switch {
		case errors.Is(fe.Err, context.DeadlineExceeded), errors.Is(fe.Err, context.Canceled):
			// the poll's own end
		case errors.As(fe.Err, &tooLarge):
			return &Error{Text: fmt.Sprintf("a record batch of %s/%d is too large to be decompressed: the client would not go past it", fe.Topic, fe.Partition), Err: fe.Err}
		case errors.Is(fe.Err, kerr.GroupAuthorizationFailed):
			return &Error{Text: fmt.Sprintf("not allowed to join group %s: allow this user READ on it, or correct kafka.group", s.cfg.Group), Usage: true, Err: fe.Err}
		case errors.Is(fe.Err, kerr.InvalidSessionTimeout):
			return &Error{Text: fmt.Sprintf("Kafka does not take a kafka.session_timeout of %s: stay within the brokers' group.min.session.timeout.ms (6s by default) and group.max.session.timeout.ms", s.cfg.SessionTimeout), Usage: true, Err: fe.Err}
		case errors.Is(fe.Err, kerr.InconsistentGroupProtocol):
			return &Error{Text: fmt.Sprintf("group %s has members that are no auditlake: give kafka.group a name of its own", s.cfg.Group), Usage: true, Err: fe.Err}
		case errors.Is(fe.Err, kerr.TopicAuthorizationFailed):
			return notAllowed(fe.Topic, fe.Err)
		case errors.Is(fe.Err, kerr.SaslAuthenticationFailed):
			return &Error{Text: "Kafka refuses the login: check kafka.sasl", Usage: true, Err: fe.Err}
		case groupSession(fe.Err):
			s.groupError(fe.Err)
			s.log.Warn("out of the consumer group; joining again", "err", fe.Err)
		case fe.Topic == "":
			s.log.Warn("consumer group; trying again", "err", fe.Err)
		default:
			s.sayFetchError(topicPartition{fe.Topic, fe.Partition}, fe.Err)
		}
	}
	return nil
}

// sayFetchError says an error of a topic partition once, until it is another one or
// records come: a poll brings it again at once, as long as it lasts.
func (s *Sink) sayFetchError(tp topicPartition, err error) {
	if s.fetchErrs[tp] == err.Error() {
		return
	}
	if s.fetchErrs == nil {
		s.fetchErrs = map[topicPartition]string{}
	}
	s.fetchErrs[tp] = err.Error()
	s.log.Warn("fetch; trying again", "topic", tp.topic, "partition", tp.partition, "err", err)
}

// onlyErrors is whether a poll brought errors of topic partitions and nothing else.
func onlyErrors(fetches kgo.Fetches) bool {
	return fetches.Empty() && slices.ContainsFunc(fetches.Errors(), func(fe kgo.FetchError) bool { return fe.Topic != "" })
}

func notAllowed(topic string, err error) error {
	return &Error{Text: fmt.Sprintf("not allowed to read topic %s: allow this user READ and DESCRIBE on it, or correct kafka.topics", topic), Usage: true, Err: err}
}

// takeFetches moves polled records into the pending batch. Between records it
// keeps the memory budget: spilling row groups to their files, or a flush.
func (s *Sink) takeFetches(ctx context.Context, fetches kgo.Fetches) error {
	if fetches.Empty() {
		return nil
	}
	if err := s.sameTopics(fetches); err != nil {
		// What is pending of the former one is nowhere else any more.
		return cmp.Or(s.flushOrDrop(ctx, "topic made again"), err)
	}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		tp := topicPartition{f.Topic, f.Partition}
		if p := s.owned[tp]; p != nil && f.Err == nil { // an error has no high watermark
			p.high = f.HighWatermark
			if len(f.Records) > 0 {
				p.moved = time.Now()
				delete(s.fetchErrs, tp)
			}
		}
	})
	ingest := time.Now().UnixMicro()
	for it := fetches.RecordIter(); !it.Done(); {
		rec := it.Next()
		tp := topicPartition{rec.Topic, rec.Partition}
		p := s.owned[tp]
		if p == nil {
			continue // revoked since the fetch was sent
		}
		if rec.Offset < p.next {
			s.stats.Skipped++
			continue
		}
		if s.batch == nil {
			var err error
			if s.batch, err = s.newBatch(ctx); err != nil {
				return err
			}
		}
		if err := s.take(ctx, p, rec, ingest); err != nil {
			s.batch.failed = err
			return err
		}
		why, err := s.batch.full(s.cfg.Memory, s.cfg.MaxBatchRows)
		if err != nil {
			s.batch.failed = err
			return err
		}
		if why != "" {
			if err := s.flushOrDrop(ctx, why); err != nil {
				return err
			}
			if s.rewind {
				return nil // the rest of the fetch follows rows that were dropped
			}
		}
	}
	return nil
}

// sameTopics turns away records of a topic that was deleted and made again after its id
// was asked for: they would be filed under the offsets of the former one. Whether the
// tables hold any is for the watch over topics to judge. A broker that knows no topic
// ids fetches without.
func (s *Sink) sameTopics(fetches kgo.Fetches) error {
	for _, fetch := range fetches {
		for _, topic := range fetch.Topics {
			is := kadm.TopicID(topic.TopicID)
			if is == (kadm.TopicID{}) {
				continue
			}
			for _, f := range topic.Partitions {
				p := s.owned[topicPartition{topic.Topic, f.Partition}]
				if p != nil && len(f.Records) > 0 && p.id.TopicID != is.String() {
					return anotherTopic(topic.Topic, p.id.TopicID, is.String())
				}
			}
		}
	}
	return nil
}

// take makes rows of one record.
func (s *Sink) take(ctx context.Context, p *progress, rec *kgo.Record, ingest int64) error {
	if rec.Offset > p.next {
		p.tally.hole(p.next, rec.Offset) // compacted away, or of an aborted transaction
	}
	p.next = rec.Offset + 1
	if rec.Attrs.IsControl() {
		p.tally.hole(rec.Offset, rec.Offset+1)
		return nil
	}
	p.newest = max(p.newest, rec.Timestamp.UnixMilli())
	s.stats.Records++
	s.stats.Bytes += int64(len(rec.Value))
	if _, ok := p.already[rec.Offset]; ok {
		p.tally.dead++ // its row landed before a crash
		return nil
	}
	b := s.batch
	b.at = arrowconv.Provenance{
		Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset,
		Timestamp: rec.Timestamp.UnixMilli(), Key: rec.Key, Headers: b.headersOf(rec), IngestTime: ingest,
	}
	b.rec = envelope.Record{Value: rec.Value, Headers: b.at.Headers, Timestamp: b.at.Timestamp}
	events, err := s.decoder.Decode(&b.rec)
	if err != nil {
		return s.takeDead(ctx, p, rec, err)
	}
	for i := range events {
		ev := &events[i]
		if err := b.router.append(ctx, ev, &b.at); err != nil {
			return err
		}
		s.stats.Misfits += int64(len(ev.Misfits))
		s.stats.Unknown += int64(ev.Unknown)
	}
	s.stats.Events += int64(len(events))
	p.tally.events++
	p.tally.rows += int64(len(events))
	return nil
}

func (s *Sink) takeDead(ctx context.Context, p *progress, rec *kgo.Record, cause error) error {
	var invalid *envelope.Invalid
	if !errors.As(cause, &invalid) {
		return fmt.Errorf("decode %s/%d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, cause)
	}
	if err := s.batch.dead.append(ctx, &s.batch.at, rec.Value, string(invalid.Class), invalid.Error(), s.cfg.Version); err != nil {
		return err
	}
	count(&s.stats.DeadLetters, string(invalid.Class), 1)
	p.tally.dead++
	p.tally.deadRows++
	return nil
}

// batch is what is pending for one snapshot commit of each table.
type batch struct {
	id     string // commit id
	due    time.Time
	events lakeTable
	router *router
	dead   *deadLetters

	failed error           // a row of it is lost: it must not land
	sent   map[string]bool // table -> its data files are in a snapshot commit that landed or may land

	at      arrowconv.Provenance // reused for every record
	rec     envelope.Record
	headers []envelope.Header
}

func (b *batch) headersOf(rec *kgo.Record) []envelope.Header {
	b.headers = b.headers[:0]
	for _, h := range rec.Headers {
		b.headers = append(b.headers, envelope.Header{Key: h.Key, Value: h.Value})
	}
	return b.headers
}

// claim is the commit id of the batch's claims.
func (b *batch) claim() string { return b.id + "-claim" }

func (b *batch) rows() int64     { return b.router.rows + b.dead.rows }
func (b *batch) buffered() int64 { return b.router.buffered() + b.dead.buffered() }

// full names the bound that the batch has reached, "" if none. The memory budget
// is kept by writing row groups out first; only what cannot be written out early
// makes the batch full. After an error a row of it may be lost.
func (b *batch) full(memory, maxRows int64) (why string, err error) {
	switch {
	case b.router.rolled:
		return "target file size", nil
	case len(b.router.closed)+len(b.dead.closed) >= maxFinishedFiles:
		return "number of data files", nil
	case b.rows() >= maxRows:
		return "max batch rows", nil
	case b.buffered() <= memory:
		return "", nil
	}
	if err := b.spill(memory * 3 / 4); err != nil {
		return "", err
	}
	if b.buffered() > memory {
		return "memory", nil
	}
	return "", nil
}

// spill writes the fullest files' pending rows out until at most limit bytes
// are held.
func (b *batch) spill(limit int64) error {
	for b.buffered() > limit {
		more, err := b.router.spillLargest()
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

func (b *batch) abort() {
	_ = b.router.abort() // a leftover is an orphan file, which orphan removal finds
	b.dead.abort()
}
