// Package readers runs the whole path on real parts with readers and producers
// that are not auditlake's: PyIceberg, DuckDB's own iceberg extension, Spark, and
// the CloudEvents SDKs of Python and Java. It is a folder of tests only, which
// `go test ./...` leaves out: `go test ./.ci/readers` runs it, `.ci/run` does.
package readers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/internal/part"
)

// engines are the readers of readers.py; the first is what the others are compared with.
var engines = []string{"auditlake", "pyiceberg", "duckdb", "spark"}

// python is the interpreter of .ci/parts/python.
func python(t testing.TB) string {
	t.Helper()
	path := filepath.Join(part.Dir("python"), "bin", "python")
	part.Need(t, "Python with PyIceberg, DuckDB and Spark", exists(filepath.Join(part.Dir("python"), "packages")), ".ci/parts/python")
	return path
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// engine is a running readers.py. It ends when its input does, which the end of
// this process closes, however it comes.
type engine struct {
	name    string
	mu      sync.Mutex
	in      io.WriteCloser
	replies *bufio.Reader
	log     string // path of what it prints
	failed  error
}

var running = struct {
	sync.Mutex
	engines map[string]*engine
}{engines: map[string]*engine{}}

// started gives the engine of that name: one process serves all tests, since
// Spark takes ten seconds to start.
func started(t testing.TB, name string) *engine {
	t.Helper()
	interpreter := python(t)
	part.Need(t, "Iceberg for Spark", exists(filepath.Join(part.Dir("spark"), "jars.list")), ".ci/parts/spark")
	binary := auditlake(t)
	running.Lock()
	defer running.Unlock()
	if e := running.engines[name]; e != nil {
		return e
	}
	log, err := os.CreateTemp("", "auditlake-"+name+"-*.log")
	require.NoError(t, err)
	defer log.Close()
	cmd := exec.Command(interpreter, "readers.py", name)
	cmd.Env = append(os.Environ(), "AUDITLAKE_BINARY="+binary, "SPARK_JARS="+part.Dir("spark"), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = log
	e := &engine{name: name, log: log.Name()}
	e.in, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	e.replies = bufio.NewReader(out)
	running.engines[name] = e
	atEnd(func() {
		_ = e.in.Close()
		_ = cmd.Wait() // it has nothing more to say
		_ = os.Remove(e.log)
	})
	return e
}

// startAll starts every engine: while a test makes its tables they load.
func startAll(t testing.TB) {
	t.Helper()
	for _, name := range engines {
		started(t, name)
	}
}

// ask sends a request and reads the reply into reply.
func (e *engine) ask(t testing.TB, request map[string]any, reply any) {
	t.Helper()
	require.NoError(t, e.call(request, reply))
}

func (e *engine) call(request map[string]any, reply any) error {
	line, err := e.exchange(request)
	if err == nil {
		var failure struct{ Error string }
		if err = json.Unmarshal(line, &failure); err == nil && failure.Error != "" {
			err = errors.New(failure.Error)
		}
	}
	if err != nil {
		text, _ := os.ReadFile(e.log) // for people
		return fmt.Errorf("%s: %v: %w\n%s", e.name, request["do"], err, text[max(0, len(text)-4000):])
	}
	return json.Unmarshal(line, reply)
}

func (e *engine) exchange(request map[string]any) ([]byte, error) {
	line, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failed == nil {
		_, e.failed = e.in.Write(append(line, '\n'))
	}
	if e.failed != nil {
		return nil, e.failed
	}
	line, e.failed = e.replies.ReadBytes('\n')
	return line, e.failed
}

// condition is a WHERE of one or more [column, operator, value].
type condition [][3]any

// checksums are those of every column and of whole rows.
type checksums struct {
	Columns map[string]struct {
		Nulls int
		Sum   string
	}
	RowSum string `json:"row_sum"`
}

// asPyIceberg are the checksums where a list of structs that is NULL counts as
// empty, which is how PyIceberg 0.12 reads it.
func (r reading) asPyIceberg() reading {
	r.Columns = both(r.Columns, r.WithoutNullLists.Columns)
	r.RowSum = r.WithoutNullLists.RowSum
	return r
}

// reading is what an engine found in a table; readers.py and canon.py say how.
type reading struct {
	Engine      string `json:"-"`
	Rows, Count int
	Types       map[string]string
	checksums
	WithoutNullLists    checksums      `json:"without_null_lists"`
	ByClassAndDay       map[string]int `json:"by_class_and_day"`
	ByClassAndDayOfRows map[string]int `json:"by_class_and_day_of_rows"`
	Counts              []int
	CountsOfRows        []int `json:"counts_of_rows"`
}

// read has an engine read a table, at a snapshot unless that is 0.
func (l *lake) read(name, table string, snapshot int64, where ...condition) (reading, error) {
	l.t.Helper()
	got := reading{Engine: name}
	request := map[string]any{"do": "read", "lake": l.spec, "table": table, "where": where, "absent": l.absent}
	if snapshot != 0 {
		request["snapshot"] = snapshot
	}
	began := time.Now()
	err := started(l.t, name).call(request, &got)
	l.t.Logf("%s read %d rows of %s in %s", name, got.Rows, table, time.Since(began).Round(time.Millisecond))
	return got, err
}

// differences says in what two readings of one table differ: nothing, if both
// engines read it right.
func differences(a, b reading, where []condition) []string {
	if b.Engine == "pyiceberg" && a.Engine != b.Engine {
		a, b = a.asPyIceberg(), b.asPyIceberg()
	}
	var out []string
	say := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%s and %s: ", a.Engine, b.Engine)+fmt.Sprintf(format, args...))
	}
	if a.Rows != b.Rows {
		say("%d and %d rows", a.Rows, b.Rows)
	}
	for _, name := range slices.Sorted(maps.Keys(both(a.Types, b.Types))) {
		switch {
		case a.Types[name] != b.Types[name]:
			say("column %s is %q and %q", name, a.Types[name], b.Types[name])
		case a.Columns[name] != b.Columns[name]:
			say("column %s holds %v and %v", name, a.Columns[name], b.Columns[name])
		}
	}
	if a.RowSum != b.RowSum {
		say("the rows' checksums are %s and %s", a.RowSum, b.RowSum)
	}
	for _, key := range slices.Sorted(maps.Keys(both(a.ByClassAndDay, b.ByClassAndDay))) {
		if a.ByClassAndDay[key] != b.ByClassAndDay[key] {
			say("%s: %d and %d rows", key, a.ByClassAndDay[key], b.ByClassAndDay[key])
		}
	}
	for i, c := range where {
		if a.Counts[i] != b.Counts[i] {
			say("where %v: %d and %d rows", c, a.Counts[i], b.Counts[i])
		}
	}
	return out
}

// contradictions says where an engine's counts, which may use statistics and skip
// files, are not those of the rows it gives.
func (r reading) contradictions(where []condition) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, r.Engine+": "+fmt.Sprintf(format, args...)) }
	if r.Count != r.Rows {
		say("count(*) is %d, and it reads %d rows", r.Count, r.Rows)
	}
	if !maps.Equal(r.ByClassAndDay, r.ByClassAndDayOfRows) {
		say("by class and day it counts %v, and reads %v", r.ByClassAndDay, r.ByClassAndDayOfRows)
	}
	for i, c := range where {
		if r.Counts[i] != r.CountsOfRows[i] {
			say("where %v it counts %d rows, and reads %d", c, r.Counts[i], r.CountsOfRows[i])
		}
	}
	return out
}

func both[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// requireAgreed has every engine read the table and wants them to agree with the
// first, auditlake, whose reading it returns.
func (l *lake) requireAgreed(table string, where ...condition) reading {
	l.t.Helper()
	readings := make([]reading, len(engines))
	startAll(l.t)
	var group errgroup.Group
	for i, name := range engines {
		group.Go(func() (err error) {
			readings[i], err = l.read(name, table, 0, where...)
			return err
		})
	}
	require.NoError(l.t, group.Wait())
	var wrong []string
	for _, r := range readings {
		wrong = append(wrong, r.contradictions(where)...)
		wrong = append(wrong, differences(readings[0], r, where)...)
	}
	require.Empty(l.t, strings.Join(wrong, "\n"), "the readers of %s do not agree", table)
	return readings[0]
}
