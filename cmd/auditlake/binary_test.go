package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// buildFolder holds the binary that the tests of processes share.
var buildFolder string

func TestMain(m *testing.M) {
	code := m.Run()
	if buildFolder != "" {
		_ = os.RemoveAll(buildFolder) // a temporary folder
	}
	os.Exit(code)
}

// realBinary is the program as users run it: $AUDITLAKE_BINARY, or built here
// once. What signals and sudden deaths do shows in a process of its own only.
func realBinary(t *testing.T) string {
	t.Helper()
	path, err := builtBinary()
	require.NoError(t, err)
	return path
}

var builtBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("AUDITLAKE_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	var err error
	if buildFolder, err = os.MkdirTemp("", "auditlake-test"); err != nil {
		return "", err
	}
	path := filepath.Join(buildFolder, "auditlake")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// startSink starts the daemon and waits until it has taken every record sent, as
// its metrics tell; none is committed before the target lag.
func startSink(t *testing.T, l *lab, records int) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	address := freeAddress(t)
	config := writeFile(t, l.dir, "daemon.yaml", readFile(t, l.config)+"metrics: {listen: \""+address+"\"}\n")
	var stderr bytes.Buffer
	cmd := exec.Command(realBinary(t), "-c", config, "run")
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may be over
	want := fmt.Sprintf("auditlake_pending_rows %d\n", records)
	require.Eventually(t, func() bool { return bytes.Contains(scrape(address, "/metrics"), []byte(want)) },
		30*time.Second, 50*time.Millisecond, "%s", &stderr)
	return cmd, &stderr
}

// SIGTERM commits what is pending, however far the target lag is, and ends with 0.
func TestSIGTERMFlushes(t *testing.T) {
	l := newLab(t, "sink: {target_lag: 1h}")
	for i := range 50 {
		l.send(recordOf(i%3, prompt(i)))
	}
	cmd, stderr := startSink(t, l, 50)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "%s", stderr)
	require.EqualValues(t, 50, l.value(`SELECT count(*) FROM agent_log`))
	l.requireVerified()
}

// A second SIGTERM leaves at once though the flush hangs, and loses nothing.
func TestSecondSIGTERMLeavesAtOnce(t *testing.T) {
	l := newLab(t, "sink: {target_lag: 1h, shutdown_timeout: 10m}")
	for i := range 50 {
		l.send(recordOf(i%3, prompt(i)))
	}
	cmd, stderr := startSink(t, l, 50)
	// A writer that holds the catalog keeps the last flush from ending.
	release := holdCatalog(t, l)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	time.Sleep(500 * time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // how it ended is asked below
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatalf("it did not leave: %s", stderr)
	}
	require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode())
	release()
	require.EqualValues(t, 0, l.value(`SELECT count(*) FROM agent_log`))
	l.catchUp()
	require.EqualValues(t, 50, l.value(`SELECT count(*) FROM agent_log`))
	l.requireVerified()
}
