package catalog

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turns say who of one process may try a snapshot commit of a table: one batch at a
// time, for only one of several attempts on one head can land. Whose batch came first
// goes first, also after attempts that failed, so nobody starves. They are no lock:
// that a batch lands once is not their work. The zero value is ready.
type Turns struct {
	mu     sync.Mutex
	tables map[string]*queue
}

// queue is the turn of one table: who has it, and who waits for it.
type queue struct {
	mu      sync.Mutex
	joined  uint64
	holder  *turn   // nil: nobody
	waiting []*turn // the oldest first; nobody waits where nobody has it

	courtesy courtesy
}

// turn is the place of one batch in a queue. One goroutine uses it.
type turn struct {
	of     *queue
	to     Target
	number uint64        // by which the oldest is told
	called chan struct{} // closed when the turn is the batch's own

	began time.Time     // the last attempt
	head  string        // that it was on
	raced bool          // it was a conflict
	spent time.Duration // on it, with the wait after it
	lost  int           // races: conflicts after which the table had another head
	waste time.Duration // of lost races, for await to return
}

func (t *Turns) join(table string, to Target) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables == nil {
		t.tables = map[string]*queue{}
	}
	q := t.tables[table]
	if q == nil {
		q = &queue{}
		t.tables[table] = q
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.joined++
	return &turn{of: q, to: to, number: q.joined}
}

// Waits between attempts of a snapshot commit, where the catalog or the object store
// failed: exponential with full jitter, so that writers do not come back at once.
const (
	commitMinWait = 20 * time.Millisecond
	commitMaxWait = 5 * time.Second
)

// await waits until the next attempt may begin, after so many that failed, the last
// one with an error; or until ctx is done. It returns the time in which others went
// first and that it has not returned yet.
//
// After a lost race the batch keeps its turn and waits the less the more races it
// lost, so that the oldest wins soon: a wait that grew would have it starve beside
// batches that are new. At the first it waits up to what an attempt takes, which is
// when the next race is decided.
func (t *turn) await(ctx context.Context, failed int, last error) (others time.Duration) {
	if failed > 0 {
		t.raced = isConflict(last)
		strange := failed - t.lost - 1 // failures but races, and but the last: what it was shows at the next head
		wait := commitMinWait
		if t.raced {
			wait = max(min(time.Since(t.began), commitMaxWait)/time.Duration(t.lost+1), time.Millisecond)
		}
		if !t.raced || strange > 0 {
			t.leave()
		}
		t.to.Sleep(ctx, 0, min(wait<<min(strange, 20), commitMaxWait))
	}
	asked := time.Now()
	if t.take(ctx) && t.lost == 0 {
		t.letOthers(ctx)
	}
	if ctx.Err() != nil {
		t.leave()
	}
	t.spent, t.began = asked.Sub(t.began), time.Now()
	others, t.waste = t.waste+t.began.Sub(asked), 0
	return others
}

// saw notes the head that the attempt goes on.
func (t *turn) saw(head string) {
	if t.raced && head != t.head {
		t.lost++
		t.waste += t.spent
		t.of.courtesy.notes(true)
	}
	t.head, t.raced = head, false
}

// take waits for the turn, or until ctx is done; it is at once where the batch has it.
func (t *turn) take(ctx context.Context) (waited bool) {
	called := t.of.ask(t)
	select {
	case <-called:
		return false
	default:
		t.to.Wait(ctx, called)
		return true
	}
}

// ask puts a batch where its age says. The channel is closed when the turn is its own.
func (q *queue) ask(t *turn) (called <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.holder == t {
		return t.called
	}
	t.called = make(chan struct{})
	older := func(o *turn) bool { return o.number > t.number }
	at := slices.IndexFunc(q.waiting, older)
	if at < 0 {
		at = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, at, t)
	q.callNext()
	return t.called
}

// leave gives the turn on, or ends the wait for it, also where both happen at once.
// The batch keeps its age for when it asks again.
func (t *turn) leave() {
	q := t.of
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(o *turn) bool { return o == t })
	if q.holder == t {
		q.holder = nil
	}
	q.callNext()
}

// callNext gives the turn to the oldest, where nobody has it.
func (q *queue) callNext() {
	if q.holder == nil && len(q.waiting) > 0 {
		q.holder, q.waiting = q.waiting[0], q.waiting[1:]
		close(q.holder.called)
	}
}
