package readers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/sink/kafkatest"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// truth is what a file of events holds, counted here from its lines.
type truth struct {
	file            string
	events          int
	sessions        map[string]bool
	classes         map[string]int
	costs           map[string]*big.Rat // by currency
	byAgentVersion  map[string]int
	evaluationsWon  map[string]int // score 1, by agent version
	outputs, priced int
}

// events are the real agent runs where $AUDITLAKE_AIRLINE_RUNS names them, else
// generated ones.
func events(t *testing.T, l *lake) truth {
	t.Helper()
	file := os.Getenv("AUDITLAKE_AIRLINE_RUNS")
	if file == "" {
		t.Log("$AUDITLAKE_AIRLINE_RUNS names no file (testdata/README.md says of what): generated events stand in")
		file = filepath.Join(l.dir, "events.ndjson")
		l.must("gen", "--events", "6000", "--out", file)
	}
	in, err := os.Open(file)
	require.NoError(t, err)
	defer in.Close()
	out := truth{file: file, sessions: map[string]bool{}, classes: map[string]int{}, costs: map[string]*big.Rat{}, byAgentVersion: map[string]int{}, evaluationsWon: map[string]int{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Type, SessionID, AgentVersion string
			Data                          map[string]json.RawMessage
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		out.count(e.Type, e.SessionID, e.AgentVersion, e.Data)
	}
	require.NoError(t, lines.Err())
	return out
}

func (tr *truth) count(kind, session, version string, data map[string]json.RawMessage) {
	tr.events++
	tr.sessions[session] = true
	class := strings.TrimPrefix(kind, "agent.")
	tr.classes[class]++
	tr.byAgentVersion[version]++
	if class == "output" {
		tr.outputs++
	}
	if score, ok := new(big.Rat).SetString(string(data["gen_ai.evaluation.score.value"])); ok && score.Cmp(big.NewRat(1, 1)) == 0 {
		tr.evaluationsWon[version]++
	}
	if cost, ok := new(big.Rat).SetString(strings.Trim(string(data["audit.cost.amount"]), `"`)); ok {
		currency := strings.Trim(string(data["audit.cost.currency"]), `"`)
		if tr.costs[currency] == nil {
			tr.costs[currency] = new(big.Rat)
		}
		tr.costs[currency].Add(tr.costs[currency], cost)
		tr.priced++
	}
}

// s3Lake is a lake on an S3 server.
func s3Lake(t *testing.T, broker, topic string, start startCatalog) *lake {
	t.Helper()
	server := storagetest.StartS3(t, "lake")
	dir := t.TempDir()
	of := map[string]any{"name": "auditlake", "namespace": "audit"}
	of["type"], of["uri"] = start(t, dir, server)
	l := &lake{t: t, dir: dir, config: filepath.Join(dir, "auditlake.yaml"), s3: server}
	l.configure(fmt.Sprintf(`kafka: {brokers: [%q], topics: [%s], session_timeout: 6s}
catalog: {type: %s, uri: %q}
warehouse: s3://lake/warehouse
s3: {endpoint: %q, region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}
sink: {target_lag: 500ms, max_batch_rows: 1000}
sql: {cache_dir: cache}
metrics: {listen: off}
`, broker, topic, of["type"], of["uri"], server.Endpoint, server.Region, server.AccessKeyID, server.SecretAccessKey))
	l.spec = map[string]any{
		"config": l.config, "warehouse": "s3://lake/warehouse", "catalog": of,
		"s3": map[string]any{"endpoint": server.Endpoint, "region": server.Region, "access_key_id": server.AccessKeyID, "secret_access_key": server.SecretAccessKey},
	}
	return l
}

// worker is a sink as a process of its own.
type worker struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer for what the sink logs.
func (w *worker) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *worker) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (l *lake) startWorker() *worker {
	l.t.Helper()
	w := &worker{cmd: exec.Command(auditlake(l.t), "-c", l.config, "run")}
	w.cmd.Stderr = w
	require.NoError(l.t, w.cmd.Start())
	l.t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() }) // it may be over
	return w
}

// lag is how many records are not in the tables yet.
func (l *lake) lag() int {
	l.t.Helper()
	var status struct{ Lag int }
	require.NoError(l.t, json.Unmarshal([]byte(l.must("status", "--json")), &status))
	return status.Lag
}

const patience = 2 * time.Minute

// ingest sends the events twice, as a producer does that starts over. Two sinks
// share the topic; one dies amid its work, another takes its place.
func (l *lake) ingest(file string) {
	l.t.Helper()
	t := l.t
	victim, survivor := l.startWorker(), l.startWorker()
	shared := func() bool {
		return strings.Contains(victim.said(), "msg=assigned") && strings.Contains(survivor.said(), "msg=assigned")
	}
	require.Eventually(t, shared, patience, 50*time.Millisecond, "no shared topic")
	l.must("produce", file)
	l.must("produce", file)
	require.Eventually(t, func() bool { return strings.Contains(victim.said(), `msg="snapshot commit"`) }, patience, 5*time.Millisecond)
	require.NoError(t, victim.cmd.Process.Kill())
	require.Error(t, victim.cmd.Wait())
	require.Positive(t, l.lag(), "the sink was to die before it had done all")
	heir := l.startWorker()
	require.Eventually(t, func() bool { return strings.Contains(heir.said(), "msg=assigned") }, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool { return l.lag() == 0 }, patience, 200*time.Millisecond)
	for _, w := range []*worker{survivor, heir} {
		require.NoError(t, w.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, w.cmd.Wait(), "%s", w.said())
	}
	require.Contains(t, survivor.said()+heir.said(), `msg="snapshot commit"`)
}

// requireAnswers asks what is known of the events, of tables that hold each twice.
func (l *lake) requireAnswers(want truth) {
	l.t.Helper()
	t := l.t
	require.Equal(t, 2*want.events, l.number(`SELECT count(*) AS n FROM agent_log`), "a row a record")
	require.Equal(t, want.events, l.number(`SELECT count(*) AS n FROM agent_events`), "an event once")
	require.Equal(t, len(want.sessions), l.number(`SELECT count(DISTINCT session_id) AS n FROM agent_events`))
	require.Equal(t, want.classes, l.counts(`SELECT event_class AS k, count(*) AS n FROM agent_events GROUP BY ALL`))
	require.Equal(t, want.evaluationsWon, l.counts(`SELECT agent_version AS k, count(*) AS n FROM agent_events WHERE evaluation_score = 1 GROUP BY ALL`))
	require.Equal(t, 0, l.number(`SELECT count(*) AS n FROM dead_letters`))

	var log []struct{ Records, Missing, Events, Retries, Duplicates, Conflicts int }
	l.query(&log, "completeness")
	require.Len(t, log, 3)
	events, retries := 0, 0
	for _, p := range log {
		require.Zero(t, p.Missing+p.Duplicates+p.Conflicts)
		events, retries = events+p.Events, retries+p.Retries
	}
	require.Equal(t, 2*want.events, events)
	require.Equal(t, want.events, retries)

	var costs []struct {
		Currency *string
		Cost     json.Number
		Priced   int
	}
	l.query(&costs, "cost_rollup", "--dimensions", "")
	priced := 0
	for _, c := range costs {
		if c.Currency == nil {
			continue
		}
		got, ok := new(big.Rat).SetString(c.Cost.String())
		require.True(t, ok, "%v", c)
		require.Zero(t, got.Cmp(want.costs[*c.Currency]), "%s in %s, %s is true", c.Cost, *c.Currency, want.costs[*c.Currency])
		priced += c.Priced
	}
	require.Equal(t, want.priced, priced)
	var actions []map[string]any
	l.query(&actions, "action_ledger")
	require.Len(t, actions, want.classes["action"])
}

// counts is a SELECT of k and n as a map.
func (l *lake) counts(sql string) map[string]int {
	l.t.Helper()
	out := map[string]int{}
	for _, row := range l.rows(sql) {
		out[row["k"].(string)] = int(row["n"].(float64))
	}
	return out
}

// query runs a canned query.
func (l *lake) query(rows any, args ...string) {
	l.t.Helper()
	require.NoError(l.t, json.Unmarshal([]byte(l.must(append([]string{"query", "--json"}, args...)...)), rows))
}

// wholePathWhere are conditions whose answers need the right files of many.
var wholePathWhere = []condition{
	{{"event_class", "=", "evaluation"}, {"evaluation_score", "=", 1.0}},
	{{"event_time", ">=", "2024-05-16T00:00:00Z"}, {"event_time", "<", "2024-05-17T00:00:00Z"}},
	{{"cost_amount", "is not null", nil}},
	{{"tool_name", "=", "book_reservation"}},
}

// The whole path on real parts: Kafka, S3 and each catalog; two sinks of which one
// is killed; verify, the answers, and the other readers; then the same of tables that
// migrate changes under two sinks.
func testWholePath(t *testing.T, kafka *kafkatest.Broker, start startCatalog) {
	l := s3Lake(t, kafka.Addr(), newTopic(t, kafka), start)
	want := events(t, l)
	l.must("init")
	l.ingest(want.file)
	l.requireVerified()
	l.requireAnswers(want)
	require.Equal(t, 2*want.events, l.requireAgreed("agent_events", wholePathWhere...).Rows)
	require.Equal(t, 0, l.requireAgreed("dead_letters").Rows)

	more := l.migrateUnderSinks(want.file)
	l.requireVerified()
	agreed := l.requireAgreed("agent_events", wholePathWhere...)
	require.Equal(t, 2*want.events+more, agreed.Rows)
	for _, name := range lost {
		require.Less(t, agreed.Columns[name].Nulls, agreed.Rows, "%s has no value", name)
		require.GreaterOrEqual(t, agreed.Columns[name].Nulls, 2*want.events, "what was dropped of %s is gone for good", name)
	}
	require.Equal(t, 0, l.requireAgreed("dead_letters").Rows)
}

// lost are columns that another engine takes away: to the tables they are as new
// when migrate adds them as those of a next release.
var lost = []string{"cost_amount", "finish_reasons"}

// migrateUnderSinks adds columns and changes the partition spec by migrate while two
// sinks are at work, and returns how many events went by.
func (l *lake) migrateUnderSinks(file string) (events int) {
	l.t.Helper()
	t := l.t
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	const some = 400
	lines := slices.Collect(bytes.Lines(text))
	var picked []byte // from all over the file: of many sessions, for every topic partition
	for i := range some {
		picked = append(picked, lines[i*len(lines)/some]...)
	}
	few := filepath.Join(l.dir, "few.ndjson")
	require.NoError(t, os.WriteFile(few, picked, 0o600))

	started(t, "pyiceberg").ask(t, map[string]any{"do": "drop_columns", "lake": l.spec, "table": "agent_events", "names": lost}, &struct{}{})
	sinks := []*worker{l.startWorker(), l.startWorker()}
	both := func(words string) bool {
		return strings.Contains(sinks[0].said(), words) && strings.Contains(sinks[1].said(), words)
	}
	// producing sends some events again and again until all is so.
	producing := func(what string, so func() bool) {
		t.Helper()
		for until := time.Now().Add(patience); !so(); {
			require.True(t, time.Now().Before(until), "%s\n%s\n%s", what, sinks[0].said(), sinks[1].said())
			l.must("produce", few)
			for events += some; l.lag() > 0; time.Sleep(100 * time.Millisecond) {
				require.True(t, time.Now().Before(until), "%s: it lags\n%s\n%s", what, sinks[0].said(), sinks[1].said())
			}
		}
	}
	require.Eventually(t, func() bool { return both("msg=assigned") }, patience, 50*time.Millisecond, "no shared topic")
	producing("both at work on what lacks columns", func() bool { return both("the tables lack columns of this release") && both(`msg="snapshot commit"`) })

	l.configure(l.text + "tables: {agent_events: {partition_by: [\"month(event_time)\", \"bucket[2](session_id)\"]}}\n")
	l.must("produce", few) // for a migration amid the work
	events += some
	migrated := l.must("migrate")
	for _, change := range append([]string{"partition_by"}, lost...) {
		require.Contains(t, migrated, change)
	}
	before := [2]int{sinks[0].commits(), sinks[1].commits()}
	producing("both at work on what is migrated", func() bool { // batches that were begun before are as they were
		return sinks[0].commits() > before[0] && sinks[1].commits() > before[1] && l.hasFile("/event_time_month=", "/session_id_bucket=") &&
			l.number(`SELECT count(cost_amount) FROM agent_log`) > 0 && l.number(`SELECT count(finish_reasons) FROM agent_log`) > 0
	})
	for _, w := range sinks {
		require.NoError(t, w.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, w.cmd.Wait(), "%s", w.said())
		require.NotContains(t, w.said(), "level=ERROR")
	}
	return events
}

func (w *worker) commits() int { return strings.Count(w.said(), `msg="snapshot commit"`) }

// hasFile tells whether a data file of agent_events has these words in its name.
func (l *lake) hasFile(words ...string) bool {
	l.t.Helper()
	list := s3.NewListObjectsV2Paginator(storagetest.Client(l.s3), &s3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: aws.String("warehouse/audit/agent_events/data/")})
	for list.HasMorePages() {
		page, err := list.NextPage(context.Background())
		require.NoError(l.t, err)
		for _, o := range page.Contents {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(*o.Key, word) }) {
				return true
			}
		}
	}
	return false
}

// startCatalog runs a catalog's server, where it has one, and tells kind and address.
type startCatalog func(t *testing.T, dir string, s3 storage.S3Config) (kind, uri string)

var catalogs = []struct {
	name  string
	start startCatalog
}{
	{"sqlite", func(_ *testing.T, dir string, _ storage.S3Config) (string, string) {
		return "sqlite", filepath.Join(dir, "catalog.db")
	}},
	{"postgres", func(t *testing.T, _ string, _ storage.S3Config) (string, string) {
		return "postgres", catalogtest.StartPostgres(t).URI
	}},
	{"rest", func(t *testing.T, _ string, s3 storage.S3Config) (string, string) {
		database := catalogtest.StartPostgres(t)
		return "rest", catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/warehouse", S3: s3, JDBC: database.JDBC}).URI
	}},
}
