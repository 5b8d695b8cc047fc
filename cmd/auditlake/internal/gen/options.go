// Package gen makes synthetic sessions of AI agents as audit events, with what
// is true of them: a source of data to try things on, and to check answers
// against. The same options give the same bytes on every platform.
//
// An event's time is when what it tells of began, audit.duration_ms is how long
// that took: so a run's input spans the run, and events are written in the order
// in which things began.
package gen

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Options says what to generate. [Defaults] has sensible ones; a zero knob is
// off.
type Options struct {
	Seed    uint64        // another seed, other agents, users and sessions
	Events  int           // exactly so many, at least 1
	Start   time.Time     // no event is older; cut to milliseconds
	Span    time.Duration // sessions begin over this time; the last ones end minutes after it
	Agents  int           // how many agents, 1 to 1,000
	Tenants int           // how many tenants, 1 to 10,000

	// ErrorRate is the share of tool calls that end in an error, 0 to 1. Such a
	// call is tried three times at most; each try counts.
	ErrorRate float64
	// DriftAt is the fraction of the span from which agents choose other
	// tools; 0 is never.
	DriftAt float64
	// LatencyShift multiplies what tool calls take from LatencyShiftAt, a
	// fraction of the span, on; 0 and 1 change nothing.
	LatencyShift   float64
	LatencyShiftAt float64
	// DuplicateSideEffects is the share of committed actions that are
	// committed a second time under the same idempotency key, 0 to 1.
	DuplicateSideEffects float64
	// UnapprovedActions is the share of committed actions without an approval
	// before them, 0 to 1.
	UnapprovedActions float64
	// Success is the share of sessions that reach their goal, outside of an
	// experiment, 0 to 1.
	Success float64
	// Experiment gives sessions a variant; without a name there is none.
	Experiment Experiment
}

// Experiment is an A/B test: a session is in variant A or B, half each, and B
// differs in how often it succeeds and how long its model takes.
type Experiment struct {
	Name     string
	Share    float64 // of sessions that take part, 0 to 1
	SuccessA float64 // share of sessions of A that reach their goal
	SuccessB float64
	LatencyB float64 // B's model time as a multiple of A's, above 0
}

// Defaults generates a week of 20 agents: 2 % of tool calls fail, a few actions
// lack approval or happen twice, half the sessions are in an experiment, and
// nothing drifts or gets slower.
func Defaults() Options {
	return Options{
		Seed: 1, Events: 10_000, Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Span: 7 * 24 * time.Hour,
		Agents: 20, Tenants: 4, ErrorRate: 0.02, DuplicateSideEffects: 0.005, UnapprovedActions: 0.02, Success: 0.82,
		Experiment: Experiment{Name: "prompt-rewrite", Share: 0.5, SuccessA: 0.78, SuccessB: 0.86, LatencyB: 0.8},
	}
}

// key is what the sessions come of. It depends on every option, so that two sets
// of events which differ in any share no id, and can stand in one log.
func (o *Options) key() uint64 {
	same := *o
	same.Start = time.UnixMilli(o.Start.UnixMilli()).UTC()
	text, err := json.Marshal(same)
	if err != nil {
		panic(err) // checked options always encode
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

// Check refuses options that mean nothing.
func (o *Options) Check() error {
	switch {
	case o.Events < 1:
		return fmt.Errorf("%d events are none: the least is 1", o.Events)
	case o.Span < time.Second:
		return fmt.Errorf("a span of %s is too short: the least is 1s", o.Span)
	case o.Span > 100*365*24*time.Hour:
		return fmt.Errorf("a span of %s is too long: the most is 100 years", o.Span)
	case o.Start.Year() < 1971 || o.Start.Add(o.Span).Year() > 9998:
		return fmt.Errorf("sessions from %s on have times before 1971 or after 9998", o.Start.Format(time.RFC3339))
	case o.Agents < 1 || o.Agents > 1000:
		return fmt.Errorf("%d agents: give 1 to 1000", o.Agents)
	case o.Tenants < 1 || o.Tenants > 10_000:
		return fmt.Errorf("%d tenants: give 1 to 10000", o.Tenants)
	case !(o.LatencyShift >= 0 && o.LatencyShift <= 100):
		return fmt.Errorf("a latency shift by %v: give a factor up to 100, 0 or 1 for none", o.LatencyShift)
	}
	shares := []struct {
		name  string
		value float64
	}{
		{"error rate", o.ErrorRate}, {"drift onset", o.DriftAt}, {"latency shift onset", o.LatencyShiftAt},
		{"rate of duplicate side effects", o.DuplicateSideEffects}, {"rate of unapproved actions", o.UnapprovedActions},
		{"success rate", o.Success}, {"share of the experiment", o.Experiment.Share},
		{"success rate of variant A", o.Experiment.SuccessA}, {"success rate of variant B", o.Experiment.SuccessB},
	}
	for _, s := range shares {
		if !(s.value >= 0 && s.value <= 1) { // NaN too
			return fmt.Errorf("%s of %v: give a fraction from 0 to 1", s.name, s.value)
		}
	}
	return o.Experiment.check()
}

// nameLetters need no escape anywhere.
const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

func (e *Experiment) check() error {
	if e.Name == "" {
		return nil
	}
	if len(e.Name) > 64 || strings.Trim(e.Name, nameLetters) != "" {
		return fmt.Errorf("experiment %q: give a name of up to 64 letters, digits, '-', '_' and '.'", e.Name)
	}
	if !(e.LatencyB > 0 && e.LatencyB <= 100) {
		return fmt.Errorf("latency of variant B by %v: give a factor above 0 and up to 100", e.LatencyB)
	}
	return nil
}
