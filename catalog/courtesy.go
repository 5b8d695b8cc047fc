package catalog

import (
	"context"
	"sync"
	"time"
)

// courtesy is what a process knows of others that commit to the same table, and when
// it lets them go first. They race for the table, and a process whose workers hand the
// turn on would win each race: its next batch is on its way when the attempts of
// others are still on theirs to their conflict.
type courtesy struct {
	mu   sync.Mutex
	took time.Duration // the last attempt that landed
	row  int           // batches that landed since others were last let go first
	most int           // of them, before it is time again; 0 is 1
}

// mostInRow is how many batches of a process that finds no other one land before it
// looks again: it costs the time of one attempt. Where there are others, it lets them
// go first after each batch.
const mostInRow = 16

// letOthers lets other processes go first, where it is time for it.
func (t *turn) letOthers(ctx context.Context) {
	wait := t.of.courtesy.yields()
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
		t.of.courtesy.notes(before.MetadataLocation() != after.MetadataLocation())
	}
}

// landed notes that the last attempt landed.
func (t *turn) landed() { t.of.courtesy.landed(time.Since(t.began)) }

func (c *courtesy) landed(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took, c.row = took, c.row+1
}

// yields is how long to let other processes go first; 0 is not at all.
func (c *courtesy) yields() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.row < max(c.most, 1) {
		return 0
	}
	c.row = 0
	return min(c.took, commitMaxWait)
}

// notes notes whether other processes make snapshot commits too.
func (c *courtesy) notes(others bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = min(2*max(c.most, 1), mostInRow)
	if others {
		c.most = 1
	}
}
