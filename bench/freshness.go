package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/auditlake/auditlake/catalog"
)

// freshness is how soon an event can be queried.
type freshness struct {
	options
	rate, workers  int
	lasts, lag     time.Duration
	brokers, topic string
	mostP99        time.Duration
}

// settle bounds the waits for what is under way: the sink's start, its last commits.
const settle = 2 * time.Minute

// runFreshness produces events at a rate to a topic that the binary reads, and
// measures for each the time from produce to a reader whose plan of the table has it.
func runFreshness(args []string) error {
	var f freshness
	flags := flag.NewFlagSet("bench freshness", flag.ExitOnError)
	flags.IntVar(&f.rate, "rate", 2000, "events a second")
	flags.DurationVar(&f.lasts, "for", time.Minute, "how long events are produced")
	flags.DurationVar(&f.lag, "target-lag", time.Second, "sink.target_lag")
	flags.IntVar(&f.workers, "workers", 1, "sink.workers")
	flags.IntVar(&f.partitions, "partitions", 4, "topic partitions")
	flags.StringVar(&f.brokers, "brokers", "", "host:port,... of a Kafka, where a topic is made and deleted again (default: a development broker)")
	flags.DurationVar(&f.mostP99, "most-p99", 0, "fail if the 99th percentile is above this; 0 is no check")
	flags.StringVar(&f.dir, "dir", "", "working folder (default: a temporary one)")
	flags.StringVar(&f.binary, "binary", "", "auditlake binary (default: built from this checkout)")
	_ = flags.Parse(args) // it exits on errors
	if flags.NArg() > 0 || min(f.rate, f.workers, f.partitions) < 1 || f.lasts < time.Second {
		return errors.New("usage: bench freshness [flags], of which -rate, -workers and -partitions are at least 1 and -for is 1s; see -help")
	}
	f.events, f.seed, f.level, f.span = int(f.lasts.Seconds()*float64(f.rate)), 1, 1, "1h"
	f.topic = benchTopic
	if f.brokers != "" {
		f.topic += "-" + uuid.NewString()
	}
	done, err := f.prepare()
	if err != nil {
		return err
	}
	defer done()
	return f.measure(context.Background())
}

// measure runs the binary while events come in.
func (f *freshness) measure(ctx context.Context) error {
	events := filepath.Join(f.dir, "events.ndjson")
	if err := quiet(exec.Command(f.binary, "gen", "--events", fmt.Sprint(f.events), "--seed", fmt.Sprint(f.seed), "--start", "2h", "--span", f.span, "--force", "--out", events)); err != nil {
		return err
	}
	if f.brokers == "" {
		addr, stop, err := startBroker(f.options)
		if err != nil {
			return err
		}
		defer stop()
		f.brokers = addr
	}
	p, err := newProducer(ctx, f)
	if err != nil {
		return err
	}
	defer p.close()
	config, err := f.initLake()
	if err != nil {
		return err
	}
	sink, err := f.startSink(config)
	if err != nil {
		return err
	}
	defer sink.kill()
	fmt.Printf("%d events a second for %v to %d topic partitions, target_lag %v, %d workers, %s, %d cores of %s, load %s\n",
		f.rate, f.lasts, f.partitions, f.lag, f.workers, runtime.Version(), runtime.NumCPU(), cpuModel(), load())
	seen, err := f.watch(ctx, p, sink, events)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, sink.last())
	}
	if err := sink.stop(); err != nil {
		return err
	}
	if err := f.checkCount(config, p.sent()); err != nil {
		return err
	}
	return f.report(p, seen, sink)
}

// watch has the events produced and a reader look for them, after one that shows
// that the sink is at work.
func (f *freshness) watch(ctx context.Context, p *producer, sink *sinkProcess, events string) (*reader, error) {
	cat, err := catalog.Open(ctx, catalog.Config{Type: "sqlite", URI: filepath.Join(f.dir, "catalog.db"), Warehouse: "file://" + filepath.Join(f.dir, "warehouse")})
	if err != nil {
		return nil, err
	}
	defer func() { _ = cat.Close() }() // it was only read
	r := &reader{cat: cat, topic: f.topic}
	lines, done, err := openLines(events)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := p.first(ctx, lines); err != nil {
		return nil, err
	}
	if err := r.until(ctx, func() bool { return r.rows >= 1 }, settle, sink.ended); err != nil {
		return nil, fmt.Errorf("the first event: %w", err)
	}
	produced := make(chan error, 1)
	go func() { produced <- p.run(ctx, lines, f.rate) }()
	finished := false
	err = r.until(ctx, func() bool {
		if !finished {
			select {
			case err = <-produced:
				finished = true
			default:
			}
		}
		return finished && (err != nil || r.rows >= p.sent())
	}, f.lasts+settle, sink.ended)
	return r, err
}

func (f *freshness) report(p *producer, seen *reader, sink *sinkProcess) error {
	waits := seen.waits(p)
	if len(waits) != f.events-1 {
		return fmt.Errorf("%d of %d events were seen in the table", len(waits), f.events-1)
	}
	slices.Sort(waits)
	at := func(percent int) time.Duration {
		return waits[min(len(waits)*percent/100, len(waits)-1)].Round(time.Millisecond)
	}
	fmt.Printf("from produce to queryable: median %v, p95 %v, p99 %v, longest %v\n", at(50), at(95), at(99), at(100))
	fmt.Printf("the longest that a produce call fell behind its time: %v\n", p.late.Round(time.Millisecond))
	commits := sink.commits()
	fmt.Printf("%d snapshot commits, %d data files; a flush took %v at first, %v at last (medians of ten), %v at most\n", len(commits), seen.files,
		median(commits[:min(10, len(commits))]), median(commits[max(0, len(commits)-10):]), slices.Max(commits).Round(time.Millisecond))
	usage := sink.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("the sink took %.1f CPU seconds and %d MiB; load %s\n",
		(sink.cmd.ProcessState.UserTime() + sink.cmd.ProcessState.SystemTime()).Seconds(), usage.Maxrss>>10, load())
	if f.mostP99 > 0 && at(99) > f.mostP99 {
		return fmt.Errorf("the 99th percentile is %v, -most-p99 is %v", at(99), f.mostP99)
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2].Round(time.Millisecond)
}

// initLake makes the tables and the configuration.
func (f *freshness) initLake() (config string, err error) {
	var brokers []string
	for _, b := range strings.Split(f.brokers, ",") {
		brokers = append(brokers, fmt.Sprintf("%q", b))
	}
	config = filepath.Join(f.dir, "auditlake.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%s], topics: [%s], group: %s}\ncatalog: {type: sqlite, uri: catalog.db}\nwarehouse: warehouse\n"+
		"sink: {target_lag: %v, workers: %d}\nmetrics: {listen: \"off\"}\n", strings.Join(brokers, ", "), f.topic, f.topic, f.lag, f.workers)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return "", err
	}
	return config, quiet(exec.Command(f.binary, "-c", config, "init"))
}

// checkCount asks DuckDB, through the binary, for the rows.
func (f *freshness) checkCount(config string, want int64) error {
	out, err := exec.Command(f.binary, "-c", config, "sql", "-o", "csv", "SELECT count(*) AS n FROM agent_log").Output()
	if err != nil {
		return fmt.Errorf("count the rows: %w", err)
	}
	if got := strings.TrimSpace(strings.TrimPrefix(string(out), "n")); got != fmt.Sprint(want) {
		return fmt.Errorf("DuckDB counts %s rows of %d events", got, want)
	}
	return nil
}

// sinkProcess is `auditlake run`.
type sinkProcess struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // once it has ended

	mu    sync.Mutex
	took  []time.Duration // its flushes that landed
	lines []string        // the last of its log
}

func (f *freshness) startSink(config string) (*sinkProcess, error) {
	s := &sinkProcess{cmd: exec.Command(f.binary, "-c", config, "--log-format", "json", "run"), ended: make(chan struct{})}
	out, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			s.line(scan.Bytes())
		}
		s.err = s.cmd.Wait()
	}()
	return s, nil
}

func (s *sinkProcess) line(b []byte) {
	var said struct {
		Msg  string        `json:"msg"`
		Took time.Duration `json:"took"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if json.Unmarshal(b, &said) == nil && said.Msg == "snapshot commit" {
		s.took = append(s.took, said.Took)
	}
	s.lines = append(s.lines, string(b))
	s.lines = s.lines[max(0, len(s.lines)-5):]
}

func (s *sinkProcess) commits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took
}

func (s *sinkProcess) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// stop has it end well.
func (s *sinkProcess) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(settle):
		return errors.New("the sink does not end after SIGTERM")
	}
	if s.err != nil {
		return fmt.Errorf("the sink: %w\n%s", s.err, s.last())
	}
	return nil
}

func (s *sinkProcess) kill() {
	_ = s.cmd.Process.Kill() // where stop was not reached
	<-s.ended
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg") // none where there is none
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
