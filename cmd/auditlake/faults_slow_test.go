package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// A store that takes a tenth of what the topic brings: memory stays within its budget,
// the lag says so, nothing is dropped, and when the store is quick again it catches up.
//
// Not in parallel: a process has one configuration of the object store, and the labs of
// tests that run beside others have none.
func TestBackpressure(t *testing.T) {
	const (
		events    = 300_000 // a kilobyte each, of which half is left when it is compressed
		memory    = 64 << 20
		storeRate = 1 << 20 // bytes per second; what is produced in seconds takes it minutes
	)
	server := storagetest.StartS3(t, "lake")
	store := faultproxy.StartHTTP(t, server.Endpoint)
	server.Endpoint = store.URL
	address := freeAddress(t)
	l := newLab(t, "warehouse: s3://lake/warehouse", s3Lines(server), fmt.Sprintf("sql: {cache_dir: %q}", t.TempDir()),
		"sink: {target_lag: 1s, memory: 64MiB}", "metrics: {listen: \""+address+"\", ready_lag: 3s, stalled_after: 5m}")
	w := &watched{lab: l, address: address}
	var stderr bytes.Buffer
	cmd := exec.Command(realBinary(t), "-c", l.config, "run")
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may be over
	w.wants("/readyz", up)
	idle := peakMemory(t, cmd.Process.Pid)

	store.Limit(storeRate)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.sendRandom(events)
	}()
	w.wants("/readyz", down, "longer than metrics.ready_lag")
	<-sent
	require.Less(t, w.metric("auditlake_committed_rows_total"), float64(events)/2, "the store is not slower than the topic")
	highest, behind := 0.0, 0.0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		highest = max(highest, w.metric("auditlake_buffered_bytes"))
		behind = max(behind, w.metric("auditlake_lag_seconds"))
	}
	require.LessOrEqual(t, highest, float64(memory))
	require.Greater(t, behind, 5.0, "the lag does not say that the store is slow")
	require.Greater(t, w.metric("auditlake_lag_records"), float64(events)/4)
	slow := peakMemory(t, cmd.Process.Pid)

	store.Limit(0)
	w.wants("/readyz", up, "0 records wait")
	require.EqualValues(t, events, w.metric("auditlake_committed_rows_total"))
	t.Logf("peak memory %d MiB idle, %d MiB while the store was slow, %d MiB at the end, of them %.1f MiB of %d MiB buffered; %.0f s behind",
		idle>>20, slow>>20, peakMemory(t, cmd.Process.Pid)>>20, highest/(1<<20), memory>>20, behind)
	// Twice the budget, as the configuration's page says, and what is fetched ahead: a
	// 64th of it for each of three topic partitions, twice.
	require.Less(t, peakMemory(t, cmd.Process.Pid), idle+2*memory+memory/8+32<<20)

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "%s", &stderr)
	require.NotContains(t, stderr.String(), "level=ERROR")
	l.requireVerified()
	require.EqualValues(t, events, l.value(`SELECT count(*) FROM agent_events`))
}

// sendRandom sends n prompts of about a kilobyte that nothing compresses below half.
func (l *lab) sendRandom(n int) {
	text := make([]byte, 1000)
	var records []*kgo.Record
	for i := range n {
		for j := range text {
			text[j] = "0123456789abcdef"[rand.IntN(16)]
		}
		value := prompt(i)
		value = append(value[:len(value)-1], fmt.Sprintf(`,"data":{"x":"%s"}}`, text)...)
		if records = append(records, recordOf(i%3, value)); len(records) == 5000 || i == n-1 {
			l.send(records...)
			records = records[:0]
		}
	}
}

// metric is the sum of a metric's series.
func (w *watched) metric(name string) (sum float64) {
	for _, line := range strings.Split(string(scrape(w.address, "/metrics")), "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
			require.NoError(w.t, err)
			sum += v
		}
	}
	return sum
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most memory that a process has had resident, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("left out: how much memory a process takes is read from /proc: %v", err)
	}
	found := peakLine.FindSubmatch(text)
	require.NotNil(t, found, "%s", text)
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return kilobytes << 10
}
