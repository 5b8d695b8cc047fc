package main

import (
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Environment variables for whoever works on auditlake itself; none is part of its
// interface.
const (
	// envKillAt names a step of a flush (sink.Steps), with :N its Nth time, at
	// which the process kills itself as SIGKILL would: the fault tests' seam.
	envKillAt = "AUDITLAKE_TEST_KILL_AT"
	// envStopAt is the same with SIGSTOP: the process stands still there until
	// somebody sends it SIGCONT.
	envStopAt = "AUDITLAKE_TEST_STOP_AT"
	// envProfile names a file for a CPU profile of the whole command.
	envProfile = "AUDITLAKE_CPUPROFILE"
)

// stepHook returns what the sink calls at each step of a flush, nil normally. Workers
// of one process may call it at once.
func (a *app) stepHook() func(step string) {
	for variable, signal := range map[string]syscall.Signal{envKillAt: syscall.SIGKILL, envStopAt: syscall.SIGSTOP} {
		at, ok := a.getenv(variable)
		if !ok {
			continue
		}
		name, nth, _ := strings.Cut(at, ":")
		var left atomic.Int64
		if n, err := strconv.Atoi(nth); err == nil {
			left.Store(int64(n))
		} else {
			left.Store(1)
		}
		return func(step string) {
			if step == name && left.Add(-1) == 0 {
				_ = syscall.Kill(os.Getpid(), signal)
				// SIGSTOP may be served by another thread first: nothing of the flush
				// may happen before it is.
				time.Sleep(signalGrace)
			}
		}
	}
	return nil
}

const signalGrace = 200 * time.Millisecond

// profile starts a CPU profile if one is asked for; stop ends it.
func profile() (stop func()) {
	path := os.Getenv(envProfile)
	if path == "" {
		return func() {}
	}
	f, err := os.Create(path)
	if err != nil {
		return func() {}
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		_ = f.Close() // a profile that cannot be had must not end the command
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}
}
