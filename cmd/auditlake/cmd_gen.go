package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
)

// genFlags are the flags of gen.
type genFlags struct {
	gen.Options
	since   string // --start as written
	out     string
	force   bool
	toTopic bool
	produce *produceFlags
	output  *output
}

func newGen(a *app) *cobra.Command {
	f := &genFlags{Options: gen.Defaults()}
	cmd := &cobra.Command{
		Use:   "gen",
		Short: "Generate sessions of AI agents as events, with known answers",
		Long: `Writes synthetic sessions of AI agents, one event a line in order of time, about 1.4 kB each: prompts, inputs,
retrievals, tool calls with retries, outputs, actions with approvals, handoffs and evaluations. The same flags
give the same bytes, on every platform, unless --start is relative to now. Flags that differ in anything give other
sessions, which share agents and users (but for another --seed) and no id.

At the end it prints what is true of the events it wrote (how many tool calls failed, which actions nobody
approved, how the variants did, ...), to check the answers of queries against. That goes to stdout, or to stderr
where the events go to stdout. Sessions that are open when the last event is written are cut; the truth counts
what was written. Stopped by Ctrl-C, it has written whole events, and the truth is that of a file's or stdout's.

An event's time is when what it tells of began; audit.duration_ms is how long that took. A topic drops events by that
time: give --start now where it keeps them for days.`,
		Example: `  auditlake gen --events 100000 --drift-at 0.5 --out events.ndjson
  auditlake gen --start now --span 1h --rate 200 --events 720000 --to-topic
  auditlake gen --events 50 | jq .data`,
		Args: takes(0, 0, ""),
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := f.resolve(cmd, time.Now())
		if err != nil {
			return err
		}
		switch {
		case f.toTopic:
			return a.genTopic(cmd.Context(), f, form)
		case f.out != "-":
			return a.genFile(cmd.Context(), f, form)
		default:
			return a.genStream(cmd.Context(), f, a.stdout, a.stderr, form)
		}
	}
	return cmd
}

func (f *genFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.Events, "events", f.Events, "how many events, exactly")
	flags.Uint64Var(&f.Seed, "seed", f.Seed, "another seed makes other sessions")
	flags.StringVar(&f.since, "start", f.Start.Format(time.DateOnly), "`TIME` of the first event: 2026-03-14, RFC 3339, 30d for thirty days ago; now is one span ago, so that the events end now")
	flags.Var((*model.Duration)(&f.Span), "span", "`DURATION` over which sessions begin, such as 90m, 47h or 7d; the last ones end minutes after it")
	flags.IntVar(&f.Agents, "agents", f.Agents, "how many agents, 1 to 1000")
	flags.IntVar(&f.Tenants, "tenants", f.Tenants, "how many tenants, 1 to 10000")
	flags.Float64Var(&f.ErrorRate, "error-rate", f.ErrorRate, "share of tool calls that fail, 0 to 1; each is tried three times at most")
	flags.Float64Var(&f.DriftAt, "drift-at", f.DriftAt, "fraction of the span from which agents choose other tools, 0 to 1; 0 is never")
	flags.Float64Var(&f.LatencyShift, "latency-shift", f.LatencyShift, "factor on what tool calls take, up to 100; 0 and 1 change nothing")
	flags.Float64Var(&f.LatencyShiftAt, "latency-shift-at", f.LatencyShiftAt, "fraction of the span from which the factor holds, 0 to 1")
	flags.Float64Var(&f.DuplicateSideEffects, "duplicates", f.DuplicateSideEffects, "share of committed actions that are committed again under the same idempotency key, 0 to 1")
	flags.Float64Var(&f.UnapprovedActions, "unapproved", f.UnapprovedActions, "share of committed actions that nobody approved, 0 to 1")
	flags.Float64Var(&f.Success, "success", f.Success, "share of sessions that reach their goal, outside of the experiment, 0 to 1")
	e := &f.Experiment
	flags.StringVar(&e.Name, "experiment", e.Name, "`NAME` of an A/B test; empty is none, and its other flags mean nothing then")
	flags.Float64Var(&e.Share, "experiment-share", e.Share, "share of sessions that take part, half of them in each variant, 0 to 1")
	flags.Float64Var(&e.SuccessA, "success-a", e.SuccessA, "share of sessions of variant A that reach their goal, 0 to 1")
	flags.Float64Var(&e.SuccessB, "success-b", e.SuccessB, "the same of variant B")
	flags.Float64Var(&e.LatencyB, "latency-b", e.LatencyB, "factor on what the model takes in variant B, above 0, up to 100")

	flags.StringVar(&f.out, "out", "-", "`FILE` to write to; - is stdout")
	flags.BoolVar(&f.force, "force", false, "overwrite FILE where it is there")
	flags.BoolVar(&f.toTopic, "to-topic", false, "send the events to a topic, as produce does")
	f.produce = addProduceFlags(cmd)
	f.output = outputFlags(cmd, asTable, asJSON)
	complete(cmd, "start", "now")
}

// resolve checks the flags against each other.
func (f *genFlags) resolve(cmd *cobra.Command, now time.Time) (string, error) {
	form, err := f.output.form()
	if err != nil {
		return "", err
	}
	if f.since == "now" {
		f.Start = now.Add(-f.Span)
	} else if f.Start, err = parseTime("start", f.since, now); err != nil {
		return "", err
	}
	if err := f.Check(); err != nil {
		return "", usagef("%v", err)
	}
	if !(f.produce.rate >= 0) {
		return "", usagef("--rate must not be negative; 0 is as fast as it goes")
	}
	for _, name := range []string{"topic", "create-topic"} {
		if cmd.Flags().Changed(name) && !f.toTopic {
			return "", usagef("--%s is for --to-topic: give that too", name)
		}
	}
	if f.toTopic && cmd.Flags().Changed("out") {
		return "", usagef("--to-topic and --out are two places: give one of them")
	}
	if f.force && f.out == "-" {
		return "", usagef("--force is for --out FILE: name one")
	}
	return form, nil
}

// genFile writes to a file.
func (a *app) genFile(ctx context.Context, f *genFlags, form string) (err error) {
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if f.force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(f.out, mode, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &refusedError{fmt.Errorf("%s is there already: name another file, or give --force to overwrite it", f.out)}
	case err != nil:
		return usagef("--out: %v: name a file that can be written", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return a.genStream(ctx, f, file, a.stdout, form)
}

// genStream writes events to one writer, and their truth to another.
func (a *app) genStream(ctx context.Context, f *genFlags, events, answers io.Writer, form string) error {
	bar := ui.NewProgress(a.stderr, "writing events", int64(f.Events))
	if ui.IsTerminal(events) {
		bar = nil // it would stand among the events
	}
	defer bar.Done()
	w := &pacedWriter{ctx: ctx, out: bufio.NewWriterSize(events, 1<<16), rate: f.produce.rate, started: time.Now(), bar: bar}
	truth, err := gen.Generate(f.Options, w)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	bar.Done()
	return errors.Join(err, writeTruth(answers, truth, form))
}

// pacedWriter passes lines on at a rate, until its context ends.
type pacedWriter struct {
	ctx     context.Context
	out     *bufio.Writer
	rate    float64 // lines a second, 0 is no limit
	started time.Time
	lines   int64
	bar     *ui.Progress
}

func (w *pacedWriter) Write(line []byte) (int, error) {
	if err := w.wait(); err != nil {
		return 0, err
	}
	if w.lines++; w.lines%1000 == 0 {
		w.bar.Set(w.lines)
	}
	return w.out.Write(line)
}

// wait holds back what is ahead of the rate. What came before is written out
// meanwhile.
func (w *pacedWriter) wait() error {
	if w.rate == 0 {
		return w.ctx.Err()
	}
	ahead := time.Duration(float64(w.lines)/w.rate*float64(time.Second)) - time.Since(w.started)
	if ahead < time.Millisecond {
		return w.ctx.Err()
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	select {
	case <-w.ctx.Done():
		return w.ctx.Err()
	case <-time.After(ahead):
		return nil
	}
}

// genTopic sends to a topic.
func (a *app) genTopic(ctx context.Context, f *genFlags, form string) error {
	opts, err := a.producing(ctx, f.produce)
	if err != nil {
		return err
	}
	bar := ui.NewProgress(a.stderr, "sending events", int64(f.Events))
	defer bar.Done()
	opts.Progress = func(lines, _ int64) { bar.Set(lines) }
	pr, pw := io.Pipe()
	truth := make(chan gen.Truth, 1)
	go func() {
		out := bufio.NewWriterSize(pw, 1<<16)
		t, err := gen.Generate(f.Options, out)
		truth <- t
		_ = pw.CloseWithError(errors.Join(err, out.Flush())) // always nil
	}()
	sum, err := feed.Produce(ctx, opts, "gen", pr)
	_ = pr.Close() // always nil; ends the generator if sending broke off
	if err != nil {
		return err
	}
	bar.Done()
	if form == asTable {
		if err := a.saySent(sum, opts.Topic, form); err != nil {
			return err
		}
	}
	return writeTruth(a.stdout, <-truth, form)
}

// writeTruth writes what is true of generated events.
func writeTruth(w io.Writer, t gen.Truth, form string) error {
	if form == asJSON {
		return writeJSON(w, t)
	}
	rows := [][]string{
		{"events", ui.Count(t.Events)},
		{"first event", t.First.Format(time.RFC3339)},
		{"last event", t.Last.Format(time.RFC3339)},
		{"sessions", ui.Count(t.Sessions)},
		{"runs", ui.Count(t.Runs)},
	}
	for _, class := range slices.Sorted(maps.Keys(t.Classes)) {
		rows = append(rows, []string{"events of class " + class, ui.Count(t.Classes[class])})
	}
	rows = append(rows,
		[]string{"tool calls that failed", fmt.Sprintf("%s (%s)", ui.Count(t.ToolErrors), percent(t.ToolErrors, t.ToolCalls))},
		[]string{"tool call, median / mean", latencyText(t.LatencyBefore)},
	)
	if t.LatencyShiftAt != nil {
		rows = append(rows, []string{"  from " + t.LatencyShiftAt.Format(time.RFC3339) + " on", latencyText(t.LatencyAfter)})
	}
	rows = append(rows,
		[]string{"actions committed", ui.Count(t.CommittedActions)},
		[]string{"  nobody approved", ui.Count(t.UnapprovedActions)},
		[]string{"  idempotency keys committed twice", ui.Count(t.DuplicatedKeys)},
	)
	for _, currency := range slices.Sorted(maps.Keys(t.Cost)) {
		rows = append(rows, []string{"cost in " + currency, t.Cost[currency]})
	}
	if err := ui.Table(w, []string{"true of these events", ">"}, rows); err != nil {
		return err
	}
	return errors.Join(writeVariants(w, t), writeDrift(w, t))
}

func latencyText(l gen.Latency) string {
	return fmt.Sprintf("%d / %.1f ms", l.MedianMS, l.MeanMS)
}

func percent(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 2, 64) + " %"
}

func writeVariants(w io.Writer, t gen.Truth) error {
	rows := make([][]string, len(t.Variants))
	for i, v := range t.Variants {
		rows[i] = []string{v.Variant, ui.Count(v.Sessions), ui.Count(v.Evaluated), percent(v.Successes, v.Evaluated), fmt.Sprintf("%.1f ms", v.MeanModelMS)}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return ui.Table(w, []string{"variant", "sessions>", "evaluated>", "success>", "mean model time>"}, rows)
}

func writeDrift(w io.Writer, t gen.Truth) error {
	if t.DriftAt == nil {
		return nil
	}
	var before, after int64
	tools := map[string]bool{}
	for tool, n := range t.ToolsBefore {
		before, tools[tool] = before+n, true
	}
	for tool, n := range t.ToolsAfter {
		after, tools[tool] = after+n, true
	}
	var rows [][]string
	for _, tool := range slices.Sorted(maps.Keys(tools)) {
		b, c := t.ToolsBefore[tool], t.ToolsAfter[tool]
		rows = append(rows, []string{tool, ui.Count(b), percent(b, before), ui.Count(c), percent(c, after)})
	}
	if _, err := fmt.Fprintf(w, "\ncalls by tool, before and after %s\n", t.DriftAt.Format(time.RFC3339)); err != nil {
		return err
	}
	return ui.Table(w, []string{"tool", "before>", "share>", "after>", "share>"}, rows)
}
