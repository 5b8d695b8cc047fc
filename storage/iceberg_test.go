package storage_test

import (
	"context"
	"database/sql"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icecat "github.com/apache/iceberg-go/catalog"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/auditlake/auditlake/storage"
)

// TestIceberg lets iceberg-go write, read and clean up a table whose data is in
// another folder or bucket than its metadata.
func TestIceberg(t *testing.T) {
	t.Run("local", func(t *testing.T) {
		dir := t.TempDir()
		storage.Register(storage.Config{})
		testIceberg(t, localPlace(t, "file://"+dir+"/one", "file://"+dir+"/two"))
	})
	t.Run("S3", func(t *testing.T) {
		l := newLab(t)
		storage.Register(storage.Config{S3: l.cfg})
		testIceberg(t, l.direct)
		require.NotZero(t, l.Count("put", "two/data/"))
		require.LessOrEqual(t, l.Connections(), 8)
	})
}

func testIceberg(t *testing.T, p place) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", t.TempDir()+"/catalog.db")
	require.NoError(t, err)
	defer db.Close()
	cat, err := icesql.NewCatalog("test", db, icesql.SQLite, iceberg.Properties{"warehouse": p.root, "init_catalog_tables": "true"})
	require.NoError(t, err)
	require.NoError(t, cat.CreateNamespace(ctx, table.Identifier{"ns"}, nil))
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	tbl, err := cat.CreateTable(ctx, table.Identifier{"ns", "t"}, schema,
		icecat.WithProperties(iceberg.Properties{"write.data.path": p.other + "/data"}))
	require.NoError(t, err)

	var want []int64
	for i := range int64(3) {
		want = append(want, i, i+100)
		rows := rowsOf(i, i+100)
		tbl, err = tbl.AppendTable(ctx, rows, 10, nil)
		rows.Release()
		require.NoError(t, err)
	}
	slices.Sort(want)
	tbl, err = cat.LoadTable(ctx, table.Identifier{"ns", "t"})
	require.NoError(t, err)
	require.Equal(t, want, numbersIn(t, tbl))
	require.Len(t, p.files(t, p.other), 3)
	require.NotEmpty(t, p.files(t, p.root))

	// A writer that died is found as an orphan, and the table's files are not.
	orphan := tbl.Location() + "/data/orphan.parquet"
	require.NoError(t, p.WriteFile(orphan, nil))
	orphans, err := tbl.PlanOrphanFiles(ctx, table.WithFilesOlderThan(time.Nanosecond))
	require.NoError(t, err)
	_, err = tbl.ExecuteOrphanCleanup(ctx, orphans)
	require.NoError(t, err)
	p.requireMissing(t, orphan)
	require.Equal(t, want, numbersIn(t, tbl))

	// Expiry deletes the files of a table emptied before.
	tx := tbl.NewTransaction()
	require.NoError(t, tx.Delete(ctx, iceberg.AlwaysTrue{}, nil))
	tbl, err = tx.Commit(ctx)
	require.NoError(t, err)
	tx = tbl.NewTransaction()
	require.NoError(t, tx.ExpireSnapshots(table.WithOlderThan(time.Nanosecond), table.WithRetainLast(1)))
	tbl, err = tx.Commit(ctx)
	require.NoError(t, err)
	require.Empty(t, numbersIn(t, tbl))
	_, err = p.Stat(p.other + "/data")
	if err == nil { // local disk keeps the folder
		require.Empty(t, p.files(t, p.other))
	} else {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

func rowsOf(numbers ...int64) arrow.Table {
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	builder.Field(0).(*array.Int64Builder).AppendValues(numbers, nil)
	batch := builder.NewRecordBatch()
	defer batch.Release()
	return array.NewTableFromRecords(schema, []arrow.RecordBatch{batch})
}

func numbersIn(t *testing.T, tbl *table.Table) (numbers []int64) {
	t.Helper()
	rows, err := tbl.Scan().ToArrowTable(context.Background())
	require.NoError(t, err)
	defer rows.Release()
	for _, chunk := range rows.Column(0).Data().Chunks() {
		numbers = append(numbers, chunk.(*array.Int64).Int64Values()...)
	}
	slices.Sort(numbers)
	return numbers
}
