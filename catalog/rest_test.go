package catalog

import (
	"context"
	"fmt"
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
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// openLocalREST is a REST catalog over a local folder, with tables.
func startLocalREST(t *testing.T, auth catalogtest.Auth) (*catalogtest.REST, Config) {
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + t.TempDir(), Auth: auth})
	return rest, Config{Type: "rest", URI: rest.URI, Warehouse: "file://" + t.TempDir(), Create: true}
}

// What a server answers to a commit, landed or not: the batch is in the table once,
// and what says that nothing was done is not taken for unknown.
func TestRESTAnswersToACommit(t *testing.T) {
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	ctx := context.Background()
	n := 0
	try := func(fault catalogtest.Fault, wantAttempts int) {
		n++
		t.Run(fmt.Sprintf("%d landed %t", fault.Status, fault.Landed), func(t *testing.T) {
			cfg := cfg
			cfg.Namespace = fmt.Sprintf("n%d", n)
			rest.Judge(nil)
			c := initTest(t, cfg)
			loseREST(rest, fault)
			b := eventBatch(t, c, 0, 5)
			var judged []Outcome
			b.OnRetry = func(_ int, err error) {
				outcome, _ := c.judgeError(AgentEvents, err, OutcomeUnknown)
				judged = append(judged, outcome)
			}
			before := commits(rest)
			landed, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
			require.Equal(t, wantAttempts, landed.Attempts)
			require.Equal(t, fault.Landed, landed.Late)
			require.EqualValues(t, 5, verifyClean(t, c).rows(AgentEvents))
			want := OutcomeUnknown
			if fault.Status == http.StatusConflict || fault.Status == http.StatusTooManyRequests {
				want = OutcomeRetry
			}
			require.Equal(t, []Outcome{want}, judged)
			// Nobody below sends a commit again by itself.
			sent := 2
			if fault.Landed {
				sent = 1
			}
			require.Equal(t, sent, commits(rest)-before)
		})
	}
	for _, status := range []int{500, 502, 503, 504, 0} {
		for _, landed := range []bool{false, true} {
			try(catalogtest.Fault{Status: status, Landed: landed}, 2)
		}
	}
	try(catalogtest.Fault{Status: 502, Landed: true, Body: "<html>Bad Gateway</html>"}, 2)
	try(catalogtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}}, 2)
	try(catalogtest.Fault{Status: 409}, 2)
	try(catalogtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}, 2)
	try(catalogtest.Fault{Status: 200, Landed: true, Body: `{"metadata-location": "cut sh`}, 2)

	for status, want := range map[int]string{
		400: "refuses the request", 403: "refuses access (HTTP 403)", 307: "HTTP 307 sends a change elsewhere",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			cfg := cfg
			cfg.Namespace = fmt.Sprintf("r%d", status)
			rest.Judge(nil)
			c := initTest(t, cfg)
			loseREST(rest, catalogtest.Fault{Status: status, Header: http.Header{"Location": {rest.URI}}})
			b := eventBatch(t, c, 0, 5)
			_, err := c.CommitBatch(ctx, AgentEvents, b)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			var unknown *UnknownError
			require.NotErrorAs(t, err, &unknown)
			_, err = c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
		})
	}
}

// A catalog that answers "done" with a table that does not have the snapshot: the
// table is read again, and the batch lands once, whether it had or not.
func TestRESTAnswersWithAnotherState(t *testing.T) {
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	ctx := context.Background()
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprintf("landed %t", landed), func(t *testing.T) {
			cfg := cfg
			cfg.Namespace = fmt.Sprintf("another%t", landed)
			rest.Judge(nil)
			c := initTest(t, cfg)
			_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
			require.NoError(t, err)
			response, err := http.Get(rest.Direct + "/v1/namespaces/" + cfg.Namespace + "/tables/" + AgentEvents)
			require.NoError(t, err)
			defer response.Body.Close()
			stale, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			loseREST(rest, catalogtest.Fault{Status: 200, Landed: landed, Body: string(stale)})
			b := eventBatch(t, c, 3, 8)
			var heard []error
			b.OnRetry = func(_ int, err error) { heard = append(heard, err) }
			done, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
			require.Len(t, heard, 1)
			require.ErrorIs(t, heard[0], errNotInAnswer)
			require.Equal(t, 2, done.Attempts)
			require.Equal(t, landed, done.Late)
			tbl, err := c.Load(ctx, AgentEvents)
			require.NoError(t, err)
			at, ok := tbl.CommitSnapshot(b.ID)
			require.True(t, ok)
			require.Equal(t, at, done.SnapshotID)
			require.EqualValues(t, 8, verifyClean(t, c).rows(AgentEvents))
		})
	}
}

func commits(rest *catalogtest.REST) (n int) {
	for _, r := range rest.Requests() {
		if strings.HasPrefix(r, "POST ") && strings.Contains(r, "/tables/") {
			n++
		}
	}
	return n
}

// A commit that hangs ends with its context as unknown, and landed.
func TestRESTCommitHangs(t *testing.T) {
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	c := initTest(t, cfg)
	b := eventBatch(t, c, 0, 5)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rest.Judge(func(r *http.Request) *catalogtest.Fault {
		if !catalogtest.IsCommit(r) {
			return nil
		}
		time.AfterFunc(500*time.Millisecond, cancel)
		return &catalogtest.Fault{Landed: true, Wait: time.Hour}
	})
	_, err := c.CommitBatch(ctx, AgentEvents, b)
	var unknown *UnknownError
	require.ErrorAs(t, err, &unknown)
	rest.Judge(nil)
	require.Eventually(t, func() bool { // the server may still be at it
		tbl, err := c.Load(context.Background(), AgentEvents)
		require.NoError(t, err)
		_, landed := tbl.CommitSnapshot(b.ID)
		return landed
	}, time.Minute, 20*time.Millisecond)
	landed, err := c.CommitBatch(context.Background(), AgentEvents, b)
	require.NoError(t, err)
	require.True(t, landed.Late)
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

// Keys that the catalog gives with a table reach its files, and no other's; they
// are renewed.
func TestRESTVendedKeys(t *testing.T) {
	ctx := context.Background()
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	s3 := storagetest.StartS3(t, "lake")
	gate := catalogtest.StartS3Gate(t, s3, time.Hour)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, Vend: gate})
	// Nothing of ours: not where the store is, not a key.
	t.Setenv("AWS_ACCESS_KEY_ID", "not-for-the-lake")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-for-the-lake")
	cfg := Config{Type: "rest", URI: rest.URI, Create: true}
	c := initTest(t, cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	_, err = c.CommitBatch(ctx, DeadLetters, Batch{ID: "d", Ranges: []Range{{TopicPartition: testTP, Start: 0, End: 3, Events: 3}}})
	require.NoError(t, err)
	require.Len(t, gate.Served(), 2)
	require.Empty(t, gate.Refused())

	// A table in use outlives its keys.
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	writing := eventBatch(t, c, 3, 5)
	gate.Expire()
	plan, err := tbl.Plan(ctx, PlanOptions{})
	require.NoError(t, err)
	io, err := storage.New(ctx, plan.Files[0].URI, c.Storage()) // as queries do
	require.NoError(t, err)
	gate.Expire()
	data, err := io.ReadFile(plan.Files[0].URI)
	require.NoError(t, err)
	require.Len(t, data, int(plan.Files[0].Size))
	gate.Expire()
	_, err = c.CommitBatch(ctx, AgentEvents, writing)
	require.NoError(t, err)
	gate.Expire()
	require.EqualValues(t, 5, verifyClean(t, c).rows(AgentEvents))
	for _, refused := range gate.Refused() {
		require.Contains(t, refused, "has expired", "only that: no key was used elsewhere")
	}

	// Without asking for keys there are none, and ours are no good.
	cfg.REST.NoVendedCredentials = true
	cfg.Storage.S3 = storage.S3Config{Endpoint: gate.Endpoint, Region: s3.Region, PathStyle: true, AccessKeyID: "ours", SecretAccessKey: "ours", MaxAttempts: 1}
	plain := openTest(t, cfg)
	tbl, err = plain.Load(ctx, AgentEvents)
	require.NoError(t, err)
	_, err = tbl.Plan(ctx, PlanOptions{})
	require.ErrorContains(t, err, "does not know the access key id")
	cfg.Storage.S3 = s3
	require.EqualValues(t, 5, verifyClean(t, openTest(t, cfg)).rows(AgentEvents))

	// Nor where the server gives some to whoever does not ask.
	rest.Vends(catalogtest.VendAll)
	cfg.Storage.S3.Endpoint, cfg.Storage.S3.MaxAttempts = gate.Endpoint, 1
	before := len(gate.Refused())
	tbl, err = openTest(t, cfg).Load(ctx, AgentEvents)
	require.NoError(t, err)
	_, err = tbl.Plan(ctx, PlanOptions{})
	require.ErrorContains(t, err, "does not know the access key id")
	require.Greater(t, len(gate.Refused()), before)

	// A server that gives no more keys: what it gave is not used any more.
	cfg.REST.NoVendedCredentials, cfg.Storage.S3 = false, s3
	mine := openTest(t, cfg)
	_, err = mine.Load(ctx, AgentEvents)
	require.NoError(t, err)
	rest.Vends(catalogtest.VendNone)
	gate.Expire()
	before = len(gate.Refused())
	require.EqualValues(t, 5, verifyClean(t, mine).rows(AgentEvents))
	require.Len(t, gate.Refused(), before)
}

// Before they expire, too: nothing is refused where the catalog says when.
func TestRESTVendedKeysAreRenewedInTime(t *testing.T) {
	ctx := context.Background()
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	s3 := storagetest.StartS3(t, "lake")
	gate := catalogtest.StartS3Gate(t, s3, 6*time.Second)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, Vend: gate})
	c := initTest(t, Config{Type: "rest", URI: rest.URI, Create: true})
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		_, err := tbl.Plan(ctx, PlanOptions{})
		require.NoError(t, err)
	}
	require.Empty(t, gate.Refused())
}

// What stands between the sink and the catalog refuses a commit that has landed: it
// counts as landed, and nobody may take its data files for his own.
func TestRESTRefusesWhatLanded(t *testing.T) {
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	for _, status := range []int{400, 401, 403, 409, 429} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			cfg := cfg
			cfg.Namespace = fmt.Sprintf("landed%d", status)
			rest.Judge(nil)
			c := initTest(t, cfg)
			loseREST(rest, catalogtest.Fault{Status: status, Landed: true, Body: "<html>blocked</html>"})
			landed, err := c.CommitBatch(context.Background(), AgentEvents, eventBatch(t, c, 0, 5))
			require.NoError(t, err)
			require.True(t, landed.Late)
			require.EqualValues(t, 5, verifyClean(t, c).rows(AgentEvents))
		})
	}
}

// The same at the deadline, which may come before the answer, in the wait after it, or
// once the table could not be read: without an answer of the catalog to a last look
// the outcome is not known, whatever was said before; with one it is.
func TestRESTRefusesAtTheDeadline(t *testing.T) {
	was := readMinWait
	readMinWait = 10 * time.Millisecond
	t.Cleanup(func() { readMinWait = was })
	rest, cfg := startLocalREST(t, catalogtest.Auth{})
	for _, status := range []int{403, 409, 429} {
		for retries := range 3 { // that are heard of before the deadline
			for _, readable := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d after %d retries readable %t", status, retries, readable), func(t *testing.T) {
					cfg := cfg
					cfg.Namespace = fmt.Sprintf("deadline%d_%d_%t", status, retries, readable)
					rest.Judge(nil)
					c := initTest(t, cfg)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					b := eventBatch(t, c, 0, 5)
					b.OnRetry = func(attempt int, _ error) {
						if attempt == retries {
							cancel()
						}
					}
					var sent atomic.Bool
					rest.Judge(func(r *http.Request) *catalogtest.Fault {
						switch {
						case catalogtest.IsCommit(r):
							sent.Store(true)
							if retries == 0 {
								cancel()
							}
							return &catalogtest.Fault{Status: status, Landed: true}
						case sent.Load() && (!readable || ctx.Err() == nil):
							return &catalogtest.Fault{Status: 503}
						}
						return nil
					})
					landed, err := c.CommitBatch(ctx, AgentEvents, b)
					if err == nil { // a refusal is looked after at once
						require.True(t, readable)
						require.True(t, landed.Late)
						return
					}
					var unknown *UnknownError
					require.ErrorAs(t, err, &unknown)
				})
			}
		}
	}
}
