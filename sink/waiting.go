package sink

import (
	"time"
)

// sayWaitAfter is how long the catalog may take before that is said; each wait until
// the next line is twice as long. Tests shorten it.
var sayWaitAfter = 10 * time.Second

// awaitCatalog notes that the sink waits for the catalog to do what, until done. A
// catalog that hangs makes no error for minutes. heard is for each sign of life.
func (s *Sink) awaitCatalog(what string) (heard, done func()) {
	began := time.Now()
	s.stats.Awaiting, s.stats.AwaitingSince = what, began
	s.report()
	heard, stop := s.sayWaits(func() {
		s.log.Warn("waiting for the catalog", "to", what, "waited", time.Since(began).Round(time.Second))
	})
	return heard, func() {
		stop()
		s.stats.Awaiting, s.stats.AwaitingSince = "", time.Time{}
		s.report()
	}
}

// sayWaits calls say where nothing is heard for long, until stop has returned.
func (s *Sink) sayWaits(say func()) (heard, stop func()) {
	first := s.sayWaitAfter
	if first == 0 {
		return func() {}, func() {}
	}
	over, ended, signs := make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(ended)
		for wait := first; ; {
			select {
			case <-over:
				return
			case <-signs:
				wait = first
			case <-time.After(wait):
				say()
				wait *= 2
			}
		}
	}()
	heard = func() {
		select {
		case signs <- struct{}{}:
		default: // one is on its way
		}
	}
	return heard, func() { close(over); <-ended }
}
