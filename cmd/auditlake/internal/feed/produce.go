// Package feed puts events into Kafka: it sends files of NDJSON to a topic, and
// runs a broker in this process for those who have no Kafka at hand.
package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/envelope"
)

// ContentType is the content-type header of every record sent.
const ContentType = "application/cloudevents+json"

const (
	progressEvery  = 1000   // lines
	maxBuffered    = 10_000 // records without an answer yet
	recordOverhead = 256    // bytes of a batch and a record beside key and value, at most
)

// Variables for tests.
var (
	stallTimeout  = time.Minute     // how long the cluster may acknowledge nothing of what is on its way
	settleTimeout = 5 * time.Second // how long a run that is stopped waits for answers
)

// ProduceOptions says where events go and how.
type ProduceOptions struct {
	Client  []kgo.Opt // TLS, SASL and the like
	Brokers []string  // host:port
	Topic   string    // must exist

	// RebaseTo moves all events of an input by one span of time so that the
	// newest one lands here, less than a millisecond before. Zero moves nothing.
	RebaseTo time.Time
	// Limits are the sink's: a line that it will take for no event is refused.
	Limits envelope.Limits
	// Raw sends lines as they are, valid or not.
	Raw bool
	// Rate is the most lines a second; 0 is as fast as it goes.
	Rate float64
	// Progress hears how far it has come, now and then: lines and bytes read.
	Progress func(lines, bytes int64)
}

// Produced counts what brokers acknowledged.
type Produced struct {
	Lines   int64         // records
	Bytes   int64         // of their values
	Shift   time.Duration // by which events were moved in time
	Newest  time.Time     // the newest time of an event sent, after the shift; zero where none had one
	Elapsed time.Duration
}

// LineError is a line that did not get into the topic.
type LineError struct {
	Name    string
	Line    int64 // from 1
	Sent    int64 // lines of the input that are in the topic
	Refused bool  // before it was sent: what is in the topic are the lines before it, and none after it
	Err     error
}

func (e *LineError) Error() string {
	sent := "sent: " + countLines(e.Sent) + " of the input"
	switch {
	case e.Sent == 0:
		sent = "nothing was sent"
	case e.Refused:
		sent = "sent: " + countLines(e.Sent) + " before it, nothing after it"
	}
	return fmt.Sprintf("%s:%d: %v (%s)", e.Name, e.Line, e.Err, sent)
}

func countLines(n int64) string {
	if n == 1 {
		return "1 line"
	}
	return strconv.FormatInt(n, 10) + " lines"
}

// Unwrap returns the reason.
func (e *LineError) Unwrap() error { return e.Err }

// Produce sends the lines of input, which name calls in errors, to a topic:
// one record a line, keyed by session so that a session keeps its order, with
// the event's time as its timestamp. It returns when the cluster has
// acknowledged all; on an error the counts say what is in the topic. When ctx
// ends it reads no further, and waits a little for answers to what it has read.
func Produce(ctx context.Context, opts ProduceOptions, name string, input io.Reader) (Produced, error) {
	started := time.Now()
	if !(opts.Rate >= 0) { // or not a number
		return Produced{}, fmt.Errorf("a rate of %v events a second is none: give 0 for no limit", opts.Rate)
	}
	p := &producer{opts: opts, name: name, decoder: envelope.NewDecoder(opts.Limits), stallAfter: stallTimeout}
	if err := p.open(ctx); err != nil {
		return Produced{}, err
	}
	if !opts.RebaseTo.IsZero() {
		var err error
		if p.sum.Shift, err = rebaseShift(input, name, p.decoder, opts.RebaseTo); err != nil {
			p.client.Close()
			return Produced{}, err
		}
	}
	sending, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	settle := settleTimeout
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(settle, func() { giveUp(ctx.Err()) })
	})()
	p.stall = time.AfterFunc(p.stallAfter, func() { giveUp(errStalled) })
	p.stall.Stop()
	err := p.run(ctx, sending, newLines(input))
	if p.client.Flush(sending) != nil && err == nil {
		err = context.Cause(sending)
	}
	p.client.Close() // gives up what has no answer

	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum.Elapsed = time.Since(started)
	return p.sum, p.explain(err)
}

// producer is one run of Produce.
type producer struct {
	opts    ProduceOptions
	name    string
	decoder *envelope.Decoder
	client  *kgo.Client
	limit   int32 // bytes of a record batch

	stall      *time.Timer // runs while something has no answer
	stallAfter time.Duration

	mu      sync.Mutex
	sum     Produced
	given   int64 // records handed to the client
	flying  int64 // of them, without an answer yet
	failure *LineError
}

// errStalled: a cluster that stops answering must not hold the run for ever,
// and the client by itself tries a record for ever that may have arrived.
var errStalled = errors.New("no broker acknowledges")

// open connects, sees that the topic is there and asks how large a record batch
// it takes.
func (p *producer) open(ctx context.Context) error {
	p.limit = defaultBatchBytes
	opts := append(slices.Clone(p.opts.Client),
		kgo.DefaultProduceTopic(p.opts.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return p.limit }), // asked again at the first record
		kgo.MaxBufferedRecords(maxBuffered),
		kgo.MaxBufferedBytes(maxLineBytes),
		kgo.ProducerLinger(5*time.Millisecond),
	)
	client, err := Connect(ctx, p.opts.Brokers, opts...)
	if err != nil {
		return err
	}
	if err := requireTopic(ctx, client, p.opts.Topic); err != nil {
		client.Close()
		return err
	}
	p.client, p.limit = client, batchLimit(ctx, client, p.opts.Topic)
	return nil
}

// run reads while ctx lasts and hands over what may be sent, while sending
// lasts. A line that is refused ends it.
func (p *producer) run(ctx, sending context.Context, in *lines) error {
	var read int64
	for started := time.Now(); p.going(); {
		if err := p.pace(ctx, started, read); err != nil {
			return err
		}
		if sending.Err() != nil {
			return context.Cause(sending)
		}
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		rec, timed, err := p.record(line)
		if err == nil || p.opts.Raw {
			err = p.fits(rec)
		}
		if err != nil {
			return &LineError{Name: p.name, Line: in.number, Err: err, Refused: true}
		}
		p.send(sending, rec, in.number, timed)
		read++
		if p.opts.Progress != nil && read%progressEvery == 0 {
			p.opts.Progress(read, in.bytes)
		}
	}
	if p.opts.Progress != nil {
		p.opts.Progress(read, in.bytes)
	}
	return nil
}

// going reports whether every answer so far was a good one.
func (p *producer) going() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure == nil
}

// pace holds back what is ahead of the rate.
func (p *producer) pace(ctx context.Context, started time.Time, read int64) error {
	if p.opts.Rate > 0 {
		due := started.Add(time.Duration(float64(read) / p.opts.Rate * float64(time.Second)))
		if ahead := time.Until(due); ahead > time.Millisecond {
			select {
			case <-ctx.Done():
			case <-time.After(ahead):
			}
		}
	}
	return ctx.Err()
}

// send waits for room in the client.
func (p *producer) send(ctx context.Context, rec *kgo.Record, number int64, timed bool) {
	p.mu.Lock()
	if p.given++; p.flying == 0 {
		p.stall.Reset(p.stallAfter)
	}
	p.flying++
	p.mu.Unlock()
	p.client.Produce(ctx, rec, func(rec *kgo.Record, err error) { p.done(number, rec, timed, err) })
}

// record makes the record of a line. What is no event has no key, and the
// present as its time; the error says why it is none.
func (p *producer) record(line []byte) (rec *kgo.Record, timed bool, err error) {
	now := time.Now()
	rec = &kgo.Record{Value: line, Headers: contentType, Timestamp: now}
	event, err := decode(p.decoder, line, noTime)
	if err != nil {
		return rec, false, err
	}
	if event.Has(envelope.ColSessionID) {
		rec.Key = bytes.Clone(event.Value(envelope.ColSessionID).Text)
	}
	if p.sum.Shift != 0 {
		rec.Value = rebase(line, event, p.sum.Shift)
	}
	at := time.UnixMicro(event.Time()).Add(p.sum.Shift)
	if at.Unix() < 0 || at.Year() > lastYear {
		_, err = decode(p.decoder, rec.Value, now.UnixMilli())
		return rec, false, err
	}
	rec.Timestamp = at
	return rec, true, nil
}

// lastYear is the last one whose nanoseconds the client can count.
const lastYear = 2261

var contentType = []kgo.RecordHeader{{Key: "content-type", Value: []byte(ContentType)}}

// noTime is for a record whose event's time is not judged.
const noTime = -1

// decode reads a line as the sink will read its record, of this timestamp in
// milliseconds. The event is valid until the decoder's next one.
func decode(d *envelope.Decoder, line []byte, timestamp int64) (*envelope.Event, error) {
	events, err := d.Decode(&envelope.Record{Value: line, Headers: envelopeHeaders, Timestamp: timestamp})
	if err != nil {
		return nil, err
	}
	return &events[0], nil
}

var envelopeHeaders = []envelope.Header{{Key: contentType[0].Key, Value: contentType[0].Value}}

// fits refuses what the topic will not take.
func (p *producer) fits(rec *kgo.Record) error {
	if len(rec.Value)+len(rec.Key)+recordOverhead > int(p.limit) {
		return fmt.Errorf("an event of %d bytes, and up to %d around it, is too large for topic %s, which takes %d: raise its max.message.bytes: %w",
			len(rec.Value), recordOverhead+len(rec.Key), p.opts.Topic, p.limit, kerr.MessageTooLarge)
	}
	return nil
}

// done books what became of a record; the first failure ends the run.
func (p *producer) done(number int64, rec *kgo.Record, timed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flying--; p.flying == 0 {
		p.stall.Stop()
	} else {
		p.stall.Reset(p.stallAfter)
	}
	switch {
	case err == nil:
		p.sum.Lines++
		p.sum.Bytes += int64(len(rec.Value))
		if timed && rec.Timestamp.After(p.sum.Newest) {
			p.sum.Newest = rec.Timestamp
		}
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
		// a consequence, not a cause
	case p.failure == nil || number < p.failure.Line:
		p.failure = &LineError{Name: p.name, Line: number, Err: p.reason(err)}
	}
}

// reason says what to do about a record that the cluster refuses. It refuses
// whole batches, and does not say which of their records is at fault.
func (p *producer) reason(err error) error {
	topic := p.opts.Topic
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("the events from here on are too large a batch for topic %s: raise its max.message.bytes, "+
			"or let this user describe the topic, so that the limit is known: %w", topic, err)
	case errors.Is(err, kerr.InvalidTimestamp):
		return fmt.Errorf("the cluster refuses the time of this event or of one soon after: raise message.timestamp.before.max.ms "+
			"or .after.max.ms of topic %s, or move the events to now: %w", topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("this user may not write to topic %s: ask who runs the cluster for it: %w", topic, err)
	}
	return fmt.Errorf("send to topic %s: %w", topic, err)
}

// explain makes the error of the run one for people. The lock is held.
func (p *producer) explain(err error) error {
	known := fmt.Sprintf("topic %s has %s of it", p.opts.Topic, countLines(p.sum.Lines))
	if unknown := p.given - p.sum.Lines; unknown > 0 {
		known += fmt.Sprintf(", and up to %d more that were not acknowledged", unknown)
	}
	var line *LineError
	switch {
	case p.failure != nil:
		p.failure.Sent = p.sum.Lines
		return p.failure
	case errors.As(err, &line):
		line.Sent = p.sum.Lines
	case errors.Is(err, errStalled):
		return fmt.Errorf("%s: %w anything for %s: %s", p.name, err, p.stallAfter, known)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: stopped: %s: %w", p.name, known, err)
	}
	return err
}
