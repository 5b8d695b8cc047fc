package gen

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Truth is what is true of the events that were written. Before and after are
// told by the time of a tool call; where nothing drifts or shifts, all of them
// are before.
type Truth struct {
	Events   int64            `json:"events"`
	Sessions int64            `json:"sessions"`
	Runs     int64            `json:"runs"`
	First    time.Time        `json:"first_event"`
	Last     time.Time        `json:"last_event"`
	Classes  map[string]int64 `json:"classes"`

	ToolCalls     int64   `json:"tool_calls"` // attempts, retries too
	ToolErrors    int64   `json:"tool_errors"`
	ToolErrorRate float64 `json:"tool_error_rate"`

	DriftAt     *time.Time       `json:"drift_at"` // null is never
	ToolsBefore map[string]int64 `json:"tools_before_drift"`
	ToolsAfter  map[string]int64 `json:"tools_after_drift"`

	LatencyShiftAt *time.Time `json:"latency_shift_at"`
	LatencyBefore  Latency    `json:"tool_latency_before_shift"`
	LatencyAfter   Latency    `json:"tool_latency_after_shift"`

	CommittedActions  int64 `json:"committed_actions"` // duplicates too
	DuplicatedKeys    int64 `json:"duplicated_idempotency_keys"`
	UnapprovedActions int64 `json:"unapproved_committed_actions"`

	Variants []Variant         `json:"variants"` // in order of name; sessions outside of the experiment last
	Cost     map[string]string `json:"cost"`     // exact decimals by currency
}

// Latency is how long tool calls took.
type Latency struct {
	Calls    int64   `json:"calls"`
	MeanMS   float64 `json:"mean_ms"`
	MedianMS int64   `json:"median_ms"` // the least that half of them did not exceed
}

// Variant is what is true of the sessions of a variant.
type Variant struct {
	Variant     string  `json:"variant"` // "none" outside of the experiment
	Sessions    int64   `json:"sessions"`
	Evaluated   int64   `json:"evaluated"` // sessions that were cut are not
	Successes   int64   `json:"successes"`
	SuccessRate float64 `json:"success_rate"` // of those evaluated
	Outputs     int64   `json:"outputs"`
	MeanModelMS float64 `json:"mean_model_ms"`
}

const noVariant = "none"

// tally counts events as they are written.
type tally struct {
	Truth
	drift, shift  int64 // ms since the Unix epoch
	before, after durations
	variants      map[string]*variantTally
	cost          map[string]int64 // billionths
}

type variantTally struct {
	Variant
	modelMS int64
}

func newTally(drift, shift int64) *tally {
	t := &tally{drift: drift, shift: shift, before: durations{}, after: durations{}, variants: map[string]*variantTally{}, cost: map[string]int64{}}
	t.Classes, t.ToolsBefore, t.ToolsAfter = map[string]int64{}, map[string]int64{}, map[string]int64{}
	return t
}

// count counts a step. The steps of a session come in order.
func (t *tally) count(s *session, i int16) {
	st := &s.steps[i]
	v := t.variant(s.variant)
	at := time.UnixMilli(st.at).UTC()
	if t.Events == 0 {
		t.First = at
	}
	t.Events, t.Last = t.Events+1, at
	t.Classes[classNames[st.class]]++
	if i == 0 {
		t.Sessions++
		v.Sessions++
	}
	if st.seq == 0 {
		t.Runs++
	}
	switch st.class {
	case toolCall:
		t.toolCall(st)
	case output:
		v.Outputs++
		v.modelMS += st.took
		t.cost[s.runs[st.run].agent.model.currency] += s.usage(i).cost
	case action:
		t.action(st)
	case evaluation:
		v.Evaluated++
		if s.success {
			v.Successes++
		}
	}
}

func (t *tally) variant(name string) *variantTally {
	if name == "" {
		name = noVariant
	}
	v := t.variants[name]
	if v == nil {
		v = &variantTally{Variant: Variant{Variant: name}}
		t.variants[name] = v
	}
	return v
}

func (t *tally) toolCall(st *step) {
	t.ToolCalls++
	if st.failed {
		t.ToolErrors++
	}
	mix, latency := t.ToolsBefore, t.before
	if st.at >= t.drift {
		mix = t.ToolsAfter
	}
	if st.at >= t.shift {
		latency = t.after
	}
	mix[st.tool.name]++
	latency[st.took]++
}

func (t *tally) action(st *step) {
	if st.effect != committed {
		return
	}
	t.CommittedActions++
	if st.decided == 0 {
		t.UnapprovedActions++
	}
	if st.again {
		t.DuplicatedKeys++
	}
}

// truth adds it all up.
func (t *tally) truth() Truth {
	out := t.Truth
	out.ToolErrorRate = ratio(t.ToolErrors, t.ToolCalls)
	out.DriftAt, out.LatencyShiftAt = instant(t.drift), instant(t.shift)
	out.LatencyBefore, out.LatencyAfter = t.before.latency(), t.after.latency()
	for _, v := range t.variants {
		v.SuccessRate, v.MeanModelMS = ratio(v.Successes, v.Evaluated), ratio(v.modelMS, v.Outputs)
		out.Variants = append(out.Variants, v.Variant)
	}
	slices.SortFunc(out.Variants, func(a, b Variant) int { return cmp.Compare(a.Variant, b.Variant) })
	out.Cost = map[string]string{}
	for currency, n := range t.cost {
		out.Cost[currency] = string(appendMoney(nil, n))
	}
	return out
}

func ratio(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// instant is a time in ms since the Unix epoch, nil for never.
func instant(ms int64) *time.Time {
	if ms == never {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// durations count how many took so many milliseconds.
type durations map[int64]int64

func (d durations) latency() Latency {
	var l Latency
	var sum int64
	for ms, n := range d {
		l.Calls += n
		sum += ms * n
	}
	l.MeanMS = ratio(sum, l.Calls)
	seen := int64(0)
	for _, ms := range slices.Sorted(maps.Keys(d)) {
		if seen += d[ms]; 2*seen >= l.Calls {
			l.MedianMS = ms
			break
		}
	}
	return l
}
