package queries

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

func TestALakeOnS3IsReadThroughTheCache(t *testing.T) {
	server := storagetest.StartS3(t, "lake")
	l := openLake(t, catalog.Config{
		Type: "sqlite", URI: filepath.Join(t.TempDir(), "catalog.db"), Warehouse: "s3://lake/some where", Create: true, Storage: storage.Config{S3: server},
	})
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	l.commit(readLog(t)[:100]...) // two of them dead letters, one that landed twice
	opts := Options{CacheDir: filepath.Join(t.TempDir(), "cache")}
	require.Equal(t, "99", one(t, l.session(opts), "SELECT count(*) FROM agent_log"))
	var b strings.Builder
	_, err := l.session(opts).Query(context.Background(), "completeness", nil, Output{Format: CSV}, &b)
	require.NoError(t, err)
	require.Empty(t, runDirs(t, opts.CacheDir))

	script, err := l.session(opts).SetupScript(context.Background())
	require.NoError(t, err)
	require.Contains(t, script, "ENDPOINT '"+strings.TrimPrefix(server.Endpoint, "http://")+"', USE_SSL false, URL_STYLE 'path'")
	require.NotContains(t, script, server.SecretAccessKey)

	// What is gone from the bucket is still in the cache; without that it is an error that names the file.
	plan, err := Tables(l.cat).Plan(context.Background(), catalog.AgentEvents, catalog.PlanOptions{})
	require.NoError(t, err)
	gone := plan.Files[0].URI
	_, err = storagetest.Client(server).DeleteObject(context.Background(), &s3.DeleteObjectInput{
		Bucket: aws.String("lake"), Key: aws.String(strings.TrimPrefix(gone, "s3://lake/"))})
	require.NoError(t, err)
	require.Equal(t, "99", one(t, l.session(opts), "SELECT count(*) FROM agent_log"))
	opts.CacheDir = filepath.Join(t.TempDir(), "cold")
	err = run(l.session(opts), "SELECT count(*) FROM agent_log")
	require.ErrorContains(t, err, "fetch data file "+gone+": it is gone: if another engine has just rewritten the table ask again, else restore it; `auditlake verify`")
	require.NotContains(t, err.Error(), "\n")
}

// Only the data files that the plan needs are asked for, each once, and explain
// says so before.
func TestOnlyPlannedFilesAreFetched(t *testing.T) {
	ctx := context.Background()
	server := storagetest.StartS3(t, "lake")
	l := openLake(t, catalog.Config{
		Type: "sqlite", URI: filepath.Join(t.TempDir(), "catalog.db"), Warehouse: "s3://lake/wh", Create: true, Storage: storage.Config{S3: server},
	})
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	l.commit(readLog(t)...)
	proxy := faultproxy.StartHTTP(t, server.Endpoint)
	watched := server
	watched.Endpoint = proxy.URL
	var bytes, shown int64
	s := openTest(t, Tables(l.cat), Options{Storage: storage.Config{S3: watched}, CacheDir: filepath.Join(t.TempDir(), "cache"),
		Progress: func(total int64) Progress { bytes = total; return &counter{&shown} }})
	params := map[string]string{"from": "2026-03-03", "to": "2026-03-04"}

	before, err := s.ExplainQuery(ctx, "action_ledger", params)
	require.NoError(t, err)
	planned := before.Tables[0]
	require.Greater(t, planned.Files, 0)
	require.Less(t, int64(planned.Files), planned.FilesTotal)
	require.Equal(t, planned.Files, planned.Remote)
	require.Zero(t, planned.Cached)
	require.Equal(t, planned.Bytes, planned.FetchBytes)
	require.Empty(t, before.Plan)
	require.Empty(t, proxy.Kinds(""), "explain asks the object store for no data file")

	res, err := s.Query(ctx, "action_ledger", params, Output{Format: CSV}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, planned.Files, res.Files)
	require.Equal(t, planned.Files, proxy.Count("get", ".parquet"))
	require.Equal(t, planned.FetchBytes, bytes)
	require.Equal(t, bytes, shown)

	after, err := s.ExplainQuery(ctx, "action_ledger", params)
	require.NoError(t, err)
	require.Equal(t, planned.Files, after.Tables[0].Cached)
	require.Zero(t, after.Tables[0].FetchBytes)
	require.Contains(t, after.Plan, "PARQUET")
	_, err = s.Query(ctx, "action_ledger", params, Output{Format: CSV}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, planned.Files, proxy.Count("get", ".parquet"), "nothing is fetched twice")
}

type counter struct{ n *int64 }

func (c *counter) Add(n int64) { atomic.AddInt64(c.n, n) }
func (c *counter) Done()       {}
