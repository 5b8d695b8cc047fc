package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// nextRelease is this source with one more attribute and its column, as a next
// release may have them: another binary.
func nextRelease(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	replaced := map[string]string{}
	change := func(path string, pairs ...string) {
		text := readFile(t, filepath.Join(root, path))
		for i := 0; i < len(pairs); i += 2 {
			text = replaceOne(t, text, pairs[i], pairs[i+1])
		}
		replaced[filepath.Join(root, path)] = writeFile(t, dir, filepath.Base(path), text)
	}
	change("envelope/columns.go",
		"\tColVariant\n", "\tColVariant\n\tColMood\n",
		"\tColVariant:", "\tColMood: {Name: \"mood\", Kind: Text, Data: \"audit.mood\", Doc: \"of the next release\"},\n\tColVariant:")
	change("catalog/schema.go", "\t\trequired(\"ingest_time\", iceberg.PrimitiveTypes.TimestampTz, \"when the sink read the record\"),\n\t)\n}\n\nfunc deadLettersSchema",
		"\t\trequired(\"ingest_time\", iceberg.PrimitiveTypes.TimestampTz, \"when the sink read the record\"),\n"+
			"\t\toptional(\"mood\", iceberg.PrimitiveTypes.String, \"of the next release\"),\n\t)\n}\n\nfunc deadLettersSchema")
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	require.NoError(t, err)
	path := filepath.Join(dir, "auditlake-next")
	out, err := exec.Command("go", "build", "-overlay", writeFile(t, dir, "overlay.json", string(overlay)), "-ldflags", "-X main.version=next", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// daemon is a sink in a process of its own.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr string // path
}

func startDaemon(t *testing.T, binary, configured string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(binary, "-c", configured, "--log-format", "json", "run"), stderr: filepath.Join(t.TempDir(), "stderr")}
	f, err := os.Create(d.stderr)
	require.NoError(t, err)
	d.cmd.Stderr = f
	require.NoError(t, d.cmd.Start())
	require.NoError(t, f.Close())
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() }) // it may be over
	return d
}

// end stops it and returns what it has logged.
func (d *daemon) end() string {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(d.t, d.cmd.Wait(), "%s", readFile(d.t, d.stderr))
	return readFile(d.t, d.stderr)
}

// evolving is a lab whose topic gets records while tables change.
type evolving struct {
	*lab
	sent int
	of   map[string]int // by class
}

func newEvolving(t *testing.T) *evolving {
	t.Helper()
	return &evolving{lab: newLab(t, "sink: {target_lag: 200ms}", "metrics: {listen: off}"), of: map[string]int{}}
}

func (e *evolving) hasFile(pattern string) bool {
	files, err := filepath.Glob(filepath.Join(e.dir, "warehouse/audit/agent_events/data", pattern, "*.parquet"))
	require.NoError(e.t, err)
	return len(files) > 0
}

// untilFile sends records until one is in a table partition of this pattern: a
// batch that was begun under another spec keeps it.
func (e *evolving) untilFile(class, pattern string) {
	e.t.Helper()
	require.True(e.t, eventually(func() bool {
		e.moods(9, class)
		e.arrive()
		return e.hasFile(pattern)
	}, time.Minute), pattern)
}

// moods sends n records with an attribute that the next release has a column for.
func (e *evolving) moods(n int, class string) {
	e.t.Helper()
	var records []*kgo.Record
	for range n {
		records = append(records, recordOf(e.sent%3, fmt.Appendf(nil,
			`{"specversion":"1.0","id":"e%d","source":"/lab","type":"agent.%s","time":%q,"sessionid":"s%d","data":{"audit.mood":"m%d","audit.%s":1}}`,
			e.sent, class, time.Now().UTC().Format(time.RFC3339Nano), e.sent%7, e.sent, class)))
		e.sent++
		e.of[class]++
	}
	e.send(records...)
}

// arrive waits until the tables have every record that was sent.
func (e *evolving) arrive() {
	e.t.Helper()
	count := func() bool { return e.value(`SELECT count(*) FROM agent_log`) == float64(e.sent) }
	require.True(e.t, eventually(count, time.Minute), "%v of %d rows", e.value(`SELECT count(*) FROM agent_log`), e.sent)
}

func (e *evolving) foreign(change func(*table.Transaction)) {
	e.t.Helper()
	foreignCommit(e.t, e.lab, change)
}

// Sinks of two releases are at work on the same tables while `migrate` of the
// newer one adds its column, and while new classes and attributes come.
func TestTwoReleasesAtOnce(t *testing.T) {
	t.Parallel()
	next := nextRelease(t)
	e := newEvolving(t)
	older, newer := startDaemon(t, realBinary(t), e.config), startDaemon(t, next, e.config)
	e.moods(30, "prompt")
	e.arrive()
	// The newer one has its share, and is at work, before its column is there.
	require.True(t, eventually(func() bool {
		e.moods(9, "prompt")
		e.arrive()
		return strings.Contains(readFile(t, newer.stderr), "the tables lack columns of this release")
	}, time.Minute))

	migrate := func(args ...string) (string, int) {
		cmd := exec.Command(next, append([]string{"-c", e.config, "--detailed-exit-code", "migrate", "--json"}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			require.NotNil(t, cmd.ProcessState, "%v", err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	plan, code := migrate("--dry-run")
	require.Equal(t, exitDone, code)
	require.JSONEq(t, `[{"table":"agent_events","change":"add_column","column":"mood","from":"","to":"string"}]`, plan)
	e.moods(30, "input")
	done, code := migrate()
	require.Equal(t, exitDone, code)
	require.JSONEq(t, plan, done)
	_, code = migrate()
	require.Equal(t, exitNothingToDo, code)

	filled := func() bool {
		e.moods(30, "a_new_class")
		e.arrive()
		return e.value(`SELECT count(*) FROM agent_log WHERE mood IS NOT NULL`).(float64) > 0
	}
	require.True(t, eventually(filled, time.Minute), "the newer sink does not fill its column")
	// The group gives each a share, so both have written to the new schema.
	require.True(t, eventually(func() bool {
		e.moods(30, "prompt")
		e.arrive()
		rows := e.rows(`SELECT count(*) FILTER (mood IS NULL) AS without, count(*) FILTER (mood IS NOT NULL) AS "with" FROM agent_log WHERE event_class = 'a_new_class'`)
		return rows[0]["with"].(float64) > 0 && strings.Contains(readFile(t, older.stderr), `"msg":"snapshot commit"`)
	}, time.Minute))
	for name, text := range map[string]string{"older": older.end(), "newer": newer.end()} {
		require.NotContains(t, text, `"level":"ERROR"`, name)
		said := strings.Count(text, "the tables lack columns of this release")
		require.Equal(t, map[string]int{"older": 0, "newer": 1}[name], said, "%s: %s", name, text)
	}
	// What the older one wrote has it in the payload; nothing is lost or doubled.
	require.EqualValues(t, e.sent, e.value(`SELECT count(*) FROM agent_log WHERE payload LIKE '%audit.mood%' AND (mood IS NULL OR payload LIKE '%"' || mood || '"%')`))
	require.EqualValues(t, e.sent, e.value(`SELECT count(DISTINCT event_id) FROM agent_log`))
	e.requireVerified()
	// And the older release alone goes on with the newer table.
	e.moods(10, "prompt")
	e.catchUp()
	e.requireVerified()
}

// The partition spec changes under a daemon: by migrate, from the configuration,
// and by another engine.
func TestPartitionSpecChangesUnderASink(t *testing.T) {
	t.Parallel()
	e := newEvolving(t)
	sink := startDaemon(t, realBinary(t), e.config)
	e.moods(30, "prompt")
	e.arrive()
	configured := writeFile(t, e.dir, "other.yaml", readFile(t, e.config)+
		"tables: {agent_events: {partition_by: [hour(event_time), 'bucket[4](session_id)']}, dead_letters: {partition_by: [error_class]}}\n")
	e.moods(30, "input")
	e.send(recordOf(0, []byte("no event")))
	out := mustCall(t, "-c", configured, "migrate", "-o", "csv")
	require.Contains(t, out, `agent_events,partition_by,,"day(event_time), event_class","hour(event_time), bucket[4](session_id)"`)
	require.Contains(t, out, `dead_letters,partition_by,,day(ingest_time),error_class`)
	e.send(recordOf(0, []byte("no event either")))
	e.untilFile("input", "event_time_hour=*/session_id_bucket=*")
	e.foreign(func(tx *table.Transaction) {
		require.NoError(t, tx.UpdateSpec(true).RemoveField("session_id_bucket").AddField("tenant", iceberg.IdentityTransform{}, "by_tenant").Commit())
	})
	e.untilFile("output", "event_time_hour=*/by_tenant=*")
	require.NotContains(t, sink.end(), `"level":"ERROR"`)
	require.True(t, e.hasFile("event_time_day=*/event_class=prompt"))
	rows := e.rows(`SELECT event_class, count(*) AS n FROM agent_log GROUP BY ALL ORDER BY ALL`)
	require.Len(t, rows, 3)
	for _, row := range rows {
		require.EqualValues(t, e.of[row["event_class"].(string)], row["n"])
	}
	require.EqualValues(t, 2, e.value(`SELECT count(*) FROM dead_letters`))
	now := time.Now().UTC()
	require.Contains(t, e.must("sql", "--from", now.Add(-24*time.Hour).Format(time.RFC3339), "-o", "csv", `SELECT count(*) FROM agent_log`), fmt.Sprint(e.sent))
	require.Contains(t, e.must("verify", "--deep"), "verified: every record")
}

// A schema that another engine changed so that it cannot be served ends the sink
// with one line and the exit code of a configuration; a change that can be served
// does not. Once it is changed back, nothing is lost.
func TestSchemaChangesUnderASink(t *testing.T) {
	drop := func(names ...string) func(*table.Transaction) error {
		return func(tx *table.Transaction) error {
			u := tx.UpdateSchema(true, true)
			for _, name := range names {
				u.DeleteColumn([]string{name})
			}
			return u.Commit()
		}
	}
	rename := func(from, to string) func(*table.Transaction) error {
		return func(tx *table.Transaction) error {
			return tx.UpdateSchema(true, true).RenameColumn([]string{from}, to).Commit()
		}
	}
	for name, tc := range map[string]struct {
		change, back func(*table.Transaction) error
		says         string // "" where the sink goes on
	}{
		"a column it needs renamed": {rename("payload", "body"), rename("body", "payload"), "table audit.agent_events has lost its column payload: another engine changed the schema; put the column back"},
		"a column made required": {
			func(tx *table.Transaction) error {
				return tx.UpdateSchema(true, true).AddColumn([]string{"must"}, iceberg.PrimitiveTypes.String, "", true, nil).Commit()
			}, drop("must"), "column must is required"},
		"a column retyped": {
			func(tx *table.Transaction) error {
				return tx.UpdateSchema(true, true).DeleteColumn([]string{"attempt"}).AddColumn([]string{"attempt"}, iceberg.PrimitiveTypes.String, "", false, nil).Commit()
			}, drop("attempt"), "column attempt of table audit.agent_events is string, expected long: another engine changed the schema; change it back"},
		"a column dropped": {drop("variant"), nil, ""},
		"a column added": {func(tx *table.Transaction) error {
			return tx.UpdateSchema(true, true).AddColumn([]string{"note"}, iceberg.PrimitiveTypes.String, "", false, nil).Commit()
		}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvolving(t)
			sink := startDaemon(t, realBinary(t), e.config)
			e.moods(9, "prompt")
			e.arrive()
			e.foreign(func(tx *table.Transaction) { require.NoError(t, tc.change(tx)) })
			e.moods(9, "prompt")
			if tc.says == "" {
				e.arrive()
				require.NotContains(t, sink.end(), `"level":"ERROR"`)
				e.requireVerified()
				return
			}
			ended := make(chan struct{})
			go func() { _ = sink.cmd.Wait(); close(ended) }() // how is asked below
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("it goes on")
			}
			require.Equal(t, exitUsage, sink.cmd.ProcessState.ExitCode())
			lines := jsonLines(t, readFile(t, sink.stderr))
			require.Contains(t, lines[len(lines)-1]["msg"], tc.says)
			r := e.call("run", "--until-caught-up")
			require.Equal(t, exitUsage, r.code)
			require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
			e.foreign(func(tx *table.Transaction) { require.NoError(t, tc.back(tx)) })
			if name == "a column retyped" {
				require.Contains(t, e.must("migrate"), "attempt")
			}
			e.catchUp()
			e.arrive()
			e.requireVerified()
		})
	}
}

// foreignCommit commits a change of agent_events as another engine does, beside
// sinks at work.
func foreignCommit(t *testing.T, l *lab, change func(*table.Transaction)) {
	t.Helper()
	ctx := context.Background()
	cat := foreignCatalog(t, l)
	try := func() bool {
		tbl, err := cat.LoadTable(ctx, table.Identifier{"audit", "agent_events"})
		require.NoError(t, err)
		tx := tbl.NewTransaction()
		change(tx)
		_, err = tx.Commit(ctx)
		return err == nil
	}
	require.True(t, eventually(try, time.Minute))
}

func foreignCatalog(t *testing.T, l *lab) *icesql.Catalog {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(l.dir, "catalog.db")+"?_pragma=busy_timeout(15000)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() }) // a test's
	cat, err := icesql.NewCatalog("auditlake", db, icesql.SQLite, iceberg.Properties{"init_catalog_tables": "false"})
	require.NoError(t, err)
	return cat
}
