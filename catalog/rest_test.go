package catalog

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// openLocalREST is a REST catalog over a local folder, with tables.
func startLocalREST(t *testing.T, auth catalogtest.Auth) (*catalogtest.REST, Config) {
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + t.TempDir(), Auth: auth})
	return rest, Config{Type: "rest", URI: rest.URI, Warehouse: "file://" + t.TempDir(), Create: true}
}

// Loading a table is asked again where it may help, as the server says when.
func TestRESTLoadsAreAskedAgain(t *testing.T) {
	was := readMinWait
	readMinWait = 10 * time.Millisecond
	t.Cleanup(func() { readMinWait = was })
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	c := initTest(t, cfg)
	for status, after := range map[int]string{429: "1", 502: "", 503: "1", 504: "", 0: ""} {
		var times []time.Time
		var mu sync.Mutex
		rest.Judge(func(r *http.Request) *catalogtest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if times = append(times, time.Now()); len(times) <= 2 && catalogtest.IsLoad(r) {
				return &catalogtest.Fault{Status: status, Header: http.Header{"Retry-After": {after}}}
			}
			return nil
		})
		_, err := c.Load(context.Background(), AgentEvents)
		require.NoError(t, err, "%d", status)
		require.Len(t, times, 3)
		if after != "" {
			require.GreaterOrEqual(t, times[2].Sub(times[0]), 2*time.Second)
		}
	}
	for status, want := range map[int]string{503: "a fault of the test", 429: "HTTP 429: a fault of the test", 0: "EOF"} {
		rest.Judge(func(*http.Request) *catalogtest.Fault { return &catalogtest.Fault{Status: status} })
		_, err := c.Load(context.Background(), AgentEvents)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestRESTOAuth2(t *testing.T) {
	ctx := context.Background()
	// The endpoint says an hour: that tokens end sooner is found out by the refusal.
	auth := catalogtest.Auth{ClientID: "sink", ClientSecret: "pw", TokenLife: time.Hour, ExpiresIn: time.Hour}
	rest, cfg := startLocalREST(t, auth)
	cfg.REST.Credential, cfg.REST.OAuth2ServerURI = "sink:pw", rest.TokenURI()
	c := initTest(t, cfg)
	require.Equal(t, 1, rest.TokensIssued())
	for i := range 3 {
		rest.RevokeTokens()
		landed, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, int64(i), int64(i+1)))
		require.NoError(t, err)
		require.Equal(t, 1, landed.Attempts)
	}
	require.Equal(t, 4, rest.TokensIssued())
	// In the middle of a commit, too: the POST itself is refused.
	b := eventBatch(t, c, 3, 4)
	var armed atomic.Bool
	armed.Store(true)
	rest.Judge(func(r *http.Request) *catalogtest.Fault {
		if catalogtest.IsLoad(r) && armed.Swap(false) {
			rest.RevokeTokens()
		}
		return nil
	})
	landed, err := c.CommitBatch(ctx, AgentEvents, b)
	require.NoError(t, err)
	require.Equal(t, 1, landed.Attempts)
	require.EqualValues(t, 4, verifyClean(t, c).rows(AgentEvents))

	wrong := cfg
	wrong.REST.Credential = "sink:wrong"
	_, err = Open(ctx, wrong)
	requireConfigError(t, err, "refuses catalog.rest.credential")
	require.ErrorContains(t, err, "invalid_client")
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "sink:wrong")
	none := cfg
	none.REST.Credential = ""
	_, err = Open(ctx, none)
	requireConfigError(t, err, "names none of catalog.rest.credential, token and sigv4")
}

func TestRESTBearerAndSigV4(t *testing.T) {
	ctx := context.Background()
	check := func(t *testing.T, cfg, wrong Config, want string) {
		c := initTest(t, cfg)
		_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
		require.NoError(t, err)
		require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))
		_, err = Open(ctx, wrong)
		requireConfigError(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	t.Run("bearer", func(t *testing.T) {
		_, cfg := startLocalREST(t, catalogtest.Auth{Bearer: "the-token"})
		wrong := cfg
		cfg.REST.Token, wrong.REST.Token = "the-token", "another"
		check(t, cfg, wrong, "correct catalog.rest.token")
	})
	t.Run("sigv4", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "key")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
		t.Setenv("AWS_SESSION_TOKEN", "session")
		_, cfg := startLocalREST(t, catalogtest.Auth{SigV4: &catalogtest.SigV4{
			AccessKeyID: "key", SecretAccessKey: "secret", SessionToken: "session", Region: "eu-west-1", Service: "glue"}})
		cfg.REST.SigV4, cfg.REST.SigningRegion, cfg.REST.SigningName = true, "eu-west-1", "glue"
		wrong := cfg
		wrong.REST.SigningName = "s3tables"
		check(t, cfg, wrong, "signed for s3tables in eu-west-1")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "other")
		_, err := Open(ctx, cfg)
		requireConfigError(t, err, "the signature does not fit")
	})
}

func TestRESTDown(t *testing.T) {
	ctx := context.Background()
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + t.TempDir()})
	// Without the proxy: it would answer.
	cfg := Config{Type: "rest", URI: rest.Direct, Warehouse: "file://" + t.TempDir(), Create: true}
	c := initTest(t, cfg)
	b := eventBatch(t, c, 0, 3)
	rest.Kill()
	_, err := Open(ctx, cfg)
	require.ErrorContains(t, err, "nothing answers at "+cfg.URI+": start the catalog, or correct catalog.uri")
	var config *ConfigError
	require.NotErrorAs(t, err, &config, "a retry can mend it")
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err = c.CommitBatch(short, AgentEvents, b)
	var notLanded *NotLandedError
	require.ErrorAs(t, err, &notLanded)
	back := make(chan struct{})
	b.OnRetry = func(attempt int, _ error) {
		if attempt == 1 {
			close(back)
		}
	}
	done := make(chan error)
	go func() { _, err := c.CommitBatch(ctx, AgentEvents, b); done <- err }()
	<-back
	rest.Start()
	require.NoError(t, <-done)
	require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))

}

// What is configured wrongly is told so: something else answers there, or at another
// path, or in another way.
func TestRESTMistakes(t *testing.T) {
	ctx := context.Background()
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone/v1/config" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "<html>hello</html>")
	}))
	t.Cleanup(html.Close)
	secure := httptest.NewTLSServer(rest.Proxy)
	t.Cleanup(secure.Close)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { plain.Close() })
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "220 a mail server\r\n")
			c.Close()
		}
	}()
	const nowhere = "there is no Iceberg REST catalog at "
	for uri, want := range map[string]string{
		"https://" + strings.TrimPrefix(rest.URI, "http://"):   "speaks plain HTTP: write http:// in catalog.uri",
		"https://" + plain.Addr().String():                     "speaks no TLS: correct catalog.uri",
		"http://" + plain.Addr().String():                      nowhere,
		"http://" + strings.TrimPrefix(secure.URL, "https://"): nowhere,
		secure.URL:                      "is not trusted: name its authority's file in catalog.rest.ca_file",
		html.URL:                        nowhere,
		html.URL + "/gone":              nowhere,
		rest.URI + "/api":               nowhere + rest.URI + "/api: correct catalog.uri, the address before /v1, catalog.rest.warehouse or catalog.rest.prefix: HTTP 400 to GET /api/v1/config: No route",
		storagetest.StartS3(t).Endpoint: nowhere,
	} {
		wrong := cfg
		wrong.URI = uri
		_, err := Open(ctx, wrong)
		requireConfigError(t, err, want)
		require.NotContains(t, err.Error(), "\n")
		require.Regexp(t, `^[ -~…]*$`, err.Error())
	}
	// The path below the catalog is looked at first by what is asked there.
	initTest(t, cfg)
	wrong := cfg
	wrong.REST.Prefix = "other"
	c := openTest(t, wrong)
	_, err = c.Load(ctx, AgentEvents)
	requireConfigError(t, err, "catalog.rest.prefix")
	var config *ConfigError
	require.ErrorAs(t, err, &config)
	require.True(t, config.Access, "in mid-run it is what stands between that answers so")
	_, err = c.Init(ctx, InitOptions{})
	requireConfigError(t, err, "catalog.rest.prefix")
	rest.Judge(func(r *http.Request) *catalogtest.Fault {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/namespaces") {
			return &catalogtest.Fault{Status: 404}
		}
		return nil
	})
	fresh := cfg
	fresh.Namespace = "fresh"
	_, err = openTest(t, fresh).Init(ctx, InitOptions{})
	requireConfigError(t, err, "catalog.rest.prefix")
	rest.Judge(nil)
	c = openTest(t, cfg)
	rest.Judge(func(r *http.Request) *catalogtest.Fault {
		return &catalogtest.Fault{Status: 404, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"}
	})
	_, err = c.Load(ctx, AgentEvents)
	requireConfigError(t, err, nowhere)
	rest.Judge(nil)

	credential := cfg
	credential.REST.Credential = "hidden"
	_, err = Open(ctx, credential)
	requireConfigError(t, err, "write client-id:client-secret")
	require.NotContains(t, err.Error(), "hidden")
}
