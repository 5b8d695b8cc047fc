package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/queries"
)

var (
	powerTables = flag.Bool("power", false, "TestDriftPower measures all sizes of window and drift, and writes its tables to docs/drift.md")
	powerSeeds  = flag.Int("power.seeds", 100, "seeds of each false-alarm rate; a fifth of them of each found drift")
)

// driftLake is a lake without a broker: events go through the decoder and the
// writer of data files that a sink has.
type driftLake struct {
	t       *testing.T
	cat     *catalog.Catalog
	decoder *envelope.Decoder
	batch   catalog.Batch
	offset  int64
}

// driftPart is rows on their way to the data file of a table partition.
type driftPart struct {
	values []catalog.PartitionValue
	rows   *arrowconv.Builder
}

func newDriftLake(t *testing.T) *driftLake {
	ctx := context.Background()
	dir := t.TempDir()
	cat, err := catalog.Open(ctx, catalog.Config{Type: "sqlite", URI: filepath.Join(dir, "catalog.db"), Warehouse: "file://" + filepath.Join(dir, "warehouse"), Create: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cat.Close()) })
	_, err = cat.Init(ctx, catalog.InitOptions{})
	require.NoError(t, err)
	return &driftLake{t: t, cat: cat, decoder: envelope.NewDecoder(envelope.DefaultLimits), batch: catalog.Batch{ID: uuid.NewString(), Version: "test"}}
}

// generate writes data files of the events of o.
func (l *driftLake) generate(o gen.Options) {
	ctx := context.Background()
	table, err := l.cat.Load(ctx, catalog.AgentEvents)
	require.NoError(l.t, err)
	schema, err := table.ArrowSchema()
	require.NoError(l.t, err)
	fields, err := table.PartitionFields()
	require.NoError(l.t, err)
	parts := map[string]*driftPart{}
	_, err = gen.Generate(o, driftWriter(func(line []byte) error {
		events, err := l.decoder.Decode(&envelope.Record{Value: line, Timestamp: -1})
		if err != nil {
			return err
		}
		ev := &events[0]
		value := catalog.PartitionValue{Int: ev.Time(), Text: bytes.Clone(ev.Class())}
		var values []catalog.PartitionValue
		var key []byte
		for _, f := range fields {
			values, key = append(values, value), f.AppendKey(key, value)
		}
		part, ok := parts[string(key)]
		if !ok {
			rows, err := arrowconv.NewBuilder(schema, memory.DefaultAllocator)
			if err != nil {
				return err
			}
			part = &driftPart{values, rows}
			parts[string(key)] = part
		}
		l.offset++
		part.rows.Append(ev, &arrowconv.Provenance{Topic: "agent-events", Offset: l.offset, Timestamp: -1, IngestTime: ev.Time()})
		return nil
	}))
	require.NoError(l.t, err)
	for _, part := range parts {
		rows := part.rows.NewRecordBatch()
		w, err := table.CreateDataFile(ctx, uuid.NewString(), fields, part.values, catalog.WriteOptions{CompressionLevel: 1})
		require.NoError(l.t, err)
		require.NoError(l.t, w.Write(rows))
		file, err := w.Close()
		require.NoError(l.t, err)
		rows.Release()
		part.rows.Release()
		l.batch.Files = append(l.batch.Files, file)
	}
}

// commit makes one snapshot of all: a plan is quick.
func (l *driftLake) commit() {
	_, err := l.cat.CommitBatch(context.Background(), catalog.AgentEvents, l.batch)
	require.NoError(l.t, err)
}

type driftWriter func(line []byte) error

func (w driftWriter) Write(line []byte) (int, error) {
	return len(line), w(bytes.TrimSuffix(line, []byte("\n")))
}

// verdicts asks a drift query about the first and the second half of a day. It
// returns what says drift: "" is the query, others are rows of it, and "Evidently"
// is whether Evidently's defaults do.
func verdicts(t *testing.T, s *queries.Session, query string, day time.Time) map[string]bool {
	at := func(hours int) string { return day.Add(time.Duration(hours) * time.Hour).Format(time.RFC3339) }
	var b strings.Builder
	_, err := s.Query(context.Background(), query, map[string]string{"ref_from": at(0), "ref_to": at(12), "from": at(12), "to": at(24)}, queries.Output{Format: queries.JSON}, &b)
	require.NoError(t, err)
	var rows []struct {
		Dimension, Metric, Verdict string
		Evidently                  string `json:"evidently_verdict"`
	}
	require.NoError(t, json.Unmarshal([]byte(b.String()), &rows))
	require.NotEmpty(t, rows)
	out := map[string]bool{}
	for _, r := range rows {
		if r.Verdict == "drift" {
			out[""], out[r.Dimension+r.Metric] = true, true
		}
		if r.Evidently == "drift" {
			out["Evidently"] = true
		}
	}
	return out
}

// driftCase is two windows of events each, the second of which may differ.
type driftCase struct {
	events  int // of a window
	agents  int
	share   float64 // of the second window, at its end, in which agents choose other tools
	latency float64 // factor of what tool calls take in the second window
}

func (c driftCase) options(seed int, day time.Time) gen.Options {
	o := gen.Defaults()
	o.Seed, o.Events, o.Agents, o.Start, o.Span = uint64(seed), 2*c.events, c.agents, day, 24*time.Hour
	if c.share > 0 {
		o.DriftAt = 1 - c.share/2
	}
	o.LatencyShift, o.LatencyShiftAt = c.latency, 0.5
	return o
}

// found are the shares of seeds in which a query says drift, by query and what
// of it does.
type found map[string]map[string]float64

// measure asks the queries about every seed.
func (c driftCase) measure(t *testing.T, seeds int, asked ...string) found {
	const most = 400_000 // events of a lake
	out := found{}
	for _, query := range asked {
		out[query] = map[string]float64{}
	}
	for first := 1; first <= seeds; {
		last := min(seeds, first-1+max(1, most/2/c.events))
		t.Run(fmt.Sprintf("%+v seeds %d to %d", c, first, last), func(t *testing.T) { // its lake is removed at its end
			day := func(seed int) time.Time { return time.Date(2026, 1, 1+2*(seed-first), 0, 0, 0, 0, time.UTC) }
			l := newDriftLake(t)
			for seed := first; seed <= last; seed++ {
				l.generate(c.options(seed, day(seed)))
			}
			l.commit()
			s, err := queries.Open(context.Background(), queries.Options{Planner: queries.Tables(l.cat), TempDir: t.TempDir(), Threads: 2})
			require.NoError(t, err)
			for seed := first; seed <= last; seed++ {
				for _, query := range asked {
					for what := range verdicts(t, s, query, day(seed)) {
						out[query][what] += 1 / float64(seeds)
					}
				}
			}
		})
		first = last + 1
	}
	return out
}

// The drift that gen plants is found, and where it plants none there is mostly
// none. docs/drift.md has the tables; this is a part of them.
func TestDriftPower(t *testing.T) {
	if *powerTables {
		writePowerTables(t)
		return
	}
	const seeds, few = 6, 1.5 / 6
	none := driftCase{events: 2000, agents: 20}.measure(t, seeds, driftQueries...)
	for _, query := range driftQueries {
		require.Less(t, none[query][""], few, none)
	}
	require.Greater(t, none["categorical_drift"]["Evidently"], 0.5, "sessions cluster events no more: docs/drift.md says so")
	tools := driftCase{events: 2000, agents: 20, share: 0.5}.measure(t, seeds, ofTools...)
	require.Greater(t, tools["categorical_drift"]["tool"], 1-few, tools)
	require.Greater(t, tools["sequence_drift"][""], 1-few, tools)
	latency := driftCase{events: 2000, agents: 20, latency: 2}.measure(t, seeds, ofLatency...)
	require.Greater(t, latency["numeric_drift"]["tool_ms"], 1-few, latency)
}

var (
	powerSizes   = []int{500, 2000, 10_000, 50_000}
	powerShares  = []float64{0.1, 0.25, 0.5, 1}
	powerFactors = []float64{1.1, 1.25, 1.5, 2}

	ofTools      = []string{"categorical_drift", "sequence_drift"}
	ofLatency    = []string{"numeric_drift"}
	driftQueries = append(ofTools[:2:2], ofLatency...)
)

// writePowerTables measures what docs/drift.md says between its marks.
func writePowerTables(t *testing.T) {
	const path, begin, end = "../../docs/drift.md", "<!-- measured: -->\n", "<!-- :measured -->\n"
	seeds, fewer := *powerSeeds, max(1, *powerSeeds/5)
	var b strings.Builder
	fmt.Fprintf(&b, "By `go test ./cmd/auditlake -run TestDriftPower -power -power.seeds %d -timeout 10h`, on %d cores (%s). False alarms are of %d seeds (%d where "+
		"windows have 50,000 events), found drifts of %d (%d).\n", seeds, runtime.NumCPU(), cpuModel(), seeds, fewer, fewer, max(1, fewer/2))
	alarmTable(t, &b, seeds, fewer)
	powerTable(t, &b, fewer, ofTools, "of the current window drifted", len(powerShares), func(i, events int) (string, driftCase) {
		return fmt.Sprintf("%g %%", 100*powerShares[i]), driftCase{events: events, agents: 20, share: powerShares[i]}
	})
	powerTable(t, &b, fewer, ofLatency, "tool calls take, times", len(powerFactors), func(i, events int) (string, driftCase) {
		return fmt.Sprint(powerFactors[i]), driftCase{events: events, agents: 20, latency: powerFactors[i]}
	})
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "%s has lost the mark %s", path, begin)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has lost the mark %s", path, end)
	require.NoError(t, os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o644))
}

func alarmTable(t *testing.T, b *strings.Builder, seeds, fewer int) {
	b.WriteString("\n### False alarms\n\nSeeds without drift in which the verdict is drift, in percent; in brackets those in which an evidently_verdict is.\n")
	b.WriteString("\n| agents | events a window | " + strings.Join(driftQueries, " | ") + " |\n|---|---|" + strings.Repeat("---|", len(driftQueries)) + "\n")
	for _, c := range []driftCase{{agents: 1, events: 2000}, {agents: 20, events: 500}, {agents: 20, events: 2000}, {agents: 20, events: 10_000}, {agents: 20, events: 50_000}} {
		n := seeds
		if c.events >= 50_000 {
			n = fewer
		}
		f := c.measure(t, n, driftQueries...)
		t.Logf("%+v: %v", c, f)
		fmt.Fprintf(b, "| %d | %d |", c.agents, c.events)
		for _, query := range driftQueries {
			fmt.Fprintf(b, " %.0f", 100*f[query][""])
			if query != "sequence_drift" { // which Evidently has nothing like
				fmt.Fprintf(b, " (%.0f)", 100*f[query]["Evidently"])
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
}

func powerTable(t *testing.T, b *strings.Builder, seeds int, asked []string, title string, n int, of func(i, events int) (string, driftCase)) {
	names, cells := make([]string, n), make([][]found, n)
	for i := range n {
		for _, events := range powerSizes {
			n := seeds
			if events >= 50_000 {
				n = max(1, seeds/2)
			}
			name, c := of(i, events)
			names[i], cells[i] = name, append(cells[i], c.measure(t, n, asked...))
			t.Logf("%+v: %v", c, cells[i][len(cells[i])-1])
		}
	}
	for _, query := range asked {
		fmt.Fprintf(b, "\n### Power of %s\n\nSeeds in which it says drift, in percent.\n\n| %s |", query, title)
		for _, events := range powerSizes {
			fmt.Fprintf(b, " %d events a window |", events)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(powerSizes)) + "\n")
		for i, row := range cells {
			b.WriteString("| " + names[i] + " |")
			for _, f := range row {
				fmt.Fprintf(b, " %.0f |", 100*f[query][""])
			}
			b.WriteString("\n")
		}
	}
}

// cpuModel is what Linux says of the first core.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
