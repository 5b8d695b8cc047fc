package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/queries"
)

const (
	// grace is what a question may take to end once its time is up or it is interrupted.
	grace = 5 * time.Second
	// besideMemory is what the process may hold beside sql.memory_limit: what
	// DuckDB does not count, a table on its way to the terminal, and Go itself.
	besideMemory = 1 << 30
	watchEvery   = 100 * time.Millisecond
)

// watchdog ends the process where a question does not end. DuckDB looks at its
// limits between pieces of work; what one expression makes (a list of gigabytes),
// the parser and the planner do not: there only an end of the process holds them.
type watchdog struct {
	a       *app
	timeout time.Duration // none if zero
	memory  int64         // bytes, none if zero
	exit    func(int)

	mu      sync.Mutex
	since   time.Time // the question, or the last time that its reader kept it waiting
	writing bool
}

// watched runs do, which asks one question, and ends the process where sql.timeout,
// an interruption or sql.memory_limit have not ended it. A reader that is slow, a
// pager for one, is not counted: out is where the result goes. Only a process of
// its own is watched, not one that calls the program as a function.
func (a *app) watched(ctx context.Context, do func(out io.Writer) error) error {
	if a.exit == nil {
		return do(a.stdout)
	}
	w := &watchdog{a: a, timeout: a.cfg.SQL.Timeout.Std(), since: time.Now(), exit: a.exit}
	if limit := a.cfg.SQL.MemoryLimit.Bytes(); limit > 0 {
		w.memory = limit + besideMemory
	}
	done := make(chan struct{})
	defer close(done)
	go w.watch(ctx, done)
	stdout := a.stdout
	defer func() { a.stdout = stdout }()
	a.stdout = &watchedWriter{w, stdout} // for what does not take out, too
	return do(a.stdout)
}

func (w *watchdog) watch(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var interrupted time.Time
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			if interrupted.IsZero() && ctx.Err() != nil {
				interrupted = now
			}
			err := w.over(ctx, now, interrupted)
			if err == nil {
				continue
			}
			select {
			case <-done: // just in time
				return
			default:
			}
			queries.RemoveRunFolders()
			w.exit(w.a.finish(ctx, err))
			return
		}
	}
}

// over is why the question must end now.
func (w *watchdog) over(ctx context.Context, now, interrupted time.Time) error {
	w.mu.Lock()
	late := w.timeout > 0 && !w.writing && now.Sub(w.since) > w.timeout+grace
	w.mu.Unlock()
	switch held := residentBytes(); {
	case !interrupted.IsZero() && now.Sub(interrupted) > grace:
		return ctx.Err()
	case w.memory > 0 && held > w.memory:
		return fmt.Errorf("the query was ended: the process holds %s, more than sql.memory_limit and %s beside it: narrow it with --from and --to, make smaller texts and lists, write many rows with -o csv, or raise the limit",
			ui.Bytes(held), ui.Bytes(besideMemory))
	case late:
		return fmt.Errorf("the query was ended: it did not stop within %s after its time, sql.timeout %s: probably it makes a huge value, or is nested too deeply", ui.Duration(grace), w.timeout)
	}
	return nil
}

// watchedWriter tells the watchdog when a question waits for its reader.
type watchedWriter struct {
	w  *watchdog
	to io.Writer
}

func (o *watchedWriter) Write(p []byte) (int, error) {
	o.w.wait(true)
	defer o.w.wait(false)
	return o.to.Write(p)
}

// Stat tells who writes Parquet whether that would go to a terminal.
func (o *watchedWriter) Stat() (os.FileInfo, error) {
	if f, ok := o.to.(*os.File); ok {
		return f.Stat()
	}
	return nil, os.ErrInvalid
}

func (w *watchdog) wait(writing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing = writing; writing {
		return
	}
	// The time that is left counts from here: what is over ends by itself.
	if now := time.Now(); now.Sub(w.since) > w.timeout {
		w.since = now.Add(-w.timeout)
	}
}

// residentBytes is the memory of this process that is its own; 0 where the system
// does not tell.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text)) // pages: size, resident, shared, ...
	if len(fields) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(fields[1], 10, 64)
	shared, err2 := strconv.ParseInt(fields[2], 10, 64)
	if errors.Join(err1, err2) != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}
