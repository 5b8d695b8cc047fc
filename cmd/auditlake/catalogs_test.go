package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

func s3Lines(s3 storage.S3Config) string {
	return fmt.Sprintf("s3: {endpoint: %q, region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}",
		s3.Endpoint, s3.Region, s3.AccessKeyID, s3.SecretAccessKey)
}

// theWholePath is what a user does, on a lab that init has made.
func theWholePath(l *lab) {
	t := l.t
	for i := range 300 {
		l.send(recordOf(i%3, prompt(i)), recordOf(i%3, fmt.Appendf(nil, "no event %d", i)))
	}
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, 300, l.value(`SELECT count(*) FROM agent_events`))
	require.Contains(t, l.must("query", "completeness"), labTopic)
	require.Contains(t, l.must("status"), "audit.agent_events")
	require.Equal(t, "no event 7", l.must("dead-letters", "show", labTopic+"/1/5"))
	for i := range 30 {
		l.send(recordOf(i%3, prompt(1000+i)))
	}
	l.catchUp()
	require.Contains(t, l.must("verify", "--deep"), "verified: every record")
	require.EqualValues(t, 330, l.value(`SELECT count(*) FROM agent_events`))
	require.Contains(t, l.must("init"), "exists  audit.agent_events")
}

// mistake is a configuration in which something else stands; the command must end
// with a code, one line and no secret.
func (l *lab) mistake(code int, old, with, want string, args ...string) {
	l.t.Helper()
	wrong := writeFile(l.t, l.dir, "wrong.yaml", replaceOne(l.t, readFile(l.t, l.config), old, with))
	r := call(l.t, append([]string{"-c", wrong, "--log-level", "error"}, args...)...)
	require.Equal(l.t, code, r.code, r.stderr)
	require.Contains(l.t, r.stderr, want)
	require.Equal(l.t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	for _, secret := range []string{"pg-test-password", "test-secret-key", "se:cret", "hidden-pw"} {
		require.NotContains(l.t, r.stderr, secret)
	}
}

func TestPostgresAndS3(t *testing.T) {
	s3, pg := storagetest.StartS3(t, "lake"), catalogtest.StartPostgres(t)
	t.Setenv("LAKE_PASSWORD", "pg-test-password")
	uri := strings.Replace(pg.URI, ":pg-test-password@", "@", 1)
	l := newLab(t, fmt.Sprintf("catalog: {type: postgres, uri: %q, password: \"${LAKE_PASSWORD}\"}", uri),
		"warehouse: s3://lake/warehouse", s3Lines(s3), fmt.Sprintf("sql: {cache_dir: %q}", t.TempDir()))
	theWholePath(l)
	require.Contains(t, l.must("sql", "--setup"), "iceberg_scan('s3://lake/warehouse/audit/agent_events/metadata/")

	l.mistake(exitUsage, "${LAKE_PASSWORD}", "hidden-pw", "PostgreSQL refuses the login", "verify")
	l.mistake(exitUsage, "/lake\"", "/sea\"", "does not exist", "status")
	l.mistake(exitUsage, "postgres://", "mysql://", "is no address of a PostgreSQL database", "status")
	l.mistake(exitUsage, "type: postgres,", "type: postgres, namespace: other,", "run `auditlake init`", "run", "--until-caught-up")
	l.mistake(exitUsage, "type: postgres,", "type: postgres, namespace: \"a b\",", "has characters that not every engine takes", "init")
	pg.Kill()
	r := l.call("run", "--until-caught-up")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "cannot be reached: start it, or correct catalog.uri")
	require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	pg.Start()
	l.requireVerified()
}

// A bucket that is not there is a matter of configuration.
func TestPostgresAndAMissingBucket(t *testing.T) {
	s3, pg := storagetest.StartS3(t, "lake"), catalogtest.StartPostgres(t)
	l := newLab(t, fmt.Sprintf("catalog: {type: postgres, uri: %q}", pg.URI), "warehouse: s3://lake/warehouse", s3Lines(s3))
	text := replaceOne(t, readFile(t, l.config), "s3://lake/", "s3://lack/")
	r := call(t, "-c", writeFile(t, l.dir, "wrong.yaml", replaceOne(t, text, "type: postgres,", "type: postgres, namespace: other,")), "init")
	require.Equal(t, exitUsage, r.code, r.stderr)
	require.Contains(t, r.stderr, `bucket "lack" does not exist`)
	require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
}

func TestRESTAndS3(t *testing.T) {
	s3 := storagetest.StartS3(t, "lake")
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, JDBC: catalogtest.StartPostgres(t).JDBC,
		Auth: catalogtest.Auth{Bearer: "hidden-pw"}})
	t.Setenv("LAKE_TOKEN", "hidden-pw")
	l := newLab(t, fmt.Sprintf("catalog: {type: rest, uri: %q, rest: {token: \"${LAKE_TOKEN}\"}}", rest.URI),
		"warehouse: s3://lake/tables", s3Lines(s3), fmt.Sprintf("sql: {cache_dir: %q}", t.TempDir()))
	theWholePath(l)
	require.Contains(t, l.must("sql", "--setup"), "iceberg_scan('s3://lake/tables/audit/agent_events/metadata/")

	l.mistake(exitUsage, "${LAKE_TOKEN}", "other", "refuses access (HTTP 401): correct catalog.rest.token", "verify")
	l.mistake(exitUsage, "type: rest,", "type: rest, namespace: other,", "run `auditlake init`", "status")
	l.config = writeFile(t, l.dir, "other.yaml", replaceOne(t, readFile(t, l.config), "type: rest,", "type: rest, namespace: other,"))
	l.mistake(exitFailed, "s3://lake/tables", "s3://lack/tables", "The specified bucket does not exist", "init")
	rest.Kill()
	r := l.call("status")
	require.Equal(t, exitFailed, r.code)
	require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
}

// Keys of ours are not needed where the catalog vends them, and they end in the
// middle of it.
func TestRESTVendsEverything(t *testing.T) {
	s3 := storagetest.StartS3(t, "lake")
	gate := catalogtest.StartS3Gate(t, s3, 4*time.Second)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, JDBC: catalogtest.StartPostgres(t).JDBC, Vend: gate,
		Auth: catalogtest.Auth{ClientID: "sink", ClientSecret: "se:cret", TokenLife: 2 * time.Second, ExpiresIn: time.Hour}})
	t.Setenv("LAKE_CREDENTIAL", "sink:se:cret")
	l := newLab(t, fmt.Sprintf("catalog: {type: rest, uri: %q, rest: {credential: \"${LAKE_CREDENTIAL}\"}}", rest.URI),
		"warehouse: s3://lake/tables", fmt.Sprintf("sql: {cache_dir: %q}", t.TempDir()))
	theWholePath(l)
	require.Equal(t, l.must("query", "completeness", "-o", "csv"), l.must("query", "completeness", "-o", "csv", "--extension-directory", duckdbExtensions(t)))
	r := l.call("sql", "--setup")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "which a script cannot hold")
	require.Len(t, gate.Served(), 2, "each table's files by its own key")
	for _, refused := range gate.Refused() {
		require.Contains(t, refused, "has expired")
	}
	l.mistake(exitUsage, "${LAKE_CREDENTIAL}", "sink:hidden-pw", "refuses catalog.rest.credential", "verify")
}
