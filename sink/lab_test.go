package sink

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/groupkeeper"
)

const testTopic = "agent-events"

// lab is an in-process Kafka-protocol broker and a lake in a temporary folder.
type lab struct {
	t       *testing.T
	broker  *kfake.Cluster
	brokers []string
	topic   string
	client  *kgo.Client
	admin   *kadm.Client
	cat     *catalog.Catalog
	sent    int
	faults  atomic.Pointer[faultPlan]
	catalog catalog.Config
}

// faultPlan says what happens to the next snapshot commit of a table, or to the one
// after: a first batch with dead letters begins with a claim.
type faultPlan struct {
	table      string
	afterClaim bool
	fault      func(land func() error) error
}

func newLab(t *testing.T) *lab {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, testTopic), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.ListenFn(groupkeeper.Listen))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	l := newLabOn(t, broker.ListenAddrs(), testTopic)
	l.broker = broker
	return l
}

// newLabOn is a lab on a broker that is there, with a lake of its own.
func newLabOn(t *testing.T, brokers []string, topic string) *lab {
	dir := t.TempDir()
	return newLabOf(t, brokers, topic, catalog.Config{Type: "sqlite", URI: filepath.Join(dir, "catalog.db"), Warehouse: "file://" + filepath.Join(dir, "warehouse")})
}

// newLabOf is a lab on a broker that is there, with tables in an empty catalog.
func newLabOf(t *testing.T, brokers []string, topic string, tables catalog.Config) *lab {
	l := &lab{t: t, brokers: brokers, topic: topic}
	var err error
	l.client, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.MetadataMinAge(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(l.client.Close)
	l.admin = kadm.NewClient(l.client)
	l.catalog, l.catalog.Create = tables, true
	l.catalog.Intercept = func(table string, land func() error) error {
		if f := l.faults.Load(); f != nil && f.table == table {
			if f.afterClaim {
				l.faults.Store(&faultPlan{table: table, fault: f.fault})
				return land()
			}
			l.faults.Store(nil)
			return f.fault(land)
		}
		return land()
	}
	l.cat, err = catalog.Open(context.Background(), l.catalog)
	require.NoError(t, err)
	t.Cleanup(func() { l.cat.Close() })
	_, err = l.cat.Init(context.Background(), catalog.InitOptions{})
	require.NoError(t, err)
	return l
}

// partitionBy goes on with other tables, of which one has this partition spec.
func (l *lab) partitionBy(table string, spec ...string) {
	l.catalog.Namespace = "other"
	cat, err := catalog.Open(context.Background(), l.catalog)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { cat.Close() })
	_, err = cat.Init(context.Background(), catalog.InitOptions{PartitionBy: map[string][]string{table: append([]string{}, spec...)}})
	require.NoError(l.t, err)
	l.cat = cat
}

func (l *lab) config() Config {
	return Config{
		Brokers: l.brokers, Topics: []string{l.topic}, SessionTimeout: time.Second, UntilCaughtUp: true,
		TargetLag: 200 * time.Millisecond, Version: "test", Log: slog.New(slog.NewTextHandler(testWriter{l.t}, nil)),
	}
}

// testWriter sends logs to the test's own, while the test runs.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// event is a small valid event.
func event(i int) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"e%d","source":"/lab","type":"agent.%s","time":%q,"sessionid":"s%d","data":{"audit.status":"ok"}}`,
		i, []string{"prompt", "input", "output"}[i%3], time.Now().Add(-time.Duration(i%3)*24*time.Hour).UTC().Format(time.RFC3339Nano), i%7)
}

// produce sends n records; every badEach-th is no event, 0 for none.
func (l *lab) produce(n, badEach int) {
	var records []*kgo.Record
	for range n {
		value := event(l.sent)
		if badEach > 0 && l.sent%badEach == 0 {
			value = fmt.Appendf(nil, "no event %d", l.sent)
		}
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "s%d", l.sent%7), Value: value,
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}})
		l.sent++
	}
	require.NoError(l.t, l.client.ProduceSync(context.Background(), records...).FirstErr())
}

// catchUp runs a sink until it has everything.
func (l *lab) catchUp(cfg Config) Stats {
	s, err := New(cfg, l.cat)
	require.NoError(l.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(l.t, s.Run(ctx))
	require.NoError(l.t, ctx.Err(), "the sink did not catch up in time")
	return s.Stats()
}

// requireOnce wants every record of the topic in the tables once: verify is
// clean and its counts are those of what was sent.
func (l *lab) requireOnce() *catalog.Report {
	report, err := l.cat.Verify(context.Background(), catalog.VerifyOptions{})
	require.NoError(l.t, err)
	require.True(l.t, report.OK, "%+v", report.Problems)
	var records int64
	for _, p := range report.Partitions {
		records += p.Events + p.DeadLetters
	}
	require.EqualValues(l.t, l.sent, records)
	return report
}

// requireNoLeftovers wants every data file of the warehouse to be in a table.
func (l *lab) requireNoLeftovers() {
	inTables := map[string]bool{}
	for _, name := range []string{catalog.AgentEvents, catalog.DeadLetters} {
		t, err := l.cat.Load(context.Background(), name)
		require.NoError(l.t, err)
		plan, err := t.Plan(context.Background(), catalog.PlanOptions{})
		require.NoError(l.t, err)
		for _, f := range plan.Files {
			inTables[strings.TrimPrefix(f.URI, "file://")] = true
		}
	}
	root := strings.TrimPrefix(l.catalog.Warehouse, "file://")
	require.NoError(l.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".parquet") {
			require.True(l.t, inTables[path], "%s is left behind", path)
		}
		return err
	}))
}
