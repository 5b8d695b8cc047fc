package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// golden is a file of testdata/queries/golden: an answer that testdata/queries/answers
// worked out from the same log without SQL.
type golden struct {
	name   string
	Query  string            `json:"query"`
	Log    string            `json:"log"`
	Params map[string]string `json:"params"`
	Rows   []map[string]any  `json:"rows"`
	// Error is in the text of the error that the query must answer with.
	Error string `json:"error"`
}

func goldens(t *testing.T) (out []golden) {
	paths, err := filepath.Glob("../testdata/queries/golden/*.json")
	require.NoError(t, err)
	for _, path := range paths {
		g := golden{name: strings.TrimSuffix(filepath.Base(path), ".json")}
		decode(t, readFile(t, path), &g)
		out = append(out, g)
	}
	return out
}

// matches asks the question and compares the answer.
func (g golden) matches(t *testing.T, s *Session) {
	var got []map[string]any
	var b strings.Builder
	res, err := s.Query(context.Background(), g.Query, g.Params, Output{Format: JSON}, &b)
	if g.Error != "" {
		require.ErrorContains(t, err, g.Error)
		var usage *UsageError
		require.ErrorAs(t, err, &usage, "what a query refuses is usage")
		return
	}
	require.NoError(t, err)
	decode(t, b.String(), &got)
	require.Len(t, got, len(g.Rows), b.String())
	require.EqualValues(t, len(got), res.Rows)
	for i, row := range g.Rows {
		for name, v := range row {
			have, ok := got[i][name]
			require.True(t, ok, "no column %s in %v", name, got[i])
			require.True(t, same(v, have), "row %d, %s: want %v, got %v\n%v", i, name, v, have, got[i])
		}
		require.Len(t, row, len(got[i]), "the golden answer lacks columns of %v", got[i])
	}
}

func TestCannedQueriesGiveTheAnswersWorkedOutWithoutSQL(t *testing.T) {
	sessions, tested := map[string]*Session{}, map[string]bool{}
	for _, g := range goldens(t) {
		if sessions[g.Log] == nil {
			sessions[g.Log] = lakeOf(t, readLogOf(t, g.Log)).session(Options{})
		}
		t.Run(g.name, func(t *testing.T) { g.matches(t, sessions[g.Log]) })
		tested[g.Query+" on "+g.Log] = true
	}
	for _, q := range List() {
		for _, log := range []string{"base", "edge", "one", "empty"} {
			require.True(t, tested[q.Name+" on "+log], "%s has no golden answer for the log %s", q.Name, log)
		}
	}
}

// What a producer sent again, and rows that came in another order, change no
// answer: an event counts once, by its place in the log.
func TestRetriesAndOrderChangeNoAnswer(t *testing.T) {
	sessions := map[string]*Session{}
	for _, g := range goldens(t) {
		if g.Query == "completeness" || g.Query == "subject_access" || len(g.Rows) == 0 { // these two show every copy, it is what they are for
			continue
		}
		if sessions[g.Log] == nil {
			rows := readLogOf(t, g.Log)
			for _, r := range rows {
				if r.Dead == "" && r.Maintenance == nil {
					r.Offset += 1_000_000
					rows = append(rows, r)
				}
			}
			slices.Reverse(rows)
			sessions[g.Log] = lakeOf(t, rows).session(Options{})
		}
		t.Run(g.name, func(t *testing.T) { g.matches(t, sessions[g.Log]) })
	}
}

// The table that people see, of each query's first case: its numbers are held to
// the golden answers, this holds its looks.
func TestPrintedAnswers(t *testing.T) {
	sessions := map[string]*Session{}
	for _, g := range goldens(t) {
		if g.name != g.Query+".0" {
			continue
		}
		if sessions[g.Log] == nil {
			sessions[g.Log] = lakeOf(t, readLogOf(t, g.Log)).session(Options{})
		}
		t.Run(g.Query, func(t *testing.T) {
			var b strings.Builder
			_, err := sessions[g.Log].Query(context.Background(), g.Query, g.Params, Output{MaxRows: 4, Width: 160}, &b)
			require.NoError(t, err)
			path := "../testdata/queries/printed/" + g.Query + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
			}
			require.Equal(t, readFile(t, path), b.String())
		})
	}
}

// same compares values as JSON has them: numbers to nine digits, or exactly
// where the golden has them as text.
func same(want, have any) bool {
	h, ok := have.(json.Number)
	if !ok {
		return want == have
	}
	switch w := want.(type) {
	case json.Number:
		a, _ := w.Float64()
		b, _ := h.Float64()
		return math.Abs(a-b) <= 1e-9*max(1e-300, math.Abs(a), math.Abs(b))
	case string:
		a, ok := new(big.Rat).SetString(w)
		b, ok2 := new(big.Rat).SetString(h.String())
		return ok && ok2 && a.Cmp(b) == 0
	}
	return false
}

func decode(t *testing.T, text string, into any) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	require.NoError(t, dec.Decode(into), text)
}

func readFile(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestEveryCannedQueryIsAsItsHeaderSays(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	names := map[string]bool{}
	for _, q := range List() {
		t.Run(q.Name, func(t *testing.T) {
			require.False(t, names[q.Name], "two queries have this name")
			names[q.Name] = true
			values, err := q.values(requiredParams(q), s.opts)
			require.NoError(t, err)
			for _, p := range q.Params {
				require.Contains(t, q.SQL, "$"+p.Name, "parameter is not used")
			}
			tables, err := s.planAll(context.Background(), window{})
			require.NoError(t, err)
			sh, _, err := probe(context.Background(), tables, statement{text: q.typed(), args: values.args(q)}, t.TempDir())
			require.NoError(t, err)
			var want []string
			for _, c := range q.Columns {
				want = append(want, c.Name)
			}
			require.Equal(t, want, sh.names)
			for i, c := range q.Columns {
				require.Equal(t, c.Type, typeText(sh.types[i]), c.Name)
			}
			require.NoError(t, q.fits(sh))
		})
	}
}

// A header may name any type that a result can have, and a wrong one is told.
func TestAHeaderMustNameTheTypesOfTheSQL(t *testing.T) {
	const header = "-- title: T\n-- question: Q?\n-- column: a %s: n\nSELECT (%s) AS a"
	s := openTest(t, emptyPlans(t), Options{})
	tables, err := s.planAll(context.Background(), window{})
	require.NoError(t, err)
	for _, c := range []struct{ kind, sql, have string }{
		{"BIGINT", "1::BIGINT", ""}, {"BIGINT", "1", "INTEGER"}, {"VARCHAR", "1", "INTEGER"}, {"DECIMAL(18, 3)", "1::DECIMAL(18,3)", ""}, {"DECIMAL(18,3)", "1.5", "DECIMAL(2,1)"},
		{"VARCHAR[]", "['x']", ""}, {"VARCHAR[]", "[1]", "INTEGER[]"}, {"INTEGER[2]", "[1,2]::INTEGER[2]", ""}, {"MAP(VARCHAR, BIGINT)", "MAP {'a': 1::BIGINT}", ""},
		{`STRUCT(x INTEGER, "y z" VARCHAR)`, "{'x': 1, 'y z': 'b'}", ""}, {"STRUCT(x BIGINT)", "{'x': 1}", `STRUCT("x" INTEGER)`}, {"TIME WITH TIME ZONE", "'10:00'::TIMETZ", ""},
		{"TIMESTAMP WITH TIME ZONE", "now()", ""}, {"TIMESTAMP", "now()", "TIMESTAMP WITH TIME ZONE"}, {"UUID", "uuid()", ""}, {"HUGEINT", "1::HUGEINT", ""}, {"BLOB", "'x'::BLOB", ""},
	} {
		q, err := parseQuery("own/x.sql", fmt.Sprintf(header, c.kind, c.sql))
		require.NoError(t, err)
		_, _, err = probe(context.Background(), tables, statement{text: q.typed(), query: &q}, t.TempDir())
		if c.have == "" {
			require.NoError(t, err, c.kind)
			require.Equal(t, plainType(c.kind), plainType(one(t, s, "SELECT typeof("+c.sql+")")))
			continue
		}
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
		require.EqualError(t, err, "query x: the SQL makes column a a "+c.have+", the header says "+c.kind)
	}
}

func requiredParams(q Query) map[string]string {
	out := map[string]string{}
	for _, p := range q.Params {
		if p.Required {
			out[p.Name] = "x"
		}
	}
	return out
}

func TestHeadersThatAreWrongAreRefused(t *testing.T) {
	const ok = "-- title: T\n-- question: Q?\n-- param: from timestamp = none: when\n-- column: a BIGINT: n\nSELECT 1 AS a WHERE $from IS NULL"
	_, err := parseQuery("audit/x.sql", ok)
	require.NoError(t, err)
	for _, c := range []struct{ old, new, want string }{
		{"-- title: T\n", "", "needs a title"},
		{"timestamp = none: when", "date = none: when", "is not NAME TYPE = DEFAULT: MEANING"},
		{"timestamp = none: when", "choice = none: when", "name their values"},
		{"-- title: T", "-- titel: T", `"titel" is not known`},
		{"-- title: T", "-- title: T\n-- window: from .. until", `"until", which is no parameter`},
		{"-- title: T", "-- title: T\n-- lists: run", `lists names "run", which is no parameter`},
		{"-- title: T", "-- title: T\n-- window: from - until .. from", "window reads until before"},
		{"timestamp = none: when", "number(1..2) = none: when", "only an integer has a range"},
		{"-- title: T", "-- window: from", "not FROM .. TO"},
		{"-- title: T", "-- window: from - 1h .. to", "not FROM .. TO"},
		{"-- title: T", "-- title: T\n-- window: from - 36501d .. from", "window reads 36501d beyond from: it can be 1d to 36500d"},
		{"-- title: T", "-- title: T\n-- window: from .. from + 99999999999999999999d", "it can be 1d to 36500d"},
		{"-- question: Q?", "-- question: Q?\x1b[2J", "line 2: the header holds the character U+001B"},
		{"when\n", "when\n--   and \u202eerehw\n", "line 4: the header holds the character U+202E"},
		{"when\n", "when\rx\n", "line 3: the header holds the character U+000D"},
		{"a BIGINT: n", "a bigint: n", "is not NAME TYPE: MEANING"},
		{"a BIGINT: n", "a: n", "is not NAME TYPE: MEANING"},
		{"-- title: T", "-- nothing", "has no key"},
	} {
		_, err := parseQuery("audit/x.sql", strings.Replace(ok, c.old, c.new, 1))
		require.ErrorContains(t, err, c.want)
	}
}

func TestParametersAreReadStrictly(t *testing.T) {
	ledger, err := Find("audit/action_ledger")
	require.NoError(t, err)
	sli, err := Find("sli_daily")
	require.NoError(t, err)
	cost, err := Find("cost_rollup")
	require.NoError(t, err)
	timeline, err := Find("run_timeline")
	require.NoError(t, err)
	trials, err := Find("pass_k")
	require.NoError(t, err)
	loops, err := Find("loop_detector")
	require.NoError(t, err)
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		q      Query
		params map[string]string
		want   string
	}{
		{ledger, map[string]string{"agnet": "x"}, `did you mean agent?`},
		{ledger, map[string]string{"from": "yesterday"}, `"yesterday" is not a time`},
		{ledger, map[string]string{"from": "2026-02-30"}, `is not a time`},
		{ledger, map[string]string{"from": "2026-03-02", "to": "2026-03-01"}, `is not before`},
		{sli, map[string]string{"sli": "latencies"}, `did you mean latency?`},
		{sli, map[string]string{"lat": "1"}, `did you mean latency_ms?`},
		{sli, map[string]string{"x": "1"}, `has no parameter "x": it takes from, to`},
		{sli, map[string]string{"latency_ms": "fast"}, `"fast" is not a number`},
		{sli, map[string]string{"latency_ms": "NaN"}, `is not a number`},
		{trials, map[string]string{"k": "0"}, `0 is not from 1 to 100`},
		{trials, map[string]string{"k": "101"}, `101 is not from 1 to 100`},
		{loops, map[string]string{"max_repeat": "0"}, `0 is not 1 or more`},
		{cost, map[string]string{"dimensions": "agent,model_"}, `did you mean model?`},
		{timeline, nil, `needs the parameter run`},
		{timeline, map[string]string{"run": ""}, `needs the parameter run`},
		{timeline, map[string]string{"run": "r", "summary_chars": "1.5"}, `is not a whole number`},
	} {
		_, err := c.q.values(c.params, Options{Now: now})
		require.ErrorContains(t, err, c.want)
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
	}
	// An empty text is none given, and of a list an empty one.
	values, err := sli.values(map[string]string{"latency_ms": "", "agent": ""}, Options{Now: now})
	require.NoError(t, err)
	require.Equal(t, 10000.0, values["latency_ms"])
	require.Nil(t, values["agent"])
	values, err = cost.values(map[string]string{"dimensions": ""}, Options{From: now})
	require.NoError(t, err)
	require.Equal(t, paramValues{"dimensions": "", "from": now, "to": nil, "agent": nil, "environment": nil, "tenant": nil}, values)
	_, err = Find("action_leger")
	require.ErrorContains(t, err, "did you mean `auditlake query action_ledger`?")
	for text, want := range map[string]string{
		"2026-03-01": "2026-03-01T00:00:00Z", "2026-03-01T01:02:03+01:00": "2026-03-01T00:02:03Z", "-7d": "2026-03-07T12:00:00Z",
		"90m": "2026-03-14T10:30:00Z", "now": "2026-03-14T12:00:00Z",
	} {
		got, err := ParseTime(text, now)
		require.NoError(t, err)
		require.Equal(t, want, stamp(got))
	}
}

func TestTheWindowOfAQueryIsTheWidest(t *testing.T) {
	planner := emptyPlans(t)
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		query    string
		params   map[string]string
		from, to time.Time
	}{
		{"action_ledger", map[string]string{"from": "2026-03-02"}, day(2), time.Time{}},
		{"categorical_drift", map[string]string{"from": "2026-03-05", "to": "2026-03-06", "ref_from": "2026-03-01", "ref_to": "2026-03-03"}, day(1), day(6)},
		{"categorical_drift", map[string]string{"from": "2026-03-05", "to": "2026-03-06"}, time.Time{}, time.Time{}},
		{"completeness", map[string]string{"from": "2026-03-05"}, time.Time{}, time.Time{}},
		{"action_ledger", map[string]string{"from": "-1d", "to": "now"}, day(6), day(7)},
		{"sli_daily", map[string]string{"from": "2026-03-05", "to": "2026-03-06"}, day(4), day(7)},
		{"sli_daily", map[string]string{"to": "2026-03-06"}, time.Time{}, day(7)},
		{"burn_rate", map[string]string{"to": "2026-03-06"}, day(3), day(6)},
		{"error_budget", map[string]string{"to": "2026-03-09", "period": "7d"}, day(2), day(9)},
	} {
		_, err := openTest(t, planner, Options{}).Query(context.Background(), c.query, c.params, Output{}, &strings.Builder{})
		require.NoError(t, err)
		asked := planner.asked[len(planner.asked)-1]
		require.Equal(t, c.from, asked.From)
		require.Equal(t, c.to, asked.To)
	}
}

// A value that only the rows show to be wrong is refused in one line, as any other.
func TestValuesThatTheRowsRefuseAreUsage(t *testing.T) {
	s := lakeOf(t, readLogOf(t, "ab")).session(Options{})
	for _, c := range []struct {
		query  string
		params map[string]string
		want   string
	}{
		{"variant_compare", map[string]string{"experiment": "tone", "control": "nobody"}, "there is no variant nobody, which --control names: calm, terse, warm"},
		{"variant_compare", map[string]string{"experiment": "tone", "shares": "calm=2,warm=1"}, "--shares calm=2,warm=1 has none for variant terse of experiment tone"},
		{"variant_compare", map[string]string{"experiment": "tone", "shares": "calm=2,warm=x"}, "--shares is a number above 0 for each variant, as A=9,B=1, and not calm=2,warm=x"},
		{"pass_k", map[string]string{"task": "nosuch"}, "no evaluation with a score has the attribute nosuch, which --task names: it is session, subject, position or an attribute"},
		{"replay_diff", map[string]string{"run_a": "r0", "run_b": "nobody"}, "there is no run nobody (run_b): its id, --tenant, --tenant_b, --from or --to must be another"},
		{"burn_rate", map[string]string{"objective": "99.9", "to": "2026-07-03"}, "objective is the share that must be good, between 0 and 1: 0.999, not 99.9"},
		{"error_budget", map[string]string{"objective": "1", "to": "2026-07-03"}, "objective is the share that must be good, between 0 and 1: 0.999, not 99.9"},
	} {
		_, err := s.Query(context.Background(), c.query, c.params, Output{Format: JSON}, &strings.Builder{})
		require.EqualError(t, err, c.want)
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
	}
}
