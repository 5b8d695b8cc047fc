package faultproxy

import (
	"io"
	"sync"
	"time"
)

// link is a wire with a bound on its bytes per second, all who use it together.
type link struct {
	done chan struct{} // closed when the test is over

	mu   sync.Mutex
	rate int64
	free time.Time // when what was let through so far has gone over the wire
}

func newLink() *link { return &link{done: make(chan struct{})} }

func (l *link) end() { close(l.done) }

func (l *link) limit(bytesPerSecond int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.free = bytesPerSecond, time.Now()
}

// pass waits until n more bytes have gone over the wire.
func (l *link) pass(n int) {
	l.mu.Lock()
	if l.rate == 0 {
		l.mu.Unlock()
		return
	}
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	wait := time.Until(l.free)
	l.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-l.done:
	}
}

// body is a body that comes over the wire.
func (l *link) body(r io.ReadCloser) io.ReadCloser { return &wiredBody{r, l} }

type wiredBody struct {
	io.ReadCloser
	line *link
}

func (b *wiredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 32<<10)])
	b.line.pass(n)
	return n, err
}
