package queries

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/auditlake/auditlake/catalog"
)

// ranges lets DuckDB's httpfs read the planned files where they are, of each
// only what a query needs. DuckDB does not speak to the object store: it asks a
// server of ours on this machine, for one run, which knows the planned files and
// no other, under names that nobody can guess. So the engine that runs
// analysts' SQL has no key and no address but those names, and keys, endpoints,
// certificates, retries and the check that an object stays the same are those
// of package storage. Files that are in the cache are read from there.
type ranges struct {
	cache *cache
	open  func(ctx context.Context, uri string) (readerAt, error)
}

type readerAt interface {
	io.ReaderAt
	io.Closer
}

// lender makes files that are not of this machine readable for DuckDB.
type lender interface {
	lend(ctx context.Context, files []catalog.PlannedFile) (lent, error)
}

// lent are files that DuckDB can read until release.
type lent struct {
	paths   map[string]string // by URI
	release func() error
	// failed is why DuckDB could not read one; it may be nil.
	failed func() error
}

const loopback = "http://127.0.0.1:"

func (r *ranges) lend(ctx context.Context, files []catalog.PlannedFile) (lent, error) {
	var cached, rest []catalog.PlannedFile
	for _, f := range files {
		if r.cache.has(f) {
			cached = append(cached, f)
		} else {
			rest = append(rest, f)
		}
	}
	out, err := r.cache.heldOnly().lend(ctx, cached)
	if errors.Is(err, errNotHeld) { // evicted just now
		out, rest, err = lent{release: func() error { return nil }}, files, nil
	}
	if err != nil || len(rest) == 0 {
		return out, err
	}
	server, err := serveRanges(ctx, rest, r.open)
	if err != nil {
		return lent{}, errors.Join(err, out.release())
	}
	paths := map[string]string{}
	for uri, path := range out.paths {
		paths[uri] = path
	}
	for i, f := range rest {
		paths[f.URI] = server.url + strconv.Itoa(i) + ".parquet"
	}
	release := out.release
	return lent{paths, func() error { return errors.Join(server.close(), release()) }, server.failure}, nil
}

// rangeServer answers for the data files of one run.
type rangeServer struct {
	url   string // of the files, up to their number
	files []*servedFile
	open  func(ctx context.Context, uri string) (readerAt, error)
	http  *http.Server
	ctx   context.Context
	stop  func() bool

	mu     sync.Mutex
	failed error // the first one
}

type servedFile struct {
	catalog.PlannedFile
	once sync.Once
	file readerAt
	err  error
}

func serveRanges(ctx context.Context, files []catalog.PlannedFile, open func(context.Context, string) (readerAt, error)) (*rangeServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve data files to DuckDB on this machine: %w", err)
	}
	s := &rangeServer{open: open, ctx: ctx}
	for _, f := range files {
		s.files = append(s.files, &servedFile{PlannedFile: f})
	}
	secret := "/" + rand.Text() + "/"
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.url = loopback + port + secret
	s.http = &http.Server{Handler: http.StripPrefix(secret, http.HandlerFunc(s.serve)), ReadHeaderTimeout: time.Minute}
	// A run that is stopped does not wait for an object store.
	s.stop = context.AfterFunc(ctx, func() { _ = s.http.Close() })
	go func() { _ = s.http.Serve(listener) }() // ends with close
	return s, nil
}

func (s *rangeServer) close() error {
	s.stop()
	err := s.http.Close()
	for _, f := range s.files {
		f.once.Do(func() {}) // nobody opens it any more
		if f.file != nil {
			_ = f.file.Close() // it was only read
		}
	}
	return err
}

func (s *rangeServer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// fail answers with a code that DuckDB does not try again: storage has done that.
func (s *rangeServer) fail(w http.ResponseWriter, f *servedFile, err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = fmt.Errorf("read data file %s: %w", f.URI, whatToDo(err))
	}
	s.mu.Unlock()
	http.Error(w, "the object store failed", http.StatusFailedDependency)
}

func (s *rangeServer) serve(w http.ResponseWriter, r *http.Request) {
	number, isFile := strings.CutSuffix(r.URL.Path, ".parquet")
	i, err := strconv.Atoi(number)
	if !isFile || err != nil || i < 0 || i >= len(s.files) || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		http.NotFound(w, r)
		return
	}
	f := s.files[i]
	from, to, part := rangeOf(r.Header.Get("Range"), f.Size)
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", strconv.Quote(strconv.FormatInt(f.Size, 10)))
	h.Set("Content-Length", strconv.FormatInt(to-from, 10))
	code := http.StatusOK
	if part {
		code = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, f.Size))
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(code) // the plan knows the size: no request for it
		return
	}
	s.send(w, f, from, to, code)
}

// send reads and writes a piece at a time; what fails before the first one has an
// answer of its own.
func (s *rangeServer) send(w http.ResponseWriter, f *servedFile, from, to int64, code int) {
	const piece = 8 << 20
	f.once.Do(func() { f.file, f.err = s.open(s.ctx, f.URI) })
	err := f.err
	if err == nil && f.file == nil {
		err = context.Canceled // closed
	}
	buf := make([]byte, min(piece, to-from))
	for at := from; at < to || code != 0; {
		var n int
		if err == nil && at < to {
			n, err = f.file.ReadAt(buf[:min(piece, to-at)], at)
			if err == io.EOF && at+int64(n) == to { //nolint:errorlint // as io.ReaderAt says
				err = nil
			} else if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ends at %d of %d bytes: it was cut short or replaced", at+int64(n), f.Size)
			}
		}
		if err != nil {
			s.fail(w, f, err)
			if code == 0 {
				panic(http.ErrAbortHandler) // half of an answer
			}
			return
		}
		if code != 0 {
			w.WriteHeader(code)
			code = 0
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return // DuckDB has stopped
		}
		at += int64(n)
	}
}

// rangeOf reads a header "bytes=FROM-TO"; any other means all of the file.
func rangeOf(header string, size int64) (from, to int64, part bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	from, err := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || err2 != nil || from > to || from >= size || !strings.HasPrefix(header, "bytes=") {
		return 0, size, false
	}
	return from, min(to+1, size), true
}
