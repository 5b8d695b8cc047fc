package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/auditlake/auditlake/sink"
)

// killSchedule draws what happens to the sinks of a killLab.
type killSchedule struct {
	*killLab
	rng   *rand.Rand
	every int // rounds so far
}

func newKillSchedule(l *killLab, seed uint64) *killSchedule {
	return &killSchedule{killLab: l, rng: rand.New(rand.NewPCG(seed, 1))}
}

// How often, in rounds, a real server is killed and started again, and the tables are
// verified while sinks are at work.
const (
	brokerRestartEvery  = 25
	catalogRestartEvery = 25
	verifyEvery         = 20
)

// round lets records come, sees to it that two sinks run, and has one thing happen.
func (s *killSchedule) round() {
	s.t.Helper()
	s.every++
	s.count.rounds++
	s.feed(200 + s.rng.IntN(600))
	s.reap()
	s.staff(2)
	if len(s.workers) > 3 {
		s.retire(s.any())
		s.reap()
	}
	began := time.Now()
	what := s.happen()
	if took := time.Since(began); took > slowRound {
		s.t.Logf("round %d took %s: %s", s.every, took.Round(time.Second), what)
	}
	s.reap()
}

// slowRound is what is worth a line in the test's output.
const slowRound = 10 * time.Second

// happen has one thing happen.
func (s *killSchedule) happen() (what string) {
	s.t.Helper()
	switch n := s.rng.IntN(100); {
	case s.parts.restartBroker != nil && s.every%brokerRestartEvery == 3:
		s.outage(s.parts.restartBroker)
		s.count.brokerRestarts++
		return "the broker was killed and came back"
	case s.parts.restartCatalog != nil && s.every%catalogRestartEvery == 7:
		s.outage(s.parts.restartCatalog)
		s.count.catalogRestarts++
		return "the catalog was killed and came back"
	case s.every%verifyEvery == 0:
		s.requireVerified()
		return "verify"
	case n < 45:
		s.sleep(0, 900*time.Millisecond)
		s.strike(s.any())
		return "one was killed"
	case n < 58: // the machine they share
		s.sleep(0, 900*time.Millisecond)
		for _, w := range s.workers {
			s.strike(w)
		}
		return "all were killed"
	case n < 78:
		return "killed at a step: " + s.awaitDoom()
	case n < 84:
		s.standStill()
		return "one stood still"
	case n < 90:
		return "one stood still at a step: " + s.standStillAtStep()
	default:
		s.comeAndGo()
		return "one came, one went"
	}
}

// feed sends n records, some of them in transactions.
func (s *killSchedule) feed(n int) {
	switch s.rng.IntN(6) {
	case 0:
		s.transact(n/3, false)
		s.produce(n - n/3)
	case 1:
		s.produce(n / 2)
		s.transact(n/4, false)
		s.transact(n/4, true)
	default:
		s.produce(n)
	}
}

// staff starts sinks until n run. Some of them are to die at a named step.
func (s *killSchedule) staff(n int) {
	for len(s.workers) < n {
		if s.rng.IntN(4) == 0 {
			s.startDoomed(sink.Steps[s.rng.IntN(len(sink.Steps))], 1+s.rng.IntN(4))
			continue
		}
		s.start()
	}
}

// startDoomed starts a sink that kills itself when it comes to a step the nth time.
func (l *killLab) startDoomed(step string, nth int) *worker {
	w := l.start(fmt.Sprintf("%s=%s:%d", envKillAt, step, nth))
	w.doomed = step
	return w
}

func (s *killSchedule) any() *worker { return s.workers[s.rng.IntN(len(s.workers))] }

// strike kills a sink, unless it has done that itself.
func (s *killSchedule) strike(w *worker) {
	select {
	case <-w.Ended():
	default:
		w.doomed = ""
		w.Kill()
	}
}

func (s *killSchedule) sleep(least, most time.Duration) {
	time.Sleep(least + time.Duration(s.rng.Int64N(int64(most-least))))
}

// awaitDoom waits until a sink has killed itself at a named step.
func (s *killSchedule) awaitDoom() (who string) {
	s.t.Helper()
	at := slices.IndexFunc(s.workers, func(w *worker) bool { return w.doomed != "" })
	if at < 0 {
		s.startDoomed(sink.Steps[s.rng.IntN(len(sink.Steps))], 1+s.rng.IntN(2))
		at = len(s.workers) - 1
	}
	w := s.workers[at]
	s.feedUntil(w, func() bool {
		select {
		case <-w.Ended():
			return true
		default:
			return false
		}
	})
	return w.name
}

// feedUntil lets records come until a sink has come to the step that it waits for.
func (s *killSchedule) feedUntil(w *worker, there func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not come to its step:\n%s", w.name, lastLines(w.Output(), 40))
		}
		s.produce(20)
	}
}

// standStill stops a sink with SIGSTOP, most often for longer than its session, while
// another one goes on, and has it go on then.
func (s *killSchedule) standStill() {
	w := s.any()
	s.sleep(0, 500*time.Millisecond)
	_ = w.Signal(syscall.SIGSTOP) // it may have killed itself
	s.produce(100)
	s.sleep(s.parts.session*3/4, s.parts.session*3)
	s.produce(100)
	_ = w.Signal(syscall.SIGCONT)
	s.count.zombies++
	s.sleep(0, 300*time.Millisecond)
}

// standStillAtStep does the same at a named step of a flush.
func (s *killSchedule) standStillAtStep() (who string) {
	s.t.Helper()
	w := s.start(fmt.Sprintf("%s=%s:%d", envStopAt, sink.Steps[s.rng.IntN(len(sink.Steps))], 1+s.rng.IntN(2)))
	s.feedUntil(w, func() bool { return stopped(s.t, w) })
	s.sleep(s.parts.session*3/4, s.parts.session*3)
	s.produce(100)
	_ = w.Signal(syscall.SIGCONT)
	s.count.zombies++
	s.sleep(0, 300*time.Millisecond)
	return w.name
}

// comeAndGo has one more sink join, and one leave: two rebalances.
func (s *killSchedule) comeAndGo() {
	s.start()
	s.sleep(100*time.Millisecond, 1200*time.Millisecond)
	s.reap() // a doomed one may have ended meanwhile
	s.retire(s.any())
	s.count.rebalances++
}

// outage has a server die and come back under the sinks.
func (s *killSchedule) outage(restart func()) {
	for _, w := range s.workers {
		w.excused = true
	}
	s.sleep(0, 800*time.Millisecond)
	restart()
	s.produce(100)
}

// tallyOfKills counts what a killLab has been through.
type tallyOfKills struct {
	rounds, random, zombies, rebalances, brokerRestarts, catalogRestarts int

	atStep  map[string]int // kills at named steps
	gaveUp  map[string]int // why sinks ended with 1 when a server had been away
	fenced  int            // batches
	orphans int            // data files that nothing refers to: what the dead leave behind
	records int
}

func (c *tallyOfKills) killed(w *worker) {
	if w.doomed == "" {
		c.random++
		return
	}
	if c.atStep == nil {
		c.atStep = map[string]int{}
	}
	c.atStep[w.doomed]++
}

func (c *tallyOfKills) gave(up string) {
	if c.gaveUp == nil {
		c.gaveUp = map[string]int{}
	}
	c.gaveUp[up]++
}

func (c *tallyOfKills) kills() int {
	n := c.random
	for _, k := range c.atStep {
		n += k
	}
	return n
}

func (c *tallyOfKills) String() string {
	var steps []string
	for _, step := range slices.Sorted(maps.Keys(c.atStep)) {
		steps = append(steps, fmt.Sprintf("%s %d", step, c.atStep[step]))
	}
	gaveUp := 0
	for _, n := range c.gaveUp {
		gaveUp += n
	}
	return fmt.Sprintf("%d kills (%d at random moments; %s), %d stood still, %d came and one went, %d broker restarts, %d catalog restarts, "+
		"%d sinks gave up meanwhile, %d batches fenced, %d orphaned data files, %d records, in %d rounds", c.kills(), c.random, strings.Join(steps, ", "),
		c.zombies, c.rebalances, c.brokerRestarts, c.catalogRestarts, gaveUp, c.fenced, c.orphans, c.records, c.rounds)
}
