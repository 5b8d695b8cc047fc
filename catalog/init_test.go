package catalog

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icecat "github.com/apache/iceberg-go/catalog"
	"github.com/stretchr/testify/require"
)

func TestInitIsHarmlessTwice(t *testing.T) {
	c := openTest(t, testConfig(t))
	ctx := context.Background()
	_, err := c.Load(ctx, AgentEvents)
	require.ErrorIs(t, err, ErrNotInitialized)

	first, err := c.Init(ctx, InitOptions{})
	require.NoError(t, err)
	require.True(t, first.NamespaceCreated)
	require.Equal(t, []string{"audit.agent_events", "audit.dead_letters", "audit.maintenance_log"}, first.Created)

	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	second, err := c.Init(ctx, InitOptions{})
	require.NoError(t, err)
	require.Empty(t, second.Created)
	require.Len(t, second.Existed, 3)
	require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))
}

func TestInitRefuses(t *testing.T) {
	ctx := context.Background()
	foreign := func(t *testing.T, c *Catalog) {
		require.NoError(t, c.ice.CreateNamespace(ctx, []string{"audit"}, nil))
		_, err := c.ice.CreateTable(ctx, c.ident(AgentEvents), iceberg.NewSchema(0, required("a", iceberg.PrimitiveTypes.String, "")))
		require.NoError(t, err)
	}
	cases := []struct {
		name string
		make func(t *testing.T, c *Catalog)
		want string
	}{
		{"a table of somebody else", foreign, "was not made by auditlake"},
		{"a table missing beside one with rows", func(t *testing.T, c *Catalog) {
			_, err := c.Init(ctx, InitOptions{})
			require.NoError(t, err)
			_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
			require.NoError(t, err)
			require.NoError(t, c.ice.DropTable(ctx, c.ident(DeadLetters)))
		}, "init --repair"},
		{"metadata file gone", func(t *testing.T, c *Catalog) {
			_, err := c.Init(ctx, InitOptions{})
			require.NoError(t, err)
			tbl, err := c.Load(ctx, DeadLetters)
			require.NoError(t, err)
			require.NoError(t, os.Remove(localPath(tbl.MetadataLocation())))
		}, "restore the warehouse"},
		{"data files the catalog does not know", func(t *testing.T, c *Catalog) {
			dir := filepath.Join(localPath(c.tableLocation(AgentEvents)), "data")
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a.parquet"), []byte("x"), 0o644))
		}, "does not know"},
		{"a column another engine dropped", func(t *testing.T, c *Catalog) {
			_, err := c.Init(ctx, InitOptions{})
			require.NoError(t, err)
			tbl, err := c.load(ctx, AgentEvents)
			require.NoError(t, err)
			tx := tbl.ice.NewTransaction()
			require.NoError(t, tx.UpdateSchema(true, true).DeleteColumn([]string{"payload"}).Commit())
			_, err = tx.Commit(ctx)
			require.NoError(t, err)
		}, "lost its column payload"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := openTest(t, testConfig(t))
			tc.make(t, c)
			_, err := c.Init(ctx, InitOptions{})
			var cfgErr *ConfigError
			require.ErrorAs(t, err, &cfgErr)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, 2, cfgErr.ExitCode())
		})
	}
}

// Root may write anywhere: a file where a folder has to be stands in for a
// folder without permission, query_only for a read-only file.
func TestInitNotWritable(t *testing.T) {
	ctx := context.Background()
	t.Run("warehouse", func(t *testing.T) {
		cfg := testConfig(t)
		require.NoError(t, os.MkdirAll(localPath(cfg.Warehouse), 0o755))
		require.NoError(t, os.WriteFile(localPath(cfg.Warehouse)+"/audit", nil, 0o644))
		_, err := openTest(t, cfg).Init(ctx, InitOptions{})
		requireConfigError(t, err, "warehouse "+cfg.Warehouse+" cannot be")
	})
	t.Run("a folder of a table", func(t *testing.T) {
		cfg := testConfig(t)
		require.NoError(t, os.MkdirAll(localPath(cfg.Warehouse)+"/audit/agent_events", 0o755))
		require.NoError(t, os.WriteFile(localPath(cfg.Warehouse)+"/audit/agent_events/metadata", nil, 0o644))
		_, err := openTest(t, cfg).Init(ctx, InitOptions{})
		requireConfigError(t, err, "cannot be written: check that it can be reached")
	})
	t.Run("catalog folder", func(t *testing.T) {
		cfg := testConfig(t)
		dir := filepath.Dir(cfg.URI)
		require.NoError(t, os.WriteFile(dir+"/file", nil, 0o644))
		cfg.URI = dir + "/file/catalog.db"
		_, err := Open(ctx, cfg)
		requireConfigError(t, err, "catalog "+cfg.URI)
	})
	t.Run("catalog file", func(t *testing.T) {
		c := openTest(t, testConfig(t))
		c.db.SetMaxOpenConns(1) // the pragma is a connection's
		_, err := c.db.ExecContext(ctx, "PRAGMA query_only=1")
		require.NoError(t, err)
		_, err = c.Init(ctx, InitOptions{})
		requireConfigError(t, err, "is read-only: make the file")
	})
}

func TestInitRepairMakesWhatIsMissing(t *testing.T) {
	c := initTest(t, testConfig(t))
	ctx := context.Background()
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	require.NoError(t, c.ice.DropTable(ctx, c.ident(MaintenanceLog)))
	report, err := c.Init(ctx, InitOptions{Repair: true})
	require.NoError(t, err)
	require.Equal(t, []string{"audit.maintenance_log"}, report.Created)
}

func TestInitPartitionSpec(t *testing.T) {
	ctx := context.Background()
	c := openTest(t, testConfig(t))
	_, err := c.Init(ctx, InitOptions{PartitionBy: map[string][]string{AgentEvents: {"month(event_time)", "bucket[4](session_id)"}}})
	require.NoError(t, err)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	fields, err := tbl.PartitionFields()
	require.NoError(t, err)
	require.Equal(t, "event_time", fields[0].Column)
	require.Equal(t, "session_id", fields[1].Column)

	for terms, want := range map[string]string{
		"week(event_time)": "unknown transform", "day(nope)": "no column", "day(event_class)": "does not apply",
	} {
		_, err := openTest(t, testConfig(t)).Init(ctx, InitOptions{PartitionBy: map[string][]string{AgentEvents: {terms}}})
		require.ErrorContains(t, err, want)
	}
}

func TestOpenMistakes(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	require.NoError(t, os.WriteFile(text, []byte("this is no database, it only looks long enough to be one"), 0o644))
	for want, cfg := range map[string]Config{
		"catalog.type":             {Type: "oracle"},
		"is not set":               {Type: "sqlite"},
		"does not exist":           {Type: "sqlite", URI: filepath.Join(dir, "no.db")},
		"is a folder":              {Type: "sqlite", URI: dir, Create: true},
		"that it is a SQLite file": {Type: "sqlite", URI: text},
		"cannot be read":           {Type: "sqlite", URI: filepath.Join(text, "x", "c.db"), Create: true},
	} {
		_, err := Open(context.Background(), cfg)
		require.ErrorContains(t, err, want)
		var cfgErr *ConfigError
		require.ErrorAs(t, err, &cfgErr)
	}
}

func TestPlanTimeTravelAndPruning(t *testing.T) {
	c := initTest(t, testConfig(t))
	ctx := context.Background()
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	plan, err := tbl.Plan(ctx, PlanOptions{})
	require.NoError(t, err)
	require.Zero(t, plan.SnapshotID)
	require.Empty(t, plan.Files)
	require.NotEmpty(t, plan.Columns)

	one, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	between := time.Now()
	time.Sleep(5 * time.Millisecond)
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 3, 6))
	require.NoError(t, err)
	tbl, err = c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	files := func(opts PlanOptions) int {
		plan, err := tbl.Plan(ctx, opts)
		require.NoError(t, err)
		return len(plan.Files)
	}
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC) // of every row
	require.Equal(t, 2, files(PlanOptions{}))
	require.Equal(t, 1, files(PlanOptions{SnapshotID: one.SnapshotID}))
	require.Equal(t, 1, files(PlanOptions{AsOf: between}))
	require.Equal(t, 2, files(PlanOptions{From: day, To: day.AddDate(0, 0, 1)}))
	require.Equal(t, 0, files(PlanOptions{From: day.AddDate(0, 0, 1)}))
	require.Equal(t, 0, files(PlanOptions{To: day}))
	plan, err = tbl.Plan(ctx, PlanOptions{})
	require.NoError(t, err)
	var bytes int64
	for _, f := range plan.Files {
		bytes += f.Size
		require.Equal(t, 1, f.RowGroups)
		require.Equal(t, day, f.First.Truncate(24*time.Hour))
		require.False(t, f.Last.Before(f.First))
		require.Equal(t, day, f.Last.Truncate(24*time.Hour))
	}
	require.Equal(t, plan.BytesTotal, bytes)
	_, err = tbl.Plan(ctx, PlanOptions{SnapshotID: 7})
	require.ErrorContains(t, err, "no snapshot 7")
	_, err = tbl.Plan(ctx, PlanOptions{AsOf: day.AddDate(-1, 0, 0)})
	require.ErrorContains(t, err, "no snapshot as old")
}

// Load tells a table that is not there from one that is not ours.
func TestLoadNamesTheNamespace(t *testing.T) {
	cfg := testConfig(t)
	cfg.Namespace = "a.b"
	c := initTest(t, cfg)
	tbl, err := c.Load(context.Background(), DeadLetters)
	require.NoError(t, err)
	require.Contains(t, tbl.Location(), "/a/b/dead_letters")
	ok, err := c.ice.CheckTableExists(context.Background(), []string{"a", "b", "dead_letters"})
	require.NoError(t, err)
	require.True(t, ok)
	require.NotErrorIs(t, err, icecat.ErrNoSuchTable)
}
