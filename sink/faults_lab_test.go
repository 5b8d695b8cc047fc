package sink

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/internal/groupkeeper"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

var allFaults = flag.Bool("faults", false, "every fault at every request, not a choice of them")

// Failures of these tests end soon.
func init() { againMinWait, againMaxWait = 50*time.Millisecond, 500*time.Millisecond }

// Fault tests allow a busy machine so much.
const (
	faultPatience = 2 * time.Minute
	faultLook     = 20 * time.Millisecond // how often they look
)

// newFaultLab is a lab of several brokers, with tables elsewhere.
func newFaultLab(t *testing.T, brokers int, tables catalog.Config) *lab {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(3, testTopic), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.ListenFn(groupkeeper.Listen))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	l := newLabOf(t, cluster.ListenAddrs(), testTopic, tables)
	l.broker = cluster
	return l
}

// onS3 is a SQLite catalog with a warehouse on an S3 server behind a proxy.
func onS3(t *testing.T) (catalog.Config, *faultproxy.HTTP) {
	server := storagetest.StartS3(t, "lake")
	p := faultproxy.StartHTTP(t, server.Endpoint)
	server.Endpoint, server.MaxAttempts, server.AttemptTimeout, server.PartSize = p.URL, 1, 10*time.Second, 5<<20
	return catalog.Config{
		Type: "sqlite", URI: filepath.Join(t.TempDir(), "catalog.db"), Warehouse: "s3://lake/wh", Storage: storage.Config{S3: server},
	}, p
}

// daemon is a sink that runs until it is stopped.
type daemon struct {
	*Sink
	lines lockedLines
	stop  context.CancelFunc
	ended chan error
}

// start starts a sink as a daemon. It ends with the test.
func (l *lab) start(change func(*Config)) *daemon {
	l.t.Helper()
	d := &daemon{ended: make(chan error, 1)}
	cfg := l.config()
	cfg.UntilCaughtUp, cfg.TargetLag = false, 50*time.Millisecond
	cfg.OnProgress = func(Stats) {}
	if change != nil {
		change(&cfg)
	}
	cfg.Log = d.lines.logger()
	var err error
	d.Sink, err = New(cfg, l.cat)
	require.NoError(l.t, err)
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	go func() { d.ended <- d.Run(ctx) }()
	l.t.Cleanup(func() {
		d.stop()
		if l.t.Failed() {
			l.t.Logf("the sink logged: %s", d.lines.text())
		}
	})
	return d
}

// end stops a daemon and wants it to end well.
func (d *daemon) end(t *testing.T) {
	t.Helper()
	d.stop()
	select {
	case err := <-d.ended:
		require.NoError(t, err)
	case <-time.After(faultPatience):
		t.Fatalf("the sink does not end: %s", d.lines.text())
	}
}

// requireUp wants a daemon not to have ended.
func (d *daemon) requireUp(t *testing.T) {
	t.Helper()
	select {
	case err := <-d.ended:
		t.Fatalf("the sink ended: %v", err)
	default:
	}
}

// behind is how many offsets the tables lack; -1 where that is not known.
func (l *lab) behind() int64 {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	events, err := l.cat.Load(ctx, catalog.AgentEvents)
	if err != nil {
		return -1
	}
	offsets, err := events.Offsets()
	if err != nil {
		return -1
	}
	lags, err := Lag(ctx, l.config(), offsets)
	if err != nil {
		return -1
	}
	n := int64(0)
	for _, lag := range lags {
		n += lag.Lag
	}
	return n
}

// awaitAll waits until the tables hold everything that was sent.
func (l *lab) awaitAll(daemons ...*daemon) {
	l.t.Helper()
	for end := time.Now().Add(faultPatience); l.behind() != 0; time.Sleep(20 * time.Millisecond) {
		for _, d := range daemons {
			d.requireUp(l.t)
		}
		if time.Now().After(end) {
			l.t.Fatalf("the tables are %d behind", l.behind())
		}
	}
}

// large sends n events of about a kilobyte that nothing compresses below half,
// all of one table partition.
func (l *lab) large(n int) {
	l.t.Helper()
	var records []*kgo.Record
	text := make([]byte, 1000)
	for range n {
		for i := range text {
			text[i] = "0123456789abcdef"[rand.IntN(16)]
		}
		records = append(records, &kgo.Record{Value: bytes.Replace(event(0), []byte(`"ok"`), fmt.Appendf(nil, `"ok","x":"%s"`, text), 1)})
		l.sent++
	}
	require.NoError(l.t, l.client.ProduceSync(context.Background(), records...).FirstErr())
}

// has counts the lines of the log that hold each of words.
func (d *daemon) has(words ...string) (n int) {
	for _, line := range strings.Split(d.lines.text(), "\n") {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

func (d *daemon) awaitLine(t *testing.T, words ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return d.has(words...) > 0 }, faultPatience, 20*time.Millisecond, "no line with %q", words)
}

// lockedLines keeps what is logged.
type lockedLines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lockedLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lockedLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func (l *lockedLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// holdSQLite holds a SQLite file against other writers until release.
func holdSQLite(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	require.NoError(t, err)
	tx, err := db.Begin()
	require.NoError(t, err)
	return func() {
		require.NoError(t, tx.Rollback())
		require.NoError(t, db.Close())
	}
}
