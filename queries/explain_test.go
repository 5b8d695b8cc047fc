package queries

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
)

func TestExplainSaysWhatIsRead(t *testing.T) {
	ctx := context.Background()
	l := logLake(t)
	plan, err := Tables(l.cat).Plan(ctx, catalog.AgentEvents, catalog.PlanOptions{})
	require.NoError(t, err)
	s := l.session(Options{})
	r, err := s.Explain(ctx, "SELECT count(*) FROM prompts;")
	require.NoError(t, err)
	require.Len(t, r.Tables, 1)
	all := r.Tables[0]
	require.Equal(t, catalog.AgentEvents, all.Table)
	require.Equal(t, len(plan.Files), all.Files)
	require.EqualValues(t, all.Files, all.FilesTotal)
	require.Equal(t, all.BytesTotal, all.Bytes)
	require.EqualValues(t, 737, all.Rows)
	require.Equal(t, all.Files, all.RowGroups)
	require.Zero(t, all.Remote)
	require.Equal(t, plan.SnapshotID, r.SnapshotID)
	require.Contains(t, r.Plan, "PARQUET")

	r, err = s.ExplainQuery(ctx, "action_ledger", map[string]string{"from": "2026-03-03", "to": "2026-03-04"})
	require.NoError(t, err)
	require.Less(t, r.Tables[0].Files, all.Files)
	require.Greater(t, r.Tables[0].Files, 0)
	require.Less(t, r.Tables[0].Bytes, r.Tables[0].BytesTotal)
	require.Contains(t, r.Plan, "PARQUET")

	r, err = s.ExplainQuery(ctx, "completeness", nil)
	require.NoError(t, err)
	require.Len(t, r.Tables, 2)
	r, err = s.Explain(ctx, "SELECT 1")
	require.NoError(t, err)
	require.Empty(t, r.Tables)

	for _, bad := range []string{"ANALYZE SELECT 1", "ANALYZE COPY (SELECT 1) TO '/tmp/x'", "SELECT * FROM read_text('/etc/passwd')", "SELECT 1; SELECT 2"} {
		_, err = s.Explain(ctx, bad)
		require.Error(t, err, bad)
	}
	_, err = s.ExplainQuery(ctx, "action_ledger", map[string]string{"form": "7d"})
	require.ErrorContains(t, err, "did you mean from?")
}

// Nothing is run to explain it.
func TestExplainRunsNothing(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{Timeout: 20 * time.Second})
	r, err := s.Explain(context.Background(), endless)
	require.NoError(t, err)
	require.NotEmpty(t, r.Plan)
}

func TestAQueryTellsItsTimeRange(t *testing.T) {
	l := newLake(t)
	l.commit(event(0, 1, "a", "2026-03-02T12:00:00Z", ""), event(0, 2, "b", "2026-03-04T01:02:03.5Z", ""))
	const first, last = "2026-03-02T12:00:00Z", "2026-03-04T01:02:03.5Z"
	dir := t.TempDir()
	writeQuery(t, dir, "recent.sql", strings.Replace(ownQuery, "from timestamp = none", "from timestamp = 3d", 1))
	library, err := OpenLibrary(dir)
	require.NoError(t, err)
	ask := func(s *lake, opts Options, query string, params map[string]string) (told []string) {
		opts.Tell, opts.Library = func(text string) { told = append(told, text) }, library
		_, err := s.session(opts).Query(context.Background(), query, params, Output{Format: JSON}, &strings.Builder{})
		require.NoError(t, err)
		return told
	}
	for _, c := range []struct {
		query  string
		params map[string]string
		want   []string
	}{
		{"action_ledger", nil, []string{"time range: all of it, " + first + " to " + last + " (no --from, --to)"}},
		{"action_ledger", map[string]string{"from": "2026-03-03"}, []string{"time range: 2026-03-03T00:00:00Z to " + last + " (no --to)"}},
		{"action_ledger", map[string]string{"to": "2026-03-03"}, []string{"time range: " + first + " to 2026-03-03T00:00:00Z (no --from)"}},
		{"action_ledger", map[string]string{"from": "7d", "to": "now"}, nil},
		{"recent", nil, []string{"time range: 2026-03-04T00:00:00Z to " + last + " (--from is 3d unless given, no --to)"}},
		{"recent", map[string]string{"from": "3d"}, []string{"time range: 2026-03-04T00:00:00Z to " + last + " (no --to)"}},
		// Its from and to are of another time than that by which files are planned.
		{"completeness", nil, []string{"time range: all of it (no --from, --to)"}},
		{"categorical_drift", map[string]string{"from": "2026-03-03", "to": "2026-03-05"}, []string{
			"time range: " + first + " to " + last + " (no --ref_from, --ref_to)"}},
		{"run_timeline", map[string]string{"run": "nope", "from": "2026-03-03", "to": "now"}, []string{
			`no rows: nothing of run "nope" in 2026-03-03T00:00:00Z to 2026-03-07T00:00:00Z`}},
		{"run_timeline", map[string]string{"run": "nope", "tenant": "acme"}, []string{
			"time range: all of it, " + first + " to " + last + " (no --from, --to)",
			`no rows: nothing of run "nope", tenant "acme" in ` + first + " to " + last}},
		// No row of what is there may be good news: it is not said that there is no such tenant.
		{"duplicate_side_effects", map[string]string{"tenant": "acme", "from": "2026-03-02", "to": "now"}, []string{
			`no rows (asked for tenant "acme", in 2026-03-02T00:00:00Z to 2026-03-07T00:00:00Z)`}},
		{"loop_detector", map[string]string{"agent": "a", "from": "2026-03-02"}, []string{
			"time range: 2026-03-02T00:00:00Z to " + last + " (no --to)", `no rows (asked for agent "a", in 2026-03-02T00:00:00Z to ` + last + ")"}},
		// What they read begins before the one time that they are asked for.
		{"burn_rate", nil, []string{"time range: 2026-03-04T00:00:00Z to 2026-03-07T00:00:00Z (--to is now unless given)"}},
		{"error_budget", nil, []string{"time range: 2026-02-05T00:00:00Z to 2026-03-07T00:00:00Z (--to is now unless given)"}},
		{"error_budget", map[string]string{"period": "7d", "agent": "b"}, []string{
			"time range: 2026-02-28T00:00:00Z to 2026-03-07T00:00:00Z (--to is now unless given)",
			`no rows (asked for agent "b", in 2026-02-28T00:00:00Z to 2026-03-07T00:00:00Z)`}},
	} {
		require.Equal(t, c.want, ask(l, Options{}, c.query, c.params), c.query)
	}
	require.Nil(t, ask(l, Options{From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)}, "action_ledger", nil), "a session's range stands for from and to")
	empty := newLake(t)
	require.Equal(t, []string{"time range: all of it (no --from, --to)", `no rows: nothing of run "nope"`}, ask(empty, Options{}, "run_timeline", map[string]string{"run": "nope"}))
}

func TestExplainOfFilesElsewhereFetchesNothing(t *testing.T) {
	planner := emptyPlans(t)
	plan := planner.plans[catalog.AgentEvents]
	plan.SnapshotID, plan.FilesTotal, plan.BytesTotal = 42, 3, 900
	plan.Files = []catalog.PlannedFile{{URI: "s3://b/1.parquet", Size: 100}, {URI: "s3://b/2.parquet", Size: 200}}
	s := openTest(t, planner, Options{CacheDir: filepath.Join(t.TempDir(), "cache")})
	r, err := s.Explain(context.Background(), "FROM prompts")
	require.NoError(t, err)
	require.Empty(t, r.Plan)
	require.Equal(t, []TableReading{{Table: catalog.AgentEvents, Files: 2, FilesTotal: 3, Bytes: 300, BytesTotal: 900, Remote: 2, FetchBytes: 300}}, r.Tables)
	require.NoDirExists(t, s.opts.CacheDir)
}
