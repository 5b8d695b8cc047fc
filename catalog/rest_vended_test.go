package catalog

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// Keys that the catalog gives with a table reach its files, and no other's; they
// are renewed.
func TestRESTVendedKeys(t *testing.T) {
	ctx := context.Background()
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	s3 := storagetest.StartS3(t, "lake")
	gate := catalogtest.StartS3Gate(t, s3, time.Hour)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, Vend: gate})
	// Nothing of ours: not where the store is, not a key.
	t.Setenv("AWS_ACCESS_KEY_ID", "not-for-the-lake")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-for-the-lake")
	cfg := Config{Type: "rest", URI: rest.URI, Create: true}
	c := initTest(t, cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	_, err = c.CommitBatch(ctx, DeadLetters, Batch{ID: "d", Ranges: []Range{{TopicPartition: testTP, Start: 0, End: 3, Events: 3}}})
	require.NoError(t, err)
	require.Len(t, gate.Served(), 2)
	require.Empty(t, gate.Refused())

	// A table in use outlives its keys.
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	writing := eventBatch(t, c, 3, 5)
	gate.Expire()
	plan, err := tbl.Plan(ctx, PlanOptions{})
	require.NoError(t, err)
	io, err := storage.New(ctx, plan.Files[0].URI, c.Storage()) // as queries do
	require.NoError(t, err)
	gate.Expire()
	data, err := io.ReadFile(plan.Files[0].URI)
	require.NoError(t, err)
	require.Len(t, data, int(plan.Files[0].Size))
	gate.Expire()
	_, err = c.CommitBatch(ctx, AgentEvents, writing)
	require.NoError(t, err)
	gate.Expire()
	require.EqualValues(t, 5, verifyClean(t, c).rows(AgentEvents))
	for _, refused := range gate.Refused() {
		require.Contains(t, refused, "has expired", "only that: no key was used elsewhere")
	}

	// Without asking for keys there are none, and ours are no good.
	cfg.REST.NoVendedCredentials = true
	cfg.Storage.S3 = storage.S3Config{Endpoint: gate.Endpoint, Region: s3.Region, PathStyle: true, AccessKeyID: "ours", SecretAccessKey: "ours", MaxAttempts: 1}
	plain := openTest(t, cfg)
	tbl, err = plain.Load(ctx, AgentEvents)
	require.NoError(t, err)
	_, err = tbl.Plan(ctx, PlanOptions{})
	require.ErrorContains(t, err, "does not know the access key id")
	cfg.Storage.S3 = s3
	require.EqualValues(t, 5, verifyClean(t, openTest(t, cfg)).rows(AgentEvents))

	// Nor where the server gives some to whoever does not ask.
	rest.Vends(catalogtest.VendAll)
	cfg.Storage.S3.Endpoint, cfg.Storage.S3.MaxAttempts = gate.Endpoint, 1
	before := len(gate.Refused())
	tbl, err = openTest(t, cfg).Load(ctx, AgentEvents)
	require.NoError(t, err)
	_, err = tbl.Plan(ctx, PlanOptions{})
	require.ErrorContains(t, err, "does not know the access key id")
	require.Greater(t, len(gate.Refused()), before)

	// A server that gives no more keys: what it gave is not used any more.
	cfg.REST.NoVendedCredentials, cfg.Storage.S3 = false, s3
	mine := openTest(t, cfg)
	_, err = mine.Load(ctx, AgentEvents)
	require.NoError(t, err)
	rest.Vends(catalogtest.VendNone)
	gate.Expire()
	before = len(gate.Refused())
	require.EqualValues(t, 5, verifyClean(t, mine).rows(AgentEvents))
	require.Len(t, gate.Refused(), before)
}

// Before they expire, too: nothing is refused where the catalog says when.
func TestRESTVendedKeysAreRenewedInTime(t *testing.T) {
	ctx := context.Background()
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	s3 := storagetest.StartS3(t, "lake")
	gate := catalogtest.StartS3Gate(t, s3, 6*time.Second)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, Vend: gate})
	c := initTest(t, Config{Type: "rest", URI: rest.URI, Create: true})
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		_, err := tbl.Plan(ctx, PlanOptions{})
		require.NoError(t, err)
	}
	require.Empty(t, gate.Refused())
}
