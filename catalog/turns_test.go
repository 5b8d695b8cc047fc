package catalog

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The turn goes to who came first, also after it left for a while; who gives up the
// wait holds nobody.
func TestTurnsGoByAge(t *testing.T) {
	ctx := context.Background()
	var all turns
	old, first, second, third := all.join("a"), all.join("a"), all.join("a"), all.join("a")
	waited, err := first.take(ctx)
	require.NoError(t, err)
	require.False(t, waited)
	waited, err = first.take(ctx) // it has it
	require.NoError(t, err)
	require.False(t, waited)
	waited, err = all.join("b").take(ctx) // another table
	require.NoError(t, err)
	require.False(t, waited)

	got := make(chan *ticket)
	for i, k := range []*ticket{third, second, old} {
		go func() {
			waited, err := k.take(ctx)
			if err == nil && waited {
				got <- k
			}
		}()
		require.Eventually(t, func() bool { return all.waiting("a") == i+1 }, 30*time.Second, time.Millisecond)
	}
	gone, give := context.WithCancel(ctx)
	give()
	waited, err = all.join("a").take(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, waited)
	require.Equal(t, 3, all.waiting("a"))

	first.leave()
	require.Same(t, old, <-got)
	go func() {
		if _, err := first.take(ctx); err == nil {
			got <- first
		}
	}()
	require.Eventually(t, func() bool { return all.waiting("a") == 3 }, 30*time.Second, time.Millisecond)
	for _, next := range [][2]*ticket{{old, first}, {first, second}, {second, third}} {
		next[0].leave()
		require.Same(t, next[1], <-got)
	}
	third.leave()
	third.leave() // nothing more
	waited, err = all.join("a").take(ctx)
	require.NoError(t, err)
	require.False(t, waited)
}

// A wait that ends as the turn comes passes it on.
func TestTurnsPassOnWhatNobodyWants(t *testing.T) {
	for range 1000 {
		var all turns
		has, gives, next := all.join("a"), all.join("a"), all.join("a")
		_, err := has.take(context.Background())
		require.NoError(t, err)
		gone, give := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = gives.take(gone)
			gives.leave()
		}()
		for all.waiting("a") == 0 {
			time.Sleep(time.Microsecond)
		}
		go give()
		has.leave()
		<-done
		waited, err := next.take(context.Background())
		require.NoError(t, err)
		require.False(t, waited)
	}
}

// A process that never loses a race looks for others after 1, 2, 4 ... batches; one
// that finds any, after each.
func TestTurnsLookForOthers(t *testing.T) {
	var all turns
	k := all.join("a")
	_, err := k.take(context.Background())
	require.NoError(t, err)
	for _, batches := range []int{1, 2, 4, 8, 16, 16} {
		for i := range batches {
			require.Zero(t, k.yields(), "%d of %d", i, batches)
			k.landed(time.Second)
		}
		require.Equal(t, time.Second, k.yields())
		k.others(false)
	}
	k.others(true)
	k.landed(time.Minute)
	require.Equal(t, time.Minute, k.yields())
}

// waiting is how many wait for a table's turn.
func (t *turns) waiting(table string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.tables[table].waiting)
}
