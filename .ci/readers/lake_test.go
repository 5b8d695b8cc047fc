package readers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/storage"
)

var (
	endMu sync.Mutex
	ends  []func()
)

// atEnd runs f when all tests are over.
func atEnd(f func()) { endMu.Lock(); defer endMu.Unlock(); ends = append(ends, f) }

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range ends {
		f()
	}
	os.Exit(code)
}

// auditlake is the binary: $AUDITLAKE_BINARY, or built here once.
func auditlake(t testing.TB) string {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	return path
}

var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("AUDITLAKE_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := os.MkdirTemp("", "auditlake-readers")
	if err != nil {
		return "", err
	}
	atEnd(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "auditlake")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/auditlake").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// lake is a configuration and what the other readers need to know of it.
type lake struct {
	t      testing.TB
	dir    string
	config string           // path
	text   string           // what it says
	spec   map[string]any   // as readers.py wants it
	absent []string         // columns that agent_events lacks
	s3     storage.S3Config // of the warehouse, where it is on S3
}

// localLake is a lake of a SQLite catalog and a folder.
func localLake(t testing.TB, broker, topic, more string) *lake {
	t.Helper()
	dir := t.TempDir()
	l := &lake{t: t, dir: dir, config: filepath.Join(dir, "auditlake.yaml")}
	l.configure(fmt.Sprintf("kafka: {brokers: [%q], topics: [%s], session_timeout: 10s}\ncatalog: {type: sqlite, uri: catalog.db}\nwarehouse: warehouse\n%s",
		broker, topic, more))
	l.spec = map[string]any{
		"config": l.config, "warehouse": filepath.Join(dir, "warehouse"),
		"catalog": map[string]any{"type": "sqlite", "uri": filepath.Join(dir, "catalog.db"), "name": "auditlake", "namespace": "audit"},
	}
	return l
}

func (l *lake) configure(text string) {
	l.t.Helper()
	l.text = text
	require.NoError(l.t, os.WriteFile(l.config, []byte(text), 0o600))
}

type outcome struct {
	code           int
	stdout, stderr string
}

// run runs the binary to its end.
func (l *lake) run(args ...string) outcome {
	l.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(auditlake(l.t), append([]string{"-c", l.config, "--log-level", "error"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		require.NoError(l.t, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (l *lake) must(args ...string) string {
	l.t.Helper()
	o := l.run(args...)
	require.Zero(l.t, o.code, "auditlake %s\n%s%s", strings.Join(args, " "), o.stdout, o.stderr)
	return o.stdout
}

func (l *lake) catchUp() { l.t.Helper(); l.must("run", "--until-caught-up") }

// rows runs one SELECT and returns its rows as JSON values.
func (l *lake) rows(sql string) []map[string]any {
	l.t.Helper()
	var rows []map[string]any
	require.NoError(l.t, json.Unmarshal([]byte(l.must("sql", "--json", sql)), &rows))
	return rows
}

// number is the one number of a one-row SELECT.
func (l *lake) number(sql string) int {
	l.t.Helper()
	rows := l.rows(sql)
	require.Len(l.t, rows, 1)
	for _, v := range rows[0] {
		n, ok := v.(float64)
		require.True(l.t, ok, "%v", v)
		return int(n)
	}
	return 0
}

func (l *lake) requireVerified() {
	l.t.Helper()
	require.Contains(l.t, l.must("verify", "--deep"), "verified: every record")
}

// snapshots lists the ids of a table's snapshots, the oldest first.
func (l *lake) snapshots(table string) []int64 {
	l.t.Helper()
	var reply struct{ Snapshots []int64 }
	started(l.t, "pyiceberg").ask(l.t, map[string]any{"do": "snapshots", "lake": l.spec, "table": table}, &reply)
	return reply.Snapshots
}

// spark runs statements of Spark's on a table and returns their rows.
func (l *lake) spark(table string, statements ...string) [][]map[string]any {
	l.t.Helper()
	var reply struct{ Results [][]map[string]any }
	started(l.t, "spark").ask(l.t, map[string]any{"do": "sql", "lake": l.spec, "table": table, "statements": statements}, &reply)
	return reply.Results
}

// send sends records as they are, each to its own Partition.
func send(t testing.TB, broker, topic string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(context.Background(), records...).FirstErr())
}
