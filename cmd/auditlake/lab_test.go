package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/internal/groupkeeper"
)

const labTopic = "agent-events"

// lab is an in-process Kafka-protocol broker, a configuration, and a lake in a
// temporary folder that init has made.
type lab struct {
	t       *testing.T
	dir     string
	config  string // path
	client  *kgo.Client
	cluster *kfake.Cluster
	broker  string
}

// newLab takes further lines of configuration; warehouse is a folder and catalog a
// SQLite file unless more names others.
func newLab(t *testing.T, more ...string) *lab {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, labTopic), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.ListenFn(groupkeeper.Listen))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	l := &lab{t: t, dir: t.TempDir(), cluster: cluster, broker: cluster.ListenAddrs()[0]}
	text := strings.Join(more, "\n")
	if !strings.Contains(text, "warehouse:") {
		text += "\nwarehouse: warehouse"
	}
	if !strings.Contains(text, "catalog:") {
		text += "\ncatalog: {type: sqlite, uri: catalog.db}"
	}
	l.config = writeFile(t, l.dir, "auditlake.yaml", fmt.Sprintf(
		"kafka: {brokers: [%q], topics: [%s], session_timeout: 2s}\n%s\n", l.broker, labTopic, text))
	l.client, err = kgo.NewClient(kgo.SeedBrokers(l.broker), kgo.DefaultProduceTopic(labTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(l.client.Close)
	l.must("init")
	return l
}

// call runs a command with the lab's configuration.
func (l *lab) call(args ...string) result {
	l.t.Helper()
	return call(l.t, append([]string{"-c", l.config, "--log-level", "error"}, args...)...)
}

func (l *lab) must(args ...string) string {
	l.t.Helper()
	r := l.call(args...)
	require.Equal(l.t, exitDone, r.code, "auditlake %s\n%s%s", strings.Join(args, " "), r.stdout, r.stderr)
	return r.stdout
}

// send sends records as they are.
func (l *lab) send(records ...*kgo.Record) {
	l.t.Helper()
	require.NoError(l.t, l.client.ProduceSync(context.Background(), records...).FirstErr())
}

func (l *lab) catchUp() {
	l.t.Helper()
	l.must("run", "--until-caught-up")
}

// rows runs one SELECT and returns its rows as JSON values.
func (l *lab) rows(sql string) []map[string]any {
	l.t.Helper()
	var rows []map[string]any
	require.NoError(l.t, json.Unmarshal([]byte(l.must("sql", "--json", sql)), &rows))
	return rows
}

// value is the one value of a one-row SELECT.
func (l *lab) value(sql string) any {
	l.t.Helper()
	rows := l.rows(sql)
	require.Len(l.t, rows, 1)
	require.Len(l.t, rows[0], 1)
	for _, v := range rows[0] {
		return v
	}
	return nil
}

// requireVerified wants verify to end with 0 and say so.
func (l *lab) requireVerified() {
	l.t.Helper()
	require.Contains(l.t, l.must("verify"), "verified: every record")
}

// prompt is a small valid event of now.
func prompt(i int) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"e%d","source":"/lab","type":"agent.prompt","time":%q,"sessionid":"s%d"}`,
		i, time.Now().UTC().Format(time.RFC3339Nano), i%7)
}

// runsFile is a file of real agent runs; it is no part of the repository.
func runsFile(t *testing.T) string {
	t.Helper()
	path := os.Getenv("AUDITLAKE_AIRLINE_RUNS")
	if path == "" {
		t.Skip("left out, the real agent runs: set AUDITLAKE_AIRLINE_RUNS to their file; testdata/README.md says what it is")
	}
	return path
}

func replaceOne(t *testing.T, text, old, with string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), text)
	return strings.Replace(text, old, with, 1)
}
