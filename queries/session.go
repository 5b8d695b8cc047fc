package queries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/storage"
)

// Options say what a session reads and what a run of it may take. Only Planner
// is required.
type Options struct {
	Planner Planner        // [Tables] of an open catalog
	Storage storage.Config // how to read files that are not local
	Library *Library       // what [Session.Query] knows; the canned queries if nil

	SnapshotID int64     // of agent_events; the other tables as they were at its time
	AsOf       time.Time // all tables as they were then
	// From and To keep rows of [From, To): event_time of agent_events, ingest_time
	// of dead_letters, started_at of maintenance_log. They are the defaults of a
	// canned query's parameters from and to.
	From, To time.Time

	CacheDir   string // for data files that are not local; needed only for those
	CacheBytes int64  // 10 GiB if zero

	Threads     int           // all processors if zero
	MemoryLimit int64         // bytes, of one run; 1 GiB if zero
	TempDir     string        // for spill files and results on their way out; the system's if empty
	TempBytes   int64         // most that a run may spill, bytes; 10 GiB if zero
	Timeout     time.Duration // of one run; none if zero

	Now time.Time // what relative times are relative to; the time of Open if zero
}

const (
	defaultMemory = 1 << 30
	defaultTemp   = 10 << 30
	defaultCache  = 10 << 30
	// minMemory is what DuckDB needs to read Parquet at all.
	minMemory = 64 << 20
)

// Session runs SQL over the tables of a lake, all of it at the snapshots that
// the first run saw. It holds no resources between runs and is safe for
// concurrent use.
type Session struct {
	opts  Options
	cache *cache

	mu      sync.Mutex
	pins    map[string]int64 // snapshot id by table, 0 for none
	pinTime time.Time        // of agent_events' snapshot
}

// Open checks the options. Nothing is read yet.
func Open(_ context.Context, opts Options) (*Session, error) {
	if opts.Planner == nil {
		return nil, errors.New("queries: Options.Planner is not set")
	}
	if opts.SnapshotID != 0 && !opts.AsOf.IsZero() {
		return nil, usagef("a snapshot id and a time both choose a snapshot: give one of them")
	}
	if !opts.From.IsZero() && !opts.To.IsZero() && !opts.From.Before(opts.To) {
		return nil, usagef("from %s is not before to %s: nothing lies between them", stamp(opts.From), stamp(opts.To))
	}
	if opts.Library == nil {
		opts.Library = Canned()
	}
	if opts.Threads <= 0 {
		opts.Threads = runtime.NumCPU()
	}
	orDefault(&opts.MemoryLimit, defaultMemory)
	orDefault(&opts.TempBytes, defaultTemp)
	orDefault(&opts.CacheBytes, defaultCache)
	if opts.MemoryLimit < minMemory {
		return nil, usagef("a memory limit of %d bytes is too little to read Parquet with: give at least 64MiB", opts.MemoryLimit)
	}
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	s := &Session{opts: opts, pins: map[string]int64{}}
	s.cache = &cache{dir: opts.CacheDir, limit: opts.CacheBytes, open: fromStorage(opts.Storage)}
	return s, nil
}

func orDefault(v *int64, otherwise int64) {
	if *v <= 0 {
		*v = otherwise
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Result says what a run wrote.
type Result struct {
	Rows       int64 // written
	More       bool  // a table was cut at Output.MaxRows
	SnapshotID int64 // of agent_events; 0 if it has none
	Files      int   // data files read
	FilesTotal int64 // data files of the tables read, before pruning
}

// SQL runs one SELECT and writes its rows to w. Errors: [GateError] for what
// may not run, [SQLError] for what is not SQL, [TimeoutError], [ErrMemory].
// Unless a table is written, w gets the result only once it is complete.
func (s *Session) SQL(ctx context.Context, text string, out Output, w io.Writer) (Result, error) {
	return s.run(ctx, statement{text: text}, window{s.opts.From, s.opts.To}, out, w)
}

// Explain writes DuckDB's plan of a SELECT. With analyze it runs the SELECT and
// adds what each step took.
func (s *Session) Explain(ctx context.Context, text string, analyze bool, w io.Writer) error {
	out := Output{Format: formatPlan}
	if analyze {
		out.Format = formatPlanAnalyzed
	}
	_, err := s.run(ctx, statement{text: text}, window{s.opts.From, s.opts.To}, out, w)
	return err
}

// run is the way of every statement: plan, probe, open, write.
func (s *Session) run(ctx context.Context, st statement, win window, out Output, w io.Writer) (res Result, err error) {
	if err := out.check(w); err != nil {
		return res, err
	}
	if s.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
	}
	defer func() { err = explain(ctx, err, s.opts.Timeout) }()
	tables, err := s.planAll(ctx, win)
	if err != nil {
		return res, err
	}
	dir, remove, err := makeRunDir(s.opts.TempDir)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	sh, st, err := probe(ctx, tables, st, dir)
	if err != nil {
		return res, err
	}
	paths, release, err := s.localPaths(ctx, tables, sh)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, release()) }()
	e, err := openEngine(ctx, s.opts.Threads, s.opts.MemoryLimit, dir)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := s.prepare(ctx, e, tables, sh, paths); err != nil {
		return res, err
	}
	res, err = out.write(ctx, e, sh, st, w)
	res.SnapshotID = tables[0].plan.SnapshotID
	for _, p := range tables {
		if sh.reads[p.rows] {
			res.Files += len(p.plan.Files)
			res.FilesTotal += p.plan.FilesTotal
		}
	}
	return res, err
}

// prepare mounts the tables, locks the engine and takes repeats out where the
// statement asks for events rather than rows.
func (s *Session) prepare(ctx context.Context, e *engine, tables []planned, sh *shape, paths map[string][]string) error {
	if err := e.mount(ctx, tables, paths); err != nil {
		return err
	}
	var files []string
	for _, list := range paths {
		files = append(files, list...)
	}
	if err := e.lock(ctx, files, s.opts.TempBytes); err != nil {
		return fmt.Errorf("lock DuckDB down: %w", err)
	}
	if sh.repeats && len(paths[catalog.AgentEvents]) > 0 {
		if err := e.dropRepeats(ctx, tables[0]); err != nil {
			return err
		}
	}
	return nil
}

// localPaths gives the files that the statement's tables need as paths of this
// machine, fetched where they are not. They stay until release.
func (s *Session) localPaths(ctx context.Context, tables []planned, sh *shape) (paths map[string][]string, release func() error, err error) {
	var fetch []catalog.PlannedFile
	for _, p := range tables {
		for _, f := range p.plan.Files {
			if _, local := localPath(f.URI); !local && sh.reads[p.rows] {
				fetch = append(fetch, f)
			}
		}
	}
	held, release, err := s.cache.hold(ctx, fetch)
	if err != nil {
		return nil, nil, err
	}
	paths = map[string][]string{}
	for _, p := range tables {
		if !sh.reads[p.rows] {
			continue
		}
		for _, f := range p.plan.Files {
			path, local := localPath(f.URI)
			if !local {
				path = held[f.URI]
			}
			if err := checkFile(path, f); err != nil {
				return nil, nil, errors.Join(fmt.Errorf("data file %s of table %s: %w", f.URI, p.table, whatToDo(err)), release())
			}
			paths[p.table] = append(paths[p.table], path)
		}
	}
	return paths, release, nil
}

// whatToDo adds that to the error of a data file that is not there.
func whatToDo(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("it is gone: if another engine has just rewritten the table ask again, else restore it; `auditlake verify` lists all that are missing: %w", err)
}

// checkFile refuses a file that is not the one that was committed.
func checkFile(path string, f catalog.PlannedFile) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() != f.Size {
		return fmt.Errorf("it holds %d bytes, the table says %d: it was cut short or replaced, see `auditlake verify`", info.Size(), f.Size)
	}
	return nil
}
