package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// takeoverBound is a session and what a busy machine adds, but less than the minute
// that a rebalance waits for a member that is busy: a dead one is not waited for.
const takeoverBound = 40 * time.Second

// A sink is killed: how long its topic partitions have no owner. Every other time a
// rebalance is under way then, and the dead one may be what the group waits for.
func killTakenOver(t *testing.T, parts killParts) {
	l := newKillLab(t, parts)
	survivor := l.start()
	var calm, amid []time.Duration
	for i := range *takeovers {
		victim := l.start()
		l.awaitShares(survivor, victim)
		living, took := []*worker{survivor}, &calm
		if i%2 == 1 {
			took = &amid
			living = append(living, l.start())
			time.Sleep(rand.N(1500 * time.Millisecond))
		}
		victim.Kill()
		killed := time.Now()
		l.awaitShares(living...)
		*took = append(*took, time.Since(killed))
		for _, w := range living[1:] {
			l.retire(w)
		}
		l.reap()
	}
	l.produce(100)
	l.finish()
	t.Logf("session %s, on %s; taken over within: %s; killed amid a rebalance: %s", parts.session, parts.name, spread(calm), spread(amid))
	require.Less(t, slices.Max(append(calm, amid...)), parts.session+takeoverBound)
}

// spread says how long something took.
func spread(of []time.Duration) string {
	if len(of) == 0 {
		return "not measured"
	}
	slices.Sort(of)
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("median %s, longest %s of %d", ms(of[len(of)/2]), ms(of[len(of)-1]), len(of))
}

var shareLine = regexp.MustCompile(`msg=(assigned|revoked) topic=\S+ partition=(\d+)`)

// share is the topic partitions that a sink logs it has.
func (w *worker) share() map[string]bool {
	out := map[string]bool{}
	for _, m := range shareLine.FindAllStringSubmatch(w.Output(), -1) {
		out[m[2]] = m[1] == "assigned"
	}
	return out
}

// awaitShares waits until sinks have all topic partitions, and each has some.
func (l *killLab) awaitShares(of ...*worker) {
	l.t.Helper()
	require.Eventually(l.t, func() bool {
		owned := map[string]bool{}
		for _, w := range of {
			has := false
			for p, mine := range w.share() {
				owned[p], has = owned[p] || mine, has || mine
			}
			if !has {
				return false
			}
		}
		n := 0
		for _, mine := range owned {
			if mine {
				n++
			}
		}
		return n == killPartitions
	}, 2*time.Minute, 10*time.Millisecond, "%s", strings.Join(names(of), ", "))
}

func names(of []*worker) (out []string) {
	for _, w := range of {
		out = append(out, w.name)
	}
	return out
}
