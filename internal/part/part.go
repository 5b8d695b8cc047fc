// Package part runs the real servers that tests run against: brokers, object
// stores, catalogs. It is for tests only. What each is and how it is installed:
// `.ci/parts` installs all of them and says how a person starts the same.
package part

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Dir is the folder of an installed part: NAME under $AUDITLAKE_PARTS, or under
// auditlake-parts in the user's cache folder. It need not be there, see Need.
func Dir(name string) string {
	root := os.Getenv("AUDITLAKE_PARTS")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		root = filepath.Join(cache, "auditlake-parts")
	}
	return filepath.Join(root, name)
}

// Need skips the test where there says that a part is not installed, and fails it
// where CI=true. install is the command that installs the part.
func Need(tb testing.TB, what string, there bool, install string) {
	tb.Helper()
	if there {
		return
	}
	missing := fmt.Sprintf("%s is not installed: run `%s`", what, install)
	if os.Getenv("CI") == "true" {
		tb.Fatal(missing)
	}
	// go test shows the reason of a skip only with -v, and this line also
	// without, in a package that fails or is tested in its own folder.
	if _, said := leftOut.LoadOrStore(what, true); !said {
		fmt.Fprintln(os.Stderr, "LEFT OUT:", missing)
	}
	tb.Skip("left out: " + missing)
}

var leftOut sync.Map // what Need has said is missing

// FreeAddress is a loopback address that nobody listened on a moment ago.
// Another process may take it first: whoever starts a server there tries again.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // whoever starts a server there tries again
	return listener.Addr().String()
}

// Process is a process that a test started: a server by Start, which ends with the
// test, or what Spawn started. It ends with the test's process however that ends.
type Process struct {
	name   string
	cmd    *exec.Cmd
	ended  chan struct{}
	output lockedBuffer
}

// Start starts cmd and waits until ready returns nil, asked every 20 ms, or fails
// once it has ended or timeout is over. What it prints is kept for Output and
// shown where the test fails. Its own Stdout and Stderr must not be set.
func Start(tb testing.TB, name string, cmd *exec.Cmd, timeout time.Duration, ready func() error) (*Process, error) {
	tb.Helper()
	p, err := Spawn(name, cmd)
	if err != nil {
		return nil, err
	}
	if err := p.await(timeout, ready); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w: %s", name, err, strings.TrimSpace(p.Output()))
	}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s said: %s", name, p.Output())
		}
	})
	return p, nil
}

// Spawn starts cmd, which ends with this process however that ends; within the test
// its caller has to end it. What it prints is kept for Output. Its own Stdout and
// Stderr must not be set.
func Spawn(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// run starts the command so that it ends with this process.
func (p *Process) run() error {
	endWithParent(p.cmd)
	started := make(chan error)
	go func() {
		// To the kernel the parent is the thread, which must not end before.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its output says why
		}
		close(p.ended)
	}()
	return <-started
}

func (p *Process) await(timeout time.Duration, ready func() error) error {
	deadline := time.After(timeout)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return errors.New("it ended")
		case <-deadline:
			return fmt.Errorf("it is not ready after %s: %w", timeout, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the process at once (SIGKILL) and waits until it is gone. It is
// harmless twice.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Ended is closed once the process has ended; how is in the ProcessState of its
// command then.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Output is what the process has printed so far.
func (p *Process) Output() string { return p.output.String() }

// lockedBuffer takes the output of a process while a test may read it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
