package sink

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// Sink is one member of a consumer group with one pipeline: decode, convert,
// write, commit. Run several for several cores; they share nothing but tables.
type Sink struct {
	cfg     Config
	lake    lake
	log     *slog.Logger
	client  consumer
	size    *fetchSize
	admin   cluster
	decoder *envelope.Decoder
	topics  topicSet
	cluster *clusterInfo
	// peek looks for the next record at or after an offset, beside the consumer; nil
	// where that cannot be done.
	peek func(ctx context.Context, tp topicPartition, topicID string, from int64) (next int64, found bool, err error)

	wait func(context.Context, time.Duration) error // the simulation's clock is its own
	// sayWaitAfter is how long the catalog may take before that is said; 0: never.
	sayWaitAfter time.Duration
	stopped      atomic.Int64 // when Run was told to stop, Unix nanoseconds; 0 before

	// mu guards everything below. The loop holds it while it works; rebalance
	// callbacks take it between polls.
	mu          sync.Mutex
	owned       map[topicPartition]*progress
	taking      map[topicPartition]bool // the group's gifts that are not owned yet
	uuids       map[string]string       // of the tables, as this sink met them first
	batch       *batch
	stats       Stats
	rewind      bool                      // owned topic partitions must go back to the table's offsets
	stop        error                     // set by callbacks: the reason to stop
	fetchErrs   map[topicPartition]string // that were said, of those that bring no records
	goals       map[topicPartition]int64
	told        told
	lacking     string    // columns that were said to be missing
	fencing     int       // fenced batches in a row
	failures    int       // in a row
	askedOthers time.Time // when the table was last asked about others' topic partitions
}

// topicPartition is a topic partition of the one cluster the sink reads.
type topicPartition struct {
	topic     string
	partition int32
}

func (tp topicPartition) compare(o topicPartition) int {
	return cmp.Or(strings.Compare(tp.topic, o.topic), cmp.Compare(tp.partition, o.partition))
}

// progress is how far the sink is in an owned topic partition.
type progress struct {
	id       catalog.TopicPartition
	start    int64 // agent_events' committed offset, where the batch starts
	next     int64 // offset to take next
	deadNext int64 // dead_letters' committed offset; -1 if it has none
	// seen and deadSeen are the marks of the tables' offsets. claimed says that they
	// are this sink's: no former owner can land any more.
	seen, deadSeen string
	claimed        bool
	// already are offsets in [start, deadNext) that are rows of dead_letters: a
	// sink died between the two tables' commits.
	already map[int64]struct{}
	tally   tally

	moved     time.Time // records of it were last taken
	high      int64     // Kafka's high watermark as of the assignment or the last fetch
	newest    int64     // Kafka timestamp of the newest record taken, milliseconds
	watermark time.Time // the same, of what is committed
}

// tally counts what the pending batch has of a topic partition.
type tally struct {
	rows, events, dead, deadRows int64
	holes                        []catalog.Hole
	holesOmitted                 int64
}

// maxHoles bounds the holes a snapshot summary lists for a topic partition; the
// rest is counted.
const maxHoles = 256

func (t *tally) hole(start, end int64) {
	if n := len(t.holes); n > 0 && t.holes[n-1].End == start {
		t.holes[n-1].End = end
		return
	}
	if len(t.holes) == maxHoles {
		t.holesOmitted += end - start
		return
	}
	t.holes = append(t.holes, catalog.Hole{Start: start, End: end})
}

// errCaughtUp ends the loop of a sink that has reached its goal.
var errCaughtUp = errors.New("caught up")

// Run reads until ctx is done, then flushes what is pending within
// ShutdownTimeout and leaves the group; it returns nil then. It returns nil too
// when UntilCaughtUp is reached. Whatever it returns, and if it never returns,
// no record is lost or doubled: the next sink starts where the tables are.
func (s *Sink) Run(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer s.admin.Close()
	defer s.leave()
	watched := make(chan error, 1)
	watchCtx, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go func() { watched <- s.watchTopics(watchCtx) }()
	defer s.watchEnds(watchCtx)()
	return s.consume(ctx, watched)
}

// leaveTimeout bounds how long a sink that is done waits to leave the group.
const leaveTimeout = 5 * time.Second

// leave leaves the group. A client that waits for a rebalance to end leaves only
// after it, and that is up to another member, which may be busy for a minute: whoever
// told this sink to stop does not wait for that.
func (s *Sink) leave() {
	left := make(chan struct{})
	go func() { s.client.Close(); close(left) }()
	select {
	case <-left:
	case <-time.After(leaveTimeout):
		s.log.Warn("left without a word to the consumer group, which is amid a rebalance: it gives this sink's share away after kafka.session_timeout")
	}
}

// consume is Run once the sink is connected.
func (s *Sink) consume(ctx context.Context, watched <-chan error) error {
	defer s.drop()
	if s.cfg.UntilCaughtUp {
		if err := s.setGoals(ctx); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { s.stopped.Store(time.Now().UnixNano()) })()
	err := s.loop(ctx, watched)
	switch {
	case errors.Is(err, errCaughtUp):
		return nil
	case ctx.Err() == nil:
		return err
	}
	if reason := s.reasonBeside(err, watched); reason != nil {
		return withNotLanded(reason, s.lastFlush(nil))
	}
	return s.lastFlush(err)
}

// reasonBeside is why a sink that was told to stop would have ended all the same, nil if
// it would not: it is to say so, for the next one ends by it too. err ended the loop.
func (s *Sink) reasonBeside(err error, watched <-chan error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found error
	select {
	case found = <-watched:
	default:
	}
	for _, reason := range []error{err, s.stop, found} {
		if reason != nil && s.stays(reason) {
			return reason
		}
	}
	return nil
}

// stopBy is when a sink that was told to stop must have stopped.
func (s *Sink) stopBy() time.Time {
	at := time.Now()
	if n := s.stopped.Load(); n != 0 {
		at = time.Unix(0, n)
	}
	return at.Add(s.cfg.ShutdownTimeout)
}

// lastFlush commits what is pending after a stop, within its bound. cause is what
// ended the loop: the stop, or a flush that failed after it; nil where that is told.
func (s *Sink) lastFlush(cause error) error {
	const what = "stopped before the last snapshot commit; the next run starts where the tables are"
	ctx, cancel := context.WithDeadline(context.Background(), s.stopBy())
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil && ctx.Err() != nil {
		return &Error{Text: what, Err: cause}
	}
	err := s.flush(ctx, "stop")
	if gaveWay(err) {
		return nil
	}
	if err != nil {
		return &Error{Text: what, Err: err}
	}
	s.report()
	return nil
}

// loop polls and works until there is a reason to stop, which it returns.
func (s *Sink) loop(ctx context.Context, watched <-chan error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		select {
		case err := <-watched:
			if err != nil {
				return s.endBy(err)
			}
		default:
		}
		// A short poll keeps age-based flushes punctual.
		pollCtx, cancel := context.WithTimeout(ctx, s.pollWait())
		fetches := s.client.PollFetches(pollCtx)
		cancel()
		err := s.work(ctx, fetches)
		s.client.AllowRebalance()
		switch {
		case err != nil:
			err = s.beginAgain(ctx, err)
		case onlyErrors(fetches):
			err = s.wait(ctx, min(errorPause, s.pollWait()))
		}
		if err != nil {
			return err
		}
	}
}

// errorPause is how long at most the loop waits after a poll that brought only errors of
// topic partitions: some of them are there again at once, and as long as they last.
const errorPause = 250 * time.Millisecond

// pollWait is how long a poll may wait for records: until the pending batch is
// due, between 10 ms and 500 ms.
func (s *Sink) pollWait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := 500 * time.Millisecond
	if s.batch != nil {
		wait = min(wait, time.Until(s.batch.due))
	}
	return max(wait, 10*time.Millisecond)
}

// work takes the polled records and flushes where a bound is reached.
func (s *Sink) work(ctx context.Context, fetches kgo.Fetches) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lostLog(ctx, fetches); err != nil {
		return err
	}
	if s.stop != nil {
		return s.landBefore(s.stop)
	}
	if err := s.fetchErrors(fetches); err != nil {
		return s.landBefore(err)
	}
	if s.rewind {
		// The polled records follow rows that were dropped: fetch them anew.
		s.rewind = false
		return s.rewindOwned(ctx)
	}
	if err := s.takeFetches(ctx, fetches); err != nil {
		return err
	}
	if err := s.passGaps(ctx); err != nil {
		return err
	}
	if s.batch != nil && !time.Now().Before(s.batch.due) {
		if err := s.flushOrDrop(ctx, "target lag"); err != nil {
			return err
		}
	}
	s.cameRound()
	return s.checkCaughtUp(ctx)
}

// Stats returns the sink's counters.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *Sink) step(name string) {
	if s.cfg.OnStep != nil {
		s.cfg.OnStep(name)
	}
}
