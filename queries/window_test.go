package queries

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
)

// Moments around the bounds of days, hours and files.
var moments = []string{
	"2026-03-01T00:00:00Z", "2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00.000001Z",
	"2026-03-02T12:00:00+12:00", "2026-03-02T23:59:59.999Z", "2026-03-03T00:00:00Z", "2026-03-05T10:00:00Z",
}

func TestPruningLosesNoRowOfTheWindow(t *testing.T) {
	l := newLake(t)
	var times []time.Time
	for i, at := range moments {
		when, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		times = append(times, when)
		l.commit(event(0, int64(i), fmt.Sprintf("e%d", i), at, ""))
	}
	bounds := append(slices.Clone(times[1:5]), time.Time{}, times[5].Add(time.Microsecond), times[7])
	pruned := 0
	for _, from := range bounds {
		for _, to := range bounds {
			if !from.IsZero() && !to.IsZero() && !from.Before(to) {
				continue
			}
			want := 0
			for _, at := range times {
				if (from.IsZero() || !at.Before(from)) && (to.IsZero() || at.Before(to)) {
					want++
				}
			}
			var b strings.Builder
			res, err := l.session(Options{From: from, To: to}).SQL(context.Background(), "SELECT count(*) AS n FROM actions", Output{Format: CSV}, &b)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("n\n%d\n", want), b.String(), "[%s, %s)", from, to)
			require.EqualValues(t, len(times), res.FilesTotal)
			pruned += int(res.FilesTotal) - res.Files
		}
	}
	require.NotZero(t, pruned)
	// A canned query's own parameters say the same, to the microsecond.
	var b strings.Builder
	res, err := l.session(Options{}).Query(context.Background(), "action_ledger",
		map[string]string{"from": "2026-03-02", "to": "2026-03-02T00:00:00.000001Z"}, Output{Format: CSV}, &b)
	require.NoError(t, err)
	require.EqualValues(t, 2, res.Rows, b.String()) // 12:00+12:00 is midnight too
}

// What a producer sent twice counts once in every answer. Copies with the same
// content have the same time, so they are in a window together or not at all. Of
// copies that differ in their time a window sees those inside, and takes the
// lowest of them.
func TestAnEventCountsOnceInEveryWindow(t *testing.T) {
	l := newLake(t)
	const day2, day5 = "2026-03-02T09:00:00Z", "2026-03-05T09:00:00Z"
	l.commit(event(1, 7, "retried", day5, ""), event(1, 8, "moved", day5, ""))
	l.commit(event(0, 3, "retried", day5, ""), event(0, 4, "moved", day2, ""), event(2, 0, "other", day2, ""))
	// Twice in the table, which only a fault of the sink could do.
	l.commit(logRow{Topic: "agent-events", Offset: 9, IngestTime: day5, Copies: 2, Value: event(0, 9, "doubled", day5, "").Value})
	at := func(day int) time.Time { return time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC) }
	const list = "SELECT string_agg(concat(event_id, ' ', kafka_partition, '/', kafka_offset), '; ' ORDER BY event_id) FROM agent_events"
	for _, c := range []struct {
		from, to time.Time
		sql      string
		want     string
	}{
		{sql: list, want: "doubled 0/9; moved 0/4; other 2/0; retried 0/3"},
		{sql: list + " WHERE event_time >= '2026-03-05'", want: "doubled 0/9; retried 0/3"},
		{from: at(5), sql: list, want: "doubled 0/9; moved 1/8; retried 0/3"},
		{to: at(5), sql: list, want: "moved 0/4; other 2/0"},
		{from: at(3), to: at(5), sql: list, want: ""},
		{sql: "SELECT count(*) FROM agent_log", want: "7"},
	} {
		require.Equal(t, c.want, one(t, l.session(Options{From: c.from, To: c.to}), c.sql), "[%s, %s) %s", c.from, c.to, c.sql)
	}
	var b strings.Builder
	_, err := l.session(Options{}).Query(context.Background(), "completeness", nil, Output{Format: CSV}, &b)
	require.NoError(t, err)
	require.Contains(t, b.String(), "retries,conflicts")
	rows := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, rows, 4)
	require.True(t, strings.HasSuffix(rows[1], ",1,0,0"), "partition 0 has a row too many: %s", rows[1])
	require.True(t, strings.HasSuffix(rows[2], ",0,1,1"), "partition 1 has a retry and a conflict: %s", rows[2])
}

func TestTimeTravelOnARealLake(t *testing.T) {
	l := newLake(t)
	const noon = "2026-03-02T12:00:00Z"
	before := l.session(Options{})
	require.Equal(t, "0", one(t, before, "SELECT count(*) FROM agent_events"))

	first := l.commit(event(1, 5, "x", noon, ""))
	between := time.Now()
	time.Sleep(5 * time.Millisecond) // snapshots have milliseconds
	second := l.commit(event(0, 9, "x", noon, ""), event(0, 10, "y", noon, ""), logRow{Topic: "agent-events", Offset: 11, Value: "?", Dead: "not_json", IngestTime: noon})
	require.Equal(t, "0,0", one(t, before, "SELECT (SELECT count(*) FROM agent_log), (SELECT count(*) FROM dead_letters)"), "a session stays where its first run was")
	const sql = "SELECT count(*), min(kafka_partition), (SELECT count(*) FROM dead_letters) FROM agent_events"
	require.Equal(t, "2,0,1", one(t, l.session(Options{}), sql))
	require.Equal(t, "2,0,1", one(t, l.session(Options{SnapshotID: second}), sql))
	// The copy at the lower place had not come yet: the other one is the event.
	require.Equal(t, "1,1,0", one(t, l.session(Options{SnapshotID: first}), sql))
	require.Equal(t, "1,1,0", one(t, l.session(Options{AsOf: between}), sql))
	s := l.session(Options{AsOf: between})
	l.commit(event(0, 12, "z", noon, ""))
	require.Equal(t, "1,1,0", one(t, s, sql))

	for _, opts := range []Options{{SnapshotID: 7}, {AsOf: between.Add(-time.Hour)}} {
		err := run(l.session(opts), sql)
		var mistake *catalog.ConfigError
		require.ErrorAs(t, err, &mistake)
		require.NotContains(t, err.Error(), "\n")
	}

	s = l.session(Options{})
	require.Equal(t, "3", one(t, s, "SELECT count(*) FROM agent_events"))
	l.commit(event(0, 13, "w", noon, ""))
	require.Equal(t, "3", one(t, s, "SELECT count(*) FROM agent_events"))
	require.Equal(t, "4", one(t, l.session(Options{}), "SELECT count(*) FROM agent_events"))
}

// The views give an analyst no trap for odd rows.
func TestViewsOfOddEvents(t *testing.T) {
	l := newLake(t)
	data := func(text string) string { return `,"runid":"r","sessionid":"s","data":` + text }
	rows := []logRow{}
	add := func(class, more string) {
		r := event(0, int64(len(rows)), fmt.Sprint(len(rows)), "2026-03-02T12:00:00Z", more)
		r.Value = strings.Replace(r.Value, "agent.action", "agent."+class, 1)
		rows = append(rows, r)
	}
	add("tool_call", data(`{"audit.tool.phase":"request","gen_ai.tool.name":"t","audit.status":"ok"}`))
	add("tool_call", data(`{"audit.tool.phase":"result","gen_ai.tool.name":"t","audit.status":"error"}`))
	add("tool_call", data(`{"gen_ai.tool.name":"t"}`))
	add("output", data(`{"audit.cost.amount":1,"audit.cost.currency":"USD","gen_ai.output.messages":"just text"}`))
	add("output", data(`{"audit.cost.amount":2}`))
	add("prompt", data(`[1,2]`))
	add("prompt", `,"data_base64":"AAAA"`)
	add("handoff", "")
	l.commit(rows...)
	s := l.session(Options{})
	require.Equal(t, "1,2,2,1", one(t, s, "SELECT count(*), max(tool_calls), max(outputs), max(errors) FROM runs"))
	// A cost without a currency is no dollar.
	require.Equal(t, "true,true", one(t, s, "SELECT cost_amount IS NULL, cost_currency IS NULL FROM runs"))
	require.Equal(t, "just text", one(t, s, "SELECT output_text FROM outputs WHERE cost_currency = 'USD'"))
	require.Equal(t, "2,0", one(t, s, "SELECT count(*), count(input_text) FROM prompts"))
	require.Equal(t, "1", one(t, s, "SELECT count(*) FROM agent_events WHERE event_class = 'handoff' AND run_id IS NULL"))
	for _, q := range List() {
		_, err := s.Query(context.Background(), q.Name, requiredParams(q), Output{Format: JSON}, io.Discard)
		require.NoError(t, err, q.Name)
	}
}

// What stands together in a row of runs stood together in an event, and tokens are those of outputs.
func TestARunIsOfOneAgentAndOneVariant(t *testing.T) {
	s := lakeOf(t, readLogOf(t, "pairs")).session(Options{})
	require.Equal(t, "a,9", one(t, s, "SELECT agent_id, agent_version FROM runs WHERE run_id = 'r0'"))
	require.Equal(t, "a,10", one(t, s, "SELECT agent_id, agent_version FROM runs WHERE run_id = 'r3'"))
	require.Equal(t, "first,z", one(t, s, "SELECT experiment, variant FROM runs WHERE run_id = 'r4'"))
	require.Equal(t, "second,b", one(t, s, "SELECT experiment, variant FROM runs WHERE run_id = 'r5'"))
	require.Equal(t, "20,6,20", one(t, s, "SELECT input_tokens, output_tokens, (SELECT input_tokens FROM sessions WHERE session_id = 'sr7') FROM runs WHERE run_id = 'r7'"))
}
