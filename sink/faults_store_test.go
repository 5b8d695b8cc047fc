package sink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/faultproxy"
)

// storeFaults are what an object store, or what is before it, does wrong.
var storeFaults = []struct {
	name   string
	broken faultproxy.Fault
	only   string // kind of request; "" for all
}{
	{"500", faultproxy.Answers(500, "InternalError"), ""},
	{"500, landed", faultproxy.LandsThen(faultproxy.Answers(500, "InternalError")), ""},
	{"503", faultproxy.Answers(503, "ServiceUnavailable"), ""},
	{"slow down", faultproxy.Answers(503, "SlowDown"), ""},
	{"slow down, landed", faultproxy.LandsThen(faultproxy.Answers(503, "SlowDown")), ""},
	{"HTML of something between", faultproxy.AnswersHTML(502), ""},
	{"reset", faultproxy.Resets, ""},
	{"reset, landed", faultproxy.LandsThen(faultproxy.Resets), ""},
	{"upload cut", faultproxy.CutsUpload, "put"},
	{"upload spoilt", faultproxy.SpoilsUpload, "put"},
	{"read ends early", faultproxy.CutsAnswer(50), "get"},
	{"expired credential", faultproxy.Answers(400, "ExpiredToken"), ""},
	{"expired credential, landed", faultproxy.LandsThen(faultproxy.Answers(400, "ExpiredToken")), ""},
	{"denied for a while", faultproxy.Answers(403, "AccessDenied"), ""},
}

// requests that the sink makes of the store, by what their names hold.
var storeRequests = []struct{ name, kind, word string }{
	{"data file", "put", "/agent_events/data/"},
	{"dead letters' file", "put", "/dead_letters/data/"},
	{"manifest or manifest list", "put", ".avro"},
	{"metadata file", "put", "/agent_events/metadata/"},
	{"read of metadata", "get", "/metadata/"},
}

// Each fault of each request. Requests are sent once here (storage's own tests send
// them again), so that the sink itself has to begin again, and it goes on by itself.
func TestSinkOutlivesTheStore(t *testing.T) {
	tables, p := onS3(t)
	l := newFaultLab(t, 1, tables)
	l.produce(30, 5)
	d := l.start(nil)
	l.awaitAll(d)
	for i, f := range storeFaults {
		for j, r := range storeRequests {
			if f.only != "" && f.only != r.kind || !*allFaults && j != i%len(storeRequests) {
				continue
			}
			t.Run(r.name+", "+f.name, func(t *testing.T) {
				p.Break(r.kind, r.word, 2, f.broken)
				for end := time.Now().Add(faultPatience); p.Pending() > 0; {
					require.True(t, time.Now().Before(end), "the fault did not happen")
					l.produce(20, 5)
					l.awaitAll(d)
				}
				p.Mend()
			})
		}
	}
	report := l.requireOnce()
	require.NotEmpty(t, report.Partitions)
	require.NotZero(t, d.has("failed; what is pending is read again"), "it never had to begin again")
	d.end(t)
	l.requireOnce()
}

// The uploads in parts: begun, sent and completed, landed and not.
func TestSinkOutlivesLargeUploads(t *testing.T) {
	few := map[string]bool{"reset, landed": true}
	tables, p := onS3(t)
	l := newFaultLab(t, 1, tables)
	l.produce(3, 0)
	d := l.start(func(cfg *Config) { cfg.TargetLag = 2 * time.Second })
	l.awaitAll(d)
	for _, kind := range []string{"create upload", "part", "complete"} {
		for _, f := range storeFaults {
			if f.only == "get" || (f.only == "put" && kind != "part") || !*allFaults && !few[f.name] {
				continue
			}
			p.Break(kind, "/data/", 1, f.broken)
		}
		for end := time.Now().Add(faultPatience); p.Pending() > 0; {
			require.True(t, time.Now().Before(end), "%d faults of %s did not happen", p.Pending(), kind)
			l.large(12_000)
			l.awaitAll(d)
		}
	}
	d.end(t)
	l.requireOnce()
}

// A store that does not answer at all: the sink says so meanwhile, gives up in time,
// and goes on when the store answers again.
func TestSinkOutlivesAHungStore(t *testing.T) {
	tables, p := onS3(t)
	tables.Storage.S3.AttemptTimeout, tables.Storage.S3.MaxAttempts = time.Second, 2
	var store lockedLines
	tables.Storage.S3.Log = store.logger()
	l := newFaultLab(t, 1, tables)
	l.produce(30, 5)
	d := l.start(nil)
	l.awaitAll(d)
	p.Break("", "", -1, faultproxy.Stalls)
	l.produce(30, 5)
	d.awaitLine(t, "failed; what is pending is read again", "did not answer in time")
	require.Contains(t, store.text(), "a request to the object store failed, trying again")
	d.requireUp(t)
	require.NotEmpty(t, d.Stats().FlushErr)
	p.Mend()
	l.awaitAll(d)
	require.Empty(t, d.Stats().FlushErr)
	// A stop while it hangs is bounded too, and loses nothing.
	l.produce(30, 5)
	p.Break("", "", -1, faultproxy.Stalls)
	d.stop()
	select {
	case <-d.ended: // with an error, where something was pending
	case <-time.After(faultPatience):
		t.Fatal("it does not end")
	}
	p.Mend()
	l.catchUp(l.config())
	l.requireOnce()
}

// What is refused before anything worked is a mistake: the daemon ends with it. Tables
// with a snapshot commit tell that it did, in another run.
func TestSinkEndsWhereTheStoreRefusesAtOnce(t *testing.T) {
	tables, p := onS3(t)
	l := newFaultLab(t, 1, tables)
	l.produce(30, 5)
	p.Break("put", "/data/", -1, faultproxy.Answers(403, "AccessDenied"))
	d := l.start(nil)
	select {
	case err := <-d.ended:
		require.ErrorContains(t, err, "denies access: allow these credentials")
		var knows interface{ ExitCode() int }
		require.ErrorAs(t, err, &knows)
		require.Equal(t, 2, knows.ExitCode())
	case <-time.After(faultPatience):
		t.Fatal("it goes on")
	}
	p.Mend()
	l.catchUp(l.config())
	l.requireOnce()
	p.Break("put", "/data/", -1, faultproxy.Answers(403, "AccessDenied"))
	l.produce(30, 5)
	d = l.start(nil)
	d.awaitLine(t, "failed; what is pending is read again", "denies access")
	p.Mend()
	l.awaitAll(d)
	d.end(t)
	l.requireOnce()
}
