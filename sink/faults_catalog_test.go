package sink

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/internal/faultproxy"
)

// remake drops tables of a SQLite catalog and makes them again, as another process would.
func (l *lab) remake(tables ...string) {
	l.t.Helper()
	db, err := sql.Open("sqlite", "file:"+l.catalog.URI+"?_pragma=busy_timeout(15000)")
	require.NoError(l.t, err)
	defer db.Close()
	for _, name := range tables {
		_, err = db.Exec("DELETE FROM iceberg_tables WHERE table_name = ?", name)
		require.NoError(l.t, err)
		require.NoError(l.t, os.RemoveAll(filepath.Join(strings.TrimPrefix(l.catalog.Warehouse, "file://"), "audit", name)))
	}
	cat, err := catalog.Open(context.Background(), l.catalog)
	require.NoError(l.t, err)
	defer cat.Close()
	_, err = cat.Init(context.Background(), catalog.InitOptions{Repair: true})
	require.NoError(l.t, err)
}

// What a REST catalog answers to a commit, landed and not, and to a load, under a
// running sink.
func TestSinkOutlivesARESTCatalog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + dir})
	l := newFaultLab(t, 1, catalog.Config{Type: "rest", URI: rest.URI, Warehouse: "file://" + filepath.Join(dir, "tables")})
	l.produce(30, 5)
	d := l.start(nil)
	l.awaitAll(d)
	try := func(what string, of func(*http.Request) bool, fault catalogtest.Fault, times int64) {
		var left atomic.Int64
		left.Store(times)
		rest.Judge(func(r *http.Request) *catalogtest.Fault {
			if !of(r) || left.Add(-1) < 0 {
				return nil
			}
			again := fault
			return &again
		})
		for end := time.Now().Add(faultPatience); left.Load() > 0; {
			require.True(t, time.Now().Before(end), "%s did not happen", what)
			l.produce(20, 5)
			l.awaitAll(d)
		}
		rest.Judge(nil)
	}
	unanswered := []int{503, 0}
	if *allFaults {
		unanswered = []int{500, 502, 503, 504, 0}
	}
	for _, status := range unanswered {
		for _, landed := range []bool{false, true} {
			try(fmt.Sprintf("commit, %d, landed %t", status, landed), catalogtest.IsCommit, catalogtest.Fault{Status: status, Landed: landed}, 2)
		}
	}
	for _, status := range []int{409, 429} { // nothing was done
		try(fmt.Sprint("commit, ", status), catalogtest.IsCommit, catalogtest.Fault{Status: status}, 2)
	}
	for _, landed := range []bool{false, true} {
		try("commit, slow", catalogtest.IsCommit, catalogtest.Fault{Status: 504, Landed: landed, Wait: time.Second}, 1)
	}
	failed := []int{500}
	if *allFaults {
		failed = []int{500, 503, 0}
	}
	for _, status := range failed { // five of 503 are one load that fails
		try(fmt.Sprint("load, ", status), catalogtest.IsLoad, catalogtest.Fault{Status: status}, 6)
	}
	require.NotZero(t, d.has("failed; what is pending is read again"), "it never had to begin again")
	// Gone and back.
	l.produce(20, 5)
	rest.Kill()
	l.produce(20, 5)
	rest.Start()
	l.awaitAll(d)
	d.end(t)
	l.requireOnce()
}

// What refuses access ends a sink on tables that have never had a snapshot commit. On
// others it goes on once it is allowed again, also one that made none itself: a token ran
// out, or somebody mends a permission.
func TestSinkAndARefusedLogin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + dir})
	l := newFaultLab(t, 1, catalog.Config{Type: "rest", URI: rest.URI, Warehouse: "file://" + filepath.Join(dir, "tables")})
	refuse := func(of func(*http.Request) bool, status int) {
		rest.Judge(func(r *http.Request) *catalogtest.Fault {
			if of(r) {
				return &catalogtest.Fault{Status: status, Body: "<html>a page of what is in between</html>"}
			}
			return nil
		})
	}
	l.produce(30, 5)
	for _, of := range []func(*http.Request) bool{catalogtest.IsLoad, catalogtest.IsCommit} {
		refuse(of, 403)
		select {
		case err := <-l.start(nil).ended:
			var config *catalog.ConfigError
			require.ErrorAs(t, err, &config)
			require.ErrorContains(t, err, "refuses access (HTTP 403)")
		case <-time.After(faultPatience):
			t.Fatal("it goes on")
		}
	}
	rest.Judge(nil)
	d := l.start(nil)
	l.awaitAll(d)
	for _, f := range []struct {
		of     func(*http.Request) bool
		status int
		says   string
	}{
		{catalogtest.IsLoad, 401, "refuses access (HTTP 401)"}, {catalogtest.IsCommit, 403, "refuses access (HTTP 403)"},
		{catalogtest.IsLoad, 404, "there is no Iceberg REST catalog at"},
	} {
		refuse(f.of, f.status)
		l.produce(20, 5)
		said := []string{"failed; what is pending is read again", f.says}
		before := d.has(said...)
		for end := time.Now().Add(faultPatience); d.has(said...) < before+2; time.Sleep(20 * time.Millisecond) {
			d.requireUp(t)
			require.True(t, time.Now().Before(end), "it does not say %q", f.says)
		}
		require.Contains(t, d.Stats().FlushErr, f.says)
		rest.Judge(nil)
		l.awaitAll(d)
	}
	d.end(t)
	d = l.start(nil) // has nothing to do yet
	require.Eventually(t, func() bool { return len(d.Stats().Owned) == 3 }, faultPatience, faultLook)
	refuse(catalogtest.IsCommit, 401)
	l.produce(20, 5)
	for end := time.Now().Add(faultPatience); d.has("failed; what is pending is read again", "refuses access (HTTP 401)") < 2; time.Sleep(faultLook) {
		d.requireUp(t)
		require.True(t, time.Now().Before(end), "it does not say so")
	}
	require.Zero(t, d.Stats().Commits)
	rest.Judge(nil)
	l.awaitAll(d)
	d.end(t)
	l.requireOnce()
}

// Somebody drops a table under a running sink and makes it again, empty: a batch from
// the middle of the topic must not be its first. The next start fills it.
func TestSinkEndsWhereATableIsMadeAgain(t *testing.T) {
	for _, when := range []string{"between batches", "between load and commit"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			tables := localTables(t)
			l := newFaultLab(t, 1, tables)
			remake := func() { l.remake(catalog.AgentEvents, catalog.DeadLetters) }
			var now atomic.Bool
			l.produce(30, 5)
			d := l.start(func(cfg *Config) {
				cfg.OnStep = func(step string) {
					if step == StepAfterUpload && now.Swap(false) {
						remake()
					}
				}
			})
			l.awaitAll(d)
			if when == "between batches" {
				remake()
			} else {
				now.Store(true)
			}
			l.produce(30, 5)
			select {
			case err := <-d.ended:
				var config *catalog.ConfigError
				require.ErrorAs(t, err, &config)
				require.ErrorContains(t, err, "was dropped and made again while the sink was at work")
				require.ErrorContains(t, err, "start the sink again, which fills both")
			case <-time.After(faultPatience):
				t.Fatal("it goes on")
			}
			l.catchUp(l.config())
			l.requireOnce()
		})
	}
}

// One of the tables is made again, and Kafka no longer holds all that the other one
// knows: what the error says to do, does.
func TestWhatATableMadeAgainIsToldToDoWorks(t *testing.T) {
	for made, other := range map[string]string{catalog.AgentEvents: catalog.DeadLetters, catalog.DeadLetters: catalog.AgentEvents} {
		t.Run(made, func(t *testing.T) {
			t.Parallel()
			l := newFaultLab(t, 1, localTables(t))
			l.produce(30, 3)
			d := l.start(nil)
			l.awaitAll(d)
			gone := kadm.Offsets{}
			ends, err := l.admin.ListEndOffsets(context.Background(), l.topic)
			require.NoError(t, err)
			lost := 0
			ends.Each(func(o kadm.ListedOffset) {
				gone.AddOffset(o.Topic, o.Partition, o.Offset/2, -1)
				lost += int(o.Offset / 2)
			})
			require.Positive(t, lost)
			_, err = l.admin.DeleteRecords(context.Background(), gone)
			require.NoError(t, err)
			l.remake(made)
			l.produce(10, 3)
			select {
			case err := <-d.ended:
				require.ErrorContains(t, err, "table "+made+" was dropped and made again while the sink was at work")
				require.ErrorContains(t, err, "or drop "+other+" too, run auditlake init and start the sink again")
			case <-time.After(faultPatience):
				t.Fatal("it goes on")
			}
			l.remake(other)
			l.catchUp(l.config())
			l.sent -= lost
			l.requireOnce()
		})
	}
}

// A catalog that accepts a request and says nothing: the sink tells what it waits for.
func TestSinkTellsThatItWaitsForTheCatalog(t *testing.T) {
	was := sayWaitAfter
	sayWaitAfter = 200 * time.Millisecond
	t.Cleanup(func() { sayWaitAfter = was })
	dir := t.TempDir()
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + dir})
	l := newFaultLab(t, 1, catalog.Config{Type: "rest", URI: rest.URI, Warehouse: "file://" + filepath.Join(dir, "tables")})
	l.produce(30, 5)
	var last atomic.Pointer[Stats]
	d := l.start(func(cfg *Config) { cfg.OnProgress = func(s Stats) { last.Store(&s) } })
	l.awaitAll(d)
	for what, of := range map[string]func(*http.Request) bool{"load agent_events": catalogtest.IsLoad, "snapshot commit to ": catalogtest.IsCommit} {
		release := make(chan struct{})
		rest.Judge(func(r *http.Request) *catalogtest.Fault {
			if of(r) {
				<-release
			}
			return nil
		})
		before := d.has("waiting for the catalog", what)
		l.produce(30, 5)
		require.Eventually(t, func() bool {
			now := last.Load()
			return d.has("waiting for the catalog", what) > before+1 && strings.Contains(now.Awaiting, what) && !now.AwaitingSince.IsZero()
		}, faultPatience, 20*time.Millisecond, what)
		rest.Judge(nil)
		close(release)
		l.awaitAll(d)
	}
	require.Eventually(t, func() bool { return last.Load().Awaiting == "" }, faultPatience, 20*time.Millisecond)
	d.end(t)
	l.requireOnce()
}

// A commit that is never answered ends with the commit timeout; what landed is found.
func TestSinkOutlivesCommitsThatHang(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "file://" + dir})
	l := newFaultLab(t, 1, catalog.Config{Type: "rest", URI: rest.URI, Warehouse: "file://" + filepath.Join(dir, "tables")})
	l.produce(30, 5)
	d := l.start(func(cfg *Config) { cfg.CommitTimeout = 3 * time.Second })
	l.awaitAll(d)
	for _, landed := range []bool{false, true} {
		rest.Judge(func(r *http.Request) *catalogtest.Fault {
			if !catalogtest.IsCommit(r) {
				return nil
			}
			return &catalogtest.Fault{Landed: landed, Wait: time.Hour}
		})
		before := d.has("failed; what is pending is read again", "outcome of the snapshot commit is unknown")
		l.produce(30, 5)
		require.Eventually(t, func() bool {
			return d.has("failed; what is pending is read again", "outcome of the snapshot commit is unknown") > before
		}, faultPatience, 20*time.Millisecond, "landed %t", landed)
		rest.Judge(nil)
		l.awaitAll(d)
	}
	d.end(t)
	l.requireOnce()
}

// PostgreSQL: a COMMIT whose answer is lost, landed and not; a network that is cut,
// refuses and hangs; a server that crashes and comes back.
func TestSinkOutlivesPostgres(t *testing.T) {
	t.Parallel()
	pg := catalogtest.StartPostgres(t)
	cutter := catalogtest.StartCutter(t, pg)
	wire := faultproxy.StartTCP(t, strings.Split(strings.Split(cutter.URI, "@")[1], "/")[0])
	uri := strings.Replace(cutter.URI, strings.Split(strings.Split(cutter.URI, "@")[1], "/")[0], wire.Address, 1)
	l := newFaultLab(t, 1, catalog.Config{Type: "postgres", URI: uri, Warehouse: "file://" + t.TempDir()})
	l.produce(30, 5)
	d := l.start(func(cfg *Config) { cfg.CommitTimeout = 5 * time.Second })
	l.awaitAll(d)
	for range 2 {
		for _, landed := range []bool{false, true} {
			cutter.LoseCommit(landed)
			l.produce(20, 5)
			l.awaitAll(d)
		}
	}
	for _, fault := range []func(){wire.Cut, func() { wire.Refuse(true) }, func() { wire.Stall(true) }} {
		l.produce(20, 5)
		fault()
		l.produce(20, 5)
		time.Sleep(time.Second)
		wire.Mend()
		l.awaitAll(d)
	}
	wire.Refuse(true) // for longer than a snapshot commit is tried
	l.produce(20, 5)
	d.awaitLine(t, "failed; what is pending is read again", "cannot be reached: start it, or correct catalog.uri")
	wire.Mend()
	l.awaitAll(d)
	pg.Kill()
	l.produce(20, 5)
	pg.Start()
	l.awaitAll(d)
	// The primary has become the standby, for a while.
	const anew = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'auditlake'"
	pg.Exec("ALTER DATABASE lake SET default_transaction_read_only = on", anew)
	l.produce(20, 5)
	d.awaitLine(t, "failed; what is pending is read again", "is read-only: name the primary")
	pg.Exec("BEGIN READ WRITE; ALTER DATABASE lake RESET default_transaction_read_only; COMMIT", anew)
	l.awaitAll(d)
	d.end(t)
	l.requireOnce()
}

// SQLite: another writer holds the catalog for longer than a commit is tried, and the
// file is gone for a while.
func TestSinkOutlivesAHeldSQLite(t *testing.T) {
	t.Parallel()
	tables := localTables(t)
	l := newFaultLab(t, 1, tables)
	l.produce(30, 5)
	d := l.start(func(cfg *Config) { cfg.CommitTimeout = time.Second })
	l.awaitAll(d)
	release := holdSQLite(t, tables.URI)
	l.produce(30, 5)
	d.awaitLine(t, "failed; what is pending is read again")
	release()
	l.awaitAll(d)
	warehouse := strings.TrimPrefix(tables.Warehouse, "file://")
	require.NoError(t, os.Rename(warehouse, warehouse+".away"))
	l.produce(30, 5)
	before := d.has("failed; what is pending is read again")
	require.Eventually(t, func() bool { return d.has("failed; what is pending is read again") > before }, faultPatience, 20*time.Millisecond)
	// Its folders were perhaps made anew: what is in them no snapshot refers to.
	require.NoError(t, os.RemoveAll(warehouse))
	require.NoError(t, os.Rename(warehouse+".away", warehouse))
	l.awaitAll(d)
	d.end(t)
	l.requireOnce()
}
