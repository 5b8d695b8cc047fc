// Package feed puts events into Kafka: it sends files of NDJSON to a topic, and
// runs a broker in this process for those who have no Kafka at hand.
package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// ContentType is the content-type header of every record sent.
const ContentType = "application/cloudevents+json"

const (
	defaultBatchBytes = 1_000_000 // where the topic's own limit cannot be read
	inFlightBytes     = 16 << 20  // of lines that no broker has acknowledged yet
	progressEvery     = 1000      // lines
	recordOverhead    = 256       // bytes of a batch and a record beside key and value, at most
	settleTimeout     = 5 * time.Second
)

// stallTimeout is how long the cluster may acknowledge nothing while something
// is on its way. A variable for tests.
var stallTimeout = time.Minute

// ProduceOptions says where events go and how.
type ProduceOptions struct {
	Client  []kgo.Opt // TLS, SASL and the like
	Brokers []string  // host:port
	Topic   string    // must exist

	// RebaseTo moves all events of an input by one span of time so that the
	// newest one lands here, less than a millisecond before. Zero moves nothing.
	RebaseTo time.Time
	// Raw sends lines as they are, valid or not.
	Raw bool
	// Rate is the most lines a second; 0 is as fast as it goes.
	Rate float64
	// Validate says why a line is no valid event; the time is what the record
	// will have as its timestamp. Nil takes every line.
	Validate func(line []byte, kafkaTimestamp time.Time) error
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
	lines := strconv.FormatInt(e.Sent, 10) + " lines"
	switch e.Sent {
	case 0:
		return fmt.Sprintf("%s:%d: %v (nothing was sent)", e.Name, e.Line, e.Err)
	case 1:
		lines = "1 line"
	}
	if e.Refused {
		return fmt.Sprintf("%s:%d: %v (sent: %s before it, nothing after it)", e.Name, e.Line, e.Err, lines)
	}
	return fmt.Sprintf("%s:%d: %v (sent: %s of the input)", e.Name, e.Line, e.Err, lines)
}

// Unwrap returns the reason.
func (e *LineError) Unwrap() error { return e.Err }

// Produce sends the lines of input, which name calls in errors, to a topic:
// one record a line, keyed by session so that a session keeps its order, with
// the event's time as its timestamp. It returns when the cluster has
// acknowledged all; on an error the counts say what is in the topic.
func Produce(ctx context.Context, opts ProduceOptions, name string, input io.Reader) (Produced, error) {
	started := time.Now()
	if opts.Rate < 0 {
		return Produced{}, fmt.Errorf("a rate of %v events a second is none: give 0 for no limit", opts.Rate)
	}
	var shift time.Duration
	if !opts.RebaseTo.IsZero() {
		var err error
		if shift, err = rebaseShift(input, name, opts.RebaseTo); err != nil {
			return Produced{}, err
		}
	}
	client, limit, err := openProducer(ctx, opts)
	if err != nil {
		return Produced{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &producer{opts: opts, name: name, shift: shift, client: client, limit: limit, room: semaphore.NewWeighted(inFlightBytes)}
	watched := make(chan struct{})
	go func() { p.watch(ctx, cancel); close(watched) }()
	err = p.run(ctx, newLines(input))
	p.settle(ctx)
	cancel(nil)
	<-watched
	client.Close()

	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum.Shift, p.sum.Elapsed = shift, time.Since(started)
	return p.sum, p.explain(err)
}

// openProducer connects, sees that the topic is there and asks how large a
// record batch it takes.
func openProducer(ctx context.Context, opts ProduceOptions) (*kgo.Client, int32, error) {
	first, err := connect(ctx, opts.Client, opts.Brokers)
	if err != nil {
		return nil, 0, err
	}
	defer first.Close()
	if err := requireTopic(ctx, first, opts.Topic); err != nil {
		return nil, 0, err
	}
	limit := batchLimit(ctx, first, opts.Topic)
	client, err := connect(ctx, opts.Client, opts.Brokers,
		kgo.DefaultProduceTopic(opts.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(limit),
		kgo.ProducerLinger(5*time.Millisecond),
	)
	return client, limit, err
}

// batchLimit is the topic's max.message.bytes, within what the client can send.
func batchLimit(ctx context.Context, client *kgo.Client, topic string) int32 {
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return defaultBatchBytes // a user who may produce need not be one who may describe
	}
	c, err := configs.On(topic, nil)
	if err != nil || c.Err != nil {
		return defaultBatchBytes
	}
	for _, kv := range c.Configs {
		if kv.Key == "max.message.bytes" && kv.Value != nil {
			if n, err := strconv.ParseInt(*kv.Value, 10, 32); err == nil {
				return int32(min(max(n, 1024), maxLineBytes))
			}
		}
	}
	return defaultBatchBytes
}

// producer is one run of Produce.
type producer struct {
	opts   ProduceOptions
	name   string
	shift  time.Duration
	client *kgo.Client
	limit  int32
	room   *semaphore.Weighted

	mu      sync.Mutex
	sum     Produced
	given   int64     // records handed to the client
	flying  int64     // of them, without an answer yet
	moved   time.Time // when the last answer came, or the first of them left
	failure *LineError
}

func (p *producer) run(ctx context.Context, in *lines) error {
	var read, size int64
	started := time.Now()
	for !p.failed() {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(p.flush(ctx), fmt.Errorf("%s: %w", p.name, err))
		}
		if err := p.line(ctx, line, in.number); err != nil {
			return err
		}
		read, size = read+1, size+int64(len(line))
		if p.opts.Progress != nil && read%progressEvery == 0 {
			p.opts.Progress(read, size)
		}
		if err := p.pace(ctx, started, read); err != nil {
			return err
		}
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	if p.opts.Progress != nil {
		p.opts.Progress(read, size)
	}
	return nil
}

func (p *producer) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure != nil
}

// line checks a line, and sends it when there is room. A line that is refused
// becomes the failure of the run.
func (p *producer) line(ctx context.Context, line []byte, number int64) error {
	rec, timed := p.record(line)
	if p.opts.Validate != nil && !p.opts.Raw {
		if err := p.opts.Validate(rec.Value, rec.Timestamp); err != nil {
			return p.refuse(ctx, number, err)
		}
	}
	if len(rec.Value)+len(rec.Key)+recordOverhead > int(p.limit) {
		return p.refuse(ctx, number, p.reason(rec, kerr.MessageTooLarge))
	}
	weight := min(int64(len(rec.Value)), inFlightBytes)
	if err := p.room.Acquire(ctx, weight); err != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	if p.flying == 0 {
		p.moved = time.Now()
	}
	p.flying++
	p.given++
	p.mu.Unlock()
	p.client.Produce(ctx, rec, func(rec *kgo.Record, err error) {
		p.room.Release(weight)
		p.done(number, rec, timed, err)
	})
	return nil
}

// record makes the record of a line, which it copies.
func (p *producer) record(line []byte) (rec *kgo.Record, timed bool) {
	m := scan(line)
	var value []byte
	if p.shift == 0 {
		value = bytes.Clone(line)
	} else {
		value = rebase(line, m, p.shift)
		m = scan(value)
	}
	rec = &kgo.Record{Value: value, Key: m.key(value), Headers: contentType}
	if rec.Timestamp, timed = m.eventTime(value); !timed {
		rec.Timestamp = time.Now()
	}
	return rec, timed
}

var contentType = []kgo.RecordHeader{{Key: "content-type", Value: []byte(ContentType)}}

// done books what became of a record; the first failure ends the run.
func (p *producer) done(number int64, rec *kgo.Record, timed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying--
	p.moved = time.Now()
	if err == nil {
		p.sum.Lines++
		p.sum.Bytes += int64(len(rec.Value))
		if timed && rec.Timestamp.After(p.sum.Newest) {
			p.sum.Newest = rec.Timestamp
		}
		return
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed) {
		return // a consequence, not a cause
	}
	if p.failure == nil || number < p.failure.Line {
		p.failure = &LineError{Name: p.name, Line: number, Err: p.reason(rec, err)}
	}
}

// reason says what to do about a record that the cluster refused.
func (p *producer) reason(rec *kgo.Record, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("an event of %d bytes is too large for topic %s, which takes %d: raise its max.message.bytes: %w", len(rec.Value), p.opts.Topic, p.limit, err)
	case errors.Is(err, kerr.InvalidTimestamp):
		return fmt.Errorf("the cluster refuses the time %s: raise message.timestamp.before.max.ms or .after.max.ms of topic %s, or move the events to now: %w",
			rec.Timestamp.Format(time.RFC3339), p.opts.Topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("this user may not write to topic %s: ask who runs the cluster for it: %w", p.opts.Topic, err)
	}
	return fmt.Errorf("send to topic %s: %w", p.opts.Topic, err)
}

// refuse stops at a line: all before it still get there.
func (p *producer) refuse(ctx context.Context, number int64, reason error) error {
	if err := p.flush(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = &LineError{Name: p.name, Line: number, Err: reason, Refused: true}
	}
	return p.failure
}

func (p *producer) flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// settle waits a little, after the run was stopped, for answers to what is on
// the wire, so that the counts are exact where they can be.
func (p *producer) settle(ctx context.Context) {
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), errStalled) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_ = p.client.Flush(ctx) // what has no answer by then is counted as unknown
}

// pace holds back what is ahead of the rate.
func (p *producer) pace(ctx context.Context, started time.Time, read int64) error {
	if p.opts.Rate == 0 {
		return nil
	}
	ahead := time.Duration(float64(read)/p.opts.Rate*float64(time.Second)) - time.Since(started)
	if ahead < time.Millisecond {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(ahead):
		return nil
	}
}

// errStalled: a cluster that stops answering must not hold the run for ever.
var errStalled = errors.New("no broker acknowledges")

// watch ends the run when nothing comes back for too long. Only closing the
// client gives up records whose fate is not known.
func (p *producer) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(stallTimeout / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		stalled := p.flying > 0 && time.Since(p.moved) > stallTimeout
		p.mu.Unlock()
		if stalled {
			cancel(errStalled)
			return
		}
	}
}

// explain makes the error of the run one for people. The lock is held.
func (p *producer) explain(err error) error {
	if p.failure != nil {
		p.failure.Sent = p.sum.Lines
		return p.failure
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStalled):
		return fmt.Errorf("%s: no broker has acknowledged anything for %s: %d lines are in topic %s, up to %d more may be: %w",
			p.name, stallTimeout, p.sum.Lines, p.opts.Topic, p.given-p.sum.Lines, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: stopped: %d lines are in topic %s, up to %d more may be: %w", p.name, p.sum.Lines, p.opts.Topic, p.given-p.sum.Lines, err)
	}
	return err
}
