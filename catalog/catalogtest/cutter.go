package catalogtest

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cutter stands before a PostgreSQL server and loses the answer to a COMMIT of a
// transaction that changed a table's row.
type Cutter struct {
	URI string // the server's, through the cutter

	target string
	mu     sync.Mutex
	armed  string // the statement whose COMMIT is lost; none if empty
	landed bool
}

// StartCutter starts a cutter. It ends with the test.
func StartCutter(tb testing.TB, p *Postgres) *Cutter {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(p.URI)
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = listener.Addr().String()
	u.RawQuery = "sslmode=disable" // what is cut has to be read
	c := &Cutter{URI: u.String(), target: p.Address()}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			go c.serve(client)
		}
	}()
	return c
}

// LoseCommit cuts the connection that sends the next COMMIT of a snapshot commit:
// after the server has acted on it, or before it hears of it.
func (c *Cutter) LoseCommit(landed bool) { c.lose(`UPDATE "iceberg_tables"`, landed) }

// LoseCreate is LoseCommit for the creation of a table.
func (c *Cutter) LoseCreate(landed bool) { c.lose(`INSERT INTO "iceberg_tables"`, landed) }

func (c *Cutter) lose(statement string, landed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.landed = statement, landed
}

// waitsFor tells whether text has the statement that the cutter is armed for.
func (c *Cutter) waitsFor(text []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed != "" && bytes.Contains(text, []byte(c.armed))
}

// take disarms the cutter where it is armed.
func (c *Cutter) take() (landed, armed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	armed, c.armed = c.armed != "", ""
	return c.landed, armed
}

func (c *Cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }() // the other end may have closed it
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }() // the other end may have closed it
	var mute sync.Mutex                   // held while answers do not pass
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		defer func() { _ = client.Close() }() // the other end may have closed it
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			if n > 0 {
				if !mute.TryLock() {
					return // the answer to the COMMIT came, and goes no further
				}
				_, werr := client.Write(buffer[:n])
				mute.Unlock()
				if werr != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<16)
	changed := false // in this transaction
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			changed = changed || c.waitsFor(buffer[:n])
			if changed && bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit\x00")) {
				if landed, armed := c.take(); armed {
					if !landed {
						return
					}
					mute.Lock()
					if _, err := server.Write(buffer[:n]); err == nil {
						<-answered
					}
					return
				}
				changed = false
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
