package catalog

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turns are who of one process may try a snapshot commit, by table: one at a time,
// for only one of several attempts on one head can land. Whose batch came first goes
// first, also after attempts that failed, so nobody starves.
type turns struct {
	mu     sync.Mutex
	tables map[string]*queue
	joined uint64
}

// queue is the turn of one table, taken or not, and who waits for it, in order.
type queue struct {
	taken   bool
	waiting []*ticket

	took  time.Duration // the last attempt that landed
	row   int           // batches that landed since this process last let others go first
	every int           // of them, before it does again
}

// mostInRow is how many batches of a process that never lost a race land before it
// looks for other processes: it costs the time of one attempt. Where there are any, it
// looks after each batch.
const mostInRow = 16

// ticket is the place of one batch.
type ticket struct {
	of     *turns
	table  string
	number uint64
	has    bool          // the turn
	called chan struct{} // while it waits: closed when the turn is its own
}

func (t *turns) join(table string) *ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.joined++
	return &ticket{of: t, table: table, number: t.joined}
}

// take waits for the turn; it is at once where the ticket has it already. waited tells
// that another one had it.
func (k *ticket) take(ctx context.Context) (waited bool, err error) {
	if !k.ask() {
		return false, nil
	}
	select {
	case <-k.called:
		return true, nil
	case <-ctx.Done():
		k.leave()
		return true, ctx.Err()
	}
}

// ask takes the turn where it is free, else it queues.
func (k *ticket) ask() (queued bool) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	if k.has {
		return false
	}
	if k.of.tables == nil {
		k.of.tables = map[string]*queue{}
	}
	q := k.of.tables[k.table]
	if q == nil {
		q = &queue{every: 1}
		k.of.tables[k.table] = q
	}
	if !q.taken {
		q.taken, k.has = true, true
		return false
	}
	k.called = make(chan struct{})
	at, _ := slices.BinarySearchFunc(q.waiting, k.number, func(o *ticket, n uint64) int { return int(o.number) - int(n) })
	q.waiting = slices.Insert(q.waiting, at, k)
	return true
}

// leave gives the turn to whoever waits for longest, or ends the wait for it. The
// ticket keeps its place for when it takes the turn again.
func (k *ticket) leave() {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	q := k.of.tables[k.table]
	if q == nil {
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(o *ticket) bool { return o == k })
	if !k.has {
		return
	}
	k.has, q.taken = false, len(q.waiting) > 0
	if q.taken {
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		next.has = true
		close(next.called)
	}
}

// landed notes that an attempt of this ticket landed, and what it took.
func (k *ticket) landed(took time.Duration) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	q := k.of.tables[k.table]
	q.took, q.row = took, q.row+1
}

// yields is how long the ticket is to let other processes go first; 0 is not at all.
// Workers of one process hand the turn on the moment that a batch landed, when
// attempts of other processes are still on their way to their conflict: it would win
// the next race as well, and each one after.
func (k *ticket) yields() time.Duration {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	q := k.of.tables[k.table]
	if q.row < q.every {
		return 0
	}
	q.row = 0
	return q.took
}

// others notes whether other processes make snapshot commits too.
func (k *ticket) others(there bool) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	q := k.of.tables[k.table]
	q.every = min(2*q.every, mostInRow)
	if there {
		q.every = 1
	}
}
