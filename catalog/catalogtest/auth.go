package catalogtest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Auth is what a [Proxy] asks for. At most one of Bearer, ClientID and SigV4 is set.
type Auth struct {
	Bearer string // this token, always

	// OAuth2 client credentials: the proxy's own token endpoint (TokenURI) gives
	// tokens that are refused TokenLife after. ExpiresIn is what the endpoint says
	// of their life; TokenLife if zero, nothing if negative.
	ClientID, ClientSecret string
	Scope                  string // must be asked for; any if empty
	TokenLife              time.Duration
	ExpiresIn              time.Duration

	SigV4 *SigV4
}

// SigV4 is an AWS signature that must fit.
type SigV4 struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Region, Service                            string
}

// tokenPath is the token endpoint that REST catalogs had before they had none.
const tokenPath = "/v1/oauth/tokens"

// TokenURI is the address of the token endpoint.
func (p *Proxy) TokenURI() string { return p.uri + tokenPath }

// TokensIssued counts what the token endpoint has given.
func (p *Proxy) TokensIssued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issued
}

// RevokeTokens has every token refused that was given so far.
func (p *Proxy) RevokeTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
}

func (p *Proxy) serveToken(w http.ResponseWriter, r *http.Request) {
	a := p.auth
	fail := func(status int, code, text string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text}) // the client may be gone
	}
	w.Header().Set("Content-Type", "application/json")
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	switch {
	case r.FormValue("grant_type") != "client_credentials":
		fail(http.StatusBadRequest, "unsupported_grant_type", r.FormValue("grant_type"))
	case a.ClientID == "" || id != a.ClientID || secret != a.ClientSecret:
		fail(http.StatusUnauthorized, "invalid_client", "client id or secret is wrong")
	case a.Scope != "" && r.FormValue("scope") != a.Scope:
		fail(http.StatusBadRequest, "invalid_scope", r.FormValue("scope"))
	default:
		p.mu.Lock()
		p.issued++
		token := fmt.Sprintf("token-%d", p.issued)
		p.tokens[token] = time.Now().Add(a.TokenLife)
		p.mu.Unlock()
		answer := map[string]any{"access_token": token, "token_type": "bearer"}
		switch {
		case a.ExpiresIn > 0:
			answer["expires_in"] = int(a.ExpiresIn.Seconds())
		case a.ExpiresIn == 0:
			answer["expires_in"] = int(a.TokenLife.Seconds())
		}
		_ = json.NewEncoder(w).Encode(answer) // the client may be gone
	}
}

// check tells whether a request has the credentials that it needs: status 0, or
// what to answer.
func (p *Proxy) check(r *http.Request, body []byte) (status int, text string) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch a := p.auth; {
	case a.Bearer != "":
		if !bearer || subtle.ConstantTimeCompare([]byte(token), []byte(a.Bearer)) != 1 {
			return http.StatusUnauthorized, "the token is not the right one"
		}
	case a.ClientID != "":
		p.mu.Lock()
		until, known := p.tokens[token]
		p.mu.Unlock()
		if !bearer || !known || time.Now().After(until) {
			return http.StatusUnauthorized, "the token has expired or never was one"
		}
	case a.SigV4 != nil:
		if err := a.SigV4.verify(r, body); err != nil {
			return http.StatusForbidden, err.Error()
		}
	}
	return 0, ""
}

// verify signs the request again and compares.
func (s *SigV4) verify(r *http.Request, body []byte) error {
	authorization := r.Header.Get("Authorization")
	rest, ok := strings.CutPrefix(authorization, "AWS4-HMAC-SHA256 ")
	if !ok {
		return fmt.Errorf("the request is not signed")
	}
	fields := map[string]string{}
	for _, f := range strings.Split(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[key] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	switch {
	case len(scope) != 5 || scope[0] != s.AccessKeyID:
		return fmt.Errorf("the access key id is not known")
	case scope[2] != s.Region || scope[3] != s.Service:
		return fmt.Errorf("signed for %s in %s, not for %s in %s", scope[3], scope[2], s.Service, s.Region)
	case r.Header.Get("X-Amz-Security-Token") != s.SessionToken:
		return fmt.Errorf("the session token is not the right one")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return fmt.Errorf("the signature is of another time: %s", r.Header.Get("X-Amz-Date"))
	}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if sum := sha256.Sum256(body); hash != "UNSIGNED-PAYLOAD" && hash != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("the body is not the one that was signed")
	}
	again := r.Clone(context.Background())
	again.URL.Scheme, again.URL.Host = "http", r.Host
	again.Header = http.Header{}
	for _, name := range strings.Split(fields["SignedHeaders"], ";") {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if !strings.Contains(";"+fields["SignedHeaders"]+";", ";content-length;") {
		again.ContentLength = 0 // a header of its own only where it was signed
	}
	// The SDK adds the token itself.
	again.Header.Del("X-Amz-Security-Token")
	credentials := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s.Service == "s3" }).
		SignHTTP(context.Background(), credentials, again, hash, s.Service, s.Region, at)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(authorization)) != 1 {
		return fmt.Errorf("the signature does not fit")
	}
	return nil
}
