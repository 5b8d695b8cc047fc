package sink

import (
	"container/heap"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/auditlake/auditlake/catalog"
)

// The world of one history: one thing happens at a time, in an order that the seed
// decides. It runs in a synctest bubble, whose clock moves only when the world
// sleeps. Workers run between two calls of theirs to the model, one at a time, while
// the world waits; what they see, and when, is drawn from the seed.
type world struct {
	seed    uint64
	rng     *rand.Rand
	began   time.Time
	events  eventQueue
	seq     int
	parked  chan struct{} // a worker waits, or is done
	workers []*worker     // every one there ever was, also those that died
	kafka   *simKafka
	lake    *simLake
	faults  faultRates
	calm    bool // faults are over
	broken  string
	done    bool // no more processes
	steps   int

	sum   uint64 // of the trace
	trace func(line string)
	names map[string]string // commit ids, in order of appearance
}

// faultRates are the chances of a history's faults, each of one call.
type faultRates struct {
	crash, pause, lost, refuse, slow, upload, expel, remake float64
}

// drawFaults gives histories different characters: calm ones with a zombie, wild ones.
func drawFaults(rng *rand.Rand) faultRates {
	rate := func(most float64) float64 {
		if rng.IntN(3) == 0 {
			return 0
		}
		return most * rng.Float64()
	}
	return faultRates{
		crash: rate(0.02), pause: rate(0.02), lost: rate(0.25), refuse: rate(0.2),
		slow: rate(0.2), upload: rate(0.1), expel: rate(0.15),
		remake: max(0, rate(0.06)-0.03), // in every third history
	}
}

func (w *world) chance(p float64) bool { return !w.calm && p > 0 && w.rng.Float64() < p }

// between draws a duration. Odd nanoseconds keep deadlines apart.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1)) + time.Duration(w.rng.IntN(1000))
}

// latency is how long one leg of a call takes.
func (w *world) latency() time.Duration {
	if w.chance(w.faults.slow) {
		return w.between(100*time.Millisecond, 20*time.Second)
	}
	return w.between(time.Millisecond, 40*time.Millisecond)
}

func (w *world) now() time.Duration { return time.Since(w.began) }

// note adds a line to the trace.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%10.4f ", w.now().Seconds()) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%x", w.sum)
	h.Write([]byte(line))
	w.sum = h.Sum64()
	if w.trace != nil {
		w.trace(line)
	}
}

// fail ends the history: a promise is broken.
func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
		w.note("BROKEN: %s", w.broken)
	}
}

// alias gives a commit id a name that does not change from run to run.
func (w *world) alias(id string) string {
	if w.names[id] == "" {
		w.names[id] = fmt.Sprintf("b%d", len(w.names)+1)
	}
	return w.names[id]
}

type happening struct {
	at  time.Duration
	seq int
	do  func()
}

type eventQueue []happening

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(happening)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// after has something happen in d.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, happening{w.now() + max(d, 0), w.seq, do})
}

// run has things happen until done says so, a promise breaks, or nothing is left.
// It reports whether done was reached before the deadline.
func (w *world) run(deadline time.Duration, done func() bool) bool {
	for w.broken == "" && !done() {
		if len(w.events) == 0 {
			w.after(time.Second, func() {}) // wakeExpired looks
		}
		if w.events[0].at > deadline {
			return false
		}
		e := heap.Pop(&w.events).(happening)
		if wait := e.at - w.now(); wait > 0 {
			time.Sleep(wait)
			synctest.Wait() // deadlines and what hangs on them
		}
		w.steps++
		e.do()
		w.wakeExpired()
	}
	return w.broken == ""
}

// wakeExpired ends the calls whose contexts are over.
func (w *world) wakeExpired() {
	for _, k := range w.workers {
		if k.waits && k.ctx != nil && k.ctx.Err() != nil && k.paused <= w.now() {
			k.resume(wakeExpired)
		}
	}
}

// process is what workers of one process share, and that they die of together.
type process struct {
	turns   catalog.Turns
	workers []*worker
	trying  map[string]*worker // a snapshot commit, by table
}

// try notes that a worker sends a snapshot commit; until done no other one of its
// process may send one to the same table.
func (p *process) try(k *worker, table string) (done func()) {
	if o := p.trying[table]; o != nil {
		k.fail("%s and %s of one process try a snapshot commit of %s at once", o.name, k.name, table)
	}
	p.trying[table] = k
	return func() { p.trying[table] = nil }
}

// worker is one run of a sink, in a process: after a crash there is another one.
type worker struct {
	*world
	process *process
	name    string
	member  *member
	sink    *Sink
	stop    context.CancelFunc

	wake   chan wakeReason
	waits  bool // in park
	ticket int  // of the wait
	ctx    context.Context
	paused time.Duration // stopped as by SIGSTOP until then

	dead  bool         // killed: nothing it does from here on reaches the world
	ended bool         // its goroutine is gone
	files atomic.Int64 // data files that are open
	batch *batch
}

type wakeReason int

const (
	wakeDone wakeReason = iota
	wakeExpired
	wakeKilled
)

type killed struct{}

// park waits, in the worker's goroutine, until the world resumes it.
func (k *worker) park(ctx context.Context) wakeReason {
	k.waits, k.ctx = true, ctx
	k.ticket++
	if ctx != nil {
		if d, ok := ctx.Deadline(); ok {
			k.after(time.Until(d), func() {}) // wakeExpired looks then
		}
	}
	k.parked <- struct{}{}
	why := <-k.wake
	if why == wakeKilled {
		panic(killed{})
	}
	return why
}

// resume has a worker that waits go on to its next wait. It runs in the world.
func (k *worker) resume(why wakeReason) {
	if k.chance(k.faults.crash) && why != wakeKilled {
		k.note("the process of %s crashes", k.name)
		why = wakeKilled
	}
	if why == wakeKilled {
		for _, o := range k.process.workers {
			o.dead = true
		}
	}
	k.waits = false
	k.wake <- why
	<-k.parked
	if why == wakeKilled {
		for _, o := range k.process.workers {
			o.kill()
		}
	}
}

// wakeAfter resumes the wait that is about to begin in d, or later if it is paused.
func (k *worker) wakeAfter(d time.Duration) {
	ticket := k.ticket + 1
	var ring func()
	ring = func() {
		if !k.waits || k.ticket != ticket {
			return
		}
		if rest := k.paused - k.now(); rest > 0 {
			k.after(rest, ring)
			return
		}
		k.resume(wakeDone)
	}
	k.after(d, ring)
}

// sleep lets time pass, in the worker's goroutine.
func (k *worker) sleep(ctx context.Context, d time.Duration) error {
	if k.dead {
		return errDead
	}
	k.wakeAfter(d)
	if k.park(ctx) == wakeExpired {
		return ctx.Err()
	}
	return nil
}

var (
	errDead    = fmt.Errorf("the process is dead")
	errReset   = fmt.Errorf("connection reset by simulation")
	errRefused = fmt.Errorf("503 service unavailable, nothing was done")
)

// call is a remote call of a worker: a request that takes effect when it arrives,
// and an answer. Either may be lost, late, or past the caller's patience or life.
func (k *worker) call(ctx context.Context, what string, effect func() error) error {
	if k.dead {
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	request, answer := k.latency(), k.latency()
	switch {
	case k.chance(k.faults.refuse):
		err = errRefused
		k.after(request, func() { k.note("%s: %s: refused", k.name, what) })
	case k.chance(k.faults.lost):
		landed := k.rng.IntN(2) == 0
		if k.rng.IntN(2) == 0 {
			answer += time.Hour // not even an error: it hangs
			request += k.between(0, 25*time.Second)
		}
		k.after(request, func() {
			if landed {
				err = effect()
			}
			k.note("%s: %s: arrived %v, answer lost (%v)", k.name, what, landed, err)
			err = errReset
			if k.chance(0.05) {
				k.lake.maintain(true) // before anybody can look
			}
		})
	default:
		k.after(request, func() {
			err = effect()
			k.note("%s: %s: %v", k.name, what, err)
		})
	}
	if k.chance(k.faults.pause) {
		k.pause()
	}
	k.wakeAfter(request + answer)
	if k.park(ctx) == wakeExpired {
		k.note("%s: %s: %v", k.name, what, ctx.Err())
		return ctx.Err()
	}
	return err
}

// pause stops a worker's process as SIGSTOP does; the group may well throw it out
// meanwhile.
func (k *worker) pause() {
	d := k.between(time.Second, 40*time.Second)
	k.note("the process of %s pauses for %v", k.name, d)
	k.after(d, func() {}) // wakeExpired looks then
	for _, o := range k.process.workers {
		o.paused = k.now() + d
		if d > simSession {
			k.after(simSession, func() { k.kafka.expel(o.member) })
		}
	}
}

// kill ends a worker's goroutine where it waits.
func (k *worker) kill() {
	if !k.ended {
		k.resume(wakeKilled)
	}
}
