package faultproxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// HTTP stands before an HTTP server and breaks requests as it is told. It is safe
// for concurrent use.
type HTTP struct {
	URL string // what clients are to use

	next *httputil.ReverseProxy
	line *link

	mu          sync.Mutex
	rules       []*rule
	judge       func(Request) Fault
	requests    []Request
	connections int
}

// Request is what the proxy was asked: a kind, see KindOf, and the path with the
// prefix of a listing and the body of a bulk request.
type Request struct{ Kind, Name string }

// rule breaks requests of one kind about names that hold a word.
type rule struct {
	kind, word string
	times      int // how often; always if negative
	broken     Fault
}

// Fault answers a request in place of the server, or after it.
type Fault func(p *HTTP, w http.ResponseWriter, r *http.Request)

// StartHTTP starts a proxy before the server at a URL. It ends with the test.
func StartHTTP(tb testing.TB, target string) *HTTP {
	tb.Helper()
	to, err := url.Parse(target)
	if err != nil {
		tb.Fatal(err)
	}
	p := &HTTP{line: newLink()}
	p.next = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		// The server did not answer, or broke off: so does the proxy.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		Transport:    &http.Transport{MaxIdleConnsPerHost: 64},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.connections++
		}
	}
	server.Start()
	tb.Cleanup(func() {
		p.line.end()
		server.CloseClientConnections()
		server.Close()
	})
	p.URL = server.URL
	return p
}

// Break adds a rule: requests of a kind whose names hold a word are broken so many
// times, for good if times is negative. An empty kind is every kind.
func (p *HTTP) Break(kind, word string, times int, broken Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{kind, word, times, broken})
}

// Judge sets what decides about requests that no rule breaks; nil, or a nil Fault,
// hands them on. It may be called by several goroutines at once.
func (p *HTTP) Judge(judge func(Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// Mend takes all rules and the judge away.
func (p *HTTP) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.judge = nil, nil
}

// Pending is how many faults rules still hold; those without bound are not counted.
func (p *HTTP) Pending() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		n += max(r.times, 0)
	}
	return n
}

// Limit bounds the bytes per second of bodies to the server, all together; 0 is no
// bound.
func (p *HTTP) Limit(bytesPerSecond int64) { p.line.limit(bytesPerSecond) }

// Kinds lists the requests there were about names that hold word.
func (p *HTTP) Kinds(word string) (kinds []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, request := range p.requests {
		if strings.Contains(request.Name, word) {
			kinds = append(kinds, request.Kind)
		}
	}
	return kinds
}

// Count is how many of them were of one kind.
func (p *HTTP) Count(kind, word string) (n int) {
	for _, k := range p.Kinds(word) {
		if k == kind {
			n++
		}
	}
	return n
}

// Connections is how many connections clients have made.
func (p *HTTP) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections
}

// KindOf names the operation of S3 that a request is; of other requests, the method.
func KindOf(r *http.Request) string {
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

func (p *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path + "?" + r.URL.Query().Get("prefix")
	kind := KindOf(r)
	if kind == "delete many" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		name += string(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	r.Body = p.line.body(r.Body)
	broken := p.note(Request{kind, name})
	if broken == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	broken(p, w, r)
}

func (p *HTTP) note(request Request) Fault {
	p.mu.Lock()
	p.requests = append(p.requests, request)
	for _, rule := range p.rules {
		if (rule.kind == request.Kind || rule.kind == "") && strings.Contains(request.Name, rule.word) && rule.times != 0 {
			rule.times--
			p.mu.Unlock()
			return rule.broken
		}
	}
	judge := p.judge
	p.mu.Unlock()
	if judge == nil {
		return nil
	}
	return judge(request)
}
