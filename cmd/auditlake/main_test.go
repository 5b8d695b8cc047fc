package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/sink"
)

// result is what one run of the program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// call runs the program as main does, in this process.
func call(t *testing.T, args ...string) result {
	t.Helper()
	return callWith(t, context.Background(), "", args...)
}

func callWith(t *testing.T, ctx context.Context, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// mustCall is call for what has to succeed.
func mustCall(t *testing.T, args ...string) string {
	t.Helper()
	r := call(t, args...)
	require.Equal(t, exitDone, r.code, "auditlake %s\n%s%s", strings.Join(args, " "), r.stdout, r.stderr)
	return r.stdout
}

func TestHelpAndCompletion(t *testing.T) {
	require.Contains(t, mustCall(t), "auditlake quickstart")
	require.Contains(t, mustCall(t, "--help"), "Exit codes:")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, mustCall(t, "completion", shell), "auditlake")
	}
	require.Contains(t, mustCall(t, "__complete", "--log-level", ""), "debug\ninfo\nwarn\nerror")
	require.Contains(t, mustCall(t, "__complete", "version", "-o", ""), "table\njson")
	require.Contains(t, mustCall(t, "__complete", "--config", ""), "yaml\nyml")
}

func TestEveryCommandHelps(t *testing.T) {
	for _, cmd := range newRoot(&app{}).Commands() {
		if cmd.Name() == "help" {
			continue
		}
		require.NotEmpty(t, cmd.Short, cmd.Name())
		require.Contains(t, mustCall(t, cmd.Name(), "--help"), "Usage:", cmd.Name())
	}
}

func TestFirstSignalInterrupts(t *testing.T) {
	a := &app{stderr: &bytes.Buffer{}}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(interrupted{syscall.SIGTERM})
	require.Equal(t, exitInterrupted, a.finish(ctx, ctx.Err()))
	require.Equal(t, "auditlake: stopped by terminated\n", a.stderr.(*bytes.Buffer).String())
	require.Equal(t, exitFailed, a.exitCode(context.Background(), context.Canceled))
}

func TestDetailedExitCode(t *testing.T) {
	a := &app{stderr: &bytes.Buffer{}}
	require.Equal(t, exitDone, a.finish(context.Background(), errNothingToDo))
	a.detailedExit = true
	require.Equal(t, exitNothingToDo, a.finish(context.Background(), errNothingToDo))
	require.Empty(t, a.stderr.(*bytes.Buffer).String())
}

// What ends one worker is not hidden by what came of that, or of a stop, to another.
func TestGravestEndOfWorkers(t *testing.T) {
	stopped, cancel := context.WithCancelCause(context.Background())
	cancel(interrupted{syscall.SIGTERM})
	interrupt := &sink.Error{Text: "stopped before the last snapshot commit", Err: context.Canceled}
	failed, refused := &sink.Error{Text: "failed"}, &sink.Error{Text: "refused", Refused: true}
	mistake := &catalog.ConfigError{Text: "no such table"}
	for name, tc := range map[string]struct {
		ended []error
		code  int
		text  string
	}{
		"all are done":             {[]error{nil, nil}, exitDone, ""},
		"a stop alone":             {[]error{nil, interrupt}, exitInterrupted, "stopped by terminated"},
		"a stop, and a failure":    {[]error{interrupt, failed, errors.New("later")}, exitFailed, "failed"},
		"a stop, and a refusal":    {[]error{interrupt, nil, refused}, exitRefused, "refused"},
		"a failure, and a mistake": {[]error{failed, mistake}, exitUsage, "no such table"},
		"a mistake, and a refusal": {[]error{mistake, refused}, exitRefused, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, len(tc.ended))
			for _, err := range tc.ended {
				ended <- err
			}
			close(ended)
			said := &bytes.Buffer{}
			a := &app{stderr: said}
			require.Equal(t, tc.code, a.finish(stopped, a.gravest(stopped, ended)))
			require.Contains(t, said.String(), tc.text)
		})
	}
}
