package sink

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/groupkeeper"
)

var contentionFor = flag.Duration("contention", 0, "how long the workers of each form of TestContention compete; 0 is one form, until each has made a snapshot commit")

const (
	contenders = 16
	slowCommit = 300 * time.Millisecond
	// patience is the longest wait from a batch that is due to its snapshot commit, on
	// a machine that has other work as well. One after the other, sixteen workers take
	// 5 s for their turn in a table.
	patience = 2 * time.Minute
	// shortTimeout is less than that turn, and much more than one attempt.
	shortTimeout = 4 * time.Second
)

// Sixteen workers, each with a batch at any time, on tables that take three snapshot
// commits a second. None starves, and none gives up: that others go first does not
// count for the commit timeout. catalog.TestTurnsUnderContention is the same for an
// hour of model time, cmd's TestContention with processes.
func TestContention(t *testing.T) {
	forms := []int{4}
	if *contentionFor > 0 {
		forms = []int{1, 4, contenders}
	}
	for _, processes := range forms {
		t.Run(fmt.Sprintf("%d processes of %d workers", processes, contenders/processes), func(t *testing.T) {
			c := newContention(t, processes)
			began := time.Now()
			c.compete()
			report := c.report(time.Since(began))
			t.Log(report)
			require.Less(t, report.longest, patience)
			require.Empty(t, report.gaveUp)
			cfg := c.lab.config()
			cfg.Group = contentionGroup
			c.lab.catchUp(cfg)
			c.lab.requireOnce()
		})
	}
}

const contentionGroup = "contention"

// contention is the workers of some processes that share the topic partitions of one
// topic. A process is a catalog handle: nothing else is shared by workers.
type contention struct {
	lab      *lab
	catalogs []*catalog.Catalog

	mu      sync.Mutex
	slow    time.Duration
	waits   [contenders][]time.Duration // of the flushes that landed, by worker
	retries [contenders]int64
	gaveUp  []string // outcomes of flushes that did not land, but for those of a hand-over
}

func newContention(t *testing.T, processes int) *contention {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2*contenders, testTopic), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.ListenFn(groupkeeper.Listen))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	c := &contention{lab: newLabOn(t, broker.ListenAddrs(), testTopic)}
	for range processes {
		cfg := c.lab.catalog
		cfg.Create = false
		cfg.Intercept = func(_ string, land func() error) error {
			c.mu.Lock()
			slow := c.slow
			c.mu.Unlock()
			time.Sleep(slow)
			return land()
		}
		cat, err := catalog.Open(context.Background(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { cat.Close() })
		c.catalogs = append(c.catalogs, cat)
	}
	c.delay(slowCommit)
	return c
}

func (c *contention) delay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = d
}

// compete runs the workers until the time is over and each has made a snapshot commit.
// What they still have then lands without delay.
func (c *contention) compete() {
	t := c.lab.t
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var workers errgroup.Group
	for i := range contenders {
		s, err := New(c.config(i), c.catalogs[i%len(c.catalogs)])
		require.NoError(t, err)
		workers.Go(func() error {
			err := s.Run(ctx)
			if err != nil {
				stop()
				err = fmt.Errorf("worker %d: %w", i, err)
			}
			return err
		})
	}
	began := time.Now()
	for ctx.Err() == nil && (time.Since(began) < *contentionFor || c.fewest() < 1) {
		require.Less(t, time.Since(began), *contentionFor+3*time.Minute, "workers starve: %s", c.report(time.Since(began)))
		c.produce()
		time.Sleep(50 * time.Millisecond)
	}
	c.delay(0)
	stop()
	require.NoError(t, workers.Wait())
}

func (c *contention) config(worker int) Config {
	cfg := c.lab.config()
	cfg.UntilCaughtUp, cfg.Group, cfg.SessionTimeout = false, contentionGroup, 20*time.Second
	cfg.ShutdownTimeout, cfg.CommitTimeout = patience, shortTimeout
	cfg.OnFlush = func(f Flush) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch f.Outcome {
		case OutcomeLanded:
			c.waits[worker] = append(c.waits[worker], f.Took)
		case OutcomeFenced:
		default:
			c.gaveUp = append(c.gaveUp, fmt.Sprintf("worker %d: %s after %v", worker, f.Outcome, f.Took))
		}
	}
	cfg.OnProgress = func(s Stats) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.retries[worker] = s.CommitRetries
	}
	return cfg
}

// produce sends a record to each topic partition: every worker has something to commit.
func (c *contention) produce() {
	var records []*kgo.Record
	for range 2 * contenders {
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "k%d", c.lab.sent), Value: event(c.lab.sent)})
		c.lab.sent++
	}
	require.NoError(c.lab.t, c.lab.client.ProduceSync(context.Background(), records...).FirstErr())
}

// fewest is the number of snapshot commits of the worker that has made the fewest.
func (c *contention) fewest() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	fewest := len(c.waits[0])
	for _, w := range c.waits {
		fewest = min(fewest, len(w))
	}
	return fewest
}

// contentionReport is how the workers fared.
type contentionReport struct {
	took                 time.Duration
	commits              []int // by worker, in order
	retries              int64
	median, p95, longest time.Duration
	gaveUp               []string
}

func (r contentionReport) String() string {
	return fmt.Sprintf("%v: commits by worker %v, %d attempts failed, wait until landed: median %v, p95 %v, longest %v",
		r.took.Round(time.Millisecond), r.commits, r.retries, r.median.Round(time.Millisecond), r.p95.Round(time.Millisecond), r.longest.Round(time.Millisecond))
}

func (c *contention) report(took time.Duration) contentionReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := contentionReport{took: took, gaveUp: slices.Clone(c.gaveUp)}
	var all []time.Duration
	for i, w := range c.waits {
		r.commits = append(r.commits, len(w))
		r.retries += c.retries[i]
		all = append(all, w...)
	}
	slices.Sort(r.commits)
	slices.Sort(all)
	if n := len(all); n > 0 {
		r.median, r.p95, r.longest = all[n/2], all[n*95/100], all[n-1]
	}
	return r
}
