package catalog

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
)

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
	for _, status := range []int{500, 504} { // unknown, whatever the text says
		for _, landed := range []bool{false, true} {
			try(catalogtest.Fault{Status: status, Landed: landed, Body: fmt.Sprintf(
				`{"error":{"message":"Requirement failed: branch main has changed","type":"InternalServerError","code":%d}}`, status)}, 2)
		}
	}
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
