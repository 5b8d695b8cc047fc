package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/internal/part"
)

var contentionFor = flag.Duration("contention", 0, "how long the processes of TestContention compete on each catalog; 0 leaves it out")

const (
	competing  = 4 // processes
	workers    = 4 // of each
	slowCommit = 300 * time.Millisecond
	// patience is the longest wait from a batch that is due to its snapshot commit, on
	// a machine that has other work as well.
	patience = 2 * time.Minute
)

// Four processes of four workers, each with a batch at any time, on a catalog that
// takes 300 ms to commit: none starves. The sink's TestContention has the same in one
// process, catalog's TestTurnsUnderContention in model time.
func TestContention(t *testing.T) {
	if *contentionFor == 0 {
		t.Skip("left out: -contention 30s has it")
	}
	for _, on := range []struct {
		name  string
		start func(*testing.T) slowCatalog
	}{{"REST", slowREST}, {"PostgreSQL", slowPostgres}} {
		t.Run(on.name, func(t *testing.T) {
			slow := on.start(t)
			l := newLab(t, slow.lines, fmt.Sprintf("sink: {workers: %d, target_lag: 100ms}", workers), `metrics: {listen: "off"}`)
			compete(l, slow)
		})
	}
}

// slowCatalog is lines of configuration, and what makes the catalog slow and quick
// again, once it has tables.
type slowCatalog struct {
	lines       string
	slow, quick func()
}

// slowREST is a REST catalog behind a proxy that takes its time over commits.
func slowREST(t *testing.T) slowCatalog {
	warehouse := filepath.Join(t.TempDir(), "warehouse")
	pg := catalogtest.StartPostgres(t)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: warehouse, JDBC: pg.JDBC})
	proxy := faultproxy.StartHTTP(t, rest.URI)
	return slowCatalog{
		lines: fmt.Sprintf("catalog: {type: rest, uri: %q}\nwarehouse: %q", proxy.URL, warehouse),
		slow: func() {
			proxy.Judge(func(r faultproxy.Request) faultproxy.Fault {
				if r.Kind == "post" && strings.Contains(r.Name, "/tables/") {
					return faultproxy.Slowly(slowCommit)
				}
				return nil
			})
		},
		quick: proxy.Mend,
	}
}

// slowPostgres is a PostgreSQL catalog that sleeps when a table's row is about to
// change, and holds the row meanwhile.
func slowPostgres(t *testing.T) slowCatalog {
	pg := catalogtest.StartPostgres(t)
	return slowCatalog{
		lines: fmt.Sprintf("catalog: {type: postgres, uri: %q}\nwarehouse: %q", pg.URI, filepath.Join(t.TempDir(), "warehouse")),
		slow: func() {
			pg.Exec(fmt.Sprintf("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(%g); RETURN NEW; END $$", slowCommit.Seconds()),
				"CREATE TRIGGER slow BEFORE UPDATE ON iceberg_tables FOR EACH ROW EXECUTE FUNCTION slow()")
		},
		quick: func() { pg.Exec("DROP TRIGGER slow ON iceberg_tables") },
	}
}

// compete has the processes compete for the time of the flag, and until every worker
// has made two snapshot commits.
func compete(l *lab, on slowCatalog) {
	t := l.t
	const partitions = 2 * competing * workers
	_, err := kadm.NewClient(l.client).UpdatePartitions(context.Background(), partitions, labTopic)
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(l.broker), kgo.DefaultProduceTopic(labTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	l.client = client
	patient := writeFile(t, l.dir, "contention.yaml", replaceOne(t, readFile(t, l.config), "session_timeout: 2s", "session_timeout: 20s"))
	on.slow()
	binary := realBinary(t)
	sinks := make([]*part.Process, competing)
	for i := range sinks {
		name := fmt.Sprintf("process %d", i+1)
		cmd := exec.Command(binary, "-c", patient, "--log-format", "json", "run")
		sinks[i], err = part.Start(t, name, cmd, time.Minute, func() error { return nil })
		require.NoError(t, err)
	}
	began, sent := time.Now(), 0
	var report fairness
	for time.Since(began) < *contentionFor || report.fewest() < 2 {
		require.Less(t, time.Since(began), *contentionFor+3*time.Minute, "workers starve: %v", report)
		var records []*kgo.Record
		for p := range partitions {
			records = append(records, recordOf(p, prompt(sent)))
			sent++
		}
		l.send(records...)
		time.Sleep(100 * time.Millisecond)
		report = fairnessOf(t, sinks)
	}
	t.Logf("%v: %v", time.Since(began).Round(time.Millisecond), report)
	on.quick()
	for _, s := range sinks {
		require.NoError(t, s.Signal(syscall.SIGTERM))
	}
	for _, s := range sinks {
		select {
		case <-s.Ended():
		case <-time.After(2 * time.Minute):
			t.Fatal("a process does not end")
		}
	}
	require.Less(t, report.longest, patience)
	require.Empty(t, fairnessOf(t, sinks).gaveUp)
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, sent, l.value("SELECT count(*) FROM agent_events"))
}

// fairness is what the workers' logs tell.
type fairness struct {
	commits              [competing][workers]int
	retries              int
	waits                []time.Duration
	median, p95, longest time.Duration // from a batch that is due to its snapshot commit
	gaveUp               []string
}

func fairnessOf(t *testing.T, sinks []*part.Process) (f fairness) {
	for i, s := range sinks {
		for line := range strings.Lines(s.Output()) {
			var said struct {
				Msg    string
				Worker int
				Took   time.Duration
			}
			if json.Unmarshal([]byte(line), &said) != nil {
				continue // its end is still on the way
			}
			switch {
			case said.Msg == "snapshot commit":
				require.NotZero(t, said.Worker, line)
				f.commits[i][said.Worker-1]++
				f.waits = append(f.waits, said.Took)
			case strings.HasPrefix(said.Msg, "snapshot commit did not succeed"):
				f.retries++
			case strings.HasPrefix(said.Msg, "failed; what is pending"):
				f.gaveUp = append(f.gaveUp, line)
			}
		}
	}
	slices.Sort(f.waits)
	if n := len(f.waits); n > 0 {
		f.median, f.p95, f.longest = f.waits[n/2], f.waits[n*95/100], f.waits[n-1]
	}
	return f
}

// fewest is the number of snapshot commits of the worker that made the fewest.
func (f fairness) fewest() int {
	fewest := f.commits[0][0]
	for _, process := range f.commits {
		fewest = min(fewest, slices.Min(process[:]))
	}
	return fewest
}

func (f fairness) String() string {
	return fmt.Sprintf("commits by process and worker %v, %d attempts failed, wait until landed: median %v, p95 %v, longest %v",
		f.commits, f.retries, f.median.Round(time.Millisecond), f.p95.Round(time.Millisecond), f.longest.Round(time.Millisecond))
}
