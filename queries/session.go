package queries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

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
	// Progress shows a fetch of so many bytes to the cache. It may be nil.
	Progress func(total int64) Progress

	// ExtensionDir is where DuckDB's httpfs extension is, as a file: data files that
	// are not local are then read by ranges, not fetched to the cache. Empty is none.
	ExtensionDir string

	Threads     int           // all processors if zero
	MemoryLimit int64         // bytes, of one run; 1 GiB if zero
	TempDir     string        // for spill files and results on their way out; the system's if empty
	TempBytes   int64         // most that a run may spill, bytes; 10 GiB if zero
	Timeout     time.Duration // of one run; none if zero

	// Tell takes what a query took for granted, a line each: the time range of a
	// question without one, that there is nothing of what it asks for. It may be nil.
	Tell func(string)

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
	files lender // how those that are not of this machine are read

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
	s.cache = &cache{dir: opts.CacheDir, limit: opts.CacheBytes, open: fromStorage[io.ReadCloser](opts.Storage), progress: opts.Progress}
	s.files = s.cache
	if opts.ExtensionDir != "" {
		s.files = &ranges{cache: s.cache, open: fromStorage[readerAt](opts.Storage)}
	}
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

// Analyze runs a SELECT and writes DuckDB's plan of it with what each step took.
func (s *Session) Analyze(ctx context.Context, text string, w io.Writer) error {
	_, err := s.run(ctx, statement{text: text}, window{s.opts.From, s.opts.To}, Output{Format: formatAnalyzed}, w)
	return err
}

// judgement is a statement that the probe let through, and what it reads.
type judgement struct {
	statement
	tables []planned
	shape  *shape
	dir    string // of this run alone
}

// run is the way of every statement: plan, probe, open, write.
func (s *Session) run(ctx context.Context, st statement, win window, out Output, w io.Writer) (res Result, err error) {
	if err := out.check(w); err != nil {
		return res, err
	}
	err = s.judged(ctx, st, win, func(ctx context.Context, j judgement) error {
		cols, err := out.columns(j.shape)
		if err != nil {
			return err
		}
		return s.opened(ctx, j, s.files, func(e *engine) (err error) {
			res, err = out.write(ctx, e, cols, j.statement, w)
			res.SnapshotID = j.tables[0].plan.SnapshotID
			for _, p := range j.tables {
				if j.shape.reads[p.rows] {
					res.Files += len(p.plan.Files)
					res.FilesTotal += p.plan.FilesTotal
				}
			}
			if err == nil && res.Rows == 0 {
				s.tell(st.foundNothing(j))
			}
			return err
		})
	})
	return res, err
}

// judged plans and probes a statement, within the time that a run may take, and
// goes on with what the probe let through.
func (s *Session) judged(ctx context.Context, st statement, win window, then func(context.Context, judgement) error) (err error) {
	if s.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
	}
	defer func() { err = explain(ctx, err, s.opts.Timeout) }()
	tables, err := s.planAll(ctx, win)
	if err != nil {
		return err
	}
	dir, remove, err := makeRunDir(s.opts.TempDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	sh, st, err := probe(ctx, tables, st, dir)
	if err != nil {
		return err
	}
	j := judgement{st, tables, sh, dir}
	s.tell(st.rangeTaken(j))
	return then(ctx, j)
}

// opened starts a locked engine over the files that a statement needs.
func (s *Session) opened(ctx context.Context, j judgement, lender lender, then func(*engine) error) (err error) {
	files, err := readable(ctx, lender, j.tables, j.shape)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(files.blame(err), files.release()) }()
	e, err := openEngine(ctx, s.opts.Threads, s.opts.MemoryLimit, j.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if files.served() {
		if err := e.loadHTTPFS(ctx, s.opts.ExtensionDir); err != nil {
			return err
		}
	}
	if err := s.prepare(ctx, e, j.tables, j.shape, files.paths, macrosFor(j.text)); err != nil {
		return err
	}
	return then(e)
}

// tell says what a run took for granted, if there is something to say.
func (s *Session) tell(text string) {
	if text != "" && s.opts.Tell != nil {
		s.opts.Tell(text)
	}
}

// prepare mounts the tables, locks the engine and takes repeats out where the
// statement asks for events rather than rows.
func (s *Session) prepare(ctx context.Context, e *engine, tables []planned, sh *shape, paths map[string][]string, functions []macro) error {
	if err := e.mount(ctx, tables, paths, functions); err != nil {
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

// readableFiles are the files that a statement's tables need, where DuckDB can read
// them.
type readableFiles struct {
	lent
	paths map[string][]string // by table
	uris  map[string]string   // by path
}

// readable gives the files that the statement's tables need. They stay until
// release.
func readable(ctx context.Context, lender lender, tables []planned, sh *shape) (out readableFiles, err error) {
	var remote []catalog.PlannedFile
	for _, p := range tables {
		for _, f := range p.plan.Files {
			if _, local := localPath(f.URI); !local && sh.reads[p.rows] {
				remote = append(remote, f)
			}
		}
	}
	out = readableFiles{paths: map[string][]string{}, uris: map[string]string{}}
	if out.lent, err = lender.lend(ctx, remote); err != nil {
		return out, err
	}
	for _, p := range tables {
		if !sh.reads[p.rows] {
			continue
		}
		for _, f := range p.plan.Files {
			path, local := localPath(f.URI)
			if !local {
				path = out.lent.paths[f.URI]
			}
			if !strings.HasPrefix(path, loopback) {
				if err := checkFile(path, f); err != nil {
					return out, errors.Join(fmt.Errorf("data file %s of table %s: %w", f.URI, p.table, whatToDo(err)), out.release())
				}
			}
			out.paths[p.table] = append(out.paths[p.table], path)
			out.uris[path] = f.URI
		}
	}
	return out, nil
}

// served reports whether files are read by ranges.
func (r readableFiles) served() bool {
	for path := range r.uris {
		if strings.HasPrefix(path, loopback) {
			return true
		}
	}
	return false
}

// blame names data files as the table does, where DuckDB failed to read one.
func (r readableFiles) blame(err error) error {
	if err == nil {
		return nil
	}
	if r.failed != nil {
		if why := r.failed(); why != nil {
			return why
		}
	}
	var de *duckdb.Error
	if !errors.As(err, &de) {
		return err
	}
	told := *de
	for path, uri := range r.uris {
		told.Msg = strings.ReplaceAll(told.Msg, path, uri)
	}
	return &told
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
