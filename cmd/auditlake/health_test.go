package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/sink"
)

// watched is a lab whose sink is watched, with bounds that tests can wait for.
type watched struct {
	*lab
	address string
	stop    context.CancelCauseFunc
	ended   chan result
}

func newWatched(t *testing.T, more ...string) *watched {
	t.Helper()
	w := &watched{address: freeAddress(t)}
	w.lab = newLab(t, append(more, "metrics: {listen: \""+w.address+"\", ready_lag: 2s, stalled_after: 4s}")...)
	return w
}

// start starts the sink in this process. It is stopped with the test.
func (w *watched) start() {
	w.t.Helper()
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan result, 1)
	w.stop, w.ended = stop, ended
	go func() { ended <- callWith(w.t, ctx, "", "-c", w.config, "--log-level", "error", "run") }()
	w.t.Cleanup(func() { stop(interrupted{syscall.SIGTERM}) })
}

func (w *watched) sendPrompts(n int) {
	w.t.Helper()
	for i := range n {
		w.send(recordOf(i%3, prompt(i)))
	}
}

// ask returns the status and body of an answer, 0 where there is none.
func (w *watched) ask(path string) (int, string) {
	response, err := http.Get("http://" + w.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// wants waits until path answers with status and a body that holds each of texts.
func (w *watched) wants(path string, status int, texts ...string) {
	w.t.Helper()
	last := ""
	ok := func() bool {
		got, body := w.ask(path)
		last = fmt.Sprintf("%d %s", got, body)
		for _, text := range texts {
			if !strings.Contains(body, text) {
				return false
			}
		}
		return got == status
	}
	if !eventually(ok, time.Minute) {
		w.t.Fatalf("%s: wanted %d with %q, it says %s", path, status, texts, last)
	}
}

// staysUp wants both to be well for longer than their bounds. On a machine that is
// very busy the sink itself may be late, and says so.
func (w *watched) staysUp() {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		status, body := w.ask("/healthz")
		require.Equal(w.t, up, status, "%s", body)
		if status, body = w.ask("/readyz"); !strings.Contains(body, "no answer from Kafka for") && !strings.Contains(body, "writing data files takes") {
			require.Equal(w.t, up, status, "%s", body)
		}
	}
}

const up, down = http.StatusOK, http.StatusServiceUnavailable

// The catalog is held by another writer: not ready, and after a while unhealthy,
// for records wait. Both come back by themselves.
func TestHealthWhileTheCatalogIsHeld(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 100ms}")
	w.sendPrompts(30)
	w.start()
	w.wants("/readyz", up, "ready: 3 topic partitions, 0 records wait")
	w.wants("/metrics", up, "auditlake_ready 1\n", "auditlake_healthy 1\n", "auditlake_flush_age_seconds 0\n")
	release := holdCatalog(t, w.lab)
	w.sendPrompts(9)
	w.wants("/readyz", down, "not ready: worker 1: a flush is under way for", "longer than metrics.ready_lag (2s)")
	w.wants("/healthz", down, "unhealthy: worker 1: no snapshot commit for", "longer than metrics.stalled_after (4s), while 9 records wait")
	// While it waits, it learns of what comes: the lag is true.
	w.sendPrompts(30)
	w.wants("/metrics", up, `auditlake_lag_records{partition="0",topic="agent-events"} 13`, `auditlake_high_watermark{partition="0",topic="agent-events"} 23`,
		"auditlake_ready 0\n", "auditlake_healthy 0\n", "auditlake_pending_rows 9\n")
	_, text := w.ask("/metrics")
	require.NotContains(t, text, "auditlake_flush_age_seconds 0\n")
	require.NotContains(t, text, `auditlake_lag_seconds{partition="0",topic="agent-events"} 0`+"\n")
	release()
	w.wants("/readyz", up, "0 records wait")
	w.wants("/healthz", up, "healthy: nothing waits")
	w.wants("/metrics", up, `auditlake_lag_seconds{partition="0",topic="agent-events"} 0`+"\n")
	// Idle for longer than both bounds is well.
	w.staysUp()
}

// A store that cannot be read any more shows while the sink is idle, too.
func TestReadyAsksTheStore(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 100ms}")
	w.sendPrompts(3)
	w.start()
	w.wants("/readyz", up)
	folder := filepath.Join(w.dir, "warehouse", "audit", "agent_events", "metadata")
	require.NoError(t, os.Rename(folder, folder+".away"))
	w.wants("/readyz", down, "not ready: the catalog or the object store does not answer", "agent_events")
	w.wants("/healthz", up, "healthy: nothing waits")
	require.NoError(t, os.Rename(folder+".away", folder))
	w.wants("/readyz", up)
	// A store that cannot be written: it tries again, and goes on by itself.
	data := filepath.Join(w.dir, "warehouse", "audit", "agent_events", "data")
	require.NoError(t, os.RemoveAll(data))
	require.NoError(t, os.WriteFile(data, nil, 0o644))
	w.sendPrompts(3)
	w.wants("/readyz", down, "not ready: worker 1: the last flush failed: ", "not a directory")
	w.wants("/healthz", down, "while 3 records wait: ")
	require.NoError(t, os.Remove(data))
	// The first three rows went with the folder; the last three are not lost.
	w.wants("/readyz", up)
	w.wants("/healthz", up, "healthy: nothing waits")
}

// Told to stop, it is not ready, and answers until the last flush is done.
func TestReadyWhileStopping(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 1h}")
	w.sendPrompts(9)
	w.start()
	w.wants("/metrics", up, "auditlake_pending_rows 9\n")
	w.wants("/readyz", down, "not ready: catching up: the tables are 3 records behind agent-events/0")
	w.wants("/healthz", down, "while 9 records wait") // its bound here is shorter than the target lag
	release := holdCatalog(t, w.lab)
	w.stop(interrupted{syscall.SIGTERM})
	w.wants("/readyz", down, "not ready: stopping: what is pending is being committed")
	release()
	require.Equal(t, exitDone, (<-w.ended).code)
	w.requireVerified()
}

// A sink for which no topic partition is left stands by, and is ready. One whose
// records are of an open transaction has nothing to do.
func TestReadyWithNothingToRead(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "sink: {target_lag: 100ms}")
	admin := kadm.NewClient(w.client)
	_, err := admin.CreateTopic(context.Background(), 1, 1, nil, "single")
	require.NoError(t, err)
	text := strings.Replace(readFile(t, w.config), labTopic, "single", 1)
	require.NoError(t, os.WriteFile(w.config, []byte(text), 0o644))
	w.start()
	w.wants("/readyz", up, "ready: 1 topic partition, 0 records wait")

	other := &watched{lab: w.lab, address: freeAddress(t)}
	second := *w.lab
	second.config = writeFile(t, w.dir, "second.yaml", strings.Replace(text, w.address, other.address, 1))
	other.lab = &second
	other.start()
	standby, owner := other, w
	ok := func() bool {
		for _, x := range []*watched{w, other} {
			if status, body := x.ask("/readyz"); status == up && strings.Contains(body, "ready: standing by: the group has no topic partition for this sink") {
				standby = x
				return true
			}
		}
		return false
	}
	require.True(t, eventually(ok, time.Minute), "nobody stands by")
	if standby == w {
		owner = other
	}
	owner.wants("/readyz", up, "ready: 1 topic partition, 0 records wait")
	standby.wants("/metrics", up, "auditlake_assigned_partitions 0\n")

	producer, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.TransactionalID("open"), kgo.DefaultProduceTopic("single"))
	require.NoError(t, err)
	defer producer.Close()
	require.NoError(t, producer.BeginTransaction())
	for i := range 5 {
		require.NoError(t, producer.ProduceSync(context.Background(), &kgo.Record{Value: prompt(i)}).FirstErr())
	}
	owner.wants("/metrics", up, `auditlake_high_watermark{partition="0",topic="single"} 5`+"\n", `auditlake_last_stable_offset{partition="0",topic="single"} 0`+"\n",
		`auditlake_lag_records{partition="0",topic="single"} 5`+"\n")
	owner.staysUp()
	require.NoError(t, producer.EndTransaction(context.Background(), kgo.TryCommit))
	owner.wants("/metrics", up, `auditlake_committed_offset{partition="0",topic="single"} 6`+"\n")
	owner.wants("/readyz", up)
}

// The default address gives way to a second sink of the host; one that was asked
// for does not, and a job that ends by itself has none unless asked.
func TestListen(t *testing.T) {
	a := &app{stderr: io.Discard, getenv: os.LookupEnv}
	parse := func(more string) *config.Config {
		cfg, err := config.Parse("auditlake.yaml", t.TempDir(), []byte("catalog: {uri: c.db}\nwarehouse: w\n"+more), os.LookupEnv)
		require.NoError(t, err)
		return cfg
	}
	require.Equal(t, "127.0.0.1:9464", parse("").Metrics.Listen)
	require.Equal(t, config.Off, parse("metrics: {listen: off}").Metrics.Listen)
	cfg := parse("")
	cfg.Metrics.Listen = freeAddress(t)
	m := newMonitor(newTotals(1), cfg, nil)
	stop, err := m.serve(context.Background(), cfg, a.logger())
	require.NoError(t, err)
	defer stop()
	again, err := m.serve(context.Background(), cfg, a.logger())
	require.NoError(t, err, "a default that is taken")
	again()
	require.NotNil(t, scrape(cfg.Metrics.Listen, "/healthz"), "the first one still answers")
	asked := parse("metrics: {listen: \"" + cfg.Metrics.Listen + "\"}")
	_, err = m.serve(context.Background(), asked, a.logger())
	require.ErrorContains(t, err, "auditlake.yaml:3:19: metrics.listen: ")
	require.Equal(t, exitUsage, a.exitCode(context.Background(), err))
}

// Each state that tests cannot bring about in a lab, from what the sinks say.
func TestHealthJudges(t *testing.T) {
	start := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	well := func(now time.Time, committed, readable int64) sink.Stats {
		return sink.Stats{Member: true, Heard: now, Polled: now, Commits: committed,
			Owned: []sink.OwnedPartition{{Topic: "t", Committed: committed, HighWatermark: readable, Readable: readable}}}
	}
	var said []sink.Stats
	probeErr := error(nil)
	h := newHealth(10*time.Second, time.Minute, func() []sink.Stats { return said }, func(context.Context) error { return probeErr })
	ready := func(now time.Time) string {
		h.look(now)
		_, why := h.ready(context.Background(), now)
		return why
	}
	said = []sink.Stats{{}}
	require.Contains(t, ready(at(0)), "not a member of the consumer group")
	said = []sink.Stats{{Member: true}}
	require.Contains(t, ready(at(0)), "Kafka has not told yet")
	said = []sink.Stats{well(at(1), 0, -1)}
	require.Contains(t, ready(at(1)), "Kafka has not told yet where t/0 ends")
	said = []sink.Stats{well(at(2), 0, 100)}
	require.Contains(t, ready(at(2)), "catching up: the tables are 100 records behind t/0")
	said = []sink.Stats{well(at(30), 90, 150)}
	require.Contains(t, ready(at(30)), "catching up: the tables are 60 records behind t/0")
	said = []sink.Stats{well(at(31), 120, 160)} // past where it ended at 2 s: 29 s old, and caught up once
	require.Contains(t, ready(at(31)), "behind: the tables lack 40 records of t/0, some for 29s")
	require.Equal(t, 29*time.Second, h.age(at(31), said[0].Owned[0]))
	said = []sink.Stats{well(at(35), 155, 200)}
	require.Equal(t, "1 topic partition, 45 records wait", ready(at(35)))
	require.Equal(t, 5*time.Second, h.age(at(35), said[0].Owned[0]))

	hung := well(at(35), 155, 200)
	hung.Heard = at(47)
	said = []sink.Stats{hung}
	require.Contains(t, ready(at(47)), "writing data files takes 12s")
	hung.Awaiting, hung.AwaitingSince = "load agent_events", at(36)
	said = []sink.Stats{hung}
	require.Contains(t, ready(at(47)), "worker 1: waiting for the catalog for 11s (load agent_events), longer than metrics.ready_lag (10s)")
	hung.Flushing, hung.Awaiting = at(36), "snapshot commit to agent_events"
	said = []sink.Stats{hung}
	require.Contains(t, ready(at(47)), "a flush is under way for 11s, longer than metrics.ready_lag (10s), waiting for the catalog for 11s (snapshot commit to agent_events)")
	hung.Flushing, hung.Awaiting, hung.AwaitingSince = time.Time{}, "", time.Time{}
	hung.Heard, hung.Polled = at(35), at(47)
	said = []sink.Stats{hung}
	require.Contains(t, ready(at(47)), "no answer from Kafka for 12s")
	failed := well(at(48), 155, 200)
	failed.FlushErr = "the store\nis gone"
	said = []sink.Stats{failed}
	require.Contains(t, ready(at(48)), "the last flush failed: the store is gone")
	failed.Owned = nil // given away: what it cannot commit is another's
	said = []sink.Stats{failed}
	require.Contains(t, ready(at(49)), "standing by")

	// Two workers: one of them stands still.
	said = []sink.Stats{well(at(50), 10, 20), well(at(50), 10, 20)}
	said[1].Owned[0].Partition = 1
	h = newHealth(10*time.Second, time.Minute, h.workers, h.probe)
	h.look(at(50))
	for s := 51; s < 120; s++ {
		said[0] = well(at(s), int64(s), 200)
		h.look(at(s))
	}
	ok, why := h.healthy(at(112))
	require.False(t, ok)
	require.Contains(t, why, "worker 2: no snapshot commit for 1m2s, longer than metrics.stalled_after (1m), while 10 records wait")
	probeErr = errors.New("gone")
	require.ErrorContains(t, h.answers(context.Background()), "gone")
}

// However far a topic partition falls behind, what is kept of it is bounded, and
// its age is right to the distance of two samples.
func TestFreshnessIsBounded(t *testing.T) {
	start := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	f := &freshness{until: start}
	for i := range 10_000 {
		f.look(start.Add(time.Duration(i)*time.Second), sink.OwnedPartition{Committed: 0, Readable: int64(i + 1)})
		require.LessOrEqual(t, len(f.seen), maxSeen)
	}
	require.False(t, f.ever)
	f.look(start.Add(10_000*time.Second), sink.OwnedPartition{Committed: 5000, Readable: 10_000})
	require.True(t, f.ever)
	require.InDelta(t, 5000, f.until.Sub(start).Seconds(), 64)
}

// A class that producers make up does not make a series without bound.
func TestClassesAreBounded(t *testing.T) {
	m := newMonitor(newTotals(1), config.Default(), nil)
	first := map[string]int64{"prompt": 3, sink.OtherNames: 1}
	require.Equal(t, first, m.bound(first))
	many := map[string]int64{"prompt": 4, sink.OtherNames: 1}
	for i := range 3 * maxClasses {
		many[fmt.Sprintf("class%03d", i)] = 2
	}
	got := m.bound(many)
	require.Len(t, got, maxClasses+1)
	require.EqualValues(t, 1+2*(2*maxClasses+1), got[sink.OtherNames])
	many["aaa"] = 7 // comes first, and late
	require.NotContains(t, m.bound(many), "aaa")
}
