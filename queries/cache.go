package queries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/storage"
)

// cache keeps copies of data files that are not local. Data files never change,
// so a copy of the right size stays right for ever. Several processes may share
// a folder: a copy appears by rename, and a run reads hard links of its own,
// which stay when another process evicts the copy.
//
//	DIR/<hash of the URI>.parquet   copies, oldest use evicted first
//	DIR/fetch-*                     downloads under way
//	DIR/held-*/                     links of the runs under way
type cache struct {
	dir   string
	limit int64 // bytes of copies
	open  func(ctx context.Context, uri string) (io.ReadCloser, error)
}

const (
	parallelFetches = 8
	// abandoned is the age at which what a killed process left behind goes.
	abandoned = 24 * time.Hour
)

// fromStorage opens files where the lake stores them.
func fromStorage(cfg storage.Config) func(context.Context, string) (io.ReadCloser, error) {
	return func(ctx context.Context, uri string) (io.ReadCloser, error) {
		fs, err := storage.New(ctx, uri, cfg)
		if err != nil {
			return nil, err
		}
		return fs.Open(uri)
	}
}

// localPath gives the path of a file of this machine; ok is false for any other.
// The Iceberg spec does not say whether a location is percent-encoded and
// writers differ, so a path that is there as it stands is taken as it stands.
func localPath(uri string) (path string, ok bool) {
	path = uri
	if rest, ok := strings.CutPrefix(uri, "file:"); ok {
		path = rest
		if strings.HasPrefix(rest, "//") {
			path = "/" + strings.TrimLeft(rest, "/")
		}
	} else if strings.Contains(uri, "://") {
		return "", false
	}
	if _, err := os.Lstat(path); err == nil {
		return path, true
	}
	if decoded, err := url.PathUnescape(path); err == nil {
		return decoded, true
	}
	return path, true
}

func (c *cache) copyOf(uri string) string {
	sum := sha256.Sum256([]byte(uri))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:])+".parquet")
}

// hold makes local copies of files and keeps them readable, at the paths it
// returns by URI, until release.
func (c *cache) hold(ctx context.Context, files []catalog.PlannedFile) (paths map[string]string, release func() error, err error) {
	release = func() error { return nil }
	if len(files) == 0 {
		return nil, release, nil
	}
	if err := c.check(files); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(c.dir, "held-")
	if err != nil {
		return nil, nil, fmt.Errorf("use the cache: %w", err)
	}
	release = func() error { return os.RemoveAll(dir) }
	paths = map[string]string{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelFetches)
	for i, f := range files {
		path := filepath.Join(dir, fmt.Sprintf("%d.parquet", i))
		paths[f.URI] = path
		group.Go(func() error { return c.holdOne(gctx, f, path) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, errors.Join(err, release())
	}
	if err := c.evict(); err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return paths, release, nil
}

// check refuses what cannot be cached before anything is fetched.
func (c *cache) check(files []catalog.PlannedFile) error {
	if c.dir == "" {
		return errors.New("data files are on object storage and sql.cache_dir is not set: set it to a folder with room for them")
	}
	var need int64
	for _, f := range files {
		need += f.Size
	}
	if need > c.limit {
		return usagef("the query reads %s of data files and sql.cache_size is %s: narrow it with --from and --to, or raise sql.cache_size",
			humanize.IBytes(uint64(need)), humanize.IBytes(uint64(c.limit)))
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	return nil
}

// holdOne links a copy to path, fetching it first where there is none. Another
// process may evict the copy between the two: then it is fetched again.
func (c *cache) holdOne(ctx context.Context, f catalog.PlannedFile, path string) error {
	copied := c.copyOf(f.URI)
	const tries = 3
	for try := 1; ; try++ {
		err := os.Link(copied, path)
		if err == nil {
			info, err := os.Stat(path)
			if err == nil && info.Size() == f.Size {
				now := time.Now()
				_ = os.Chtimes(copied, now, now) // last use; the copy may be gone by now
				return nil
			}
			if err := errors.Join(err, os.Remove(path)); err != nil {
				return fmt.Errorf("use the cache: %w", err)
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("use the cache: %w", err)
		}
		if try == tries {
			return fmt.Errorf("data file %s does not stay in the cache %s: give it more room (sql.cache_size)", f.URI, c.dir)
		}
		if err := c.fetch(ctx, f, copied); err != nil {
			return fmt.Errorf("fetch data file %s: %w", f.URI, err)
		}
	}
}

// fetch downloads a file and lets it appear whole.
func (c *cache) fetch(ctx context.Context, f catalog.PlannedFile, to string) (err error) {
	in, err := c.open(ctx, f.URI)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp, err := os.CreateTemp(c.dir, "fetch-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name()))
		}
	}()
	n, err := io.Copy(tmp, &contextReader{ctx, in})
	if err != nil {
		return err
	}
	if n != f.Size {
		return fmt.Errorf("it holds %d bytes, the table says %d: the file was cut short or replaced", n, f.Size)
	}
	// A copy is trusted by its size alone, so its bytes must outlive a crash.
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}

// contextReader ends a copy when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// evict removes the copies that were not used for longest until the rest fits,
// and what killed processes left. Files that go meanwhile are no error: another
// process evicts too.
func (c *cache) evict() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("clean the cache: %w", err)
	}
	type copied struct {
		path string
		size int64
		used time.Time
	}
	var copies []copied
	var total int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue
		}
		path := filepath.Join(c.dir, entry.Name())
		switch {
		case strings.HasSuffix(entry.Name(), ".parquet"):
			copies = append(copies, copied{path, info.Size(), info.ModTime()})
			total += info.Size()
		case strings.HasPrefix(entry.Name(), "fetch-") || strings.HasPrefix(entry.Name(), "held-"):
			if time.Since(info.ModTime()) > abandoned {
				_ = os.RemoveAll(path)
			}
		}
	}
	slices.SortFunc(copies, func(a, b copied) int { return a.used.Compare(b.used) })
	for _, f := range copies {
		if total <= c.limit {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("clean the cache: %w", err)
		}
		total -= f.size
	}
	return nil
}
