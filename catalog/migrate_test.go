package catalog

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// changeSchema changes agent_events as another engine may.
func changeSchema(t *testing.T, c *Catalog, change func(*table.UpdateSchema)) {
	t.Helper()
	tbl, err := c.load(context.Background(), AgentEvents)
	require.NoError(t, err)
	tx := tbl.ice.NewTransaction()
	update := tx.UpdateSchema(true, true)
	change(update)
	require.NoError(t, update.Commit())
	_, err = tx.Commit(context.Background())
	require.NoError(t, err)
}

func dropColumn(names ...string) func(*table.UpdateSchema) {
	return func(u *table.UpdateSchema) {
		for _, name := range names {
			u.DeleteColumn([]string{name})
		}
	}
}

// A table of an earlier release gets this release's columns by migrate only.
func TestMigrate(t *testing.T) {
	c := initTest(t, testConfig(t))
	ctx := context.Background()
	changes, err := c.Migrate(ctx, MigrateOptions{})
	require.NoError(t, err)
	require.Empty(t, changes)

	changeSchema(t, c, dropColumn("variant", "finish_reasons"))
	old := eventBatch(t, c, 0, 3)
	_, err = c.CommitBatch(ctx, AgentEvents, old) // an old table still takes rows
	require.NoError(t, err)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	require.Equal(t, []string{"finish_reasons", "variant"}, tbl.MissingColumns())
	before := eventBatch(t, c, 3, 6)

	want := []Change{
		{Table: AgentEvents, Change: ChangeAddColumn, Column: "finish_reasons", To: "list<string>"},
		{Table: AgentEvents, Change: ChangeAddColumn, Column: "variant", To: "string"},
	}
	for _, dryRun := range []bool{true, false} {
		changes, err = c.Migrate(ctx, MigrateOptions{DryRun: dryRun})
		require.NoError(t, err)
		require.Equal(t, want, changes)
	}
	_, err = c.CommitBatch(ctx, AgentEvents, before) // written before the change
	require.NoError(t, err)
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 6, 9))
	require.NoError(t, err)
	verifyClean(t, c)
	tbl, err = c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	require.Empty(t, tbl.MissingColumns())
	changes, err = c.Migrate(ctx, MigrateOptions{})
	require.NoError(t, err)
	require.Empty(t, changes)
}

// The partition spec changes while a batch is pending: its files keep the spec
// they were written by, and all are read, pruned and verified.
func TestMigratePartitionSpec(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	commit := func(b Batch) {
		t.Helper()
		_, err := c.CommitBatch(ctx, AgentEvents, b)
		require.NoError(t, err)
	}
	specs := [][]string{
		{"hour(event_time)", "bucket[4](session_id)"}, {"event_class", "truncate[3](source)", "month(event_time)"},
		{}, {"day(event_time)", "event_class"},
	}
	commit(eventBatch(t, c, 0, 10))
	next, from := int64(10), "day(event_time), event_class"
	for _, spec := range specs {
		pending := eventBatch(t, c, next, next+10)
		opts := MigrateOptions{PartitionBy: map[string][]string{AgentEvents: spec}}
		changes, err := c.Migrate(ctx, opts)
		require.NoError(t, err)
		to := strings.Join(spec, ", ")
		require.Equal(t, []Change{{Table: AgentEvents, Change: ChangePartitionBy, From: from, To: to}}, changes)
		changes, err = c.Migrate(ctx, opts)
		require.NoError(t, err)
		require.Empty(t, changes, "again")
		commit(pending)
		commit(eventBatch(t, c, next+10, next+20))
		next, from = next+20, to
	}
	report, err := c.Verify(ctx, VerifyOptions{Deep: true})
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.EqualValues(t, next, report.rows(AgentEvents))

	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for from, want := range map[time.Time]int{day: 9, day.Add(31 * 24 * time.Hour): 0} {
		plan, err := tbl.Plan(ctx, PlanOptions{From: from})
		require.NoError(t, err)
		require.Len(t, plan.Files, want)
	}
	plan, err := tbl.Plan(ctx, PlanOptions{})
	require.NoError(t, err)
	partitions := map[string]int{}
	for _, f := range plan.Files {
		partitions[f.Partition]++
	}
	require.Equal(t, map[string]int{
		"event_time_day=2026-11-24/event_class=prompt":               3,
		"event_time_hour=2026-11-24-00/session_id_bucket=3":          2,
		"event_class=prompt/source_trunc=x/event_time_month=2026-11": 2,
		"": 2,
	}, partitions)
}

// A configuration that leaves partition_by out has no wish: the spec that
// another engine made stays.
func TestMigrateKeepsForeignSpec(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	tx := tbl.ice.NewTransaction()
	require.NoError(t, tx.UpdateSpec(true).AddField("tenant", iceberg.IdentityTransform{}, "by_tenant").Commit())
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
	changes, err := c.Migrate(ctx, MigrateOptions{})
	require.NoError(t, err)
	require.Empty(t, changes)
	// The same terms in another order, under another field name, are no change.
	changes, err = c.Migrate(ctx, MigrateOptions{PartitionBy: map[string][]string{AgentEvents: {"tenant", "event_class", "day(event_time)"}}})
	require.NoError(t, err)
	require.Empty(t, changes)
}

// Sinks at work move the head, lose answers and come first: migrate lands once.
func TestMigrateBesideSinks(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t)
	var mu sync.Mutex
	faults := []func(land func() error) error{
		func(func() error) error { return errors.New("reset before") },
		func(land func() error) error { return errors.Join(land(), errors.New("reset after")) },
	}
	migrating := make(chan struct{})
	cfg.Intercept = func(name string, land func() error) error {
		mu.Lock()
		defer mu.Unlock()
		select {
		case <-migrating:
			if len(faults) > 0 {
				f := faults[0]
				faults = faults[1:]
				return f(land)
			}
		default:
		}
		return land()
	}
	c := initTest(t, cfg)
	changeSchema(t, c, dropColumn("variant"))
	stop, ended, sent := make(chan struct{}), make(chan struct{}), int64(0)
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, sent, sent+2)); err != nil {
				t.Error(err)
				return
			}
			sent += 2
		}
	}()
	close(migrating)
	opts := MigrateOptions{PartitionBy: map[string][]string{AgentEvents: {"day(event_time)", "tenant"}}}
	changes, err := c.Migrate(ctx, opts)
	require.NoError(t, err)
	require.Len(t, changes, 2)
	close(stop)
	<-ended
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, sent, sent+2))
	require.NoError(t, err)
	require.EqualValues(t, sent+2, verifyClean(t, c).rows(AgentEvents))
	changes, err = c.Migrate(ctx, opts)
	require.NoError(t, err)
	require.Empty(t, changes)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	require.Equal(t, "day(event_time), tenant", tbl.PartitionBy())
	require.Len(t, tbl.ice.Schemas(), 3, "made, dropped, added once")
}

// What is not additive is refused, before anything is changed.
func TestMigrateRefuses(t *testing.T) {
	ctx := context.Background()
	for name, tc := range map[string]struct {
		change func(*table.UpdateSchema)
		spec   []string
		want   string
	}{
		"retyped": {change: func(u *table.UpdateSchema) {
			u.DeleteColumn([]string{"duration_ms"}).AddColumn([]string{"duration_ms"}, iceberg.PrimitiveTypes.String, "", false, nil)
		}, want: "column duration_ms of table audit.agent_events is string, expected double: another engine changed the schema; change it back"},
		"dropped": {change: dropColumn("payload"), want: "table audit.agent_events has lost its column payload"},
		"another case": {change: func(u *table.UpdateSchema) { u.RenameColumn([]string{"variant"}, "Variant") },
			want: "has a column Variant and is to get variant"},
		"no such column": {spec: []string{"day(nothing)"}, want: `no column "nothing"`},
		"no such term":   {spec: []string{"week(event_time)"}, want: `unknown transform "week"`},
	} {
		t.Run(name, func(t *testing.T) {
			c := initTest(t, testConfig(t))
			if tc.change != nil {
				changeSchema(t, c, tc.change)
			}
			before, err := c.load(ctx, AgentEvents)
			require.NoError(t, err)
			_, err = c.Migrate(ctx, MigrateOptions{PartitionBy: map[string][]string{AgentEvents: tc.spec}})
			var config *ConfigError
			require.ErrorAs(t, err, &config)
			require.ErrorContains(t, err, tc.want)
			after, err := c.load(ctx, AgentEvents)
			require.NoError(t, err)
			require.Equal(t, before.MetadataLocation(), after.MetadataLocation())
		})
	}
}
