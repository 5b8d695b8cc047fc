package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/catalog"
)

func (s *Sink) newBatch(ctx context.Context) (*batch, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	events, err := s.load(ctx, catalog.AgentEvents)
	if err != nil {
		return nil, err
	}
	dead, err := s.load(ctx, catalog.DeadLetters)
	if err != nil {
		return nil, err
	}
	s.sayLacking(events, dead)
	id := uuid.NewString()
	opts := catalog.WriteOptions{CompressionLevel: s.cfg.CompressionLevel}
	r, err := newRouter(events, id, opts, s.cfg.TargetFileSize, s.cfg.Memory)
	if err != nil {
		return nil, err
	}
	return &batch{
		id: id, due: time.Now().Add(s.cfg.TargetLag), events: events, router: r,
		dead: newDeadLetters(dead, id, opts), sent: map[string]bool{},
	}, nil
}

// flush lands the pending batch: data files, dead_letters' snapshot commit,
// agent_events' snapshot commit, offset commit. After an error nothing of the
// batch may be assumed to have landed or not: the tables know.
func (s *Sink) flush(ctx context.Context, why string) error {
	b := s.batch
	if b == nil {
		return nil
	}
	began := time.Now()
	s.stats.Flushing = began
	s.report()
	files, err := s.landBatch(ctx, b, why, began)
	if s.cfg.OnFlush != nil {
		told := Flush{Outcome: outcomeOf(err), Took: time.Since(began)}
		for _, f := range files {
			told.FileSizes = append(told.FileSizes, f.Size)
		}
		s.cfg.OnFlush(told)
	}
	s.stats.Flushing, s.stats.FlushErr = time.Time{}, flushError(err)
	s.report()
	return err
}

// landBatch is flush; it returns the data files that landed.
func (s *Sink) landBatch(ctx context.Context, b *batch, why string, began time.Time) ([]catalog.DataFile, error) {
	if b.failed != nil {
		return nil, b.failed
	}
	s.step(StepBeforeUpload)
	files, err := b.router.close(ctx)
	if err != nil {
		b.failed = err
		return nil, err
	}
	deadFiles, err := b.dead.close()
	if err != nil {
		b.failed = err
		return nil, err
	}
	s.step(StepAfterUpload)
	if err := s.landDead(ctx, b, deadFiles); err != nil {
		return nil, err
	}
	s.step(StepBetweenTables)
	landed, err := s.land(ctx, catalog.AgentEvents, b, files, s.eventRanges(b))
	if err != nil {
		return nil, err
	}
	s.step(StepAfterSnapshotCommit)
	all := append(files, deadFiles...)
	s.landed(b, all)
	s.log.Info("snapshot commit", "why", why, "snapshot", landed.SnapshotID, "attempts", landed.Attempts,
		"rows", b.router.rows, "dead_letters", b.dead.rows, "files", len(all), "took", time.Since(began).Round(time.Millisecond))
	s.step(StepBeforeOffsetCommit)
	s.commitOffsets(ctx)
	return all, nil
}

// landDead makes dead_letters' snapshot commit, where there is something to say.
//
// A former owner of a topic partition may still have snapshot commits under way, and
// it may tell events from dead letters in another way: with other limits, or as
// another version. So the first batch of an owner shuts it out of both tables before
// a row of either can land beside it: of agent_events by a claim, of dead_letters by
// a snapshot commit even where there is no dead letter.
func (s *Sink) landDead(ctx context.Context, b *batch, files []catalog.DataFile) error {
	if claims := s.claims(b); len(claims) > 0 && b.dead.rows > 0 {
		if _, err := s.commit(ctx, catalog.AgentEvents, catalog.Batch{ID: b.claim(), Ranges: claims}); err != nil {
			return err
		}
		for _, p := range s.owned {
			if !p.claimed && p.next != p.start {
				p.seen = b.claim()
			}
		}
	}
	ranges := s.deadRanges(b)
	if len(ranges) == 0 {
		return nil
	}
	_, err := s.land(ctx, catalog.DeadLetters, b, files, ranges)
	return err
}

// land makes one table's snapshot commit of the batch.
func (s *Sink) land(ctx context.Context, table string, b *batch, files []catalog.DataFile, ranges []catalog.Range) (catalog.Landed, error) {
	before := b.sent[table] // by an earlier flush of this batch, which may have landed
	b.sent[table] = true
	landed, err := s.commit(ctx, table, catalog.Batch{ID: b.id, Files: files, Ranges: ranges})
	if neverLands(err) && !before {
		b.sent[table] = false
	}
	return landed, err
}

func (s *Sink) commit(ctx context.Context, table string, b catalog.Batch) (catalog.Landed, error) {
	heard, done := s.awaitCatalog("snapshot commit to " + table)
	defer done()
	b.Version, b.Timeout, b.TableUUID = s.cfg.Version, s.cfg.CommitTimeout, s.uuids[table]
	b.OnRetry = func(attempt int, err error) {
		heard()
		s.stats.CommitRetries++
		s.stats.FlushErr = err.Error()
		s.report()
		s.log.Warn("snapshot commit did not succeed, trying again", "table", table, "attempt", attempt, "err", err)
	}
	return s.lake.CommitBatch(ctx, table, b)
}

// neverLands tells the outcomes of a snapshot commit after which its data files
// are nobody's: no attempt of it can have landed, or land yet. A *ConfigError is
// none of them: a refusal may be somebody's on the way to the catalog.
func neverLands(err error) bool {
	var (
		unknown  *catalog.UnknownError
		fenced   *catalog.FencedError
		conflict *catalog.ConflictError
		not      *catalog.NotLandedError
	)
	switch {
	case errors.As(err, &unknown):
		return false // whatever it wraps
	case errors.As(err, &fenced):
		return fenced.Deletable
	}
	return errors.As(err, &conflict) || errors.As(err, &not)
}

// eventRanges are the ranges that agent_events is to account for: every owned
// topic partition that moved, if only over dead letters or holes.
func (s *Sink) eventRanges(b *batch) []catalog.Range {
	var out []catalog.Range
	for _, p := range s.owned {
		if p.next == p.start {
			continue
		}
		out = append(out, catalog.Range{
			TopicPartition: p.id, Start: p.start, End: p.next, Mark: b.id, Seen: p.seen, Rows: p.tally.rows,
			Events: p.tally.events, DeadLetters: p.tally.dead, Holes: p.tally.holes, HolesOmitted: p.tally.holesOmitted,
		})
	}
	return out
}

// claims are the topic partitions of the batch that agent_events does not know this
// sink as the owner of.
func (s *Sink) claims(b *batch) []catalog.Range {
	var out []catalog.Range
	for _, p := range s.owned {
		if p.next != p.start && !p.claimed {
			out = append(out, catalog.Range{TopicPartition: p.id, Start: p.start, End: p.start, Mark: b.claim(), Seen: p.seen})
		}
	}
	return out
}

// deadRanges are the ranges of dead_letters' snapshot commit. Its offsets say
// how far its rows are complete; they may be ahead of agent_events' after a
// crash, never of what this batch has read or an earlier one had.
func (s *Sink) deadRanges(b *batch) []catalog.Range {
	var out []catalog.Range
	for _, p := range s.owned {
		if p.tally.deadRows == 0 && (p.claimed || p.next == p.start) {
			continue
		}
		start := p.deadNext
		if start < 0 {
			start = p.start
		}
		out = append(out, catalog.Range{
			TopicPartition: p.id, Start: start, End: max(start, p.next), Mark: b.id, Seen: p.deadSeen,
			Rows: p.tally.deadRows, DeadLetters: p.tally.deadRows,
		})
	}
	return out
}

// landed moves the owned topic partitions on to where the tables now are.
func (s *Sink) landed(b *batch, files []catalog.DataFile) {
	for _, p := range s.owned {
		if p.next == p.start {
			continue // nothing of it was in the batch
		}
		if p.tally.deadRows > 0 || !p.claimed {
			p.deadNext, p.deadSeen = max(p.deadNext, p.next), b.id
		}
		p.seen, p.claimed = b.id, true
		if p.next >= p.deadNext {
			p.already = nil
		}
		p.start, p.tally = p.next, tally{}
		if p.newest > 0 {
			p.watermark = time.UnixMilli(p.newest)
		}
	}
	for class, n := range b.router.counts {
		count(&s.stats.ByClass, class, n)
	}
	s.stats.Commits++
	s.stats.CommittedRows += b.router.rows
	s.stats.CommittedDead += b.dead.rows
	s.stats.Files += int64(len(files))
	for _, f := range files {
		s.stats.FileBytes += f.Size
	}
	s.stats.LastCommit = time.Now()
	s.fencing, s.failures = 0, 0
	s.batch = nil
	b.abort() // releases the builders; every file is closed
}

// commitOffsets tells the consumer group where the tables are, for lag
// dashboards. Nothing depends on it.
func (s *Sink) commitOffsets(ctx context.Context) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for tp, p := range s.owned {
		if offsets[tp.topic] == nil {
			offsets[tp.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[tp.topic][tp.partition] = kgo.EpochOffset{Epoch: -1, Offset: p.start}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			s.log.Warn("offset commit; lag dashboards are behind until the next one", "err", err)
		}
	})
}

// flushOrDrop flushes; when another sink has taken over it drops the batch and
// has the owned topic partitions read again from where the tables are.
func (s *Sink) flushOrDrop(ctx context.Context, why string) error {
	// A stop must not tear a snapshot commit that is under way.
	flushCtx, cancel := s.detached(ctx)
	defer cancel()
	err := s.flush(flushCtx, why)
	var fenced *catalog.FencedError
	if !errors.As(err, &fenced) {
		if err != nil && s.stays(err) {
			s.dropLocked() // the last flush of a stop would only end by it again
		}
		return err
	}
	s.stats.Fenced++
	if s.fencing++; s.fencing > maxFencing {
		return &Error{Text: fmt.Sprintf("fenced %d times in a row: another sink outside group %s writes the same topics to these tables", s.fencing, s.cfg.Group), Err: err}
	}
	s.log.Warn("batch dropped, its topic partitions are read again from where the tables are", "err", err)
	s.dropLocked()
	s.rewind = true
	return nil
}

// endBy is the end of a sink for a reason that the watch over topics found.
func (s *Sink) endBy(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.landBefore(cause)
}

// landBefore lands what is pending before the sink ends for a reason that somebody has
// to act on: Kafka may not have it any more, so that the next sink could not read it.
func (s *Sink) landBefore(cause error) error {
	var ours *Error
	if !errors.As(cause, &ours) {
		return cause
	}
	notLanded := s.landPending()
	if gaveWay(notLanded) {
		notLanded = nil
	}
	return withNotLanded(cause, notLanded)
}

// landPending makes the last flush of a sink that ends by itself, within the bound of
// one that is told to, or what is left of that. What does not land is dropped.
func (s *Sink) landPending() error {
	if s.batch == nil || s.batch.failed != nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), s.stopBy())
	defer cancel()
	err := ctx.Err()
	if err == nil {
		err = s.flush(ctx, "end")
	}
	if err != nil {
		s.dropLocked()
	}
	return err
}

// gaveWay is whether a batch was fenced by a new owner, which has or will have its rows.
func gaveWay(err error) bool {
	var fenced *catalog.FencedError
	return errors.As(err, &fenced) && fenced.Committed >= fenced.Start
}

// withNotLanded adds to the reason to end that what was pending did not land. Only the
// reason is unwrapped: the other may be the stop's, which would pass for an interrupt.
func withNotLanded(cause, notLanded error) error {
	if notLanded == nil {
		return cause
	}
	return fmt.Errorf("%w; what was read and not yet committed did not land: %s", cause, notLanded.Error())
}

// maxFencing is how often a sink gives way in a row before it stops: one that
// owns its topic partitions by the group is fenced once, at a hand-over.
const maxFencing = 10

// detached is ctx that ends, where ctx does, only when a stop's time is up.
func (s *Sink) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return context.WithDeadline(context.WithoutCancel(ctx), s.stopBy())
	}
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(time.Until(s.stopBy()), cancel) })
	return out, func() { stop(); cancel() }
}

func (s *Sink) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked()
}

// dropLocked forgets the pending batch and leaves nothing of its open files.
func (s *Sink) dropLocked() {
	if s.batch == nil {
		return
	}
	s.batch.abort()
	s.removeUnsent(s.batch)
	s.batch = nil
	for _, p := range s.owned {
		p.next, p.tally = p.start, tally{}
	}
}

// removeTimeout bounds the removal of data files that a dropped batch leaves.
const removeTimeout = 3 * time.Second

// removeUnsent removes the finished data files of a dropped batch, but for those
// of a snapshot commit that landed or may have. Each table removes its own: a
// catalog may give keys that are good for one table's files only.
func (s *Sink) removeUnsent(b *batch) {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	remove := func(t lakeTable, files []catalog.DataFile) {
		if len(files) == 0 {
			return
		}
		if err := t.DeleteFiles(ctx, files); err != nil {
			s.log.Warn("data files of a dropped batch are left behind; no snapshot refers to them", "table", t.Name(), "err", err)
		}
	}
	if !b.sent[catalog.AgentEvents] {
		remove(b.events, b.router.closed)
	}
	if !b.sent[catalog.DeadLetters] {
		remove(b.dead.table, b.dead.closed)
	}
}

func sortedFiles(open map[string]*openFile) []*openFile {
	out := make([]*openFile, 0, len(open))
	for _, k := range slices.Sorted(maps.Keys(open)) {
		out = append(out, open[k])
	}
	return out
}
