package catalogtest

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/auditlake/auditlake/storage"
)

// S3Gate stands before an S3 server and lets through what is signed with a key
// that it issued, while that lives and for the location it was issued for. It
// is safe for concurrent use.
type S3Gate struct {
	Endpoint string // what clients are to use

	behind storage.S3Config
	life   time.Duration

	mu      sync.Mutex
	keys    map[string]vendedKey // by access key id
	refused []string             // why, in order
	served  map[string]int       // requests by location
}

type vendedKey struct {
	SigV4
	location string // s3://bucket/prefix
	until    time.Time
}

// StartS3Gate starts a gate before an S3 server; its keys live for life. It ends
// with the test.
func StartS3Gate(tb testing.TB, behind storage.S3Config, life time.Duration) *S3Gate {
	tb.Helper()
	g := &S3Gate{behind: behind, life: life, keys: map[string]vendedKey{}, served: map[string]int{}}
	to, err := url.Parse(behind.Endpoint)
	if err != nil {
		tb.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, forward, to.Host) }))
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	g.Endpoint = server.URL
	return g
}

// Issue makes credentials for a location, in the words of a REST catalog.
func (g *S3Gate) Issue(location string) map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := strconv.Itoa(len(g.keys) + 1)
	key := vendedKey{location: strings.TrimSuffix(location, "/"), until: time.Now().Add(g.life), SigV4: SigV4{
		AccessKeyID: "vended-" + n, SecretAccessKey: "vended-secret-" + n, SessionToken: "vended-session-" + n,
		Region: g.behind.Region, Service: "s3",
	}}
	g.keys[key.AccessKeyID] = key
	return map[string]string{
		"s3.access-key-id": key.AccessKeyID, "s3.secret-access-key": key.SecretAccessKey, "s3.session-token": key.SessionToken,
		"s3.session-token-expires-at-ms": strconv.FormatInt(key.until.UnixMilli(), 10),
		"s3.endpoint":                    g.Endpoint, "s3.path-style-access": "true", "client.region": g.behind.Region,
	}
}

// Expire has every key refused that was issued so far.
func (g *S3Gate) Expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, key := range g.keys {
		key.until = time.Time{}
		g.keys[id] = key
	}
}

// Refused says which requests were refused and why, in order.
func (g *S3Gate) Refused() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.refused)
}

// Served counts the requests let through, by the location of their key.
func (g *S3Gate) Served() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.served)
}

func (g *S3Gate) serve(w http.ResponseWriter, r *http.Request, forward http.Handler, host string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	code, err := g.admit(r, body)
	if err != nil {
		g.mu.Lock()
		g.refused = append(g.refused, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		g.mu.Unlock()
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, err) // the client may be gone
		return
	}
	// Signed anew, as the one whom the server behind knows.
	r.Header.Del("Authorization")
	r.Header.Del("X-Amz-Security-Token")
	r.Host, r.URL.Scheme, r.URL.Host = host, "http", host
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	credentials := aws.Credentials{AccessKeyID: g.behind.AccessKeyID, SecretAccessKey: g.behind.SecretAccessKey}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true; o.DisableHeaderHoisting = true }).
		SignHTTP(context.Background(), credentials, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", g.behind.Region, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	forward.ServeHTTP(w, r)
}

// admit tells whether a request may pass, and S3's error code if not.
func (g *S3Gate) admit(r *http.Request, body []byte) (code string, err error) {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	g.mu.Lock()
	key, ok := g.keys[id]
	g.mu.Unlock()
	switch {
	case !ok:
		return "InvalidAccessKeyId", fmt.Errorf("the access key id %q was not issued here", id)
	case time.Now().After(key.until):
		return "ExpiredToken", fmt.Errorf("the key %s has expired", id)
	}
	if err := key.verify(r, body); err != nil {
		return "SignatureDoesNotMatch", err
	}
	names, err := locations(r, body)
	if err != nil {
		return "MalformedXML", err
	}
	for _, at := range names {
		if at != key.location && !strings.HasPrefix(at, key.location+"/") {
			return "AccessDenied", fmt.Errorf("the key %s is for %s, not for %s", id, key.location, at)
		}
	}
	g.mu.Lock()
	g.served[key.location]++
	g.mu.Unlock()
	return "", nil
}

// locations are what a request is about: an object, a prefix, or the objects of a
// bulk delete. S3 refuses one by one those objects that a key is not for, and deletes
// the others; the gate refuses the whole request.
func locations(r *http.Request, body []byte) ([]string, error) {
	at := "s3:/" + r.URL.Path
	query := r.URL.Query()
	if prefix := query.Get("prefix"); prefix != "" {
		return []string{strings.TrimSuffix(at, "/") + "/" + prefix}, nil
	}
	if r.Method != http.MethodPost || !query.Has("delete") {
		return []string{at}, nil
	}
	var bulk struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(body, &bulk); err != nil {
		return nil, fmt.Errorf("a bulk delete cannot be read: %w", err)
	}
	var names []string
	for _, o := range bulk.Object {
		names = append(names, strings.TrimSuffix(at, "/")+"/"+o.Key)
	}
	return names, nil
}
