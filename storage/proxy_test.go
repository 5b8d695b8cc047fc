package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/storage"
)

// proxy stands before an S3 server and breaks requests as it is told.
type proxy struct {
	cfg  storage.S3Config // leads to the proxy
	next *httputil.ReverseProxy

	mu          sync.Mutex
	rules       []*rule
	requests    []request
	connections int
}

// request is what the proxy was asked: a kind and the name of the key, or keys.
type request struct{ kind, name string }

// rule breaks requests of one kind about keys that hold a word.
type rule struct {
	kind, word string
	times      int // how often; always if negative
	broken     fault
}

// fault answers a request in place of the server, or after it.
type fault func(p *proxy, w http.ResponseWriter, r *http.Request)

func newProxy(t *testing.T, server storage.S3Config) *proxy {
	target, err := url.Parse(server.Endpoint)
	require.NoError(t, err)
	p := &proxy{cfg: server}
	p.next = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		// The server did not answer, or broke off: so does the proxy.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener := httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	listener.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.connections++
		}
	}
	listener.Start()
	t.Cleanup(listener.Close)
	p.cfg.Endpoint = listener.URL
	return p
}

// breaks adds a rule.
func (p *proxy) breaks(kind, word string, times int, broken fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{kind, word, times, broken})
}

// kinds lists the requests there were about keys that hold word.
func (p *proxy) kinds(word string) (kinds []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, request := range p.requests {
		if strings.Contains(request.name, word) {
			kinds = append(kinds, request.kind)
		}
	}
	return kinds
}

// count is how many of them were of one kind.
func (p *proxy) count(kind, word string) (n int) {
	for _, k := range p.kinds(word) {
		if k == kind {
			n++
		}
	}
	return n
}

// kindOf names the operation of S3 that a request is.
func kindOf(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case query.Has("list-type"):
		return "list"
	case query.Has("delete"):
		return "delete many"
	case query.Has("uploads"):
		return "create upload"
	case query.Has("partNumber"):
		return "part"
	case query.Has("uploadId") && r.Method == http.MethodPost:
		return "complete"
	case query.Has("uploadId"):
		return "abort"
	}
	return strings.ToLower(r.Method)
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request) {
	// Of a request about many keys, the body or the prefix names them.
	name := r.URL.Path + "?" + r.URL.Query().Get("prefix")
	kind := kindOf(r)
	if kind == "delete many" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		name += string(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	broken := p.note(kind, name)
	if broken == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	broken(p, w, r)
}

func (p *proxy) note(kind, name string) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, request{kind, name})
	for _, rule := range p.rules {
		if rule.kind == kind && strings.Contains(name, rule.word) && rule.times != 0 {
			rule.times--
			return rule.broken
		}
	}
	return nil
}

// answers is an error of S3, with the request not handed on.
func answers(status int, code string) fault {
	return func(_ *proxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>of the proxy</Message></Error>`, code)
		}
	}
}

// answersHTML is what something before the object store says.
func answersHTML(status int) fault {
	return func(_ *proxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, "<html><body><p>an answer<br>of lines\nfor people</body></html>")
		}
	}
}

// landsThen hands the request on, drops the answer and breaks.
func landsThen(broken fault) fault {
	return func(p *proxy, w http.ResponseWriter, r *http.Request) {
		p.next.ServeHTTP(httptest.NewRecorder(), r)
		broken(p, w, r)
	}
}

// resets ends the connection at once, without a word.
func resets(_ *proxy, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset, not a farewell
	conn.Close()
}

// stalls answers when the other side has gone.
func stalls(_ *proxy, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// cutsUpload hands on half of the body; then the connection breaks.
func cutsUpload(p *proxy, w http.ResponseWriter, r *http.Request) {
	half := io.LimitReader(r.Body, r.ContentLength/2)
	r.Body = io.NopCloser(io.MultiReader(half, errorReader{}))
	p.next.ServeHTTP(w, r)
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("the connection broke") }

// spoilsUpload hands on the body with one byte changed.
func spoilsUpload(p *proxy, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.next.ServeHTTP(w, r)
}

// cutsAnswer hands on the server's answer up to n bytes of its body.
func cutsAnswer(n int) fault {
	return func(p *proxy, w http.ResponseWriter, r *http.Request) {
		p.next.ServeHTTP(&cutWriter{w, n}, r)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(body []byte) (int, error) {
	n, err := w.ResponseWriter.Write(body[:min(len(body), w.left)])
	w.left -= n
	if err == nil && n < len(body) {
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// Unwrap lets the proxy find what else the writer can.
func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ignoresRange is an object store that always sends the whole object.
func ignoresRange(content []byte) fault {
	return func(_ *proxy, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	}
}

// otherRange answers with other bytes than were asked for.
func otherRange(_ *proxy, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Range", "bytes 0-3/1000")
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write([]byte("four"))
}

// dropsLength is something between that sends answers on in chunks.
func dropsLength(content []byte) fault {
	return func(_ *proxy, w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write(content)
	}
}
