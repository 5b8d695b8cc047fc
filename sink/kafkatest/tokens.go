package kafkatest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	tokenIssuer   = "https://issuer.test"
	tokenAudience = "kafka"
	tokenKeyID    = "k1"
)

// The client that TokenServer knows.
const (
	ClientID     = "auditlake-client"
	ClientSecret = "client-secret"
)

// TokenServer is an OAuth 2 token endpoint (client credentials) whose tokens the
// broker takes: JWTs signed with RS256, checked by Kafka's own validator.
type TokenServer struct {
	URL string // of the token endpoint

	mu       sync.Mutex
	key      *rsa.PrivateKey
	lifetime time.Duration
	status   int
	asked    int
	scopes   []string
}

func jwksURL(dir string) string { return "file://" + filepath.Join(dir, "jwks.json") }

func newTokenServer(tb testing.TB, jwks string) (*TokenServer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	t := &TokenServer{key: key, lifetime: time.Hour}
	set := map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": tokenKeyID,
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
	}}}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(t)
	tb.Cleanup(server.Close)
	t.URL = server.URL + "/token"
	return t, os.WriteFile(jwks, text, 0o600)
}

// Token is a token of this user that is valid for the given time.
func (t *TokenServer) Token(user string, valid time.Duration) string {
	now := time.Now()
	claims := map[string]any{
		"iss": tokenIssuer, "aud": tokenAudience, "sub": user, "scope": "kafka",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(valid).Unix(),
	}
	head, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": tokenKeyID, "typ": "JWT"}) // strings only
	body, _ := json.Marshal(claims)                                                             // strings and numbers only
	signed := b64(head) + "." + b64(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, t.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err) // a key of 2,048 bits signs a sum of 32 bytes
	}
	return signed + "." + b64(signature)
}

// Answer sets what is answered from now on: a status other than 200 is a refusal,
// lifetime is that of the tokens.
func (t *TokenServer) Answer(status int, lifetime time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status, t.lifetime = status, lifetime
}

// Asked is how many tokens were asked for.
func (t *TokenServer) Asked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked
}

// Scope is the scope that was asked for last.
func (t *TokenServer) Scope() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.scopes) == 0 {
		return ""
	}
	return t.scopes[len(t.scopes)-1]
}

func (t *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	t.scopes = append(t.scopes, r.PostFormValue("scope"))
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	status, failure := t.status, "temporarily_unavailable"
	if id != ClientID || secret != ClientSecret {
		status, failure = http.StatusUnauthorized, "invalid_client"
	}
	w.Header().Set("Content-Type", "application/json")
	if status != 0 && status != http.StatusOK {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, failure) // the client is gone, or has it
		return
	}
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":%d}`,
		t.Token(id, t.lifetime), int(t.lifetime.Seconds()))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
