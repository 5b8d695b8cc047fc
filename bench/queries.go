package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// queryBench asks every canned query about one day and about thirty, through
// the binary and, with the same SQL, through DuckDB's own iceberg extension.
type queryBench struct {
	options
	config, extensions, only string
	most                     [2]time.Duration // of a day and of all of it
	mostFactor               float64
}

// canned is a query as `auditlake query --json` lists it.
type canned struct {
	Surface string `json:"surface"`
	Name    string `json:"name"`
	Params  []struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Default  string `json:"default"`
		Required bool   `json:"required"`
	} `json:"params"`
}

// subjects chooses what the queries for one thing are asked about: SQL that
// finds a value of the parameter in the day that is asked about.
var subjects = map[string]string{
	"run":        "SELECT run_id FROM agent_events WHERE run_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
	"run_a":      "SELECT run_id FROM agent_events WHERE run_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
	"run_b":      "SELECT run_id FROM agent_events WHERE run_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1 OFFSET 1",
	"event_id":   "SELECT event_id FROM actions WHERE causation_id IS NOT NULL ORDER BY event_time DESC, 1 LIMIT 1",
	"trace_id":   "SELECT trace_id FROM agent_events WHERE trace_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
	"subject":    "SELECT subject FROM agent_events WHERE subject IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
	"document":   "SELECT json_extract_string(documents, '$[0].id') FROM context_retrievals WHERE documents IS NOT NULL ORDER BY event_time, 1 LIMIT 1",
	"experiment": "SELECT experiment FROM agent_events WHERE experiment IS NOT NULL LIMIT 1",
	"evaluation": "SELECT evaluation_name FROM evaluations WHERE evaluation_name IS NOT NULL LIMIT 1",
}

func runQueries(args []string) error {
	var q queryBench
	flags := flag.NewFlagSet("bench queries", flag.ExitOnError)
	flags.IntVar(&q.events, "events", 5_000_000, "events to generate")
	flags.StringVar(&q.span, "span", "720h", "time that the events span")
	flags.IntVar(&q.rounds, "rounds", 3, "rounds, ours and the extension in turn; the medians count")
	flags.IntVar(&q.partitions, "partitions", 4, "topic partitions")
	flags.StringVar(&q.config, "config", "", "configuration of a lake that is there (default: one is made)")
	flags.StringVar(&q.extensions, "extensions", "", "folder of DuckDB's iceberg and avro extension (.ci/parts/duckdb-extensions installs them); empty leaves the comparison out")
	flags.StringVar(&q.only, "only", "", "only this query")
	flags.DurationVar(&q.most[0], "most-day", 0, "fail if a query over one day takes longer; 0 is no check")
	flags.DurationVar(&q.most[1], "most-all", 0, "fail if a query over all of it takes longer; 0 is no check")
	flags.Int64Var(&q.mostMemory, "most-memory", 0, "fail if a query's peak memory is above this, MiB; 0 is no check")
	flags.Float64Var(&q.mostFactor, "most-factor", 0, "fail if a query takes more than this times the extension's wall time; 0 is no check")
	flags.StringVar(&q.dir, "dir", "", "working folder (default: a temporary one)")
	flags.StringVar(&q.binary, "binary", "", "auditlake binary (default: built from this checkout)")
	_ = flags.Parse(args) // it exits on errors
	if flags.NArg() > 0 || min(q.events, q.rounds, q.partitions) < 1 {
		return errors.New("usage: bench queries [flags], of which -events, -rounds and -partitions are at least 1; see -help")
	}
	q.seed, q.level, q.procs = 1, 1, runtime.NumCPU()
	done, err := q.prepare()
	if err != nil {
		return err
	}
	defer done()
	if q.config == "" {
		if err := q.makeLake(); err != nil {
			return err
		}
	}
	return q.run()
}

// makeLake fills a lake through the development broker and the sink.
func (q *queryBench) makeLake() error {
	broker, stop, err := startBroker(q.options)
	if err != nil {
		return err
	}
	defer stop()
	if q.config, err = q.writeConfig(q.dir, broker, "bench-queries"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init"},
		{"gen", "--events", fmt.Sprint(q.events), "--seed", fmt.Sprint(q.seed), "--span", q.span, "--to-topic", "--topic", benchTopic},
		{"run", "--until-caught-up"},
	} {
		if err := quiet(exec.Command(q.binary, append([]string{"-c", q.config}, args...)...)); err != nil {
			return err
		}
	}
	return nil
}

// ask runs SQL through the binary and gives the rows.
func (q *queryBench) ask(args ...string) ([][]string, error) {
	out, err := exec.Command(q.binary, append([]string{"-c", q.config}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("%s: no CSV: %w", strings.Join(args, " "), err)
	}
	return rows[1:], nil
}

// span is a time range that is asked about, and for a comparison the two that
// are held against each other.
type span struct{ name, from, to, refFrom, refTo, period string }

func (q *queryBench) run() error {
	list, err := q.list()
	if err != nil {
		return err
	}
	lake, err := q.ask("sql", "-o", "csv", "SELECT count(*), count(DISTINCT event_class), CAST(min(event_time) AS DATE), CAST(max(event_time) AS DATE) + 1 FROM agent_log")
	if err != nil {
		return err
	}
	first, err := time.Parse(time.DateOnly, lake[0][2])
	if err != nil {
		return err
	}
	last, err := time.Parse(time.DateOnly, lake[0][3])
	if err != nil {
		return err
	}
	middle := first.Add(last.Sub(first) / 2).Truncate(24 * time.Hour)
	spans := []span{
		{"1 d", day(middle), day(middle.AddDate(0, 0, 1)), day(middle.AddDate(0, 0, -1)), day(middle), "1d"},
		{fmt.Sprintf("%.0f d", last.Sub(first).Hours()/24), day(first), day(last), day(first), day(middle), "30d"},
	}
	fmt.Printf("%s events of %s classes from %s to %s, %s, %d cores of %s, load %s; median of %d\n\n", lake[0][0], lake[0][1], lake[0][2], lake[0][3],
		runtime.Version(), runtime.NumCPU(), cpuModel(), load(), q.rounds)
	about, err := q.subjectsOf(list, spans[0])
	if err != nil {
		return err
	}
	fmt.Println("| query | range | auditlake | peak | rows | files read of all | iceberg_scan | peak | the same, every row | peak |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	var table []measured
	for _, c := range list {
		for i, s := range spans {
			m, err := q.measureQuery(c, s, about)
			if err != nil {
				return err
			}
			m.limit = q.most[i]
			fmt.Println(m)
			table = append(table, m)
		}
	}
	return q.judge(table)
}

func day(t time.Time) string { return t.Format(time.DateOnly) }

func (q *queryBench) list() (list []canned, err error) {
	out, err := exec.Command(q.binary, "query", "--json").Output()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	if q.only != "" {
		list = slices.DeleteFunc(list, func(c canned) bool { return c.Name != q.only })
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no query %q", q.only)
	}
	return list, nil
}

// subjectsOf finds values for the parameters that the queries need.
func (q *queryBench) subjectsOf(list []canned, day span) (map[string]string, error) {
	about := map[string]string{}
	for _, c := range list {
		for _, p := range c.Params {
			if !p.Required || about[p.Name] != "" {
				continue
			}
			text, ok := subjects[p.Name]
			if !ok {
				return nil, fmt.Errorf("query %s needs %s, for which bench/queries.go has no value", c.Name, p.Name)
			}
			rows, err := q.ask("sql", "-o", "csv", "--from", day.from, "--to", day.to, text)
			if err != nil {
				return nil, err
			}
			if len(rows) != 1 {
				return nil, fmt.Errorf("the lake holds no value for %s", p.Name)
			}
			about[p.Name] = rows[0][0]
		}
	}
	return about, nil
}

// values are the parameters of a question. A comparison over all of it is one of
// the two halves.
func (c canned) values(s span, about map[string]string) map[string]string {
	out := map[string]string{}
	for _, p := range c.Params {
		switch {
		case p.Name == "ref_from":
			out["ref_from"], out["ref_to"], out["from"] = s.refFrom, s.refTo, s.refTo
		case p.Name == "from" && out["from"] == "":
			out[p.Name] = s.from
		case p.Name == "to":
			out[p.Name] = s.to
		case p.Name == "period":
			out[p.Name] = s.period
		case p.Required:
			out[p.Name] = about[p.Name]
		}
	}
	return out
}

// measured is a line of the table.
type measured struct {
	query, span string
	limit       time.Duration
	ours        result    // medians by wall time
	theirs      [2]result // an event once, and every row; zero where it was not measured
	rows        int
	files       string
}

func (m measured) String() string {
	line := fmt.Sprintf("| %s | %s | %.2f s | %d MiB | %d | %s |", m.query, m.span, m.ours.wall.Seconds(), m.ours.peak>>20, m.rows, m.files)
	for _, t := range m.theirs {
		if t.wall == 0 {
			line += " | |"
		} else {
			line += fmt.Sprintf(" %.2f s | %d MiB |", t.wall.Seconds(), t.peak>>20)
		}
	}
	return line
}

func (q *queryBench) measureQuery(c canned, s span, about map[string]string) (m measured, err error) {
	m = measured{query: c.Name, span: s.name}
	args := []string{"-c", q.config, "query", c.Name}
	values := c.values(s, about)
	for name, value := range values {
		args = append(args, "--"+name, value)
	}
	var ours []result
	var theirs [2][]result
	for range q.rounds {
		out := filepath.Join(q.dir, "ours.csv")
		r, err := toFile(exec.Command(q.binary, append(args[:len(args):len(args)], "-o", "csv")...), out)
		if err != nil {
			return m, err
		}
		ours = append(ours, r)
		if m.rows, err = csvRows(out); err != nil {
			return m, err
		}
		for i := range theirs {
			if q.extensions == "" {
				continue
			}
			t, rows, err := q.measureIceberg(c, values, i == 1)
			if err != nil {
				return m, err
			}
			theirs[i] = append(theirs[i], t)
			if rows != m.rows {
				return m, fmt.Errorf("query %s over %s: %d rows, and %d through iceberg_scan", c.Name, s.name, m.rows, rows)
			}
		}
	}
	m.ours, m.theirs = medianWall(ours), [2]result{medianWall(theirs[0]), medianWall(theirs[1])}
	m.files, err = q.filesOf(args)
	return m, err
}

// filesOf says how many of its tables' data files a question reads.
func (q *queryBench) filesOf(args []string) (string, error) {
	out, err := exec.Command(q.binary, append(args[:len(args):len(args)], "--explain", "--json")...).Output()
	if err != nil {
		return "", fmt.Errorf("%s --explain: %w", strings.Join(args, " "), err)
	}
	var says struct {
		Tables []struct {
			Files int `json:"files"`
			Total int `json:"files_total"`
		} `json:"tables"`
	}
	if err := json.Unmarshal(out, &says); err != nil {
		return "", err
	}
	files, total := 0, 0
	for _, t := range says.Tables {
		files, total = files+t.Files, total+t.Total
	}
	return fmt.Sprintf("%d of %d", files, total), nil
}

func medianWall(rs []result) result {
	if len(rs) == 0 {
		return result{}
	}
	slices.SortFunc(rs, func(a, b result) int { return int(a.wall - b.wall) })
	return rs[len(rs)/2]
}

// toFile measures a command that writes its result to stdout.
func toFile(cmd *exec.Cmd, path string) (result, error) {
	f, err := os.Create(path)
	if err != nil {
		return result{}, err
	}
	cmd.Stdout = f
	r, err := measure(cmd, nil)
	return r, errors.Join(err, f.Close())
}

func csvRows(path string) (rows int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := csv.NewReader(f)
	r.ReuseRecord = true // what this process holds counts as a child's peak until the child is loaded
	for n := -1; ; n++ {
		if _, err := r.Read(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
}

// judge holds the table against what was asked for.
func (q *queryBench) judge(table []measured) error {
	var short []string
	var factors [2][]float64
	for _, m := range table {
		name := m.query + " over " + m.span
		if m.limit > 0 && m.ours.wall > m.limit {
			short = append(short, fmt.Sprintf("%s took %.2f s, the limit is %v", name, m.ours.wall.Seconds(), m.limit))
		}
		if q.mostMemory > 0 && m.ours.peak > q.mostMemory<<20 {
			short = append(short, fmt.Sprintf("%s took %d MiB, -most-memory is %d", name, m.ours.peak>>20, q.mostMemory))
		}
		for i, t := range m.theirs {
			if t.wall == 0 {
				continue
			}
			factor := m.ours.wall.Seconds() / t.wall.Seconds()
			factors[i] = append(factors[i], factor)
			if i == 0 && q.mostFactor > 0 && factor > q.mostFactor {
				short = append(short, fmt.Sprintf("%s took %.2f of iceberg_scan's time, -most-factor is %.2f", name, factor, q.mostFactor))
			}
		}
	}
	fmt.Println()
	for i, f := range factors {
		if len(f) > 0 {
			slices.Sort(f)
			fmt.Printf("wall time as a share of iceberg_scan's%s: median %.2f, least %.2f, most %.2f\n", []string{"", ", every row"}[i], f[len(f)/2], f[0], f[len(f)-1])
		}
	}
	if len(short) > 0 {
		return errors.New(strings.Join(short, "; "))
	}
	return nil
}
