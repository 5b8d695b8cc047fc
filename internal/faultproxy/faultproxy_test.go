package faultproxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counting is a server that counts what arrived whole.
func counting(t *testing.T) (url string, whole *atomic.Int64) {
	whole = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		whole.Add(1)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return server.URL, whole
}

func TestHTTPFaults(t *testing.T) {
	url, whole := counting(t)
	p := StartHTTP(t, url)
	ask := func(timeout time.Duration) (int, string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.URL+"/a", strings.NewReader("content"))
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body), err
	}
	for _, tc := range []struct {
		name   string
		broken Fault
		status int // 0: no answer
		landed bool
	}{
		{"answer", Answers(503, "SlowDown"), 503, false},
		{"landed, answer", LandsThen(Answers(503, "SlowDown")), 503, true},
		{"html", AnswersHTML(502), 502, false},
		{"reset", Resets, 0, false},
		{"landed, reset", LandsThen(Resets), 0, true},
		{"stall", Stalls, 0, false},
		{"cut upload", CutsUpload, 0, false},
		{"cut answer", CutsAnswer(3), 0, true},
		{"slowly", Slowly(10 * time.Millisecond), 200, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := whole.Load()
			p.Break("put", "/a", 1, tc.broken)
			status, _, err := ask(2 * time.Second)
			if tc.status == 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, tc.status, status)
			}
			require.Zero(t, p.Pending())
			require.Equal(t, tc.landed, whole.Load() > before)
			status, body, err := ask(time.Minute)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "content", body)
		})
	}
	p.Judge(func(r Request) Fault { return Answers(500, r.Kind) })
	_, body, err := ask(time.Minute)
	require.NoError(t, err)
	require.Contains(t, body, "<Code>put</Code>")
	p.Mend()
	_, body, err = ask(time.Minute)
	require.NoError(t, err)
	require.Equal(t, "content", body)
}

func TestHTTPLimit(t *testing.T) {
	url, _ := counting(t)
	p := StartHTTP(t, url)
	p.Limit(1 << 20)
	began := time.Now()
	answer, err := http.Post(p.URL, "", bytes.NewReader(make([]byte, 512<<10)))
	require.NoError(t, err)
	defer answer.Body.Close()
	require.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond)
}

func TestTCPFaults(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	s := NewSwitch(t)
	open := func() (net.Conn, error) { return s.Dial(context.Background(), "tcp", server.Addr().String()) }
	dial := func() net.Conn {
		conn, err := open()
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	echo := func(conn net.Conn, wait time.Duration) error {
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(wait)))
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	conn := dial()
	require.NoError(t, echo(conn, time.Minute))
	s.Each((*TCP).Cut)
	require.Error(t, echo(conn, time.Minute))

	conn = dial()
	require.NoError(t, echo(conn, time.Minute))
	p := s.To(server.Addr().String())
	p.Stall(true)
	require.ErrorContains(t, echo(conn, 50*time.Millisecond), "timeout")
	p.Stall(false)
	require.NoError(t, echo(conn, time.Minute))

	p.Refuse(true)
	require.Error(t, echo(conn, time.Minute))
	// The reset may be there before the dial is done, or after it.
	if conn, err := open(); err == nil {
		require.Error(t, echo(conn, time.Minute))
		conn.Close()
	}
	p.Mend()
	require.NoError(t, echo(dial(), time.Minute))
	require.Equal(t, 4, p.Connections())
}
