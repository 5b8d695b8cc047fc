package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/sink"
)

// probeKeeps is how long an answer of the catalog and the store counts, and
// probeTimeout how long one may take.
const (
	probeKeeps   = 10 * time.Second
	probeTimeout = 10 * time.Second
)

// health judges a process of sinks by what they say of themselves. It looks at
// them on a clock of its own, so one that hangs is seen too.
type health struct {
	readyLag     time.Duration // bound of /readyz
	stalledAfter time.Duration // bound of /healthz
	workers      func() []sink.Stats
	probe        func(context.Context) error // asks the catalog and the store

	mu       sync.Mutex
	stopping bool
	caughtUp bool // once since the start
	fresh    map[topicPartition]*freshness
	progress []progress // of each worker

	probing   sync.Mutex // one at a time
	probed    time.Time
	probeSaid error
}

type topicPartition struct {
	topic     string
	partition int32
}

// progress is when a worker last made some: a snapshot commit, or nothing to do, as a
// member of the consumer group that has taken over what is its share, or where there is
// no topic yet.
type progress struct {
	at      time.Time
	commits int64
}

// freshness finds out how old the tables are: it notes where a topic partition
// ended when, and until when all of it is in the tables.
type freshness struct {
	heard time.Time // when Kafka last told where it ends, from the assignment on
	until time.Time // from the assignment on
	ever  bool      // all of it was in the tables since then
	step  time.Duration
	seen  []endSeen
}

// endSeen is where a topic partition ended at a time, the last of those noted
// since begun.
type endSeen struct {
	begun, at time.Time
	end       int64
}

// maxSeen bounds the memory of a topic partition that falls far behind: past it
// the steps at which it is noted are twice as long, and its age is told as coarsely.
const maxSeen = 512

func (f *freshness) look(now time.Time, p sink.OwnedPartition) {
	if p.Readable < 0 {
		return
	}
	f.heard = now
	if p.Committed >= p.Readable {
		f.until, f.ever, f.step, f.seen = now, true, 0, f.seen[:0]
		return
	}
	f.note(endSeen{now, now, p.Readable})
	for len(f.seen) > 0 && f.seen[0].end <= p.Committed {
		f.until, f.ever, f.seen = f.seen[0].at, true, f.seen[1:]
	}
	for len(f.seen) > maxSeen {
		f.step = max(2*f.step, now.Sub(f.seen[0].begun)/maxSeen)
		seen := f.seen
		f.seen = f.seen[:0]
		for _, s := range seen {
			f.note(s)
		}
	}
}

// note adds what was seen, to the last note where that is of the same step, or
// of the same end.
func (f *freshness) note(s endSeen) {
	if n := len(f.seen); n > 0 {
		if last := &f.seen[n-1]; s.begun.Sub(last.begun) < f.step || s.end <= last.end {
			last.at, last.end = s.at, max(last.end, s.end)
			return
		}
	}
	f.seen = append(f.seen, s)
}

func newHealth(readyLag, stalledAfter time.Duration, workers func() []sink.Stats, probe func(context.Context) error) *health {
	return &health{readyLag: readyLag, stalledAfter: stalledAfter, workers: workers, probe: probe}
}

// run looks until ctx is done: the sinks have been told to stop then.
func (h *health) run(ctx context.Context) {
	tick := time.NewTicker(min(max(h.readyLag/20, 50*time.Millisecond), 2*time.Second))
	defer tick.Stop()
	for {
		h.look(time.Now())
		select {
		case <-ctx.Done():
			h.mu.Lock()
			h.stopping = true
			h.mu.Unlock()
			return
		case <-tick.C:
		}
	}
}

// look takes in how the sinks do now.
func (h *health) look(now time.Time) {
	workers := h.workers()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.progress == nil {
		h.progress = make([]progress, len(workers))
		for i := range h.progress {
			h.progress[i].at = now
		}
	}
	fresh, caughtUp, owned := map[topicPartition]*freshness{}, true, 0
	for i, w := range workers {
		member := w.Member && w.TakingOver.IsZero()
		caughtUp = caughtUp && member && !w.Heard.IsZero()
		if (member || w.NoTopic) && behind(w) == 0 || w.Commits != h.progress[i].commits {
			h.progress[i] = progress{now, w.Commits}
		}
		owned += len(w.Owned)
		for _, p := range w.Owned {
			tp := topicPartition{p.Topic, p.Partition}
			f := h.fresh[tp]
			if f == nil {
				f = &freshness{heard: now, until: now}
			}
			f.look(now, p)
			caughtUp = caughtUp && f.ever
			fresh[tp] = f
		}
	}
	h.fresh = fresh
	h.caughtUp = h.caughtUp || caughtUp && owned > 0 // who stands by has caught up with nothing
}

// outside is what keeps a worker from its share of the topic partitions, "" where it
// has it, and outsideFor why, where that is known.
func outside(w sink.Stats) string {
	switch {
	case !w.Member && !w.NoTopic: // the client joins once there is something to read
		return "not a member of the consumer group"
	case w.TakeOverErr != "":
		return "topic partitions cannot be taken over"
	case !w.TakingOver.IsZero():
		return "taking over topic partitions"
	}
	return ""
}

func outsideFor(w sink.Stats) string {
	if !w.Member {
		return w.GroupErr
	}
	return w.TakeOverErr
}

const standsByWithoutTopic = "standing by: no topic of kafka.topics exists yet"

func noTopic(workers []sink.Stats) bool {
	return slices.ContainsFunc(workers, func(w sink.Stats) bool { return w.NoTopic })
}

// behind is how many offsets that can be read the tables lack.
func behind(w sink.Stats) (n int64) {
	for _, p := range w.Owned {
		n += max(p.Readable-p.Committed, 0)
	}
	return n
}

// age is how old the tables are in a topic partition.
func (h *health) age(now time.Time, p sink.OwnedPartition) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.fresh[topicPartition{p.Topic, p.Partition}]; f != nil && p.Committed < p.Readable {
		return now.Sub(f.until)
	}
	return 0
}

// healthy says whether a restart could help: it does not where there is nothing
// to do, or something outside of this process to wait for that shows progress.
func (h *health) healthy(now time.Time) (ok bool, why string) {
	workers := h.workers()
	h.mu.Lock()
	defer h.mu.Unlock()
	var all int64
	for i, w := range workers {
		n := behind(w)
		all += n
		if i >= len(h.progress) {
			continue
		}
		age := now.Sub(h.progress[i].at)
		if age <= h.stalledAfter {
			continue
		}
		if out := outside(w); out != "" { // what waits for it is not known
			return false, fmt.Sprintf("worker %d: %s for %s, longer than metrics.stalled_after (%s)%s",
				i+1, out, ageText(age), config.Duration(h.stalledAfter), because(outsideFor(w)))
		}
		if n > 0 {
			why := fmt.Sprintf("worker %d: no snapshot commit for %s, longer than metrics.stalled_after (%s), while %s wait",
				i+1, ageText(age), config.Duration(h.stalledAfter), ui.Plural(n, "record", "records"))
			return false, why + because(w.FlushErr)
		}
	}
	for i, w := range workers {
		if out := outside(w); out != "" {
			return true, fmt.Sprintf("worker %d: %s%s", i+1, out, because(outsideFor(w)))
		}
	}
	if all == 0 && noTopic(workers) {
		return true, standsByWithoutTopic
	}
	if all == 0 {
		return true, "nothing waits"
	}
	return true, "at work, " + ui.Plural(all, "record waits", "records wait")
}

// ready says whether this process has caught up with its assignment and is able
// to commit.
func (h *health) ready(ctx context.Context, now time.Time) (ok bool, why string) {
	workers := h.workers()
	if why := h.unready(workers, now); why != "" {
		return false, why
	}
	if err := h.answers(ctx); err != nil {
		return false, "the catalog or the object store does not answer" + because(err.Error())
	}
	partitions, records := 0, int64(0)
	for _, w := range workers {
		partitions += len(w.Owned)
		records += behind(w)
	}
	if partitions == 0 && noTopic(workers) {
		return true, standsByWithoutTopic
	}
	if partitions == 0 {
		return true, "standing by: the group has no topic partition for this sink"
	}
	return true, fmt.Sprintf("%s, %s", ui.Plural(int64(partitions), "topic partition", "topic partitions"), ui.Plural(records, "record waits", "records wait"))
}

// unready is why the sinks, by what they say themselves, are not ready.
func (h *health) unready(workers []sink.Stats, now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopping {
		return "stopping: what is pending is being committed"
	}
	bound := config.Duration(h.readyLag)
	for i, w := range workers {
		name := fmt.Sprintf("worker %d: ", i+1)
		switch {
		case !w.Flushing.IsZero() && now.Sub(w.Flushing) > h.readyLag:
			return name + fmt.Sprintf("a flush is under way for %s, longer than metrics.ready_lag (%s)%s%s",
				ageText(now.Sub(w.Flushing)), bound, comma(awaiting(w, now)), because(w.FlushErr))
		case w.Awaiting != "" && now.Sub(w.AwaitingSince) > h.readyLag:
			return name + fmt.Sprintf("%s, longer than metrics.ready_lag (%s)%s", awaiting(w, now), bound, because(w.FlushErr))
		case w.Flushing.IsZero() && w.FlushErr != "" && w.Pending+behind(w) > 0:
			return name + "the last flush failed" + because(w.FlushErr)
		case !w.Member && !w.NoTopic, w.TakeOverErr != "":
			return name + outside(w) + because(outsideFor(w))
		case !w.TakingOver.IsZero() && (!h.caughtUp || now.Sub(w.TakingOver) > h.readyLag):
			return name + fmt.Sprintf("%s for %s", outside(w), ageText(now.Sub(w.TakingOver)))
		case w.Heard.IsZero():
			return name + "Kafka has not told yet how far its topic partitions are"
		case now.Sub(w.Heard) > h.readyLag:
			return name + fmt.Sprintf("no answer from Kafka for %s", ageText(now.Sub(w.Heard)))
		case w.Flushing.IsZero() && now.Sub(w.Polled) > h.readyLag:
			return name + fmt.Sprintf("writing data files takes %s, longer than metrics.ready_lag (%s)", ageText(now.Sub(w.Polled)), bound)
		}
	}
	for _, w := range workers {
		for _, p := range w.Owned {
			if why := h.waits(p, now); why != "" {
				return why
			}
		}
	}
	return ""
}

// waits is why a topic partition has this process not ready.
func (h *health) waits(p sink.OwnedPartition, now time.Time) string {
	f := h.fresh[topicPartition{p.Topic, p.Partition}]
	at, bound := fmt.Sprintf("%s/%d", p.Topic, p.Partition), config.Duration(h.readyLag)
	if p.Readable < 0 { // nothing is known of what waits
		switch {
		case !h.caughtUp:
			return "Kafka has not told yet where " + at + " ends"
		case f != nil && now.Sub(f.heard) > h.readyLag:
			return fmt.Sprintf("Kafka has not told for %s where %s ends, longer than metrics.ready_lag (%s)", ageText(now.Sub(f.heard)), at, bound)
		}
		return ""
	}
	n := ui.Plural(p.Readable-p.Committed, "record", "records")
	switch {
	case p.Committed >= p.Readable:
		return ""
	case f == nil || !h.caughtUp && !f.ever:
		return fmt.Sprintf("catching up: the tables are %s behind %s", n, at)
	case now.Sub(f.until) > h.readyLag:
		return fmt.Sprintf("behind: the tables lack %s of %s, some for %s, longer than metrics.ready_lag (%s)", n, at, ageText(now.Sub(f.until)), bound)
	}
	return ""
}

// ageText is a duration as exact as it is of use.
func ageText(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// awaiting is what the sink waits for the catalog to do, if it does.
func awaiting(w sink.Stats, now time.Time) string {
	if w.Awaiting == "" {
		return ""
	}
	return fmt.Sprintf("waiting for the catalog for %s (%s)", ageText(now.Sub(w.AwaitingSince)), w.Awaiting)
}

func comma(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + strings.Join(strings.Fields(err), " ")
}

// answers asks the catalog and the store, at most every probeKeeps.
func (h *health) answers(ctx context.Context) error {
	h.probing.Lock()
	defer h.probing.Unlock()
	if time.Since(h.probed) < probeKeeps {
		return h.probeSaid
	}
	// Not the client's context: the next one may wait for the same answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	h.probeSaid = h.probe(ctx)
	h.probed = time.Now()
	return h.probeSaid
}

func (h *health) serveHealthz(w http.ResponseWriter, _ *http.Request) {
	ok, why := h.healthy(time.Now())
	answer(w, ok, "healthy: "+why, "unhealthy: "+why)
}

func (h *health) serveReadyz(w http.ResponseWriter, r *http.Request) {
	ok, why := h.ready(r.Context(), time.Now())
	answer(w, ok, "ready: "+why, "not ready: "+why)
}

func answer(w http.ResponseWriter, ok bool, yes, no string) {
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		http.Error(w, no, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(yes + "\n")) // a client that left needs no answer
}
