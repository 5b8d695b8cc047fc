package gen_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
)

// TestTruth counts everything again from the lines alone.
func TestTruth(t *testing.T) {
	for name, change := range map[string]func(*gen.Options){
		"defaults":   func(*gen.Options) {},
		"everything": everything,
		"all at once": func(o *gen.Options) {
			everything(o)
			o.Span, o.Experiment.Share = time.Second, 1
		},
		"one agent": func(o *gen.Options) {
			everything(o)
			o.Agents, o.Tenants, o.ErrorRate, o.Experiment = 1, 1, 0.7, gen.Experiment{}
		},
		"many": func(o *gen.Options) {
			everything(o)
			o.Agents, o.Tenants, o.LatencyShift, o.LatencyShiftAt, o.DriftAt = 1000, 10_000, 0.25, 0, 1
		},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				o := with(func(o *gen.Options) { change(o); o.Seed, o.Events = seed, 6000 })
				lines, truth := generate(t, o)
				require.Equal(t, recount(t, o, lines), truth)
			})
		}
	}
}

// recount is the truth by a reader of the lines, who knows of the options only
// from when on tools drift and calls take longer.
func recount(t *testing.T, o gen.Options, lines [][]byte) gen.Truth {
	events := parse(t, lines)
	never := o.Start.AddDate(1000, 0, 0)
	drift, shift := never, never
	truth := gen.Truth{
		Events: int64(len(events)), First: events[0].at, Last: events[len(events)-1].at,
		Classes: map[string]int64{}, ToolsBefore: map[string]int64{}, ToolsAfter: map[string]int64{}, Cost: map[string]string{},
	}
	if o.DriftAt > 0 {
		drift = o.Start.Add(time.Duration(o.DriftAt * float64(o.Span))).Truncate(time.Millisecond)
		truth.DriftAt = &drift
	}
	if o.LatencyShift != 0 && o.LatencyShift != 1 {
		shift = o.Start.Add(time.Duration(o.LatencyShiftAt * float64(o.Span))).Truncate(time.Millisecond)
		truth.LatencyShiftAt = &shift
	}
	sessions, runs, committed := map[string]bool{}, map[string]bool{}, map[string]int{}
	var before, after []int64
	cost := map[string]*big.Rat{}
	for i := range events {
		e := &events[i]
		truth.Classes[e.class]++
		sessions[e.text("sessionid")], runs[e.text("runid")] = true, true
		switch e.class {
		case "tool_call":
			truth.ToolCalls++
			if e.attr("audit.status") == "error" {
				truth.ToolErrors++
			}
			if e.at.Before(drift) {
				truth.ToolsBefore[e.attr("gen_ai.tool.name")]++
			} else {
				truth.ToolsAfter[e.attr("gen_ai.tool.name")]++
			}
			if e.at.Before(shift) {
				before = append(before, e.number("audit.duration_ms"))
			} else {
				after = append(after, e.number("audit.duration_ms"))
			}
		case "action":
			if e.attr("audit.action.effect") != "committed" {
				continue
			}
			truth.CommittedActions++
			if e.attr("audit.approval.decision") != "approved" {
				truth.UnapprovedActions++
			}
			if committed[e.text("sessionid")+e.attr("audit.idempotency_key")]++; committed[e.text("sessionid")+e.attr("audit.idempotency_key")] == 2 {
				truth.DuplicatedKeys++
			}
		case "output":
			amount, ok := new(big.Rat).SetString(e.attr("audit.cost.amount"))
			require.True(t, ok)
			currency := e.attr("audit.cost.currency")
			if cost[currency] == nil {
				cost[currency] = new(big.Rat)
			}
			cost[currency].Add(cost[currency], amount)
		}
	}
	truth.Sessions, truth.Runs = int64(len(sessions)), int64(len(runs))
	if truth.ToolCalls > 0 {
		truth.ToolErrorRate = float64(truth.ToolErrors) / float64(truth.ToolCalls)
	}
	truth.LatencyBefore, truth.LatencyAfter = latency(before), latency(after)
	truth.Variants = variants(events)
	for currency, sum := range cost {
		truth.Cost[currency] = sum.FloatString(9)
	}
	return truth
}

func latency(ms []int64) gen.Latency {
	if len(ms) == 0 {
		return gen.Latency{}
	}
	slices.Sort(ms)
	return gen.Latency{Calls: int64(len(ms)), MeanMS: mean(ms), MedianMS: ms[(len(ms)-1)/2]}
}

func mean(list []int64) float64 {
	var sum int64
	for _, n := range list {
		sum += n
	}
	return float64(sum) / float64(len(list))
}

func variants(events []event) []gen.Variant {
	byName, sessions, took := map[string]*gen.Variant{}, map[string]bool{}, map[string][]int64{}
	for i := range events {
		e := &events[i]
		name := e.attr("audit.variant")
		if name == "" {
			name = "none"
		}
		v := byName[name]
		if v == nil {
			v = &gen.Variant{Variant: name}
			byName[name] = v
		}
		if !sessions[e.text("sessionid")] {
			sessions[e.text("sessionid")] = true
			v.Sessions++
		}
		switch e.class {
		case "evaluation":
			v.Evaluated++
			v.Successes += e.number("gen_ai.evaluation.score.value")
		case "output":
			v.Outputs++
			took[name] = append(took[name], e.number("audit.duration_ms"))
		}
	}
	var list []gen.Variant
	for name, v := range byName {
		if v.Evaluated > 0 {
			v.SuccessRate = float64(v.Successes) / float64(v.Evaluated)
		}
		if v.Outputs > 0 {
			v.MeanModelMS = mean(took[name])
		}
		list = append(list, *v)
	}
	slices.SortFunc(list, func(a, b gen.Variant) int { return strings.Compare(a.Variant, b.Variant) })
	return list
}
