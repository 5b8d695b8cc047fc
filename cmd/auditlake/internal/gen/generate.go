package gen

import (
	"container/heap"
	"io"
	"math"
	"math/bits"
)

// never is later than all events.
const never = math.MaxInt64

// Generate writes o.Events events in order of time, in one Write each: a line of
// CloudEvents JSON. Sessions overlap, and those still open after the last event
// are cut. It holds the open sessions alone: memory grows with how many there
// are at a time, not with o.Events. On an error of w, the truth is that of the
// events before it.
func Generate(o Options, w io.Writer) (Truth, error) {
	if err := o.Check(); err != nil {
		return Truth{}, err
	}
	g := newGenerator(&o)
	for range o.Events {
		s := g.earliest()
		i := int16(s.next)
		if _, err := w.Write(g.event(s, i)); err != nil {
			return g.tally.truth(), err
		}
		g.tally.count(s, i)
		g.advance(s)
	}
	return g.tally.truth(), nil
}

// generator merges the sessions.
type generator struct {
	encoder
	planner planner
	tally   *tally
	start   int64 // ms since the Unix epoch
	span    int64 // ms

	open    queue
	free    []*session // memory of those that ended
	begun   uint64     // sessions
	planned int        // steps of them
	begin   int64      // when the next one does, ms since the Unix epoch
}

func newGenerator(o *Options) *generator {
	g := &generator{start: o.Start.UnixMilli(), span: o.Span.Milliseconds()}
	g.begin = g.start
	g.experiment, g.thought = o.Experiment.Name, words(thought)
	drift, shift := int64(never), int64(never)
	if o.DriftAt > 0 {
		drift = g.after(o.DriftAt)
	}
	if o.LatencyShift > 0 && o.LatencyShift != 1 {
		shift = g.after(o.LatencyShiftAt)
	}
	g.planner = planner{o: o, key: o.key(), cast: newCast(o), drift: drift, shift: shift}
	g.tally = newTally(drift, shift)
	return g
}

// after is the time after a fraction of the span.
func (g *generator) after(fraction float64) int64 {
	return g.start + int64(fraction*float64(g.span))
}

// earliest is the session with the next event, which may have to begin first.
func (g *generator) earliest() *session {
	for g.planned < g.planner.o.Events && (len(g.open) == 0 || g.begin <= g.open[0].time()) {
		s := &session{}
		if n := len(g.free); n > 0 {
			s, g.free = g.free[n-1], g.free[:n-1]
		}
		g.planner.plan(s, g.begun, g.begin)
		heap.Push(&g.open, s)
		g.begun++
		g.planned += len(s.steps)
		g.begin = g.nextBegin()
	}
	return g.open[0]
}

// nextBegin is when as large a part of the span is over as of the events is
// planned, and a bit later: so sessions begin all over the span, however long
// they are. Since none is shorter than the bit, they begin in order.
func (g *generator) nextBegin() int64 {
	events := uint64(g.planner.o.Events)
	bit := mix2(g.planner.key, 1<<56|g.begun) % leastSteps
	hi, lo := bits.Mul64(uint64(g.span), min(uint64(g.planned)+bit, events))
	part, _ := bits.Div64(hi, lo, events)
	return g.start + int64(part)
}

// advance goes on to the session's next step, or ends it.
func (g *generator) advance(s *session) {
	if s.next++; s.next < len(s.steps) {
		heap.Fix(&g.open, 0)
		return
	}
	heap.Pop(&g.open)
	g.free = append(g.free, s)
}

// time is when the session's next step begins, ms since the Unix epoch.
func (s *session) time() int64 { return s.steps[s.next].at }

// queue is a heap of sessions by the time of their next step.
type queue []*session

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*session)) }

func (q queue) Less(i, j int) bool {
	a, b := q[i].time(), q[j].time()
	return a < b || a == b && q[i].number < q[j].number
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	*q = (*q)[:last]
	return s
}
