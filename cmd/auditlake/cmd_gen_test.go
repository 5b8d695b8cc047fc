package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
)

func TestGenToStdout(t *testing.T) {
	r := call(t, "gen", "--events", "40")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, 40, strings.Count(r.stdout, "\n"))
	require.Contains(t, r.stderr, "true of these events\nevents ")
	require.Contains(t, r.stderr, "\nvariant  sessions")
	require.NotContains(t, r.stderr, "calls by tool")
	require.Equal(t, r.stdout, mustCall(t, "gen", "--events", "40", "--out", "-"), "the same bytes")

	r = call(t, "gen", "--events", "40", "--json", "--drift-at", "0.5", "--experiment", "")
	var truth gen.Truth
	require.NoError(t, json.Unmarshal([]byte(r.stderr), &truth))
	require.EqualValues(t, 40, truth.Events)
	require.NotContains(t, r.stdout, "audit.experiment")
}

func TestGenToFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	out := mustCall(t, "gen", "--events", "500", "--drift-at", "0.5", "--latency-shift", "2", "--out", path)
	require.Contains(t, out, "events                                               500\n")
	require.Contains(t, out, "\ncalls by tool, before and after 2026-01-08T12:00:00Z\n")
	require.Contains(t, out, "  from 2026-01-05T00:00:00Z on ")
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 500, bytes.Count(written, []byte("\n")))

	r := call(t, "gen", "--events", "3", "--out", path)
	require.Equal(t, exitRefused, r.code)
	require.Equal(t, "auditlake: "+path+" is there already: name another file, or give --force to overwrite it\n", r.stderr)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, written, kept)

	mustCall(t, "gen", "--events", "3", "--out", path, "--force")
	over, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 3, bytes.Count(over, []byte("\n")))
}

// TestGenStart sees that events end now, or begin where they are told to.
func TestGenStart(t *testing.T) {
	for start, first := range map[string]time.Time{
		"now":                  time.Now().Add(-24 * time.Hour),
		"2020-02-29":           time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC),
		"2020-02-29T12:30:00Z": time.Date(2020, 2, 29, 12, 30, 0, 0, time.UTC),
	} {
		r := call(t, "gen", "--events", "3000", "--span", "1d", "--start", start, "--json")
		var truth gen.Truth
		require.NoError(t, json.Unmarshal([]byte(r.stderr), &truth))
		require.WithinDuration(t, first, truth.First, 10*time.Second)
		require.WithinDuration(t, first.Add(24*time.Hour), truth.Last, time.Hour)
	}
}

func TestGenRate(t *testing.T) {
	started := time.Now()
	mustCall(t, "gen", "--events", "60", "--rate", "200")
	require.Greater(t, time.Since(started), 280*time.Millisecond)
}

// TestGenInterrupted stops a slow stream: whole events are there, and the truth
// is theirs.
func TestGenInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(300*time.Millisecond, func() { cancel(interrupted{syscall.SIGINT}) })
	r := callWith(t, ctx, "", "gen", "--rate", "100", "--out", path, "--json")
	require.Equal(t, exitInterrupted, r.code)
	require.Equal(t, "auditlake: stopped by interrupt\n", r.stderr)
	var truth gen.Truth
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &truth))
	require.NotZero(t, truth.Events)
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.EqualValues(t, truth.Events, bytes.Count(written, []byte("\n")))
	require.True(t, bytes.HasSuffix(written, []byte("}}\n")))
}

func TestGenMistakes(t *testing.T) {
	t.Setenv("AUDITLAKE_CONFIG", "")
	dir := t.TempDir()
	for args, want := range map[string]string{
		"--events 0":                   "0 events are none: the least is 1",
		"--error-rate 2":               "error rate of 2: give a fraction from 0 to 1",
		"--span soon":                  `invalid argument "soon" for "--span" flag`,
		"--start tomorrow":             `--start: "tomorrow" is not a time`,
		"--rate -1":                    "--rate must not be negative",
		"--rate NaN":                   "--rate must not be negative",
		"--topic t":                    "--topic is for --to-topic: give that too",
		"--create-topic 3":             "--create-topic is for --to-topic: give that too",
		"--to-topic --out x":           "--to-topic and --out are two places: give one of them",
		"--force":                      "--force is for --out FILE: name one",
		"--out " + dir + "/none/x":     "--out: open " + dir + "/none/x: no such file or directory: name a file that can be written",
		"--to-topic -c " + dir + "/no": "no such configuration file",
		"--erorr-rate 1":               "unknown flag: --erorr-rate: did you mean --error-rate?",
		"here":                         `auditlake gen takes no argument, found "here"`,
		"-o csv":                       `-o "csv" is not known here`,
	} {
		r := call(t, append([]string{"gen"}, strings.Fields(args)...)...)
		require.Equal(t, exitUsage, r.code, args)
		require.Contains(t, r.stderr, want, args)
		require.Equal(t, 1, strings.Count(r.stderr, "\n"), args)
		require.Empty(t, r.stdout, args)
	}
}

// TestGenToTopic asks SQL for what gen says is true, after the whole way.
func TestGenToTopic(t *testing.T) {
	l := newLab(t)
	var truth gen.Truth
	out := l.must("gen", "--to-topic", "--json", "--start", "now", "--span", "2d", "--events", "3000",
		"--error-rate", "0.2", "--unapproved", "0.3", "--duplicates", "0.2", "--drift-at", "0.5")
	require.NoError(t, json.Unmarshal([]byte(out), &truth))
	l.catchUp()
	for _, ask := range []struct {
		want any
		sql  string
	}{
		{float64(truth.Events), "SELECT count(*) AS n FROM agent_events"},
		{float64(truth.Sessions), "SELECT count(DISTINCT session_id) AS n FROM agent_events"},
		{float64(truth.Runs), "SELECT count(DISTINCT run_id) AS n FROM agent_events"},
		{float64(truth.ToolErrors), "SELECT count(*) AS n FROM tool_calls WHERE status = 'error'"},
		{float64(truth.UnapprovedActions), "SELECT count(*) AS n FROM actions WHERE action_effect = 'committed' AND approved_at IS NULL"},
		{float64(truth.DuplicatedKeys), "SELECT count(*) - count(DISTINCT idempotency_key) AS n FROM actions WHERE action_effect = 'committed'"},
		{truth.Cost["EUR"], "SELECT CAST(sum(cost_amount) AS VARCHAR) AS n FROM agent_events WHERE cost_currency = 'EUR'"},
		{float64(truth.ToolsAfter["run_report"]), "SELECT count(*) AS n FROM tool_calls WHERE tool_name = 'run_report' AND event_time >= '" +
			truth.DriftAt.Format(time.RFC3339Nano) + "'"},
	} {
		require.Equal(t, ask.want, l.value(ask.sql), ask.sql)
	}

	out = l.must("gen", "--to-topic", "--topic", "another", "--create-topic", "2", "--events", "10")
	require.Contains(t, out, "sent 10 records")
	require.Contains(t, out, "to topic another")
	require.Contains(t, out, "true of these events")
	r := l.call("gen", "--to-topic", "--topic", "missing", "--events", "10")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "topic missing does not exist")
}
