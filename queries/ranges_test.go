package queries

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

func extensionDir(t *testing.T) string {
	dir := part.Dir("duckdb-extensions")
	_, err := os.Stat(filepath.Join(dir, "version"))
	part.Need(t, "DuckDB's httpfs extension as a file", err == nil, ".ci/parts/duckdb-extensions")
	return dir
}

// s3Lake is a lake on a real S3 server, and a proxy before it that sees what
// queries ask of it.
func s3Lake(t *testing.T) (*lake, *faultproxy.HTTP, storage.Config) {
	server := storagetest.StartS3(t, "lake", "other")
	l := openLake(t, catalog.Config{
		Type: "sqlite", URI: filepath.Join(t.TempDir(), "catalog.db"), Warehouse: "s3://lake/some where", Create: true, Storage: storage.Config{S3: server},
	})
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	proxy := faultproxy.StartHTTP(t, server.Endpoint)
	server.Endpoint = proxy.URL
	return l, proxy, storage.Config{S3: server}
}

func TestDataFilesOnS3AreReadByRanges(t *testing.T) {
	ctx := context.Background()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // nothing asks a proxy for what this machine serves itself
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	questions := map[string]map[string]string{
		"action_ledger": {"from": "2026-03-03", "to": "2026-03-04"}, "cost_rollup": nil, "completeness": nil, "run_timeline": {"run": "r7"},
	}
	local, want := logLake(t).session(Options{}), map[string]string{}
	for name, params := range questions {
		var b strings.Builder
		_, err := local.Query(ctx, name, params, Output{Format: NDJSON}, &b)
		require.NoError(t, err)
		want[name] = b.String()
	}
	l, proxy, cfg := s3Lake(t)
	l.commit(readLog(t)...)
	opts := Options{Storage: cfg, ExtensionDir: extensionDir(t), CacheDir: filepath.Join(t.TempDir(), "cache")}
	s := openTest(t, Tables(l.cat), opts)
	before, err := s.ExplainQuery(ctx, "action_ledger", questions["action_ledger"])
	require.NoError(t, err)
	require.True(t, before.ByRanges)
	require.Empty(t, before.Plan)
	require.Empty(t, proxy.Kinds(""))

	for name, params := range questions {
		var have strings.Builder
		_, err = s.Query(ctx, name, params, Output{Format: NDJSON}, &have)
		require.NoError(t, err, name)
		require.Equal(t, want[name], have.String(), name)
	}
	require.NoDirExists(t, opts.CacheDir)
	for _, kind := range proxy.Kinds("") {
		require.Equal(t, "get", kind, "the plan knows names and sizes: nothing is listed or looked at")
	}

	// What the cache holds is read from there.
	whole := opts
	whole.ExtensionDir = ""
	require.Equal(t, "17", one(t, openTest(t, Tables(l.cat), whole), "SELECT count(*) FROM dead_letters"))
	n := len(proxy.Kinds(""))
	require.Equal(t, "17", one(t, s, "SELECT count(*) FROM dead_letters"))
	require.Len(t, proxy.Kinds(""), n)
}

// Of a large file only the columns and row groups are fetched that a question
// needs.
func TestRangesAreLessThanFiles(t *testing.T) {
	l, _, cfg := s3Lake(t)
	var rows []logRow
	for i := range 4000 {
		rows = append(rows, event(0, int64(i), fmt.Sprint("e", i), "2026-03-02T12:00:00Z", fmt.Sprintf(`,"data":{"x":%q}`, rand.Text()+rand.Text()+rand.Text())))
	}
	l.commit(rows...)
	var fetched int64
	s := openTest(t, Tables(l.cat), Options{Storage: cfg, ExtensionDir: extensionDir(t)})
	r := s.files.(*ranges)
	plain := r.open
	r.open = func(ctx context.Context, uri string) (readerAt, error) {
		f, err := plain(ctx, uri)
		return countingFile{f, &fetched}, err
	}
	plan, err := Tables(l.cat).Plan(context.Background(), catalog.AgentEvents, catalog.PlanOptions{})
	require.NoError(t, err)
	require.Len(t, plan.Files, 1)
	require.Greater(t, plan.Files[0].Size, int64(200_000))
	require.Equal(t, "4000", one(t, s, "SELECT count(*) FROM agent_log WHERE event_class = 'action'"))
	require.Less(t, fetched, plan.Files[0].Size/3, "of %d bytes", plan.Files[0].Size)
}

type countingFile struct {
	readerAt
	n *int64
}

func (f countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.readerAt.ReadAt(p, off)
	*f.n += int64(n)
	return n, err
}

// With httpfs loaded, and past the gate, the engine still reads the planned files
// and nothing else: no other address, bucket or key, and it has no secret.
func TestTheEngineIsLockedWithHTTPFSToo(t *testing.T) {
	ctx := context.Background()
	t.Setenv("AWS_ACCESS_KEY_ID", "a key of the environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "a secret of the environment")
	t.Setenv("AWS_SESSION_TOKEN", "a token of the environment")
	l, proxy, cfg := s3Lake(t)
	l.commit(readLog(t)...)
	s := openTest(t, Tables(l.cat), Options{Storage: cfg, ExtensionDir: extensionDir(t)})
	plan, err := Tables(l.cat).Plan(ctx, catalog.AgentEvents, catalog.PlanOptions{})
	require.NoError(t, err)
	other := httpServer(t)
	err = s.judged(ctx, statement{text: "SELECT count(*) FROM agent_log"}, window{}, func(ctx context.Context, j judgement) error {
		return s.opened(ctx, j, s.files, func(e *engine) error {
			requireSealed(t, e, proxy, other, plan)
			return nil
		})
	})
	require.NoError(t, err)
	var gate *GateError
	for _, sql := range []string{
		"FROM read_parquet(" + literal(plan.Files[0].URI) + ")", "FROM read_text('http://127.0.0.1')", "FROM " + literal(plan.Files[0].URI), "FROM glob('s3://lake/*')",
		"LOAD httpfs", "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')", "FROM duckdb_secrets()", "SET s3_endpoint = '127.0.0.1:1'", "FROM which_secret('s3://lake/x', 's3')",
		"COPY (SELECT 1) TO " + literal(plan.Files[0].URI), "COPY (SELECT 1) TO 's3://lake/x.parquet'", "ATTACH 'http://127.0.0.1/x.db' AS x", "SELECT current_setting('s3_secret_access_key')",
		"FROM duckdb_settings()", "SELECT file_name FROM lake.event_rows", "SELECT getvariable('files_of_event_rows')",
	} {
		err := run(s, sql)
		if !isSyntax(err) {
			require.ErrorAs(t, err, &gate, sql)
		}
	}
}

// httpServer is an address that nothing must be asked of.
func httpServer(t *testing.T) string {
	return faultproxy.StartHTTP(t, "http://127.0.0.1:1").URL
}

func requireSealed(t *testing.T, e *engine, proxy *faultproxy.HTTP, other string, plan *catalog.Plan) {
	ctx := context.Background()
	rows, err := queryText(ctx, e, "SELECT file_name::VARCHAR FROM lake.event_rows LIMIT 1", nil)
	require.NoError(t, err)
	served := rows[0][0].String
	require.True(t, strings.HasPrefix(served, loopback), served)
	base := served[:strings.LastIndex(served, "/")+1]
	server := served[:strings.Index(served[len(loopback):], "/")+len(loopback)]
	n := len(proxy.Kinds(""))
	for _, bad := range []string{
		plan.Files[0].URI, "s3://lake/x", "s3://lake/*", "s3://other/x", "s3a://lake/x", "gcs://lake/x", "r2://lake/x", "hf://datasets/a/b", other + "/x", "https://example.org/x", "http://169.254.169.254/latest/meta-data",
		proxy.URL + "/lake/x", served + "?x=1", served + "#x", base + "../" + filepath.Base(base) + "/0.parquet", base + "*.parquet", base + "?.parquet", base, server + "/", base + "9999.parquet", base + "0.parquet/", "HTTP" + served[4:],
		strings.Replace(served, "127.0.0.1", "localhost", 1), strings.Replace(served, "http://", "http://a@", 1), strings.Replace(served, "http:", "https:", 1), "/etc/passwd", "file:///etc/passwd", "//etc/passwd", "http://",
	} {
		for _, fn := range []string{"read_blob", "read_text", "glob", "read_parquet", "read_csv"} {
			err := e.exec(ctx, "FROM "+fn+"("+literal(bad)+")")
			require.Error(t, err, "%s(%s)", fn, bad)
		}
		require.Error(t, e.exec(ctx, "COPY (SELECT 1 AS a) TO "+literal(bad)), bad)
		require.Error(t, e.exec(ctx, "ATTACH "+literal(bad)+" AS x"), bad)
	}
	require.Len(t, proxy.Kinds(""), n, "the object store was asked")
	for _, sql := range []string{
		"SET s3_endpoint='x'", "SET http_proxy='x'", "SET ca_cert_file='/etc/passwd'", "RESET allowed_paths", "SET enable_external_access=true", "INSTALL aws", "LOAD aws", "INSTALL httpfs FROM 'http://x'",
		"COPY (SELECT 1) TO " + literal(served), "CREATE PERSISTENT SECRET p (TYPE s3, KEY_ID 'a', SECRET 'b')",
	} {
		require.Error(t, e.exec(ctx, sql), sql)
	}
	settings, err := queryText(ctx, e, "SELECT string_agg(value::VARCHAR) FROM duckdb_settings()", nil)
	require.NoError(t, err)
	require.NotContains(t, settings[0][0].String, "of the environment")
	secrets, err := queryText(ctx, e, "SELECT count(*)::VARCHAR FROM duckdb_secrets()", nil)
	require.NoError(t, err)
	require.Equal(t, "0", secrets[0][0].String)
	// A secret that got past the gate leads nowhere: no address of an object store may be read.
	require.NoError(t, e.exec(ctx, "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b', ENDPOINT "+literal(strings.TrimPrefix(other, "http://"))+", USE_SSL false, URL_STYLE 'path')"))
	require.Error(t, e.exec(ctx, "FROM read_blob('s3://lake/x')"))
	require.NoError(t, e.exec(ctx, "SELECT count(*) FROM agent_log"))
}

// The server behind it gives the planned files to who knows their names.
func TestTheRangeServerKnowsItsFilesOnly(t *testing.T) {
	ctx := context.Background()
	text := strings.Repeat("0123456789", 1000)
	file := catalog.PlannedFile{URI: "s3://b/a", Size: int64(len(text))}
	gone := catalog.PlannedFile{URI: "s3://b/gone", Size: 5}
	short := catalog.PlannedFile{URI: "s3://b/short", Size: int64(len(text)) + 1}
	s, err := serveRanges(ctx, []catalog.PlannedFile{file, gone, short}, func(_ context.Context, uri string) (readerAt, error) {
		if uri == gone.URI {
			return nil, os.ErrNotExist
		}
		return textFile{strings.NewReader(text)}, nil
	})
	require.NoError(t, err)
	ask := func(method, url, ranged string) (int, string) {
		r, err := http.NewRequest(method, url, nil)
		require.NoError(t, err)
		if ranged != "" {
			r.Header.Set("Range", ranged)
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct {
		method, name, ranged string
		code                 int
		body                 string
	}{
		{"GET", "0.parquet", "", 200, text}, {"HEAD", "0.parquet", "", 200, ""}, {"GET", "0.parquet", "bytes=5-9", 206, "56789"}, {"GET", "0.parquet", "bytes=9999-20000", 206, "9"},
		{"GET", "0.parquet", "bytes=9-5", 200, text}, {"GET", "0.parquet", "lines=1-2", 200, text}, {"PUT", "0.parquet", "", 404, ""}, {"DELETE", "0.parquet", "", 404, ""}, {"POST", "0.parquet", "", 404, ""},
		{"GET", "3.parquet", "", 404, ""}, {"GET", "-1.parquet", "", 404, ""}, {"GET", "0", "", 404, ""}, {"GET", "", "", 404, ""}, {"GET", "../0.parquet", "", 404, ""}, {"GET", "x/0.parquet", "", 404, ""},
		{"GET", "1.parquet", "bytes=0-1", 424, ""}, {"GET", "2.parquet", "bytes=10000-10000", 424, ""},
	} {
		code, body := ask(c.method, s.url+c.name, c.ranged)
		require.Equal(t, c.code, code, "%s %s", c.method, c.name)
		if c.code < 300 {
			require.Equal(t, c.body, body, "%s %s", c.name, c.ranged)
		}
	}
	require.ErrorContains(t, s.failure(), "read data file s3://b/gone: it is gone")
	code, _ := ask("GET", s.url[:strings.LastIndex(strings.TrimSuffix(s.url, "/"), "/")]+"/AAAA/0.parquet", "")
	require.Equal(t, 404, code)
	require.NoError(t, s.close())
	_, err = http.Get(s.url + "0.parquet")
	require.Error(t, err)
}

type textFile struct{ *strings.Reader }

func (textFile) Close() error { return nil }

func TestWhatFailsWhileRangesAreReadNamesTheFile(t *testing.T) {
	l, proxy, cfg := s3Lake(t)
	l.commit(readLog(t)[:100]...)
	cfg.S3.MaxAttempts = 1
	s := openTest(t, Tables(l.cat), Options{Storage: cfg, ExtensionDir: extensionDir(t), Timeout: time.Minute})
	proxy.Break("get", ".parquet", -1, faultproxy.Answers(http.StatusForbidden, "AccessDenied"))
	err := run(s, "SELECT count(DISTINCT payload) FROM agent_log")
	require.ErrorContains(t, err, "read data file s3://lake/some where/")
	require.ErrorContains(t, err, "denies access")
	require.NotContains(t, err.Error(), "HTTP Error")
	require.NotContains(t, err.Error(), "\n")
	proxy.Mend()
	proxy.Break("get", ".parquet", -1, faultproxy.Stalls)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(500*time.Millisecond, cancel)
	start := time.Now()
	_, err = s.SQL(ctx, "SELECT count(DISTINCT payload) FROM agent_log", Output{Format: CSV}, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(start), 10*time.Second)
	proxy.Mend()
	require.Equal(t, "99", one(t, s, "SELECT count(*) FROM agent_log"))
}

func TestAnExtensionThatCannotBeLoadedSaysWhichOneIsWanted(t *testing.T) {
	l, _, cfg := s3Lake(t)
	l.commit(readLog(t)[:100]...)
	dir := t.TempDir()
	fails := func(want string) {
		t.Helper()
		err := run(openTest(t, Tables(l.cat), Options{Storage: cfg, ExtensionDir: dir}), "SELECT count(*) FROM agent_log")
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "it must be that of DuckDB v1.5.5 for ")
		require.NotContains(t, err.Error(), "\n")
	}
	path := filepath.Join(dir, "httpfs.duckdb_extension")
	fails("there is no " + path)
	require.NoError(t, os.WriteFile(path, []byte("no extension"), 0o600))
	fails("load " + path + ": ")
	good, err := os.ReadFile(filepath.Join(extensionDir(t), "httpfs.duckdb_extension"))
	require.NoError(t, err)
	// One that somebody changed has a signature that does not fit.
	good[len(good)/2]++
	require.NoError(t, os.WriteFile(path, good, 0o600))
	fails("signature is either missing or invalid")
	good[len(good)/2]--
	other := []byte(strings.ReplaceAll(string(good), "v1.5.5\x00", "v1.5.4\x00"))
	require.NoError(t, os.WriteFile(path, other, 0o600))
	fails("built specifically for DuckDB version 'v1.5.4'")

	// DuckDB's own layout is found, and files of this machine need no extension.
	nested := filepath.Join(dir, "v1.5.5", platform(t))
	require.NoError(t, os.MkdirAll(nested, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(nested, "httpfs.duckdb_extension"), good, 0o600))
	require.Equal(t, "99", one(t, openTest(t, Tables(l.cat), Options{Storage: cfg, ExtensionDir: dir}), "SELECT count(*) FROM agent_log"))
	require.Equal(t, "737", one(t, openTest(t, logPlans(t, t.TempDir()), Options{ExtensionDir: "/nowhere"}), "SELECT count(*) FROM agent_log"))
}

func platform(t *testing.T) string {
	return one(t, openTest(t, emptyPlans(t), Options{}), "SELECT platform FROM pragma_platform()")
}
