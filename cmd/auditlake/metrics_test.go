package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/sink"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// scrape is the body of an answer of 200, else nil.
func scrape(address, path string) []byte {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	return body
}

// holdCatalog takes SQLite's write lock until release is called.
func holdCatalog(t *testing.T, l *lab) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(l.dir, "catalog.db"))
	require.NoError(t, err)
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	_, err = conn.ExecContext(context.Background(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	return func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, db.Close())
	}
}

func TestMetrics(t *testing.T) {
	address := freeAddress(t)
	l := newLab(t, "metrics: {listen: \""+address+"\"}", "sink: {target_lag: 100ms}")
	for i := range 30 {
		l.send(recordOf(i%3, prompt(i)))
	}
	l.send(recordOf(0, []byte("no event")))
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan result, 1)
	go func() { ended <- callWith(t, ctx, "", "-c", l.config, "--log-level", "error", "run") }()
	want := []string{
		`auditlake_committed_rows_total{class="prompt"} 30`, `auditlake_dead_letters_total{class="not_json"} 1`,
		`auditlake_records_total 31`, `auditlake_pending_rows 0`, `auditlake_fenced_batches_total 0`,
		`auditlake_lag_records{partition="0",topic="agent-events"} 0`, `auditlake_committed_offset{partition="0",topic="agent-events"} 11`,
		`auditlake_high_watermark{partition="2",topic="agent-events"} 10`, `auditlake_watermark_timestamp_seconds{partition="1",topic="agent-events"}`,
		`auditlake_flush_duration_seconds_count{outcome="landed"}`, `auditlake_data_file_bytes_count`, `auditlake_last_snapshot_commit_timestamp_seconds 1.`,
	}
	missing := ""
	ok := func() bool {
		text := string(scrape(address, "/metrics"))
		for _, line := range want {
			if !strings.Contains(text, line) {
				missing = fmt.Sprintf("%s\nis not in\n%s", line, text)
				return false
			}
		}
		return true
	}
	if !eventually(ok, 20*time.Second) {
		t.Fatal(missing)
	}
	for path, want := range map[string]string{"/healthz": "healthy: nothing waits\n", "/readyz": "ready: 3 topic partitions, 0 records wait\n"} {
		require.True(t, eventually(func() bool { return string(scrape(address, path)) == want }, 20*time.Second), "%s", path)
	}

	second := l.call("run", "--until-caught-up") // the address is taken
	require.Equal(t, exitUsage, second.code)
	require.Contains(t, second.stderr, "metrics.listen: ")
	stop(interrupted{syscall.SIGTERM})
	require.Equal(t, exitDone, (<-ended).code)

	// A sink that starts with nothing new knows the lag and the age all the same.
	ctx, stop = context.WithCancelCause(context.Background())
	go func() { ended <- callWith(t, ctx, "", "-c", l.config, "--log-level", "error", "run") }()
	want = []string{`auditlake_lag_records{partition="0",topic="agent-events"} 0`, `auditlake_high_watermark{partition="0",topic="agent-events"} 11`,
		`auditlake_last_snapshot_commit_timestamp_seconds 1.`, `auditlake_dead_letters_total{class="not_json"} 0`}
	if !eventually(ok, 20*time.Second) {
		t.Fatal(missing)
	}
	stop(interrupted{syscall.SIGTERM})
	require.Equal(t, exitDone, (<-ended).code)
}

func eventually(ok func() bool, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// A store that hangs does not hold a sink that was told to stop.
func TestLeaveAfter(t *testing.T) {
	left := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	stop := leaveAfter(ctx, 50*time.Millisecond, func() { close(left) })
	time.Sleep(100 * time.Millisecond)
	select {
	case <-left:
		t.Fatal("it left though nobody said so")
	default:
	}
	cancel()
	<-left
	stop()

	stop = leaveAfter(ctx, 50*time.Millisecond, func() { t.Error("it left though it had ended in time") })
	stop()
	time.Sleep(100 * time.Millisecond)
}

// docs/operating.md lists every metric of a scrape, its kind and labels, and no other.
func TestDocsOfMetrics(t *testing.T) {
	documented := map[string][2]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(auditlake_[a-z_]+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(readFile(t, "../../docs/operating.md"), -1) {
		require.NotContains(t, documented, m[1])
		documented[m[1]] = [2]string{m[2], strings.TrimSpace(m[3])}
	}
	m := fullMonitor()
	families, err := m.registry().Gather()
	require.NoError(t, err)
	told := map[string][2]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "auditlake_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		told[f.GetName()] = [2]string{strings.ToLower(f.GetType().String()), strings.Join(labels, ", ")}
	}
	for name, kind := range documented { // in order of the alphabet, as Prometheus has them
		labels := strings.Split(kind[1], ", ")
		slices.Sort(labels)
		documented[name] = [2]string{kind[0], strings.Join(labels, ", ")}
	}
	require.Equal(t, told, documented)
}

// fullMonitor has a value for everything it can tell.
func fullMonitor() *monitor {
	all := newTotals(1)
	now := time.Now()
	all.set(0, sink.Stats{
		ByClass: map[string]int64{"prompt": 1}, Commits: 1, LastCommit: now, Flushing: now, Member: true, Heard: now, Polled: now,
		Owned: []sink.OwnedPartition{{Topic: labTopic, Committed: 1, HighWatermark: 2, Readable: 2, Watermark: now}},
	}, nil)
	m := newMonitor(all, config.Default(), nil)
	m.flushed(sink.Flush{Outcome: sink.OutcomeLanded, Took: time.Second, FileSizes: []int64{1 << 20}})
	m.look(now)
	return m
}
