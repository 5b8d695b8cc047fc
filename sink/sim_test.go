package sink

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

var (
	simHistories = flag.Int("sim.histories", 500, "histories that the simulation runs")
	simSeed      = flag.Uint64("sim.seed", 0, "the first seed; 0 for another one each time")
	simBroken    = flag.Int("sim.broken", 500, "histories in which each broken step must be found")
	simReplay    = flag.Uint64("sim.replay", 0, "replay the history of this seed and print its trace")
)

// TestSimulation runs the sink and the catalog's commit loop in a world of faults:
// see sim_world_test.go, and docs/exactly-once.md for what is checked.
func TestSimulation(t *testing.T) {
	shapes := simShapes(t)
	if *simReplay != 0 {
		w := simulate(t, shapes, *simReplay, func(line string) { t.Log(line) })
		require.Empty(t, w.broken, "seed %d", *simReplay)
		return
	}
	first := *simSeed
	if first == 0 {
		first = rand.Uint64N(1e12) + 1
	}
	began := time.Now()
	var next, steps, workers atomic.Int64
	var mu sync.Mutex
	broken := map[uint64]string{}
	var all sync.WaitGroup
	for range simParallel {
		all.Go(func() {
			for {
				n := next.Add(1)
				mu.Lock()
				stop := n > int64(*simHistories) || len(broken) > 0
				mu.Unlock()
				if stop {
					return
				}
				seed := first + uint64(n) - 1
				w := simulate(t, shapes, seed, nil)
				steps.Add(int64(w.steps))
				workers.Add(int64(len(w.workers)))
				if w.broken != "" {
					mu.Lock()
					broken[seed] = w.broken
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	t.Logf("%d histories from seed %d, %d steps, %d workers, %.0f histories/s",
		*simHistories, first, steps.Load(), workers.Load(), float64(*simHistories)/took.Seconds())
	for seed, why := range broken {
		t.Errorf("seed %d: %s\nreplay: go test ./sink -run 'TestSimulation$' -v -sim.replay %d", seed, why, seed)
	}
}

const simParallel = 2

// The same seed is the same history, to the last step.
func TestSimulationReplays(t *testing.T) {
	shapes := simShapes(t)
	sums := map[uint64]bool{}
	for seed := uint64(1); seed <= 50; seed++ {
		var first, second []string
		a := simulate(t, shapes, seed, func(line string) { first = append(first, line) })
		b := simulate(t, shapes, seed, func(line string) { second = append(second, line) })
		require.Equal(t, first, second, "seed %d", seed)
		require.Equal(t, a.sum, b.sum, "seed %d", seed)
		sums[a.sum] = true
	}
	require.Len(t, sums, 50, "different seeds, different histories")
}

// simShapes are the real tables' columns, those that must have a value, and specs.
func simShapes(t *testing.T) map[string]simShape {
	dir := t.TempDir()
	ctx := context.Background()
	cat, err := catalog.Open(ctx, catalog.Config{Type: "sqlite", URI: filepath.Join(dir, "c.db"), Warehouse: "file://" + dir, Create: true})
	require.NoError(t, err)
	defer cat.Close()
	_, err = cat.Init(ctx, catalog.InitOptions{})
	require.NoError(t, err)
	out := map[string]simShape{}
	for _, name := range []string{catalog.AgentEvents, catalog.DeadLetters} {
		table, err := cat.Load(ctx, name)
		require.NoError(t, err)
		full, err := table.ArrowSchema()
		require.NoError(t, err)
		var fields []arrow.Field
		for _, f := range full.Fields() {
			if !f.Nullable || f.Name == "kafka_offset" || f.Name == "kafka_partition" {
				fields = append(fields, f)
			}
		}
		shape := simShape{schema: arrow.NewSchema(fields, nil)}
		shape.fields, err = table.PartitionFields()
		require.NoError(t, err)
		out[name] = shape
	}
	return out
}

// simulate runs one history.
func simulate(t *testing.T, shapes map[string]simShape, seed uint64, trace func(string)) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(shapes, seed, trace)
		w.history()
		for _, k := range w.workers {
			k.kill()
		}
	})
	return w
}

func newWorld(shapes map[string]simShape, seed uint64, trace func(string)) *world {
	rng := rand.New(rand.NewPCG(seed, 4))
	w := &world{
		seed: seed, rng: rng, began: time.Now(), parked: make(chan struct{}), faults: drawFaults(rng), trace: trace, names: map[string]string{},
	}
	n := 1 + rng.IntN(3)
	w.kafka = &simKafka{world: w, logs: make([][]entry, n), holder: make([]*member, n), target: make([]*member, n)}
	w.lake = &simLake{world: w, shapes: shapes, tables: map[string]*simTable{}, store: map[string]*simFile{}}
	for name := range shapes {
		w.lake.tables[name] = newSimTable(name, 0)
	}
	return w
}

// How long faults last, and how long the sinks then have to catch up.
const (
	simFaults  = 2 * time.Minute
	simCatchUp = 10 * time.Minute
	simSlots   = 3 // sinks at once
)

// history lets faults happen for a while, then wants everything in its place.
func (w *world) history() {
	w.note("seed %d, faults %+v", w.seed, w.faults)
	slots := 1 + w.rng.IntN(simSlots)
	for range slots {
		w.after(w.between(0, 5*time.Second), w.start)
	}
	if w.rng.IntN(2) == 0 {
		w.kafka.produce(1 + w.rng.IntN(10))
	}
	w.chaos()
	w.run(simFaults, func() bool { return false })
	w.note("faults are over")
	w.calm = true
	if w.lake.remade > 0 { // a sink notices once there is something to read
		for p := range w.kafka.logs {
			w.kafka.logs[p] = append(w.kafka.logs[p], anEvent)
		}
	}
	if w.broken == "" && !w.run(w.now()+simCatchUp, w.caughtUp) {
		w.fail("not caught up %v after the faults: %v", simCatchUp, w.lake.tables[catalog.AgentEvents].head.offsets)
	}
	w.done = true
	for _, k := range w.workers {
		k.stop()
	}
	if w.broken == "" && !w.run(w.now()+simCatchUp, w.allEnded) {
		w.fail("a sink that was told to stop goes on: %s", w.going())
	}
	w.run(w.now()+time.Hour, func() bool { return len(w.events) == 0 })
	if w.broken == "" {
		w.check()
	}
}

// chaos has something happen from outside of the sinks every now and then.
func (w *world) chaos() {
	if w.calm {
		return
	}
	live := slices.DeleteFunc(slices.Clone(w.workers), func(k *worker) bool { return k.ended })
	if w.rng.IntN(3) > 0 {
		w.kafka.produce(1 + w.rng.IntN(10))
	}
	if len(live) > 0 {
		k := live[w.rng.IntN(len(live))]
		switch {
		case w.chance(w.faults.expel):
			w.kafka.expel(k.member)
		case w.chance(0.05):
			w.note("%s is told to stop", k.name)
			k.stop()
			k.after(k.sink.cfg.ShutdownTimeout, func() {}) // wakeExpired looks then
		case w.chance(0.05):
			w.kafka.spread()
		case w.chance(w.faults.pause):
			k.pause()
			w.after(w.between(0, 10*time.Second), w.start) // in its place
		}
	}
	if w.chance(0.1) {
		w.lake.maintain(w.rng.IntN(3) == 0)
	}
	if w.chance(w.faults.remake) {
		w.lake.remake(w.rng.IntN(2) == 0)
	}
	w.after(w.between(0, 6*time.Second), w.chaos)
}

// start runs another process, now and then with two workers.
func (w *world) start() {
	if w.done {
		return
	}
	p := &process{trying: map[string]*worker{}}
	w.startWorker(p)
	if w.rng.IntN(3) == 0 {
		w.startWorker(p)
	}
}

// startWorker runs another sink in a process.
func (w *world) startWorker(p *process) {
	k := &worker{world: w, process: p, name: fmt.Sprintf("w%d", len(w.workers)+1), wake: make(chan wakeReason)}
	p.workers = append(p.workers, k)
	k.member = &member{worker: k, have: map[int32]int64{}}
	cfg := Config{
		Brokers: []string{"simulated"}, Topics: []string{simTopic},
		SessionTimeout: simSession, TargetLag: w.between(100*time.Millisecond, 5*time.Second),
		CommitTimeout: w.between(time.Second, 20*time.Second), ShutdownTimeout: w.between(time.Second, 15*time.Second),
		MaxBatchRows: 1 + w.rng.Int64N(20), UntilCaughtUp: !w.calm && w.rng.IntN(5) == 0, Limits: envelope.DefaultLimits,
		Version: "sim",
	}
	if w.rng.IntN(2) == 0 {
		cfg.Limits.MaxEventBytes = simStrict
	}
	if w.trace != nil {
		cfg.Log = slog.New(slog.NewTextHandler(traceWriter{k}, nil))
	}
	cfg.OnStep = func(step string) {
		if k.sink.batch != nil {
			k.batch = k.sink.batch
		}
		_ = k.sleep(context.Background(), k.between(0, time.Millisecond)) // a moment to die in
	}
	var err error
	if k.sink, err = New(cfg, nil); err != nil {
		panic(err)
	}
	k.sink.wait, k.sink.sayWaitAfter = k.sleep, 0
	k.sink.lake, k.sink.client, k.sink.admin = simLakeOf{k}, simConsumer{k.member}, simCluster{k}
	k.sink.cluster = &clusterInfo{id: "c", topicIDs: map[string]string{simTopic: simTopicID}}
	var ctx context.Context
	ctx, k.stop = context.WithCancel(context.Background())
	w.workers = append(w.workers, k)
	w.note("%s starts in the process of %s: until caught up %v, strict %v, %d rows", k.name, p.workers[0].name, cfg.UntilCaughtUp, cfg.Limits.MaxEventBytes == simStrict, cfg.MaxBatchRows)
	go k.live(ctx)
	<-w.parked
}

// live is a sink process from its start to its end.
func (k *worker) live(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil && r != (killed{}) {
			panic(r)
		}
		k.end()
		k.parked <- struct{}{}
	}()
	err := k.sink.consume(ctx, nil)
	if !k.dead {
		k.judge(ctx, err)
		k.sink.client.Close()
	}
}

// judge looks at how a run ended that was not killed.
func (k *worker) judge(ctx context.Context, err error) {
	k.note("%s ends: %v", k.name, errText(err))
	var (
		unknown  *catalog.UnknownError
		conflict *catalog.ConflictError
		not      *catalog.NotLandedError
		config   *catalog.ConfigError
	)
	switch {
	case errors.As(err, &config) && k.lake.remade > 0: // tells of a table that is another one now
	case err == nil, errors.Is(err, errReset), errors.Is(err, errRefused), errors.As(err, &unknown), errors.As(err, &conflict), errors.As(err, &not):
	case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil && errors.Is(err, context.Canceled):
	default:
		k.fail("%s ends with an error it should not have: %v", k.name, err)
	}
	if n := k.files.Load(); n != 0 {
		k.fail("%s leaves %d data files open", k.name, n)
	}
	if k.sink.batch != nil {
		k.fail("%s leaves a batch", k.name)
	}
	if b := k.batch; b != nil && b.router.mem.held.Load() != 0 {
		k.fail("%s leaves %d bytes of builders", k.name, b.router.mem.held.Load())
	}
}

// end has the group notice in time, and another process take the place.
func (k *worker) end() {
	k.ended = true
	if k.broken != "" {
		return
	}
	k.after(simSession, func() { k.kafka.expel(k.member) })
	k.after(k.between(0, 15*time.Second), func() {
		live := 0
		for _, o := range k.workers {
			if !o.ended {
				live++
			}
		}
		if live < simSlots {
			k.start()
		}
	})
}

func (w *world) caughtUp() bool {
	offsets := w.lake.tables[catalog.AgentEvents].head.offsets
	for p, log := range w.kafka.logs {
		if offsets[simPartition(p)].Next < int64(len(log)) {
			return false
		}
	}
	return true
}

func (w *world) allEnded() bool {
	return !slices.ContainsFunc(w.workers, func(k *worker) bool { return !k.ended })
}

func (w *world) going() (out string) {
	for _, k := range w.workers {
		if !k.ended {
			out += fmt.Sprintf("%s waits %v, paused %v, context %v; ", k.name, k.waits, k.paused, k.ctx)
		}
	}
	return out
}

func simPartition(p int) catalog.TopicPartition {
	return catalog.TopicPartition{ClusterID: "c", Topic: simTopic, TopicID: simTopicID, Partition: int32(p)}
}

// check wants every record in its place, once, at the end of a history.
func (w *world) check() {
	events, dead := w.lake.tables[catalog.AgentEvents], w.lake.tables[catalog.DeadLetters]
	for p, log := range w.kafka.logs {
		at := events.head.offsets[simPartition(p)]
		if at.First != 0 || at.Next != int64(len(log)) {
			w.fail("agent_events' offsets of %d are [%d, %d), the log ends at %d", p, at.First, at.Next, len(log))
		}
		for o, e := range log {
			at := place{int32(p), int64(o)}
			rows, letters := events.placed[at], dead.placed[at]
			ok := false
			switch e {
			case anEvent:
				ok = rows == 1 && letters == 0
			case noEvent:
				ok = rows == 0 && letters == 1
			case large:
				ok = rows+letters == 1
			default:
				ok = rows+letters == 0
			}
			if !ok {
				w.fail("%d/%d, a record of kind %d, has %d rows and %d dead letters", p, o, e, rows, letters)
			}
		}
		w.checkRanges(p, log)
	}
}

// checkRanges wants the ranges of a topic partition to tell what its log holds.
func (w *world) checkRanges(p int, log []entry) {
	events, dead := w.lake.tables[catalog.AgentEvents], w.lake.tables[catalog.DeadLetters]
	for s := events.head; s != nil; s = s.parent {
		for _, r := range s.ranges {
			if int(r.Partition) != p {
				continue
			}
			var rows, letters int64
			holes := map[int64]bool{}
			for o := r.Start; o < r.End; o++ {
				rows += int64(events.placed[place{r.Partition, o}])
				letters += int64(dead.placed[place{r.Partition, o}])
				if log[o] == marker || log[o] == nothing {
					holes[o] = true
				}
			}
			for _, h := range r.Holes {
				for o := h.Start; o < h.End; o++ {
					if !holes[o] {
						w.fail("range [%d, %d) of %d tells of a hole at %d", r.Start, r.End, p, o)
					}
					delete(holes, o)
				}
			}
			if r.Events != rows || r.DeadLetters != letters || len(holes) > 0 {
				w.fail("range [%d, %d) of %d tells of %d events and %d dead letters, there are %d and %d; untold holes %v",
					r.Start, r.End, p, r.Events, r.DeadLetters, rows, letters, holes)
			}
		}
	}
}

// traceWriter puts a sink's log into the trace that is printed.
type traceWriter struct{ *worker }

func (w traceWriter) Write(b []byte) (int, error) {
	w.trace(fmt.Sprintf("           %s logs %s", w.name, b))
	return len(b), nil
}
