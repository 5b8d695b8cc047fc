// Package groupkeeper mends what kfake, the in-process broker, does to members of a
// consumer group that wait for its answer. A member sends no heartbeats while its
// JoinGroup or SyncGroup is unanswered. Kafka knows that: the session of such a member
// goes on. In kfake it ends, the member is forgotten, and so is its request: the
// client waits until its own timeout, which is a minute, and the whole group waits
// with it. Likewise a member that dies while it waits stays in the group for as long.
//
// [Listen] is a net.Listen for kfake.ListenFn. It sees which members wait and sends
// heartbeats for them, and has those leave that died and did not come back within
// their session.
package groupkeeper

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Listen listens as net.Listen does. A broker that kfake serves there keeps the
// members of its groups that wait for an answer.
func Listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &listener{l, &keeper{network: network, address: l.Addr().String(), members: map[string]*member{}, closed: make(chan struct{})}}, nil
}

type listener struct {
	net.Listener
	keeper *keeper
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, keeper: l.keeper}, nil
}

func (l *listener) Close() error {
	l.keeper.close()
	return l.Listener.Close()
}

// keeper knows the members that one broker has heard of.
type keeper struct {
	network, address string
	closed           chan struct{}
	closing          sync.Once

	mu      sync.Mutex
	members map[string]*member // by id
}

func (k *keeper) close() { k.closing.Do(func() { close(k.closed) }) }

// member is what a broker has heard of a member of a group.
type member struct {
	group, id  string
	session    time.Duration
	generation int32 // the last one that it named; 0 if none
	heard      int   // requests so far
}

// unknownSession stands for that of a member that joined before the broker started.
const unknownSession = 3 * time.Second

// hear notes a request of a member.
func (k *keeper) hear(group, id string, change func(*member)) member {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.members[id]
	if m == nil {
		m = &member{group: group, id: id, session: unknownSession}
		k.members[id] = m
	}
	m.heard++
	change(m)
	return *m
}

// silent tells whether a member has sent nothing since.
func (k *keeper) silent(since member) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.members[since.id].heard == since.heard
}

// keep keeps a member in its group until it is answered. Where its connection is gone
// before, it has as long as its session to come back.
func (k *keeper) keep(m member, answered, gone <-chan struct{}) {
	tick := time.NewTicker(max(m.session/3, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-k.closed:
			return
		case <-answered:
			return
		case <-gone:
			k.expire(m)
			return
		case <-tick.C:
			if m.generation > 0 { // one that is new has no session that could end
				r := kmsg.NewPtrHeartbeatRequest()
				r.Version, r.Group, r.MemberID, r.Generation = 3, m.group, m.id, m.generation
				k.send(r)
			}
		}
	}
}

// expire has a member leave that does not come back.
func (k *keeper) expire(m member) {
	select {
	case <-k.closed:
		return
	case <-time.After(m.session):
	}
	if k.silent(m) {
		r := kmsg.NewPtrLeaveGroupRequest()
		of := kmsg.NewLeaveGroupRequestMember()
		of.MemberID = m.id
		r.Version, r.Group, r.Members = 3, m.group, []kmsg.LeaveGroupRequestMember{of}
		k.send(r)
	}
}

// sendTimeout bounds a request and its answer, of which the broker owes one at once.
const sendTimeout = 5 * time.Second

// send sends a request and waits for its answer, whatever it is: the member may be
// gone already, and so may the broker.
func (k *keeper) send(r kmsg.Request) {
	c, err := net.DialTimeout(k.network, k.address, sendTimeout)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }() // it has served
	if c.SetDeadline(time.Now().Add(sendTimeout)) != nil {
		return
	}
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, r, 1)); err == nil {
		_, _ = io.ReadFull(c, make([]byte, 4)) // that there is one says that the broker has acted
	}
}

// conn is a client's connection, on which requests and answers take turns.
type conn struct {
	net.Conn
	keeper *keeper

	in   []byte // the beginning of a request
	skip int    // bytes of in, and of what follows, that are of no interest

	mu             sync.Mutex
	answered, gone chan struct{} // of the member that waits; nil for none
}

// Read reads for the broker, and sees what.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in = append(c.in, b[:n]...)
	c.look()
	if err != nil {
		c.waits(nil, true)
	}
	return n, err
}

// Write writes an answer.
func (c *conn) Write(b []byte) (int, error) {
	c.waits(nil, false)
	return c.Conn.Write(b)
}

// waits notes who waits for an answer on this connection from now on, and what became
// of the one who did.
func (c *conn) waits(m *member, gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered != nil {
		if gone {
			close(c.gone)
		} else {
			close(c.answered)
		}
		c.answered, c.gone = nil, nil
	}
	if m != nil {
		c.answered, c.gone = make(chan struct{}), make(chan struct{})
		go c.keeper.keep(*m, c.answered, c.gone)
	}
}

// look takes from in what requests are there in whole.
func (c *conn) look() {
	for {
		if c.skip >= len(c.in) {
			c.skip -= len(c.in)
			c.in = c.in[:0]
			return
		}
		c.in = c.in[c.skip:]
		c.skip = 0
		if len(c.in) < 6 {
			return
		}
		size := 4 + int(binary.BigEndian.Uint32(c.in))
		switch kmsg.Key(binary.BigEndian.Uint16(c.in[4:])) {
		case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat:
			if len(c.in) < size {
				return
			}
			c.request(c.in[4:size])
		}
		c.skip = size
	}
}

// request notes what a request of a group says of its sender.
func (c *conn) request(b []byte) {
	switch r := parse(b).(type) {
	case *kmsg.JoinGroupRequest:
		if r.MemberID == "" {
			return // it is told its id, and asks again
		}
		m := c.keeper.hear(r.Group, r.MemberID, func(m *member) { m.session = time.Duration(r.SessionTimeoutMillis) * time.Millisecond })
		c.waits(&m, false)
	case *kmsg.SyncGroupRequest:
		m := c.keeper.hear(r.Group, r.MemberID, func(m *member) { m.generation = r.Generation })
		c.waits(&m, false)
	case *kmsg.HeartbeatRequest:
		c.keeper.hear(r.Group, r.MemberID, func(m *member) { m.generation = r.Generation })
	}
}
