package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/queries"
)

// Exit codes. Cron jobs rely on them: they do not change.
const (
	exitDone        = 0   // done, or nothing to do
	exitFailed      = 1   // failed
	exitUsage       = 2   // usage or configuration
	exitRefused     = 3   // refused
	exitLeased      = 4   // another job holds the lease
	exitFindings    = 5   // verification found something wrong
	exitNothingToDo = 10  // nothing to do, only with --detailed-exit-code
	exitInterrupted = 130 // interrupted
)

const exitHelp = `Exit codes: 0 done, or nothing to do; 1 failed; 2 usage or configuration; 3 refused; 4 another job
holds the lease; 5 verification found something wrong; 130 interrupted. With --detailed-exit-code
a command that found nothing to do ends with 10.`

// usageError is a command line that cannot be run.
type usageError struct{ text, hint string }

func (e *usageError) Error() string {
	if e.hint == "" {
		return e.text
	}
	return e.text + ": " + e.hint
}

func usagef(format string, args ...any) error { return &usageError{text: fmt.Sprintf(format, args...)} }

// refusedError is something that auditlake can do and will not.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// errFindings says that verification found something wrong; the findings
// themselves are on stdout.
type errFindings struct{ text string }

func (e *errFindings) Error() string { return e.text }

// errNothingToDo is the success of a command that changed nothing.
var errNothingToDo = errors.New("nothing to do")

// coder is an error of another room that knows its exit code.
type coder interface{ ExitCode() int }

// exitCode is the one place where errors become exit codes.
func (a *app) exitCode(ctx context.Context, err error) int {
	var (
		usage    *usageError
		mistake  *config.Error
		refused  *refusedError
		findings *errFindings
		knows    coder
	)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNothingToDo):
		if a.detailedExit {
			return exitNothingToDo
		}
		return exitDone
	case wasInterrupted(ctx) && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &mistake):
		return exitUsage
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &findings):
		return exitFindings
	case errors.As(err, &knows):
		return knows.ExitCode()
	default:
		return exitFailed
	}
}

// finish tells the user how it ended, in one line, and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	code := a.exitCode(ctx, err)
	if err == nil || errors.Is(err, errNothingToDo) {
		return code
	}
	text := err.Error()
	if code == exitInterrupted {
		text = context.Cause(ctx).Error()
	}
	if wrong := (*queries.SQLError)(nil); errors.As(err, &wrong) {
		text = cutValues(text)
	}
	text = queries.Visible(strings.Join(strings.Fields(text), " "))
	if a.logsJSON() {
		slog.New(slog.NewJSONHandler(a.stderr, nil)).Error(text, "exit_code", code)
	} else {
		_, _ = fmt.Fprintf(a.stderr, "auditlake: %s\n", text)
	}
	return code
}

// maxQuoted are the characters of a value that an error of DuckDB quotes: enough to
// know it by. A value may be a payload, and this line goes to logs.
const maxQuoted = 200

// quotedValues finds what DuckDB's errors quote. A value may hold quotes itself: up
// to the last one it counts as one.
var quotedValues = regexp.MustCompile(`(?s)'.*'|Input: ".*"|"[^"]*"`)

func cutValues(text string) string {
	return quotedValues.ReplaceAllStringFunc(text, func(quoted string) string {
		if runes := []rune(quoted); len(runes) > maxQuoted+2 {
			return string(runes[:maxQuoted+1]) + "…" + string(runes[len(runes)-1:])
		}
		return quoted
	})
}
