package main

import (
	"flag"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/sink"
)

var (
	killCount = flag.Int("kills", 10, "how often TestKill/…/Random kills a sink")
	takeovers = flag.Int("takeovers", 2, "how often TestKill/…/TakenOver measures how long a dead sink's share waits")
	killSeed  = flag.Uint64("kill-seed", 0, "what TestKill/…/Random's schedule is drawn from; 0: another one each time")
)

// TestKill is the kill harness, with the servers in this process and, beside it, with
// real ones: what waits there leaves the machine to the other.
func TestKill(t *testing.T) {
	for name, start := range map[string]func(*testing.T) killParts{"InProcess": partsInProcess, "RealParts": realParts} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := start(t)
			t.Run("AtEveryStep", func(t *testing.T) { killAtEveryStep(t, parts) })
			t.Run("Zombie", func(t *testing.T) { killZombie(t, parts) })
			t.Run("TakenOver", func(t *testing.T) { killTakenOver(t, parts) })
			t.Run("Random", func(t *testing.T) { killRandom(t, parts) })
		})
	}
}

// The sink dies once at each named step of a flush.
func killAtEveryStep(t *testing.T, parts killParts) {
	l := newKillLab(t, parts)
	for _, step := range sink.Steps {
		l.produce(300)
		w := l.startDoomed(step, 1)
		l.await(w)
		require.Equal(t, syscall.SIGKILL, w.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "%s: %s", step, w.Output())
		l.reap()
	}
	l.finish()
}

// A sink stands still at a step of a flush until the group has given its topic
// partitions away and their new owner has landed the same range. When it goes on, what
// it had not landed is fenced, and it takes away the files that nothing refers to, but
// no other.
func killZombie(t *testing.T, parts killParts) {
	l := newKillLab(t, parts)
	for _, step := range sink.Steps {
		l.produce(300)
		zombie := l.start(envStopAt + "=" + step)
		awaitStopped(t, zombie)
		l.run("run", "--until-caught-up") // waits for the group to give the zombie up
		l.requireRows()
		before, stale := l.snapshots(), strings.Count(zombie.Output(), "batch dropped")
		require.NoError(t, zombie.Signal(syscall.SIGCONT))
		fenced := step != sink.StepAfterSnapshotCommit && step != sink.StepBeforeOffsetCommit
		require.Eventually(t, func() bool {
			return !fenced || strings.Count(zombie.Output(), "batch dropped") > stale
		}, time.Minute, 20*time.Millisecond, "%s: the zombie was not fenced", step)
		require.Equal(t, before, l.snapshots(), "%s: the zombie landed something", step)
		// It is a member like any other again.
		l.produce(50)
		require.Eventually(t, func() bool { return len(l.snapshots()) > len(before) }, time.Minute, 100*time.Millisecond, "%s: it does not go on", step)
		l.retire(zombie)
		l.reap()
		missing, orphans := l.compareFiles()
		require.Empty(t, missing, "%s: files that a snapshot refers to", step)
		require.Empty(t, orphans, "%s: files that the zombie left behind", step)
	}
	l.finish()
}

// awaitStopped waits until a worker stands still.
func awaitStopped(t *testing.T, w *worker) {
	t.Helper()
	require.Eventually(t, func() bool { return stopped(t, w) }, time.Minute, 20*time.Millisecond, "%s does not stop", w.name)
}

// stopped asks the kernel whether a worker stands still.
func stopped(t *testing.T, w *worker) bool {
	t.Helper()
	select {
	case <-w.Ended():
		t.Fatalf("%s ended: %v\n%s", w.name, w.cmd.ProcessState, w.Output())
	default:
	}
	// The state follows the name, which is in parentheses.
	_, state, _ := strings.Cut(readFile(t, "/proc/"+strconv.Itoa(w.cmd.Process.Pid)+"/stat"), ") ")
	return strings.HasPrefix(state, "T")
}

// Sinks die, stand still, come and go, servers go away and come back, all by a
// schedule drawn from a seed, while records keep coming.
func killRandom(t *testing.T, parts killParts) {
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (-kill-seed), -kills %d", seed, *killCount)
	l := newKillLab(t, parts)
	t.Logf("parts: %s", l.parts.name)
	began := time.Now()
	s := newKillSchedule(l, seed)
	for {
		until := min(*killCount, l.count.kills()+killsPerLake)
		for l.count.kills() < until {
			s.round()
		}
		l.finish()
		t.Logf("after %s and %d lakes: %s", time.Since(began).Round(time.Second), l.lakes, &l.count)
		if l.count.kills() >= *killCount {
			for why, n := range l.count.gaveUp {
				t.Logf("%d gave up: %s", n, why)
			}
			return
		}
		l.newLake()
	}
}

// killsPerLake bounds how long one lake's history gets: it is counted, and another
// one begins.
const killsPerLake = 100
