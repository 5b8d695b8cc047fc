// Command bench measures the main path, Kafka fetch to snapshot commit, and
// beside it, in the same run on the same bytes, DuckDB doing the same work: the
// event verbatim and the typed columns, by day and class, at the same zstd
// level, on as many threads (-procs, one unless told).
//
//	go run ./bench -events 400000 -rounds 3
//	go run ./bench freshness
//	go run ./bench queries -extensions DIR
//
// The second form measures how soon an event can be queried, see docs/operating.md;
// the third how long the canned queries take, beside the same SQL through DuckDB's
// iceberg extension.
// Both run as child processes; CPU seconds and peak memory are what the kernel
// says of them. The broker is a process of its own and is not counted. Exit
// code 1: something failed, or -least-ratio or -most-memory does not hold.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const benchTopic = "bench" // of the development broker

type options struct {
	events, rounds, partitions, level, procs int
	seed                                     int
	span, dir, binary, profile               string
	leastRatio                               float64
	mostMemory                               int64 // MiB
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "duckdb" {
		exit(runDuckDB(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "freshness" {
		exit(runFreshness(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "queries" {
		exit(runQueries(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "iceberg" {
		exit(runIceberg(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.events, "events", 400_000, "events to generate")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, sink and DuckDB in turn")
	flag.IntVar(&o.partitions, "partitions", 4, "topic partitions")
	flag.IntVar(&o.level, "level", 1, "zstd level of both")
	flag.IntVar(&o.procs, "procs", 1, "GOMAXPROCS of the sink, threads of DuckDB")
	flag.IntVar(&o.seed, "seed", 1, "seed of the generator")
	flag.StringVar(&o.span, "span", "168h", "time that the events span: each day is a file per class open at once")
	flag.StringVar(&o.dir, "dir", "", "working folder (default: a temporary one)")
	flag.StringVar(&o.binary, "binary", "", "auditlake binary (default: built from this checkout)")
	flag.StringVar(&o.profile, "cpuprofile", "", "write the sink's CPU profile of the last round here")
	flag.Float64Var(&o.leastRatio, "least-ratio", 0, "fail below this ratio of the sink's speed to DuckDB's; 0 is no check")
	flag.Int64Var(&o.mostMemory, "most-memory", 0, "fail if the sink's peak memory is above this, MiB; 0 is no check")
	flag.Parse()
	if flag.NArg() > 0 || min(o.events, o.rounds, o.partitions, o.procs) < 1 {
		exit(errors.New("usage: bench [flags], of which -events, -rounds, -partitions and -procs are at least 1; see -help"))
	}
	exit(run(o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// result is one child's run.
type result struct {
	wall, cpu time.Duration
	peak      int64 // bytes
	out       int64 // bytes of Parquet
}

// prepare makes the working folder and the binary, where none is named.
func (o *options) prepare() (done func(), err error) {
	done = func() {}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "auditlake-bench")
		if err != nil {
			return nil, err
		}
		done = func() { _ = os.RemoveAll(dir) } // a temporary folder
		o.dir = dir
	}
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "auditlake")
		if err := quiet(exec.Command("go", "build", "-o", o.binary, "./cmd/auditlake")); err != nil {
			done()
			return nil, err
		}
	}
	return done, nil
}

func run(o options) error {
	done, err := o.prepare()
	if err != nil {
		return err
	}
	defer done()
	events := filepath.Join(o.dir, "events.ndjson")
	if err := quiet(exec.Command(o.binary, "gen", "--events", fmt.Sprint(o.events), "--seed", fmt.Sprint(o.seed), "--span", o.span, "--force", "--out", events)); err != nil {
		return err
	}
	info, err := os.Stat(events)
	if err != nil {
		return err
	}
	broker, stop, err := startBroker(o)
	if err != nil {
		return err
	}
	defer stop()
	if err := fill(o, broker, events); err != nil {
		return fmt.Errorf("fill the broker: %w", err)
	}
	fmt.Printf("%d events over %s, %.0f B each, %d topic partitions, zstd level %d, GOMAXPROCS=%d, %s, %d cores of %s\n",
		o.events, o.span, float64(info.Size())/float64(o.events), o.partitions, o.level, o.procs, runtime.Version(), runtime.NumCPU(), cpuModel())
	return o.runRounds(broker, events)
}

func (o options) runRounds(broker, events string) error {
	var sinks, ducks []result
	for round := range o.rounds {
		s, err := runSink(o, broker, round)
		if err != nil {
			return err
		}
		d, err := measureDuckDB(o, events)
		if err != nil {
			return err
		}
		sinks, ducks = append(sinks, s), append(ducks, d)
		fmt.Printf("round %d: sink %s | duckdb %s\n", round+1, o.line(s), o.line(d))
	}
	return o.summary(sinks, ducks)
}

func (o options) line(r result) string {
	return fmt.Sprintf("%6.0f ev/s wall, %6.0f ev/CPU s, %4d MiB peak, %3d MB out",
		float64(o.events)/r.wall.Seconds(), float64(o.events)/r.cpu.Seconds(), r.peak>>20, r.out/1e6)
}

func (o options) summary(sinks, ducks []result) error {
	rate := func(rs []result) (median, lowest, highest float64) {
		var v []float64
		for _, r := range rs {
			v = append(v, float64(o.events)/r.cpu.Seconds())
		}
		slices.Sort(v)
		return v[len(v)/2], v[0], v[len(v)-1]
	}
	peak := int64(0)
	for _, r := range sinks {
		peak = max(peak, r.peak)
	}
	sm, sl, sh := rate(sinks)
	dm, dl, dh := rate(ducks)
	fmt.Printf("\nevents per CPU second, median (min-max) of %d rounds:\n", o.rounds)
	fmt.Printf("  auditlake, Kafka fetch to snapshot commit  %6.0f (%.0f-%.0f)\n", sm, sl, sh)
	fmt.Printf("  DuckDB, file to Parquet files              %6.0f (%.0f-%.0f)\n", dm, dl, dh)
	fmt.Printf("  ratio                                      %6.2f\n", sm/dm)
	fmt.Printf("  auditlake peak memory                      %6d MiB\n", peak>>20)
	return o.check(sm/dm, peak)
}

// check holds the result against what was asked for; peak is in bytes.
func (o options) check(ratio float64, peak int64) error {
	var short []string
	if o.leastRatio > 0 && ratio < o.leastRatio {
		short = append(short, fmt.Sprintf("the ratio is %.3f, -least-ratio is %.3f", ratio, o.leastRatio))
	}
	if o.mostMemory > 0 && peak > o.mostMemory<<20 {
		short = append(short, fmt.Sprintf("the sink's peak memory is %.1f MiB, -most-memory is %d", float64(peak)/(1<<20), o.mostMemory))
	}
	if len(short) > 0 {
		return errors.New(strings.Join(short, "; "))
	}
	return nil
}

// runSink runs the sink over the whole topic into a fresh lake.
func runSink(o options, broker string, round int) (result, error) {
	lake := filepath.Join(o.dir, fmt.Sprintf("lake%d", round))
	defer func() { _ = os.RemoveAll(lake) }()
	if err := os.MkdirAll(lake, 0o755); err != nil {
		return result{}, err
	}
	config, err := o.writeConfig(lake, broker, fmt.Sprintf("bench-%d", round))
	if err != nil {
		return result{}, err
	}
	if err := quiet(exec.Command(o.binary, "-c", config, "init")); err != nil {
		return result{}, err
	}
	env := []string{fmt.Sprintf("GOMAXPROCS=%d", o.procs)}
	if o.profile != "" && round == o.rounds-1 {
		env = append(env, "AUDITLAKE_CPUPROFILE="+o.profile)
	}
	r, err := measure(exec.Command(o.binary, "-c", config, "run", "--until-caught-up"), env)
	if err != nil {
		return r, err
	}
	r.out = parquetBytes(lake)
	out, err := exec.Command(o.binary, "-c", config, "sql", "-o", "csv", "SELECT count(*) AS n FROM agent_log").Output()
	if err != nil {
		return r, fmt.Errorf("count the rows: %w", err)
	}
	if got := strings.TrimSpace(strings.TrimPrefix(string(out), "n")); got != fmt.Sprint(o.events) {
		return r, fmt.Errorf("the sink's table has %s rows of %d events", got, o.events)
	}
	return r, nil
}

// startBroker starts the development broker as a process of its own, on a port
// that is free.
func startBroker(o options) (addr string, stop func(), err error) {
	dir := filepath.Join(o.dir, "broker")
	if err := os.RemoveAll(dir); err != nil { // events of an earlier run would count twice
		return "", nil, err
	}
	cmd := exec.Command(o.binary, "dev-broker", "--dir", dir, "--port", "0", "--topic", fmt.Sprintf("%s:%d", benchTopic, o.partitions))
	var errText strings.Builder
	cmd.Stderr = &errText
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it holds nothing of value
		_ = cmd.Wait()
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // it says where it listens, or ends
	addr, _, ok := strings.Cut(strings.TrimPrefix(line, "broker on "), ",")
	if !ok {
		stop()
		return "", nil, fmt.Errorf("the broker says %q, not where it listens\n%s", line, errText.String())
	}
	return addr, stop, nil
}

func fill(o options, broker, events string) error {
	config, err := o.writeConfig(o.dir, broker, "fill")
	if err != nil {
		return err
	}
	return quiet(exec.Command(o.binary, "-c", config, "produce", events))
}

// writeConfig writes the configuration of a lake in dir.
func (o options) writeConfig(dir, broker, group string) (path string, err error) {
	path = filepath.Join(dir, "auditlake.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%q], topics: [%s], group: %s}\ncatalog: {type: sqlite, uri: catalog.db}\nwarehouse: warehouse\nsink: {compression_level: %d}\n",
		broker, benchTopic, group, o.level)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// measure runs a child to its end and reads what the kernel counted.
func measure(cmd *exec.Cmd, env []string) (result, error) {
	var errText strings.Builder
	cmd.Stderr = &errText
	cmd.Env = append(os.Environ(), env...)
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, errText.String())
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return result{
		wall: time.Since(began),
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		peak: usage.Maxrss << 10, // Linux counts in KiB
	}, nil
}

func quiet(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

func parquetBytes(dir string) int64 {
	var n int64
	_ = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error { // what cannot be read counts nothing
		if err == nil && strings.HasSuffix(path, ".parquet") {
			n += info.Size()
		}
		return nil
	})
	return n
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for _, line := range strings.Split(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(name, "\t: ")
		}
	}
	return runtime.GOARCH
}
