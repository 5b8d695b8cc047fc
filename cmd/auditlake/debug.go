package main

import (
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
)

// Two environment variables for whoever works on auditlake itself; neither is
// part of its interface.
const (
	// envKillAt names a step of a flush (sink.Steps), with :N its Nth time, at
	// which the process kills itself as SIGKILL would: the fault tests' seam.
	envKillAt = "AUDITLAKE_TEST_KILL_AT"
	// envProfile names a file for a CPU profile of the whole command.
	envProfile = "AUDITLAKE_CPUPROFILE"
)

// killHook returns what the sink calls at each step of a flush, nil normally.
func (a *app) killHook() func(step string) {
	at, ok := a.getenv(envKillAt)
	if !ok {
		return nil
	}
	name, nth, _ := strings.Cut(at, ":")
	left, err := strconv.Atoi(nth)
	if err != nil {
		left = 1
	}
	return func(step string) {
		if step != name {
			return
		}
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // does not return
		}
	}
}

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
