package catalog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// The turn goes to who joined first of those that ask, also after it left for a while:
// as a plain list has it, whatever the order of what batches do.
func TestTurnsGoByAge(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var turns Turns
		var all []*turn
		for range 8 {
			all = append(all, turns.join("a", nil))
		}
		asked := make([]bool, len(all))
		holder := -1 // of the list
		for step := range 200 {
			i := rng.IntN(len(all))
			if asked[i] && rng.IntN(2) == 0 {
				all[i].leave()
				asked[i] = false
			} else {
				all[i].of.ask(all[i])
				asked[i] = true
			}
			if holder < 0 || !asked[holder] {
				holder = slices.Index(asked, true)
			}
			for k, turn := range all {
				require.Equal(t, k == holder, asked[k] && isCalled(turn), "seed %d, step %d: turn of %d", seed, step, k)
			}
		}
	}
	var turns Turns
	a, b := turns.join("a", nil), turns.join("b", nil)
	a.of.ask(a)
	b.of.ask(b)
	require.True(t, isCalled(a) && isCalled(b), "each table has a turn of its own")
}

func isCalled(t *turn) bool {
	select {
	case <-t.called:
		return true
	default:
		return false
	}
}

// Whoever gives up whenever, one at a time has the turn, and nobody waits for good:
// also where the turn comes as the wait for it ends.
func TestTurnsAreNeverLost(t *testing.T) {
	var turns Turns
	var busy atomic.Int32
	var had, gaveUp atomic.Int64
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for range 2000 {
				turn := turns.join("a", icebergTarget{})
				ctx, cancel := context.WithTimeout(context.Background(), rand.N(300*time.Microsecond))
				turn.take(ctx)
				if isCalled(turn) {
					had.Add(1)
					if n := busy.Add(1); n != 1 {
						t.Errorf("%d have the turn at once", n)
					}
					time.Sleep(rand.N(10 * time.Microsecond))
					busy.Add(-1)
				} else {
					gaveUp.Add(1)
				}
				turn.leave()
				cancel()
			}
		})
	}
	workers.Wait()
	last := turns.join("a", icebergTarget{})
	require.False(t, last.take(context.Background()), "it is there to be had")
	require.NotZero(t, had.Load())
	require.NotZero(t, gaveUp.Load())
	t.Logf("%d had the turn, %d gave up", had.Load(), gaveUp.Load())
}

// A process that never loses a race looks for others after 1, 2, 4 ... batches; one
// that finds any, after each.
func TestCourtesy(t *testing.T) {
	var c courtesy
	for _, batches := range []int{1, 2, 4, 8, 16, 16} {
		for i := range batches {
			require.Zero(t, c.yields(), "%d of %d", i, batches)
			c.landed(time.Second)
		}
		require.Equal(t, time.Second, c.yields())
		c.notes(false)
	}
	c.notes(true)
	c.landed(2 * time.Second)
	require.Equal(t, 2*time.Second, c.yields())
	c.landed(time.Minute)
	require.Equal(t, commitMaxWait, c.yields())
}

// modelTable is a table that takes one snapshot commit in 300 ms, and races as a real
// one does: a commit is judged when it ends.
type modelTable struct {
	icebergTarget
	mu      sync.Mutex
	version int
	fails   func() error // of an attempt that nobody else was in the way of
}

const modelCommit = 300 * time.Millisecond

func (m *modelTable) Head(ctx context.Context) (Head, error) {
	m.Sleep(ctx, 5*time.Millisecond, 15*time.Millisecond)
	m.mu.Lock()
	defer m.mu.Unlock()
	return modelHead{m, m.version}, ctx.Err()
}

func (m *modelTable) Judge(err error, _ Outcome) (Outcome, error) { return OutcomeRetry, err }

type modelHead struct {
	of      *modelTable
	version int
}

func (h modelHead) UUID() string { return "model" }

func (h modelHead) MetadataLocation() string            { return fmt.Sprint(h.version) }
func (h modelHead) Offsets() (Offsets, error)           { return Offsets{}, nil }
func (h modelHead) CommitSnapshot(string) (int64, bool) { return 0, false }

func (h modelHead) Stage(context.Context, Batch, Offsets) (func(context.Context) (int64, error), error) {
	return func(ctx context.Context) (int64, error) {
		h.of.Sleep(ctx, modelCommit, modelCommit*11/10)
		h.of.mu.Lock()
		defer h.of.mu.Unlock()
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if h.of.version != h.version {
			return 0, table.ErrCommitFailed
		}
		if h.of.fails != nil {
			if err := h.of.fails(); err != nil {
				return 0, err
			}
		}
		h.of.version++
		return int64(h.of.version), nil
	}, nil
}

// Sixteen workers, each with a batch at any time, for an hour of model time: however
// they are spread over processes none gives up, though the commit timeout is a third of
// a turn of all, and none starves.
func TestTurnsUnderContention(t *testing.T) {
	const workers, timeout, hour = 16, 1500 * time.Millisecond, time.Hour
	for _, processes := range []int{1, 2, 4, 8, workers} {
		t.Run(fmt.Sprintf("%d processes", processes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &modelTable{}
				turns := make([]Turns, processes)
				var commits [workers]int
				var waits [workers]time.Duration
				var failed atomic.Int64
				var all errgroup.Group
				began := time.Now()
				for w := range workers {
					all.Go(func() error {
						for time.Since(began) < hour {
							due := time.Now()
							_, err := turns[w%processes].Commit(context.Background(), "a", m, Batch{
								Timeout: timeout, OnRetry: func(int, error) { failed.Add(1) }})
							if err != nil {
								return fmt.Errorf("worker %d after %v: %w", w, time.Since(due), err)
							}
							waits[w] = max(waits[w], time.Since(due))
							commits[w]++
							time.Sleep(rand.N(50 * time.Millisecond)) // the next batch
						}
						return nil
					})
				}
				require.NoError(t, all.Wait())
				longest, fewest, most := slices.Max(waits[:]), slices.Min(commits[:]), slices.Max(commits[:])
				t.Logf("%d snapshot commits, %d attempts failed, by worker %d to %d, longest wait %v",
					m.version, failed.Load(), fewest, most, longest.Round(time.Millisecond))
				require.Less(t, longest, time.Minute)
				require.Greater(t, fewest, most/2)
				if processes == 1 {
					require.Zero(t, failed.Load())
				}
			})
		})
	}
}

// What is not others' doing is the batch's own time: a catalog that calls everything
// a conflict, and one that fails for one worker alone, end in the timeout.
func TestTurnsDoNotExtendForWhatNobodyDid(t *testing.T) {
	for name, err := range map[string]error{"conflict": table.ErrCommitFailed, "failure": errLost} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var turns Turns
				ctx, stop := context.WithCancel(context.Background())
				var others sync.WaitGroup
				for range 3 {
					others.Go(func() {
						m := &modelTable{}
						for ctx.Err() == nil {
							_, err := turns.Commit(ctx, "a", m, Batch{Timeout: time.Minute})
							if ctx.Err() == nil && err != nil {
								t.Error(err)
							}
						}
					})
				}
				attempts := 0
				began := time.Now()
				m := &modelTable{fails: func() error { return err }}
				_, failed := turns.Commit(ctx, "a", m, Batch{Timeout: time.Minute, OnRetry: func(int, error) { attempts++ }})
				stop()
				others.Wait()
				require.ErrorIs(t, failed, err)
				require.Less(t, time.Since(began), 5*time.Minute)
				require.Less(t, attempts, 60, "it waits longer and longer")
				t.Logf("%d attempts in %v", attempts, time.Since(began))
			})
		})
	}
}

// What became of a batch is read without its turn, which somebody else may have: so it
// is known at once that it did not land.
func TestTurnsAreNotNeededToLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		m := &modelTable{fails: func() error { return errLost }} // definite, as this table judges
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		other := make(chan *turn)
		go func() {
			time.Sleep(modelCommit / 2)
			o := turns.join("a", m)
			o.take(context.Background())
			other <- o
		}()
		failed := make(chan error)
		go func() {
			_, err := turns.Commit(ctx, "a", m, Batch{})
			failed <- err
		}()
		holder := <-other
		var not *NotLandedError
		require.ErrorAs(t, <-failed, &not)
		require.ErrorIs(t, not, errLost)
		require.Equal(t, 1, not.Attempts)
		require.Less(t, time.Since(began), 11*time.Second)
		holder.leave()
	})
}
