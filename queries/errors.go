package queries

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// exit codes of the command line, see its help.
const (
	exitUsage   = 2
	exitRefused = 3
)

// UsageError is a question that cannot be asked: an unknown query or parameter,
// a value that does not fit. Its text says what to do.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// ExitCode is the process exit code for this error: usage.
func (e *UsageError) ExitCode() int { return exitUsage }

func usagef(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// GateError is a statement that is refused before anything runs.
type GateError struct{ Reason string }

func (e *GateError) Error() string { return "refused: " + e.Reason }

// ExitCode is the process exit code for this error: refused.
func (e *GateError) ExitCode() int { return exitRefused }

// SQLError is a statement that DuckDB cannot parse, bind or run.
type SQLError struct {
	Detail string // DuckDB's message, with the line and a caret where it has them
	Err    error
}

// Error is the message on one line.
func (e *SQLError) Error() string {
	text, _, _ := strings.Cut(e.Detail, "\n\nLINE ")
	return strings.Join(strings.Fields(text), " ")
}

// Unwrap returns DuckDB's error.
func (e *SQLError) Unwrap() error { return e.Err }

// TimeoutError is a run that took longer than it may.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the query ran longer than %s and was stopped: narrow it with --from and --to, or raise sql.timeout", e.After)
}

// Unwrap lets errors.Is find the deadline.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// ErrMemory is the cause of a run that needed more than its memory limit.
var ErrMemory = errors.New("the query needs more memory than sql.memory_limit allows: narrow it with --from and --to, aggregate more, or raise the limit")

// explain turns what DuckDB or the context say into an error of this package.
func explain(ctx context.Context, err error, timeout time.Duration) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && timeout > 0 {
		return &TimeoutError{timeout}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var de *duckdb.Error
	if !errors.As(err, &de) {
		return err
	}
	switch de.Type {
	case duckdb.ErrorTypeOutOfMemory:
		return fmt.Errorf("%w (%s)", ErrMemory, firstLine(de.Msg))
	case duckdb.ErrorTypePermission:
		return &GateError{firstLine(de.Msg) + "; SQL reads the views only, see `auditlake sql \"SHOW TABLES\"`"}
	}
	if text, ok := strings.CutPrefix(de.Msg, usageMark); ok {
		return &UsageError{firstLine(text)}
	}
	return &SQLError{de.Msg, err}
}

// usageMark begins what DuckDB says of error('usage: …'), by which a query refuses
// a value that only its rows show to be wrong.
const usageMark = "Invalid Input Error: usage: "

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text
}
