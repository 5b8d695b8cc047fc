package catalog

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	delegationHeader = "X-Iceberg-Access-Delegation"
	readAttempts     = 5                // of a request that changes nothing
	longestWait      = 20 * time.Second // that a server's Retry-After gets
	answerTimeout    = time.Minute      // until the first byte of an answer
)

// readMinWait is the first wait of a read that is asked again. Tests shorten it.
var readMinWait = 200 * time.Millisecond

// restTransport carries the requests of iceberg-go's REST catalog. It logs in, asks
// again where that changes nothing, and makes errors with a status of answers that
// iceberg-go does not tell apart. What changes something is sent once: only the
// loop of CommitBatch knows whether it may be sent again.
type restTransport struct {
	*http.Transport
	token *tokens // nil: none
}

func newRESTTransport(cfg Config) (*restTransport, error) {
	trusted, err := tlsConfig(cfg.REST.CAPEM)
	if err != nil {
		return nil, err
	}
	t := &restTransport{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: answerTimeout,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
	}}
	if cfg.REST.Token != "" {
		t.token = &tokens{fixed: cfg.REST.Token}
	}
	if cfg.REST.Credential != "" {
		t.token = newTokens(cfg, t.Transport)
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *restTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	attempts := 1
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		attempts = readAttempts
	}
	for attempt := 1; ; attempt++ {
		response, err := t.authorized(r)
		wait, again := worthAnother(response, err)
		if !again {
			return response, err
		}
		if response != nil && response.StatusCode == http.StatusTooManyRequests {
			err = asError(response)
			response = nil
		}
		if response == nil && attempt == attempts && wait == 0 {
			return nil, err
		}
		if attempt == attempts {
			if response != nil {
				return response, nil
			}
			pause(r.Context(), wait) // what sends again is our caller
			return nil, err
		}
		if response != nil {
			discard(response)
		}
		if wait == 0 {
			wait = rand.N(readMinWait << (attempt - 1))
		}
		if !pause(r.Context(), wait) {
			return nil, r.Context().Err()
		}
	}
}

// worthAnother tells whether asking again may help, and what wait the server
// wants, if it does.
func worthAnother(response *http.Response, err error) (wait time.Duration, again bool) {
	if err != nil {
		var token *tokenError
		var answer *answerError
		var stray *strayError
		var certificate *tls.CertificateVerificationError
		definite := errors.As(err, &answer) || errors.As(err, &stray) || (errors.As(err, &token) && token.definite) ||
			errors.As(err, &certificate) || errors.Is(err, http.ErrSchemeMismatch)
		return 0, !definite && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return retryAfter(response), true
	}
	return 0, false
}

func retryAfter(response *http.Response) time.Duration {
	text := response.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), longestWait)
}

func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// authorized sends a request once, and again with another token where the server
// says that the first is no good: it has looked at nothing else then.
func (t *restTransport) authorized(r *http.Request) (*http.Response, error) {
	used := ""
	for refreshed := false; ; refreshed = true {
		again := r.Clone(r.Context())
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			again.Body = body
		}
		if t.token != nil {
			token, err := t.token.get(r.Context(), used)
			if err != nil {
				return nil, err
			}
			again.Header.Set("Authorization", "Bearer "+token)
			used = token
		}
		response, err := t.Transport.RoundTrip(again)
		if err != nil {
			return nil, err
		}
		switch code := response.StatusCode; {
		case (code == http.StatusUnauthorized || code == 419) && t.token.renewable() && !refreshed:
			discard(response)
		case code == http.StatusUnauthorized, code == http.StatusForbidden, code == 419:
			return nil, asError(response)
		case code >= 300 && code < 400 && r.Method != http.MethodGet && r.Method != http.MethodHead:
			// net/http would make a GET of it, and its answer one to the commit.
			return nil, asError(response)
		case strays(r, response):
			return nil, strayOf(r, response)
		default:
			return response, nil
		}
	}
}

// strays tells an answer that an Iceberg REST catalog does not give: what answers is
// something else, or is asked at the wrong path.
func strays(r *http.Request, response *http.Response) bool {
	code, kind := response.StatusCode, response.Header.Get("Content-Type")
	foreign := kind != "" && !strings.Contains(kind, "json")
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/v1/config") {
		// Every catalog has one; what it refuses for a while, and logins, are told apart before.
		passing := code == http.StatusRequestTimeout || code == http.StatusTooManyRequests
		return code >= 400 && code < 500 && !passing || code == http.StatusOK && foreign
	}
	return code == http.StatusNotFound && foreign && r.Method == http.MethodGet
}

// strayError is an answer of something that is no catalog, or not at that path.
type strayError struct{ text string }

func (e *strayError) Error() string { return e.text }

func strayOf(r *http.Request, response *http.Response) error {
	text := fmt.Sprintf("HTTP %d to %s %s", response.StatusCode, r.Method, r.URL.Path)
	if !strings.Contains(response.Header.Get("Content-Type"), "json") { // a page for people
		discard(response)
		return &strayError{text}
	}
	var answer *answerError
	if errors.As(asError(response), &answer) {
		text += ": " + answer.Text
	}
	return &strayError{text}
}

func discard(response *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16)) // so that the connection can be kept
	response.Body.Close()
}

// answerError is an answer that says definitely that nothing was done.
type answerError struct {
	Status int
	Text   string
}

func (e *answerError) Error() string {
	if e.Status >= 300 && e.Status < 400 {
		return fmt.Sprintf("HTTP %d sends a change elsewhere, which is not followed: correct catalog.uri", e.Status)
	}
	return fmt.Sprintf("HTTP %d: %s", e.Status, e.Text)
}

func asError(response *http.Response) error {
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<14)) // what came is shown
	var iceberg struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	text := strings.Join(strings.Fields(string(body)), " ")
	if json.Unmarshal(body, &iceberg) == nil && iceberg.Error.Message != "" {
		text = iceberg.Error.Message
	}
	if len(text) > 300 {
		text = text[:300] + " …"
	}
	if text == "" {
		text = http.StatusText(response.StatusCode)
	}
	status := response.StatusCode
	if status == 419 { // Iceberg's "authentication timeout"
		status = http.StatusUnauthorized
	}
	return &answerError{status, text}
}

// tokens hands out a bearer token: a fixed one, or those of an OAuth2 token
// endpoint, each until shortly before it expires.
type tokens struct {
	fixed  string
	config *clientcredentials.Config
	client *http.Client

	mu      sync.Mutex
	current *oauth2.Token
}

func newTokens(cfg Config, transport http.RoundTripper) *tokens {
	id, secret, _ := strings.Cut(cfg.REST.Credential, ":")
	config := &clientcredentials.Config{
		ClientID: id, ClientSecret: secret, TokenURL: cfg.REST.OAuth2ServerURI, AuthStyle: oauth2.AuthStyleInParams,
		Scopes: []string{cfg.REST.Scope}, EndpointParams: url.Values{},
	}
	if config.TokenURL == "" {
		config.TokenURL = strings.TrimSuffix(cfg.URI, "/") + "/v1/oauth/tokens"
	}
	if cfg.REST.Scope == "" {
		config.Scopes = []string{"catalog"}
	}
	for key, value := range map[string]string{"audience": cfg.REST.Audience, "resource": cfg.REST.Resource} {
		if value != "" {
			config.EndpointParams.Set(key, value)
		}
	}
	return &tokens{config: config, client: &http.Client{Transport: transport, Timeout: answerTimeout}}
}

func (t *tokens) renewable() bool { return t != nil && t.config != nil }

// get returns a token that is not the one that was refused.
func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	if t.config == nil {
		return t.fixed, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil && (t.current.AccessToken == refused || !t.current.Valid()) {
		t.current = nil
	}
	if t.current == nil {
		token, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
		if err != nil {
			return "", t.explain(err)
		}
		t.current = token
	}
	return t.current.AccessToken, nil
}

// tokenError says that the token endpoint gave none: definitely where asking
// again would not help.
type tokenError struct {
	uri      string
	definite bool
	err      error
}

func (e *tokenError) Error() string { return fmt.Sprintf("no token from %s: %v", e.uri, e.err) }
func (e *tokenError) Unwrap() error { return e.err }

func (t *tokens) explain(err error) error {
	e := &tokenError{uri: t.config.TokenURL, err: err}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		status := refused.Response.StatusCode
		e.definite = status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
		// Without its cause, whose text is the whole answer, over several lines.
		text := fmt.Sprintf("HTTP %d", status)
		for _, more := range []string{refused.ErrorCode, refused.ErrorDescription} {
			if more != "" {
				text += ": " + more
			}
		}
		e.err = plainError(text)
	}
	return e
}
