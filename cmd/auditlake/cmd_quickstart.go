package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/queries"
)

func newQuickstart(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "quickstart",
		Short: "Run the whole way once, from Kafka to answers, on sample data",
		Long: `Starts a broker in this process, sends it sample sessions of AI agents, writes them to Iceberg tables in a
local folder, prints what was committed and the answers of a few canned queries, and ends. It leaves
FOLDER/auditlake.yaml for the other commands. Run again in the same folder it adds nothing; killed half-way and
run again, it finishes.`,
		Args: takes(0, 0, ""),
	}
	cmd.Flags().StringVar(&dir, "dir", "auditlake-quickstart", "`FOLDER` for the broker's data and the tables")
	mustNot(cmd.MarkFlagDirname("dir"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.configPath != "" {
			return usagef("quickstart makes its own configuration: leave --config out, or try your own Kafka with init, produce and run")
		}
		q := &quickstart{app: a, dir: dir, started: time.Now()}
		return q.run(cmd.Context())
	}
	return cmd
}

// quickstart is one run of the command.
type quickstart struct {
	*app
	dir     string
	started time.Time
	cfg     *config.Config
	port    int   // of the broker, by the configuration file
	sent    int64 // events sent by this run
	landed  int64 // rows committed by this run
}

func (q *quickstart) run(ctx context.Context) error {
	if err := os.MkdirAll(q.dir, 0o755); err != nil {
		return usagef("--dir: %v: name a folder that can be written", err)
	}
	if err := q.own(); err != nil {
		return err
	}
	sample, err := openSample(q.dir, q.started)
	if err != nil {
		return err
	}
	broker, err := q.start()
	if err != nil {
		return err
	}
	defer func() { _ = broker.Close() }() // the tables are what counts; its data is synced
	if q.sent, err = q.produce(ctx, sample); err != nil {
		return err
	}
	if _, err := q.initTables(ctx, q.cfg, false); err != nil {
		return err
	}
	if err := q.withCatalog(ctx, false, q.sink(ctx)); err != nil {
		return err
	}
	if err := q.withSession(ctx, scan{}, q.show(ctx)); err != nil {
		return err
	}
	if err := q.next(); err != nil {
		return err
	}
	if q.sent+q.landed == 0 {
		return errNothingToDo
	}
	return nil
}

func (q *quickstart) configFile() string { return filepath.Join(q.dir, "auditlake.yaml") }

// own refuses a folder whose configuration quickstart did not write: sample
// events have no business in somebody's lake. The sample's file is written first,
// and tells.
func (q *quickstart) own() error {
	_, err := os.Stat(q.configFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err = os.Stat(samplePath(q.dir)); errors.Is(err, fs.ErrNotExist) {
		return usagef("%s is not of quickstart's making: name another folder by --dir", q.configFile())
	}
	return err
}

// start starts the broker where the folder's configuration says, or on a free
// port, and writes the configuration if there is none.
func (q *quickstart) start() (*feed.Broker, error) {
	cfg, err := config.Load(q.configFile(), q.getenv)
	fresh := false
	if _, statErr := os.Stat(q.configFile()); errors.Is(statErr, fs.ErrNotExist) {
		fresh = true
	} else if err != nil {
		return nil, err
	}
	port := quickstartPort
	if !fresh {
		if port, err = brokerPort(cfg); err != nil {
			return nil, err
		}
	}
	opts := feed.BrokerOptions{Dir: filepath.Join(q.dir, "broker"), Port: port, Topics: map[string]int32{quickstartTopic: quickstartPartitions}}
	broker, err := feed.StartBroker(opts)
	if errors.Is(err, syscall.EADDRINUSE) {
		opts.Port = 0
		broker, err = feed.StartBroker(opts)
	}
	if err != nil {
		return nil, err
	}
	if fresh {
		text := fmt.Sprintf(quickstartConfig, broker.Addr(), quickstartTopic)
		if err = replaceFile(q.configFile(), []byte(text)); err == nil {
			cfg, err = config.Load(q.configFile(), q.getenv)
		}
	}
	if err == nil {
		err = cfg.RequireKafka()
	}
	if err != nil {
		return nil, errors.Join(err, broker.Close())
	}
	if q.port, err = brokerPort(cfg); err != nil {
		return nil, errors.Join(err, broker.Close())
	}
	// The port of the file may be another program's by now: this run uses its own.
	cfg.Kafka.Brokers = []string{broker.Addr()}
	q.cfg, q.app.cfg = cfg, cfg
	return broker, nil
}

// brokerPort is the port of the quickstart's broker in a configuration that a
// user may have changed since.
func brokerPort(cfg *config.Config) (int, error) {
	if err := cfg.RequireKafka(); err != nil {
		return 0, err
	}
	host, port, err := net.SplitHostPort(cfg.Kafka.Brokers[0])
	if err != nil || host != "127.0.0.1" {
		return 0, usagef("%s names the broker %s, not the quickstart's own: name another folder by --dir", cfg.Path, cfg.Kafka.Brokers[0])
	}
	return strconv.Atoi(port)
}

func (q *quickstart) produce(ctx context.Context, s *sample) (int64, error) {
	bar := ui.NewProgress(q.stderr, "sending events", int64(s.Events))
	defer bar.Done()
	return s.produce(ctx, feed.ProduceOptions{
		Brokers: q.cfg.Kafka.Brokers, Topic: quickstartTopic, Limits: limits(q.cfg),
		Progress: func(lines, _ int64) { bar.Set(lines) },
	})
}

func (q *quickstart) sink(ctx context.Context) func(*catalog.Catalog) error {
	return func(cat *catalog.Catalog) error {
		if q.logLevel == "" {
			q.logLevel = "warn" // what it did is printed; why is for --log-level
		}
		stats, err := q.runSink(ctx, q.cfg, cat, true)
		if err == nil {
			err = ctx.Err()
		}
		q.landed = stats.CommittedRows + stats.CommittedDead
		if err != nil {
			return err
		}
		if q.landed == 0 && q.sent == 0 {
			return q.say("nothing to add: the topic holds the sample events, the tables hold every record once\n")
		}
		if q.sent > 0 {
			if err := q.say("sent      %s to topic %s of the broker on %s", ui.Plural(q.sent, "event", "events"), quickstartTopic, q.cfg.Kafka.Brokers[0]); err != nil {
				return err
			}
		}
		return q.sayRun(stats, true, time.Since(q.started))
	}
}

// quickstartQuestions are asked at the end, the first rows of each shown.
var quickstartQuestions = []struct {
	query string
	args  map[string]string
	rows  int64
}{
	{"sli_daily", nil, 7},
	{"cost_rollup", nil, 5},
	{"completeness", nil, 5},
}

// show prints what is in the tables, and answers.
func (q *quickstart) show(ctx context.Context) func(*catalog.Catalog, *queries.Session) error {
	return func(cat *catalog.Catalog, session *queries.Session) error {
		if err := q.showTables(ctx, cat); err != nil {
			return err
		}
		if err := q.say("\nRows by class:"); err != nil {
			return err
		}
		width := ui.Width(q.stdout)
		_, err := session.SQL(ctx, `SELECT event_class, count(*) AS rows, count(DISTINCT event_time::DATE) AS days, count(DISTINCT session_id) AS sessions
			FROM agent_log GROUP BY ALL ORDER BY rows DESC`, queries.Output{Format: queries.Table, Width: width}, q.stdout)
		if err != nil {
			return err
		}
		for _, ask := range quickstartQuestions {
			canned, err := queries.Find(ask.query)
			if err != nil {
				return err
			}
			if err := q.say("\n%s (query %s)", canned.Question, canned.Name); err != nil {
				return err
			}
			if _, err := session.Query(ctx, ask.query, ask.args, queries.Output{Format: queries.Table, MaxRows: ask.rows, Width: width}, q.stdout); err != nil {
				return err
			}
		}
		return nil
	}
}

func (q *quickstart) showTables(ctx context.Context, cat *catalog.Catalog) error {
	var rows [][]string
	for _, name := range []string{catalog.AgentEvents, catalog.DeadLetters} {
		t, err := cat.Load(ctx, name)
		if err != nil {
			return err
		}
		s, err := t.Status(ctx, 0)
		if err != nil {
			return err
		}
		rows = append(rows, []string{
			cat.Namespace() + "." + name, ui.Count(int64(s.Snapshots)), ui.Count(int64(s.Partitions)),
			ui.Count(int64(s.Files)), ui.Bytes(s.Bytes), ui.Count(s.Rows),
		})
	}
	if err := q.say(""); err != nil {
		return err
	}
	return ui.Table(q.stdout, []string{"table", "snapshots>", "table partitions>", "files>", "size>", "rows>"}, rows)
}

// next says what to try, with commands that work as they are printed.
func (q *quickstart) next() error {
	conf := shellQuote(q.configFile())
	me := self()
	return q.say(`
Done in %s. Next:
  %[2]s sql -c %[3]s "SELECT tool_name, count(*) AS calls, round(avg(duration_ms)) AS ms FROM tool_calls GROUP BY ALL ORDER BY calls DESC"
  %[2]s query -c %[3]s action_ledger --limit 10
  %[2]s query
  %[2]s verify -c %[3]s
  %[2]s status -c %[3]s
The broker has stopped with this command; to go on with it (in another terminal), then send and write more:
  %[2]s dev-broker --dir %[4]s --port %[5]d
  %[2]s gen -c %[3]s --events 1000 --seed 2 --start now --to-topic
  %[2]s run -c %[3]s --until-caught-up`,
		ui.Duration(time.Since(q.started)), me, conf, shellQuote(filepath.Join(q.dir, "broker")), q.port)
}

// self is how this program was called: a binary that `go run` made is gone
// when it ends.
func self() string {
	exe, err := os.Executable()
	if err == nil && strings.Contains(filepath.ToSlash(exe), "/go-build") {
		return "go run ./cmd/auditlake"
	}
	return shellQuote(os.Args[0])
}

// shellQuote writes a word so that a shell takes it as it is.
func shellQuote(word string) string {
	special := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:@%+,", r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
