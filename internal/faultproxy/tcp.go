package faultproxy

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// TCP stands before a server and lets its connections fail: those that are open,
// those that come, or what flows over them. It is safe for concurrent use.
type TCP struct {
	Address string // host:port that clients are to use

	target string

	mu      sync.Mutex
	conns   map[net.Conn]struct{} // of both sides
	refuses bool
	stalled chan struct{} // closed when bytes flow again; nil while they do
	made    int
	done    chan struct{} // closed when the test is over
}

// StartTCP starts a proxy before the server at host:port. It ends with the test.
func StartTCP(tb testing.TB, target string) *TCP {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &TCP{Address: listener.Addr().String(), target: target, conns: map[net.Conn]struct{}{}, done: make(chan struct{})}
	tb.Cleanup(func() {
		close(p.done)
		_ = listener.Close() // the test is over
		p.Cut()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			go p.serve(conn)
		}
	}()
	return p
}

// Cut resets every connection that is open.
func (p *TCP) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		reset(conn)
	}
}

// Refuse has connections reset as they come, and those that are open at once; or
// lets them through again.
func (p *TCP) Refuse(yes bool) {
	p.mu.Lock()
	p.refuses = yes
	p.mu.Unlock()
	if yes {
		p.Cut()
	}
}

// Stall has no byte pass, over connections that stay open, or lets them flow again.
func (p *TCP) Stall(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case yes && p.stalled == nil:
		p.stalled = make(chan struct{})
	case !yes && p.stalled != nil:
		close(p.stalled)
		p.stalled = nil
	}
}

// Mend takes back Refuse and Stall.
func (p *TCP) Mend() {
	p.Refuse(false)
	p.Stall(false)
}

// Connections is how many connections clients have made.
func (p *TCP) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset, not a farewell
	_ = conn.Close()                     // the other end may have closed it
}

// track keeps a connection for Cut until forget is called; false where it is refused.
func (p *TCP) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		reset(conn)
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *TCP) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close() // the other end may have closed it
}

func (p *TCP) serve(client net.Conn) {
	p.mu.Lock()
	p.made++
	p.mu.Unlock()
	if !p.track(client) {
		return
	}
	defer p.forget(client)
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		reset(client)
		return
	}
	if !p.track(server) {
		return
	}
	defer p.forget(server)
	back := make(chan struct{})
	go func() {
		defer close(back)
		p.flow(client, server)
	}()
	p.flow(server, client)
	<-back
}

// flow copies until one side ends, and ends the other then.
func (p *TCP) flow(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.await()
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			_ = to.Close()   // both are over
			_ = from.Close() // both are over
			return
		}
	}
}

// await returns when bytes may pass.
func (p *TCP) await() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-p.done:
		}
	}
}

// Switch is a proxy before each of a cluster's addresses, for a client that follows
// addresses which the cluster tells it: Dial is what that client dials with.
type Switch struct {
	tb testing.TB

	mu      sync.Mutex
	proxies map[string]*TCP
}

// NewSwitch makes a switch. Its proxies end with the test.
func NewSwitch(tb testing.TB) *Switch { return &Switch{tb: tb, proxies: map[string]*TCP{}} }

// Dial connects to host:port through a proxy of its own.
func (s *Switch) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, s.To(address).Address)
}

// To is the proxy before an address.
func (s *Switch) To(address string) *TCP {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proxies[address] == nil {
		s.proxies[address] = StartTCP(s.tb, address)
	}
	return s.proxies[address]
}

// Each does something to every proxy there is.
func (s *Switch) Each(do func(*TCP)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.proxies {
		do(p)
	}
}
