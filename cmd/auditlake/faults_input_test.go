package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// requireOneLine wants a command to end with a code and one line on stderr that holds
// each of texts.
func requireOneLine(t *testing.T, r result, code int, texts ...string) {
	t.Helper()
	require.Equal(t, code, r.code, "%s%s", r.stdout, r.stderr)
	require.True(t, strings.HasPrefix(r.stderr, "auditlake: "), r.stderr)
	require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	for _, text := range texts {
		require.Contains(t, r.stderr, text)
	}
}

func (l *lab) sendPrompts(from, to int) {
	for i := from; i < to; i++ {
		l.send(recordOf(i%3, prompt(i)))
	}
}

// What is wrong with the way to a bucket, at a real S3 server: one line that says what
// to do, for a job and a daemon, and nothing is lost by it.
func TestMistakesWithS3(t *testing.T) {
	s3 := storagetest.StartS3(t, "lake")
	weak := storagetest.AddUser(t, s3, "weak", "weak-secret")
	l := newLab(t, "warehouse: s3://lake/warehouse", s3Lines(s3), fmt.Sprintf("sql: {cache_dir: %q}", t.TempDir()), "metrics: {listen: off}")
	l.sendPrompts(0, 30)
	l.catchUp()
	l.sendPrompts(30, 60)
	good := readFile(t, l.config)
	wrong := func(old, with string) *lab {
		other := *l
		other.config = writeFile(t, l.dir, "wrong.yaml", strings.Replace(good, old, with, 1))
		require.NotEqual(t, good, readFile(t, other.config))
		return &other
	}
	for _, tc := range []struct {
		name, old, with string
		code            int
		want            string
	}{
		{"secret", s3.SecretAccessKey, "hidden-pw", exitUsage, "the secret access key does not belong to the access key id: correct it (s3.secret_access_key"},
		{"key id", s3.AccessKeyID, "nobody", exitUsage, "does not know the access key id: correct it (s3.access_key_id"},
		{"permission", s3Lines(s3), s3Lines(weak), exitUsage, "denies access: allow these credentials s3:GetObject, s3:PutObject"},
		{"nobody there", s3.Endpoint, "http://127.0.0.1:1", exitFailed, "nothing answers at http://127.0.0.1:1: start the object store, or correct s3.endpoint"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other := wrong(tc.old, tc.with)
			commands := [][]string{{"run"}, {"run", "--until-caught-up"}, {"verify"}, {"status"}, {"sql", "SELECT count(*) FROM agent_events"}}
			if tc.code == exitFailed {
				commands = commands[:1] // each asks five times
			}
			for _, args := range commands {
				r := other.call(args...)
				requireOneLine(t, r, tc.code, tc.want, "s3://lake/warehouse/audit/")
				require.NotContains(t, r.stderr, "hidden-pw")
			}
		})
	}
	t.Run("bucket", func(t *testing.T) {
		other := wrong("s3://lake/", "s3://lack/")
		other.config = writeFile(t, l.dir, "lack.yaml", strings.Replace(readFile(t, other.config), "catalog.db", "other.db", 1))
		requireOneLine(t, other.call("init"), exitUsage, `bucket "lack" does not exist at `+s3.Endpoint+": make it, or correct the location")
	})
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, 60, l.value(`SELECT count(*) FROM agent_events`))
}

// The catalog is down at the start, which ends a daemon, and in mid-run, which does not.
func TestCatalogGoesAndComesBack(t *testing.T) {
	pg := catalogtest.StartPostgres(t)
	address := freeAddress(t)
	l := newLab(t, fmt.Sprintf("catalog: {type: postgres, uri: %q}", pg.URI), "sink: {target_lag: 100ms}",
		"metrics: {listen: \""+address+"\", ready_lag: 2s, stalled_after: 4s}")
	w := &watched{lab: l, address: address}
	l.sendPrompts(0, 30)
	pg.Kill()
	for _, args := range [][]string{{"run"}, {"run", "--until-caught-up"}, {"status"}, {"verify"}} {
		requireOneLine(t, l.call(args...), exitFailed, "the PostgreSQL server of catalog.uri cannot be reached: start it, or correct catalog.uri")
	}
	pg.Start()
	w.start()
	w.wants("/readyz", up)
	pg.Kill()
	l.sendPrompts(30, 60)
	w.wants("/readyz", down, "cannot be reached: start it, or correct catalog.uri")
	w.wants("/healthz", down, "while 30 records wait")
	pg.Start()
	w.wants("/readyz", up)
	w.wants("/healthz", up)
	l.requireVerified()
	require.EqualValues(t, 60, l.value(`SELECT count(*) FROM agent_events`))
}

// otherEngine changes the schema of agent_events past auditlake.
func otherEngine(l *lab, change func(*table.UpdateSchema)) {
	l.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(l.dir, "catalog.db"))
	require.NoError(l.t, err)
	defer db.Close()
	cat, err := icesql.NewCatalog("auditlake", db, icesql.SQLite, iceberg.Properties{})
	require.NoError(l.t, err)
	ctx := context.Background()
	tbl, err := cat.LoadTable(ctx, table.Identifier{"audit", "agent_events"})
	require.NoError(l.t, err)
	tx := tbl.NewTransaction()
	update := tx.UpdateSchema(true, true)
	change(update)
	require.NoError(l.t, update.Commit())
	_, err = tx.Commit(ctx)
	require.NoError(l.t, err)
}

// Another engine changes the schema: what the sink cannot do without ends it in one
// line, what it can is left out and told; put back, it goes on.
func TestSchemaChangedByAnotherEngine(t *testing.T) {
	l := newLab(t, "metrics: {listen: off}")
	l.sendPrompts(0, 30)
	l.catchUp()
	type change = func(*table.UpdateSchema)
	rename := func(from, to string) change {
		return func(u *table.UpdateSchema) { u.RenameColumn([]string{from}, to) }
	}
	otherEngine(l, rename("kafka_offset", "position"))
	l.sendPrompts(30, 60)
	const lost = "table audit.agent_events has lost its column kafka_offset: another engine changed the schema; put the column back"
	for _, args := range [][]string{{"run"}, {"run", "--until-caught-up"}, {"verify"}, {"status"}} {
		requireOneLine(t, l.call(args...), exitUsage, lost)
	}
	otherEngine(l, rename("position", "kafka_offset"))
	l.catchUp()
	l.requireVerified()

	// Retyped: dropped and made again as something else.
	otherEngine(l, func(u *table.UpdateSchema) { u.DeleteColumn([]string{"tenant"}) })
	l.sendPrompts(60, 90)
	r := call(t, "-c", l.config, "run", "--until-caught-up")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stderr, "agent_events.tenant")
	require.Contains(t, r.stderr, "`auditlake migrate` adds them")
	l.requireVerified()
	otherEngine(l, func(u *table.UpdateSchema) {
		u.AddColumn([]string{"tenant"}, iceberg.PrimitiveTypes.Int64, "", false, nil)
	})
	l.sendPrompts(90, 120)
	requireOneLine(t, l.call("run", "--until-caught-up"), exitUsage, "column tenant of table audit.agent_events is long, expected string: another engine changed the schema; change it back")
	otherEngine(l, func(u *table.UpdateSchema) { u.DeleteColumn([]string{"tenant"}) })
	l.must("migrate")
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, 120, l.value(`SELECT count(*) FROM agent_events`))

	// In mid-run.
	w := &watched{lab: l, address: freeAddress(t)}
	l.config = writeFile(t, l.dir, "run.yaml", strings.Replace(readFile(t, l.config), "listen: off", "listen: \""+w.address+"\"", 1)+"sink: {target_lag: 100ms}\n")
	w.start()
	w.wants("/readyz", up)
	otherEngine(l, rename("kafka_offset", "position"))
	l.sendPrompts(120, 150)
	requireOneLine(t, <-w.ended, exitUsage, lost)
	otherEngine(l, rename("position", "kafka_offset"))
	l.catchUp()
	l.requireVerified()
}

// Files of the lake that are gone: who reads them says which, and verify ends with 5
// where it can still tell.
func TestFilesOfTheLakeAreGone(t *testing.T) {
	l := newLab(t, "metrics: {listen: off}")
	l.sendPrompts(0, 30)
	l.catchUp()
	one := func(pattern string) string {
		files, err := filepath.Glob(filepath.Join(l.dir, "warehouse", "audit", "agent_events", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		return files[len(files)-1]
	}
	away := func(path string) (back func()) {
		require.NoError(t, os.Rename(path, path+".away"))
		return func() { require.NoError(t, os.Rename(path+".away", path)) }
	}
	data := one("data/*/*/*.parquet")
	back := away(data)
	requireOneLine(t, l.call("sql", "SELECT count(payload) FROM agent_events"), exitFailed, filepath.Base(data))
	r := l.call("verify")
	require.Equal(t, exitFindings, r.code)
	require.Contains(t, r.stdout, "WRONG: file_missing")
	require.Contains(t, r.stdout, filepath.Base(data))
	l.sendPrompts(30, 60) // it is no obstacle to the sink
	l.catchUp()
	back()
	l.requireVerified()

	metadata := one("metadata/*.metadata.json")
	back = away(metadata)
	for _, args := range [][]string{{"run"}, {"run", "--until-caught-up"}, {"status"}, {"sql", "SELECT count(*) FROM agent_events"}} {
		requireOneLine(t, l.call(args...), exitFailed, filepath.Base(metadata))
	}
	r = l.call("verify")
	require.Equal(t, exitFindings, r.code, r.stderr)
	require.Contains(t, r.stdout, "WRONG: metadata_unreadable")
	require.Contains(t, r.stdout, filepath.Base(metadata))
	back()
	l.sendPrompts(60, 90)
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, 90, l.value(`SELECT count(*) FROM agent_events`))
}
