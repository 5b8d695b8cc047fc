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
//
// Other processes race for the table, and those whose workers hand the turn on would
// win each race: the next batch is on its way when the attempts of others are still on
// theirs to their conflict. So a process lets others go first now and then.
type queue struct {
	mu      sync.Mutex
	joined  uint64
	holder  *turn   // nil: nobody
	waiting []*turn // the oldest first; nobody waits where nobody has it

	took  time.Duration // the last attempt that landed
	row   int           // batches that landed since others were last let go first
	every int           // of them, before it is time again
}

// mostInRow is how many batches of a process that finds no other one land before it
// looks again: it costs the time of one attempt. Where there are others, it lets them
// go first after each batch.
const mostInRow = 16

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
		q = &queue{every: 1}
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
		t.of.notes(true)
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

// letOthers lets other processes go first, where it is time for it.
func (t *turn) letOthers(ctx context.Context) {
	wait := t.of.yields()
	if wait == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*commitMaxWait) // also where the catalog hangs
	defer cancel()
	before, err := t.to.Head(ctx)
	if err != nil {
		return // the attempt says so
	}
	t.to.Sleep(ctx, wait, wait)
	if after, err := t.to.Head(ctx); err == nil {
		t.of.notes(before.MetadataLocation() != after.MetadataLocation())
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

// landed notes that the last attempt landed.
func (t *turn) landed() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.took, t.of.row = time.Since(t.began), t.of.row+1
}

// yields is how long to let other processes go first; 0 is not at all.
func (q *queue) yields() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.row < q.every {
		return 0
	}
	q.row = 0
	return min(q.took, commitMaxWait)
}

// notes notes whether other processes make snapshot commits too.
func (q *queue) notes(others bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.every = min(2*q.every, mostInRow)
	if others {
		q.every = 1
	}
}
