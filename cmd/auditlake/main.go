// Command auditlake is the lakehouse end of an audit log of AI agents: it writes
// events from Kafka to Iceberg tables, each exactly once, and answers questions
// about them. One file per command; what a command does is in the other rooms.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/auditlake/auditlake/queries"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(interrupted{<-signals})
		// The second one leaves at once. That loses nothing: the sink starts again
		// from what the tables hold.
		<-signals
		queries.RemoveRunFolders()
		os.Exit(exitInterrupted)
	}()
	stop := profile()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.LookupEnv, exit: os.Exit}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "stopped by " + i.signal.String() }

func wasInterrupted(ctx context.Context) bool {
	var i interrupted
	return errors.As(context.Cause(ctx), &i)
}

// run is the program without its process: tests call it as main does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.LookupEnv}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	if err := a.openLibrary(args); err != nil {
		return a.finish(ctx, err)
	}
	root := newRoot(a)
	root.SetArgs(args)
	return a.finish(ctx, root.ExecuteContext(ctx))
}
