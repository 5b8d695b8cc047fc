package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
)

// asked is a process that was asked a question, with a folder for temporary files of
// its own.
type asked struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	temp   string
	start  time.Time
}

func ask(t *testing.T, l *lab, more, sql string) *asked {
	t.Helper()
	a := &asked{temp: t.TempDir(), start: time.Now()}
	config := writeFile(t, l.dir, "asked.yaml", readFile(t, l.config)+more+"\n")
	a.cmd = exec.Command(realBinary(t), "-c", config, "sql", "-f", "-", "-o", "csv")
	a.cmd.Stdin, a.cmd.Stderr = strings.NewReader(sql), &a.stderr
	a.cmd.Env = append(os.Environ(), "TMPDIR="+a.temp)
	require.NoError(t, a.cmd.Start())
	t.Cleanup(func() { _ = a.cmd.Process.Kill() }) // it may be over
	return a
}

// ends waits for its end, which leaves nothing.
func (a *asked) ends(t *testing.T, code int, within time.Duration, want string) {
	t.Helper()
	over := time.AfterFunc(within, func() { _ = a.cmd.Process.Kill() })
	defer over.Stop()
	_ = a.cmd.Wait() // how it ended is asked of its state
	require.Equal(t, code, a.cmd.ProcessState.ExitCode(), "%s after %s", &a.stderr, time.Since(a.start))
	require.Contains(t, a.stderr.String(), want)
	require.Equal(t, 1, strings.Count(a.stderr.String(), "\n"), a.stderr.String())
	left, err := filepath.Glob(filepath.Join(a.temp, "auditlake-run-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// unstoppable takes half a minute in a single value, within which DuckDB looks neither
// at a context nor at the clock.
const unstoppable = "SELECT list_reduce(range(50000000), lambda a, b: (a * 31 + b) % 1000003)"

func TestAQuestionThatDoesNotStopIsEnded(t *testing.T) {
	l := newLab(t)
	ask(t, l, "sql: {timeout: 1s, memory_limit: 8GiB}", unstoppable).ends(t, exitFailed, 30*time.Second, "sql.timeout 1s")

	a := ask(t, l, "sql: {timeout: 10m, memory_limit: 8GiB}", unstoppable)
	require.Eventually(t, func() bool {
		dirs, _ := filepath.Glob(filepath.Join(a.temp, "auditlake-run-*")) // the pattern is good
		return len(dirs) == 1
	}, 20*time.Second, 20*time.Millisecond)
	time.Sleep(500 * time.Millisecond)
	require.NoError(t, a.cmd.Process.Signal(os.Interrupt))
	a.ends(t, exitInterrupted, 30*time.Second, "stopped by interrupt")
}

func TestAQuestionThatTakesTooMuchMemoryIsEnded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a process holds")
	}
	l := newLab(t)
	ask(t, l, "sql: {timeout: 1m, memory_limit: 64MiB}", "SELECT length(repeat('x', 3500000000))").ends(t, exitFailed, 30*time.Second, "more than sql.memory_limit and 1.0 GiB beside it")
}

// A reader that takes its time is no question that does not stop.
func TestTheWatchdogWaitsForTheReader(t *testing.T) {
	cfg := config.Default()
	var said bytes.Buffer
	w := &watchdog{a: &app{stderr: &said, cfg: cfg}, timeout: time.Second, since: time.Now()}
	ctx := context.Background()
	after := func(d time.Duration) error { return w.over(ctx, time.Now().Add(d), time.Time{}) }
	require.NoError(t, after(time.Second+grace-time.Second/2))
	require.ErrorContains(t, after(time.Second+grace+time.Second), "sql.timeout 1s")
	w.wait(true)
	require.NoError(t, after(time.Hour))
	w.since = w.since.Add(-time.Hour)
	w.wait(false)
	require.NoError(t, after(grace-time.Second/2), "it has the time to end that it would have had")
	require.Error(t, after(grace+time.Second/2))

	stopped, cancel := context.WithCancelCause(ctx)
	cancel(interrupted{syscall.SIGINT})
	w.timeout = 0
	now := time.Now()
	require.NoError(t, w.over(stopped, now, now))
	require.Equal(t, exitInterrupted, w.a.exitCode(stopped, w.over(stopped, now.Add(grace+time.Second), now)))
	w.memory = 1
	if runtime.GOOS == "linux" {
		require.ErrorContains(t, w.over(ctx, now, time.Time{}), "sql.memory_limit")
	}
}

func TestAnErrorCannotSteerTheTerminal(t *testing.T) {
	l := newLab(t)
	r := l.call("sql", "SELECT CAST(chr(27) || '[2J' || chr(7) || ' it''s ' || repeat('secret ', 1000) AS INTEGER) FROM range(1)")
	requireOneLine(t, r, exitFailed, `'\x1b[2J\x07 it's secret `)
	require.Less(t, len(r.stderr), 600)
	require.Contains(t, r.stderr, "…' to INT32")
	require.NotContains(t, r.stderr, "\x1b")
	require.NotContains(t, r.stderr, "\a")
	var said bytes.Buffer
	a := &app{stderr: &said, getenv: os.LookupEnv, stdout: io.Discard}
	a.note("no rows of %s", "\x1b[2J\nx")
	require.Equal(t, "no rows of \\x1b[2J↵x\n", said.String())
	require.Equal(t, exitFailed, a.finish(context.Background(), errors.New("a\x1bb\u202e")))
	require.Equal(t, "no rows of \\x1b[2J↵x\nauditlake: a\\x1bb\\u202e\n", said.String())
}

func TestSQLOfAFileHasABound(t *testing.T) {
	l := newLab(t)
	big := writeFile(t, t.TempDir(), "big.sql", "SELECT 1 --"+strings.Repeat("x", maxSQL))
	requireOneLine(t, l.call("sql", "-f", big), exitUsage, "--file: it is larger than 1 MiB")
	requireOneLine(t, callWith(t, context.Background(), "SELECT 1 --"+strings.Repeat("x", maxSQL), "-c", l.config, "sql", "-f", "-"), exitUsage, "it is larger than 1 MiB")
}
