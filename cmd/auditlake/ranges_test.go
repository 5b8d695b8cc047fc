package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// duckdbExtensions is a folder with DuckDB's httpfs extension.
func duckdbExtensions(t *testing.T) string {
	dir := part.Dir("duckdb-extensions")
	_, err := os.Stat(filepath.Join(dir, "version"))
	part.Need(t, "DuckDB's httpfs extension as a file", err == nil, ".ci/parts/duckdb-extensions")
	return dir
}

func TestQueriesOnS3ByRanges(t *testing.T) {
	dir := duckdbExtensions(t)
	s3 := storagetest.StartS3(t, "lake")
	cache := filepath.Join(t.TempDir(), "cache")
	l := newLab(t, "warehouse: s3://lake/warehouse", s3Lines(s3), fmt.Sprintf("sql: {cache_dir: %q}", cache))
	for i := range 30 {
		l.send(recordOf(i%3, prompt(i)))
	}
	l.catchUp()
	const sql = "SELECT count(*) AS n FROM agent_events"
	require.Contains(t, l.must("sql", "--explain", sql, "--extension-directory", dir), "on the object store only what is needed is read.")
	require.Regexp(t, `0 data files are in the cache, [1-9]\d* must be fetched first \(\d`, l.must("sql", "--explain", sql))
	require.Equal(t, "n\n30\n", l.must("sql", "-o", "csv", sql, "--extension-directory", dir))
	require.NoDirExists(t, cache)
	require.Contains(t, l.must("query", "completeness", "-o", "csv", "--extension-directory", dir), labTopic)
	requireOneLine(t, l.call("sql", sql, "--extension-directory", cache), exitUsage, "there is no "+cache, "duckdb-extension-httpfs==1.5.5")
	configured := writeFile(t, l.dir, "ranges.yaml", replaceOne(t, readFile(t, l.config), "sql: {", fmt.Sprintf("sql: {extension_directory: %q, ", dir)))
	require.Equal(t, "n\n30\n", mustCall(t, "-c", configured, "sql", "-o", "csv", sql))
	// Keys that the AWS SDK finds.
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretAccessKey)
	found := writeFile(t, l.dir, "found.yaml", replaceOne(t, readFile(t, configured), s3Lines(s3), fmt.Sprintf("s3: {endpoint: %q, path_style: true}", s3.Endpoint)))
	require.Equal(t, "n\n30\n", mustCall(t, "-c", found, "sql", "-o", "csv", sql))
	require.NoDirExists(t, cache)
	require.Equal(t, "n\n30\n", l.must("sql", "-o", "csv", sql))
	require.Contains(t, l.must("sql", "--explain", sql), ", 0 must be fetched first")
}
