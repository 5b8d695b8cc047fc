package gen_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
	"github.com/auditlake/auditlake/envelope"
)

// generate returns the events of options as lines, and what they are said to be.
func generate(t *testing.T, o gen.Options) ([][]byte, gen.Truth) {
	t.Helper()
	var out bytes.Buffer
	truth, err := gen.Generate(o, &out)
	require.NoError(t, err)
	lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
	require.Empty(t, lines[len(lines)-1])
	require.Len(t, lines, o.Events+1)
	return lines[:o.Events], truth
}

// event is one as a reader sees it who knows nothing of how it was made.
type event struct {
	context, data map[string]any
	class         string
	at            time.Time
}

func parse(t *testing.T, lines [][]byte) []event {
	t.Helper()
	events := make([]event, len(lines))
	for i, line := range lines {
		e := &events[i]
		require.NoError(t, json.Unmarshal(line, &e.context), "%s", line)
		e.data = e.context["data"].(map[string]any)
		e.class = strings.TrimPrefix(e.text("type"), "agent.")
		var err error
		e.at, err = time.Parse(time.RFC3339, e.text("time"))
		require.NoError(t, err)
	}
	return events
}

// text is a context attribute, empty where there is none.
func (e *event) text(name string) string {
	s, _ := e.context[name].(string)
	return s
}

// attr is a text of the data, empty where there is none.
func (e *event) attr(name string) string {
	s, _ := e.data[name].(string)
	return s
}

func (e *event) number(name string) int64 {
	n, _ := e.data[name].(float64)
	return int64(n)
}

// with are the default options with some changed.
func with(change func(*gen.Options)) gen.Options {
	o := gen.Defaults()
	change(&o)
	return o
}

// everything turns every knob.
func everything(o *gen.Options) {
	o.ErrorRate, o.DriftAt, o.LatencyShift, o.LatencyShiftAt = 0.2, 0.4, 2.5, 0.7
	o.DuplicateSideEffects, o.UnapprovedActions = 0.1, 0.3
}

// TestSameBytes pins the bytes: whoever changes them must mean to, for a
// benchmark or a sample of before is no longer the one of after.
func TestSameBytes(t *testing.T) {
	o := with(func(o *gen.Options) { everything(o); o.Events = 3000 })
	lines, truth := generate(t, o)
	sum := sha256.Sum256(bytes.Join(lines, nil))
	require.Equal(t, "888c45708e614d5981cacfed78a7c9eedcb1c09f690b22dcf23334acb27eebe3", hex.EncodeToString(sum[:]))

	again, sameTruth := generate(t, o)
	require.Equal(t, lines, again)
	require.Equal(t, truth, sameTruth)

	o.Seed++
	other, _ := generate(t, o)
	for i := range lines {
		require.NotEqual(t, string(lines[i]), string(other[i]))
	}
}

// TestNothingShared sees that runs which differ in anything can stand in one
// log: they share agents and users, but no session and no id.
func TestNothingShared(t *testing.T) {
	own := map[string]int{}
	common := map[string]map[int]bool{}
	for i, change := range []func(*gen.Options){
		func(*gen.Options) {},
		func(o *gen.Options) { o.Events++ },
		func(o *gen.Options) { o.Start = o.Start.Add(time.Millisecond) },
		func(o *gen.Options) { o.ErrorRate += 0.01 },
		func(o *gen.Options) { o.Experiment.Name = "other" },
	} {
		lines, _ := generate(t, with(func(o *gen.Options) { o.Events = 2000; change(o) }))
		for _, e := range parse(t, lines) {
			for _, name := range []string{"id", "sessionid", "runid", "traceparent"} {
				run, seen := own[e.text(name)]
				require.True(t, !seen || run == i, name)
				own[e.text(name)] = i
			}
			for _, name := range []string{e.text("subject"), e.text("agentid") + e.text("agentversion")} {
				if common[name] == nil {
					common[name] = map[int]bool{}
				}
				common[name][i] = true
			}
		}
	}
	most := 0
	for _, runs := range common {
		most = max(most, len(runs))
	}
	require.Equal(t, 5, most)

	o := with(func(o *gen.Options) { o.Events = 50 })
	lines, _ := generate(t, o)
	o.Start = o.Start.In(time.FixedZone("", 3600)).Add(time.Microsecond)
	same, _ := generate(t, o)
	require.Equal(t, lines, same, "the same instant, elsewhere")
}

// TestAccepted has the sink's decoder read every event.
func TestAccepted(t *testing.T) {
	lines, _ := generate(t, with(everything))
	decoder := envelope.NewDecoder(envelope.Limits{MaxEventBytes: 1 << 20, MaxEventAge: time.Hour, MaxClockSkew: time.Minute})
	seen := map[string]bool{}
	for i, e := range parse(t, lines) {
		record := envelope.Record{Value: bytes.TrimSuffix(lines[i], []byte("\n")), Timestamp: e.at.UnixMilli()}
		events, err := decoder.Decode(&record)
		require.NoError(t, err, "%s", lines[i])
		require.Len(t, events, 1)
		require.Empty(t, events[0].Misfits, "%s", lines[i])
		require.Zero(t, events[0].Unknown, "%s", lines[i])
		require.Equal(t, e.class, string(events[0].Class()))
		require.False(t, seen[e.text("id")])
		seen[e.text("id")] = true
	}
}

func TestSize(t *testing.T) {
	lines, _ := generate(t, gen.Defaults())
	average := len(bytes.Join(lines, nil)) / len(lines)
	require.InDelta(t, 1300, average, 100, "bytes an event")
}

// TestSpan sees that sessions begin all over the span, and events come in order.
func TestSpan(t *testing.T) {
	for _, span := range []time.Duration{time.Second, time.Hour, 365 * 24 * time.Hour} {
		o := with(func(o *gen.Options) { o.Span, o.Events = span, 5000 })
		lines, truth := generate(t, o)
		last, begin := o.Start, o.Start
		sessions := map[string]bool{}
		for _, e := range parse(t, lines) {
			require.False(t, e.at.Before(last))
			last = e.at
			if id := e.text("sessionid"); !sessions[id] {
				sessions[id] = true
				require.Equal(t, "prompt", e.class)
				require.LessOrEqual(t, e.at.Sub(begin), max(span/50, time.Second), "no gap")
				begin = e.at
			}
		}
		require.Equal(t, o.Start, truth.First)
		require.Equal(t, last, truth.Last)
		require.GreaterOrEqual(t, begin.Sub(o.Start), span*9/10)
		require.LessOrEqual(t, begin.Sub(o.Start), span)
	}
}

// TestCut cuts sessions at every place.
func TestCut(t *testing.T) {
	for events := 1; events <= 60; events++ {
		o := with(func(o *gen.Options) { o.Events, o.Span = events, time.Second })
		lines, truth := generate(t, o)
		require.Equal(t, recount(t, o, lines), truth)
		require.EqualValues(t, events, truth.Events)
	}
}

// TestKnobsAtTheirEnds turns each knob off and all the way up.
func TestKnobsAtTheirEnds(t *testing.T) {
	off := gen.Options{Seed: 7, Events: 4000, Start: gen.Defaults().Start, Span: time.Hour, Agents: 1, Tenants: 1}
	_, truth := generate(t, off)
	require.Zero(t, truth.ToolErrors)
	require.Zero(t, truth.DuplicatedKeys)
	require.Zero(t, truth.UnapprovedActions)
	require.NotZero(t, truth.CommittedActions)
	require.Nil(t, truth.DriftAt)
	require.Nil(t, truth.LatencyShiftAt)
	require.Empty(t, truth.ToolsAfter)
	require.Zero(t, truth.LatencyAfter)
	require.Zero(t, truth.Classes["handoff"], "there is no one to hand over to")
	require.Len(t, truth.Variants, 1)
	require.Zero(t, truth.Variants[0].Successes)
	require.NotZero(t, truth.Variants[0].Evaluated)

	on := off
	on.ErrorRate, on.LatencyShift = 1, 1
	_, truth = generate(t, on)
	require.Equal(t, truth.ToolCalls, truth.ToolErrors)
	require.Equal(t, 1.0, truth.ToolErrorRate)
	require.Zero(t, truth.CommittedActions)
	require.NotZero(t, truth.Classes["action"], "actions fail")
	require.Nil(t, truth.LatencyShiftAt)

	on = off
	on.DuplicateSideEffects, on.UnapprovedActions, on.Success = 1, 1, 1
	on.Experiment = gen.Experiment{Name: "x", Share: 1, SuccessA: 1, SuccessB: 0, LatencyB: 1}
	on.LatencyShift = 2 // from the start on
	_, truth = generate(t, on)
	require.Equal(t, truth.CommittedActions, truth.UnapprovedActions)
	require.InDelta(t, truth.CommittedActions, 2*truth.DuplicatedKeys, 3, "but for those that were cut")
	require.Zero(t, truth.LatencyBefore)
	require.Len(t, truth.Variants, 2)
	require.Equal(t, truth.Variants[0].Evaluated, truth.Variants[0].Successes)
	require.Zero(t, truth.Variants[1].Successes)

	on.Experiment.Share = 0
	_, truth = generate(t, on)
	require.Len(t, truth.Variants, 1)
	require.Equal(t, truth.Variants[0].Evaluated, truth.Variants[0].Successes)
}

// TestKnobsDoWhatTheySay holds knobs in between to their shares, on so many
// events that chance is small.
func TestKnobsDoWhatTheySay(t *testing.T) {
	o := with(func(o *gen.Options) { everything(o); o.Events = 100_000; o.DriftAt = 0 })
	_, truth := generate(t, o)
	require.InDelta(t, o.ErrorRate, truth.ToolErrorRate, 0.01)
	firstCommits := float64(truth.CommittedActions - truth.DuplicatedKeys)
	require.InDelta(t, o.DuplicateSideEffects, float64(truth.DuplicatedKeys)/firstCommits, 0.02)
	require.InDelta(t, o.UnapprovedActions, float64(truth.UnapprovedActions)/float64(truth.CommittedActions), 0.03)
	require.InDelta(t, o.LatencyShift, truth.LatencyAfter.MeanMS/truth.LatencyBefore.MeanMS, 0.15)
	a, b, none := truth.Variants[0], truth.Variants[1], truth.Variants[2]
	require.InDelta(t, o.Experiment.Share, float64(a.Sessions+b.Sessions)/float64(truth.Sessions), 0.03)
	require.InDelta(t, a.Sessions, b.Sessions, float64(truth.Sessions)/30)
	require.InDelta(t, o.Experiment.SuccessA, a.SuccessRate, 0.04)
	require.InDelta(t, o.Experiment.SuccessB, b.SuccessRate, 0.04)
	require.InDelta(t, o.Success, none.SuccessRate, 0.04)
	require.InDelta(t, o.Experiment.LatencyB, b.MeanModelMS/a.MeanModelMS, 0.05)

	o.DriftAt = 0.5
	_, truth = generate(t, o)
	require.Greater(t, moved(truth.ToolsBefore, truth.ToolsAfter), 0.25)
	o.DriftAt = 0
	half := o
	half.Seed++
	_, other := generate(t, half)
	_, truth = generate(t, o)
	require.Less(t, moved(truth.ToolsBefore, other.ToolsBefore), 0.15, "without drift the mix stays")
}

// moved is the share of calls that are of other tools: the total variation
// distance of two mixes.
func moved(before, after map[string]int64) float64 {
	share := func(mix map[string]int64, tool string) float64 {
		var sum int64
		for _, n := range mix {
			sum += n
		}
		return float64(mix[tool]) / float64(sum)
	}
	sum := 0.0
	for tool := range before {
		sum += math.Abs(share(before, tool) - share(after, tool))
	}
	return sum / 2
}

func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*gen.Options){
		"0 events are none: the least is 1":                                            func(o *gen.Options) { o.Events = 0 },
		"a span of 999ms is too short: the least is 1s":                                func(o *gen.Options) { o.Span = 999 * time.Millisecond },
		"a span of 876001h0m0s is too long: the most is 100 years":                     func(o *gen.Options) { o.Span = 876_001 * time.Hour },
		"sessions from 1970-12-31T00:00:00Z on have times before 1971 or after 9998":   func(o *gen.Options) { o.Start = time.Date(1970, 12, 31, 0, 0, 0, 0, time.UTC) },
		"sessions from 9998-12-31T00:00:00Z on have times before 1971 or after 9998":   func(o *gen.Options) { o.Start = time.Date(9998, 12, 31, 0, 0, 0, 0, time.UTC) },
		"0 agents: give 1 to 1000":                                                     func(o *gen.Options) { o.Agents = 0 },
		"1001 agents: give 1 to 1000":                                                  func(o *gen.Options) { o.Agents = 1001 },
		"0 tenants: give 1 to 10000":                                                   func(o *gen.Options) { o.Tenants = 0 },
		"10001 tenants: give 1 to 10000":                                               func(o *gen.Options) { o.Tenants = 10_001 },
		"a latency shift by -1: give a factor up to 100, 0 or 1 for none":              func(o *gen.Options) { o.LatencyShift = -1 },
		"a latency shift by NaN: give a factor up to 100, 0 or 1 for none":             func(o *gen.Options) { o.LatencyShift = math.NaN() },
		"error rate of 1.1: give a fraction from 0 to 1":                               func(o *gen.Options) { o.ErrorRate = 1.1 },
		"error rate of NaN: give a fraction from 0 to 1":                               func(o *gen.Options) { o.ErrorRate = math.NaN() },
		"drift onset of 2: give a fraction from 0 to 1":                                func(o *gen.Options) { o.DriftAt = 2 },
		"latency shift onset of -0.1: give a fraction from 0 to 1":                     func(o *gen.Options) { o.LatencyShiftAt = -0.1 },
		"rate of duplicate side effects of 5: give a fraction from 0 to 1":             func(o *gen.Options) { o.DuplicateSideEffects = 5 },
		"rate of unapproved actions of 5: give a fraction from 0 to 1":                 func(o *gen.Options) { o.UnapprovedActions = 5 },
		"success rate of 5: give a fraction from 0 to 1":                               func(o *gen.Options) { o.Success = 5 },
		"share of the experiment of 5: give a fraction from 0 to 1":                    func(o *gen.Options) { o.Experiment.Share = 5 },
		"success rate of variant A of 5: give a fraction from 0 to 1":                  func(o *gen.Options) { o.Experiment.SuccessA = 5 },
		"success rate of variant B of 5: give a fraction from 0 to 1":                  func(o *gen.Options) { o.Experiment.SuccessB = 5 },
		"latency of variant B by 0: give a factor above 0 and up to 100":               func(o *gen.Options) { o.Experiment.LatencyB = 0 },
		`experiment "a b": give a name of up to 64 letters, digits, '-', '_' and '.'`:  func(o *gen.Options) { o.Experiment.Name = "a b" },
		`experiment "a\"b": give a name of up to 64 letters, digits, '-', '_' and '.'`: func(o *gen.Options) { o.Experiment.Name = `a"b` },
	} {
		o := with(change)
		_, err := gen.Generate(o, &bytes.Buffer{})
		require.EqualError(t, err, want)
	}
	require.NoError(t, new(with(func(o *gen.Options) { o.Experiment = gen.Experiment{} })).Check(), "no experiment, no latency of its own")
}

var errFull = errors.New("full")

// failing takes so many lines.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	truth, err := gen.Generate(gen.Defaults(), &failing{left: 123})
	require.ErrorIs(t, err, errFull)
	require.EqualValues(t, 123, truth.Events)
}

// heapWriter notes how large the heap is, now and then.
type heapWriter struct {
	lines int
	most  uint64
}

func (w *heapWriter) Write(p []byte) (int, error) {
	if w.lines++; w.lines%20_000 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.most = max(w.most, m.HeapAlloc)
	}
	return len(p), nil
}

// TestMemory generates 500 MB, and then as much with all sessions open at once.
func TestMemory(t *testing.T) {
	for span, limit := range map[time.Duration]uint64{7 * 24 * time.Hour: 16 << 20, time.Second: 128 << 20} {
		var w heapWriter
		_, err := gen.Generate(with(func(o *gen.Options) { o.Events, o.Span = 400_000, span }), &w)
		require.NoError(t, err)
		require.Less(t, w.most, limit)
	}
}

// discard is not [io.Discard], which may not look at what it is given.
type discard struct{ bytes int64 }

func (d *discard) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return len(p), nil
}

func BenchmarkGenerate(b *testing.B) {
	var out discard
	_, err := gen.Generate(with(func(o *gen.Options) { o.Events = b.N }), &out)
	require.NoError(b, err)
	b.SetBytes(out.bytes / int64(b.N))
}
