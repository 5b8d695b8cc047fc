package catalogtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Fault is what goes wrong with one request.
type Fault struct {
	// Landed has the catalog act on the request before it goes wrong.
	Landed bool
	// Status and Header are the answer; without a Status the connection is cut.
	Status int
	Header http.Header
	// Body is the answer's text, an Iceberg error if empty.
	Body string
	// Wait comes before the answer; it ends with the request and with the test.
	Wait time.Duration
}

// Proxy stands before a REST catalog: it checks credentials, puts vended ones
// into tables' answers, and makes requests go wrong. It is safe for concurrent use.
type Proxy struct {
	auth    Auth
	vend    *S3Gate
	forward http.Handler
	closing chan struct{}
	uri     string

	mu       sync.Mutex
	judge    func(r *http.Request) *Fault
	vends    VendTo
	requests []string // "METHOD /path" in order
	tokens   map[string]time.Time
	issued   int
}

func newProxy(target string, auth Auth, vend *S3Gate) *Proxy {
	to, _ := url.Parse(target) // built from an address: a URL
	forward := httputil.NewSingleHostReverseProxy(to)
	forward.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		writeError(w, http.StatusBadGateway, "BadGateway", err.Error())
	}
	return &Proxy{auth: auth, vend: vend, forward: forward, closing: make(chan struct{}), tokens: map[string]time.Time{}}
}

func (p *Proxy) close() { close(p.closing) }

// Judge sets what decides for each request that has passed the checks whether
// and how it goes wrong; nil for neither. It may be called concurrently.
func (p *Proxy) Judge(judge func(r *http.Request) *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// VendTo is whom vended credentials are given to.
type VendTo int

// Whom vended credentials are given to.
const (
	VendAsked VendTo = iota // whoever asks for them, as the specification says
	VendAll                 // and whoever does not
	VendNone
)

// Vends sets whom vended credentials are given to from now on.
func (p *Proxy) Vends(to VendTo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vends = to
}

func (p *Proxy) vendsTo(r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := strings.Contains(r.Header.Get("X-Iceberg-Access-Delegation"), "vended-credentials")
	return p.vends == VendAll || p.vends == VendAsked && asked
}

// Requests lists the requests so far as "METHOD /path", in order, also those that
// were refused.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// IsCommit tells the commits of a table from other requests.
func IsCommit(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/tables/")
}

// IsCreate tells the creations of a table from other requests.
func IsCreate(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/tables")
}

// IsLoad tells the loads of a table from other requests.
func IsLoad(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/tables/")
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	judge := p.judge
	p.mu.Unlock()
	if r.URL.Path == tokenPath {
		p.serveToken(w, r)
		return
	}
	if status, text := p.check(r, body); status != 0 {
		writeError(w, status, "NotAuthorizedException", text)
		return
	}
	// The fixture has no authentication, and would not know what to do with it.
	r.Header.Del("Authorization")
	var fault *Fault
	if judge != nil {
		fault = judge(r)
		r.Body = io.NopCloser(bytes.NewReader(body)) // the judge may have read it
	}
	if fault == nil {
		p.pass(w, r)
		return
	}
	if fault.Landed {
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
	}
	select {
	case <-time.After(fault.Wait):
	case <-r.Context().Done():
	case <-p.closing:
	}
	for key, values := range fault.Header {
		w.Header()[key] = values
	}
	switch {
	case fault.Status == 0:
		panic(http.ErrAbortHandler) // cuts the connection
	case fault.Body != "":
		w.WriteHeader(fault.Status)
		_, _ = io.WriteString(w, fault.Body) // the client may be gone
	default:
		writeError(w, fault.Status, "FaultException", "a fault of the test")
	}
}

// pass forwards a request and puts vended credentials into a table's answer.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request) {
	if p.vend == nil || !strings.Contains(r.URL.Path, "/tables") {
		p.forward.ServeHTTP(w, r)
		return
	}
	r.Header.Del("Accept-Encoding") // the answer is read here
	answer := httptest.NewRecorder()
	p.forward.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if answer.Code == http.StatusOK && r.Method != http.MethodHead {
		body = p.vended(body, p.vendsTo(r))
	}
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body) // the client may be gone
}

// vended puts credentials for the table's location into its config.
func (p *Proxy) vended(body []byte, vend bool) []byte {
	var answer map[string]json.RawMessage
	var metadata struct {
		Location string `json:"location"`
	}
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer["metadata"], &metadata) != nil || !vend {
		return body
	}
	config := map[string]string{}
	if raw, ok := answer["config"]; ok && json.Unmarshal(raw, &config) != nil {
		return body
	}
	for key, value := range p.vend.Issue(metadata.Location) {
		config[key] = value
	}
	answer["config"], _ = json.Marshal(config) // a map of texts
	changed, _ := json.Marshal(answer)         // of what was JSON
	return changed
}

func writeError(w http.ResponseWriter, status int, kind, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may be gone
		"error": map[string]any{"message": text, "type": kind, "code": status}})
}
