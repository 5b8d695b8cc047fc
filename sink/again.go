package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// Waits of a daemon between a failure and its next beginning: exponential, and up to
// half of it less, so that many sinks of one store do not come back at once. Tests
// shorten them.
var (
	againMinWait = time.Second
	againMaxWait = 30 * time.Second
)

// beginAgain goes on after a failure that the world may mend: what is pending is
// dropped, and after a wait everything is read again from where the tables are, as
// the next process would. It returns err where that is no way to go on.
func (s *Sink) beginAgain(ctx context.Context, err error) error {
	wait, err := s.giveUp(ctx, err)
	if err != nil {
		return err
	}
	return s.wait(ctx, wait)
}

func (s *Sink) giveUp(ctx context.Context, err error) (wait time.Duration, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || !s.mayMend(err) {
		return 0, err
	}
	wait = min(againMinWait<<min(s.failures, 20), againMaxWait)
	s.failures++
	s.stats.BegunAgain++
	s.log.Warn("failed; what is pending is read again from where the tables are", "again_within", wait, "err", err)
	s.dropLocked()
	s.rewind = true
	s.stats.FlushErr = err.Error()
	s.report()
	return wait, nil
}

// mayMend tells whether err may go away by itself. A job's does not, while it runs:
// whoever starts it tries again.
func (s *Sink) mayMend(err error) bool { return !s.cfg.UntilCaughtUp && !s.stays(err) }

// stays tells whether somebody has to act on err. What is refused at the start is a
// mistake; what worked before may work again: a token that ran out, a server that is
// read-only for as long as another one takes over. It worked where the tables could be
// read and hold a snapshot commit, be it an earlier run's: a sink may be idle for long. A
// table that is gone, another one, or of another schema stays so until somebody acts.
func (s *Sink) stays(err error) bool {
	var ours *Error
	var config *catalog.ConfigError
	var knows interface{ ExitCode() int }
	worked := !s.stats.LastCommit.IsZero()
	switch {
	case errors.As(err, &ours):
		return true
	case errors.As(err, &config):
		return !config.Access || !worked
	case errors.As(err, &knows) && knows.ExitCode() == 2:
		return !worked
	}
	return false
}

// couldNotTakeOver is the end of an assignment that found no answer: the client
// leaves the group's session and joins again, unless it is of no use.
func (s *Sink) couldNotTakeOver(err error) {
	if !s.mayMend(err) {
		s.stop = err
		return
	}
	s.log.Warn("topic partitions cannot be taken over yet; joining the consumer group again", "err", err)
	s.stats.TakeOverErr = err.Error()
	s.report()
}

// groupSession is whether err is the client's own note that it joins the group again.
func groupSession(err error) bool {
	var session *kgo.ErrGroupSession
	return errors.As(err, &session)
}

// waitUpTo waits for between half of d and d, or until ctx is done; it returns the
// context's error then.
func waitUpTo(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
