package queries

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the catalog of a test lake
)

// foreign changes the lake's agent_events as another engine would, through the
// catalog alone.
func (l *lake) foreign(change func(*table.Transaction) error) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+l.cfg.URI+"?_pragma=busy_timeout(15000)")
	require.NoError(l.t, err)
	defer db.Close()
	cat, err := icesql.NewCatalog("auditlake", db, icesql.SQLite, iceberg.Properties{"warehouse": l.cfg.Warehouse})
	require.NoError(l.t, err)
	tbl, err := cat.LoadTable(ctx, table.Identifier{"audit", "agent_events"})
	require.NoError(l.t, err)
	tx := tbl.NewTransaction()
	require.NoError(l.t, change(tx))
	_, err = tx.Commit(ctx)
	require.NoError(l.t, err)
}

func renameAndAdd(tx *table.Transaction) error {
	return tx.UpdateSchema(true, false).
		RenameColumn([]string{"experiment"}, "trial").
		AddColumn([]string{"risk"}, iceberg.PrimitiveTypes.Int64, "added by hand", false, nil).
		UpdateColumn([]string{"kafka_partition"}, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Valid: true, Val: iceberg.PrimitiveTypes.Int64}}).
		DeleteColumn([]string{"variant"}).
		MoveFirst([]string{"tenant"}).Commit()
}

func TestColumnsThatMovedAreReadRight(t *testing.T) {
	l := newLake(t)
	const noon = "2026-03-02T12:00:00Z"
	before := l.commit(event(0, 1, "old", noon, `,"tenant":"acme","data":{"audit.experiment":"e1","audit.variant":"v1"}`))
	l.foreign(renameAndAdd)
	// The name of a column that went is taken by a new one.
	l.foreign(func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).AddColumn([]string{"variant"}, iceberg.PrimitiveTypes.String, "", false, nil).Commit()
	})
	l.commit(event(0, 2, "new", noon, `,"tenant":"globex","data":{"audit.experiment":"e2","audit.variant":"v2"}`))
	s := l.session(Options{})
	require.Equal(t, "new,globex,,v2,,0\nold,acme,e1,,,0", one(t, s, "SELECT event_id, tenant, trial, variant, risk, kafka_partition FROM agent_log ORDER BY event_id"))
	require.Equal(t, "2,0", one(t, s, "SELECT count(*), count(experiment) FROM actions"), "the column of this release that the table lost reads NULL")
	require.Equal(t, "e1,v1", one(t, l.session(Options{SnapshotID: before}), "SELECT experiment, variant FROM actions"), "time travel reads with the columns of its time")
}

func TestDeleteFilesOfOtherEnginesAreRefused(t *testing.T) {
	l := newLake(t)
	const monday, tuesday = "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z"
	before := l.commit(event(0, 1, "kept", monday, ""), event(0, 2, "gone", monday, ""), event(0, 3, "later", tuesday, ""))
	l.foreign(func(tx *table.Transaction) error {
		if err := tx.SetProperties(iceberg.Properties{table.WriteDeleteModeKey: table.WriteModeMergeOnRead}); err != nil {
			return err
		}
		return tx.Delete(context.Background(), iceberg.EqualTo(iceberg.Reference("event_id"), "gone"), nil)
	})
	for _, sql := range []string{"SELECT count(*) FROM agent_log", "SELECT count(*) FROM prompts"} {
		err := run(l.session(Options{}), sql)
		require.ErrorContains(t, err, "has delete files")
		require.ErrorContains(t, err, "rewrite_data_files")
	}
	from := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	require.Equal(t, "1", one(t, l.session(Options{From: from}), "SELECT count(*) FROM agent_log"), "the files of a window without delete files")
	_, err := l.session(Options{}).SetupScript(context.Background())
	require.ErrorContains(t, err, "has delete files")
	require.Equal(t, "3", one(t, l.session(Options{SnapshotID: before}), "SELECT count(*) FROM agent_log"))
}
