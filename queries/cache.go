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
	"regexp"
	"slices"
	"strings"
	"syscall"
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
//	DIR/<SHA-256 of the URI>.parquet   copies, oldest use evicted first
//	DIR/auditlake-run-*/               of a run under way: downloads, and links to the copies it reads
//
// The copies stay within the limit; what runs under way have linked may come on
// top while they last.
type cache struct {
	dir   string
	limit int64 // bytes of copies
	open  func(ctx context.Context, uri string) (io.ReadCloser, error)
	// progress is told how many bytes are fetched; it may be nil.
	progress func(total int64) Progress
}

// Progress shows how far a fetch has come.
type Progress interface {
	Add(bytes int64)
	Done()
}

type silent struct{}

func (silent) Add(int64) {}
func (silent) Done()     {}

const parallelFetches = 8

// copyName keeps eviction away from whatever else is in the folder.
var copyName = regexp.MustCompile(`^[0-9a-f]{64}\.parquet$`)

// fromStorage opens files where the lake stores them, as T, which files of package
// storage are.
func fromStorage[T io.Closer](cfg storage.Config) func(context.Context, string) (T, error) {
	return func(ctx context.Context, uri string) (out T, err error) {
		fs, err := storage.New(ctx, uri, cfg)
		if err != nil {
			return out, err
		}
		file, err := fs.Open(uri)
		if err != nil {
			return out, err
		}
		return any(file).(T), nil
	}
}

// errNotHeld is a file that is not in the cache and must not be fetched.
var errNotHeld = errors.New("it is not in the cache")

// heldOnly is the cache for who may not fetch.
func (c *cache) heldOnly() *cache {
	held := *c
	held.open = func(context.Context, string) (io.ReadCloser, error) { return nil, errNotHeld }
	return &held
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

// lend makes the files readable as local copies.
func (c *cache) lend(ctx context.Context, files []catalog.PlannedFile) (lent, error) {
	paths, release, err := c.hold(ctx, files)
	return lent{paths: paths, release: release}, err
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
	dir, remove, err := makeRunDir(c.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("use the cache: %w", err)
	}
	if paths, err = c.holdIn(ctx, dir, files); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return paths, remove, nil
}

func (c *cache) holdIn(ctx context.Context, dir string, files []catalog.PlannedFile) (map[string]string, error) {
	paths := map[string]string{}
	var missing []catalog.PlannedFile
	var room int64
	for i, f := range files {
		paths[f.URI] = filepath.Join(dir, fmt.Sprintf("%d.parquet", i))
		held, err := c.link(f, paths[f.URI])
		if err != nil {
			return nil, err
		}
		if !held {
			missing, room = append(missing, f), room+f.Size
		}
	}
	if err := c.evict(room); err != nil {
		return nil, err
	}
	var bar Progress = silent{}
	if len(missing) > 0 && c.progress != nil {
		bar = c.progress(room)
	}
	defer bar.Done()
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelFetches)
	for _, f := range missing {
		group.Go(func() error {
			if err := c.fetch(gctx, f, paths[f.URI], bar); err != nil {
				if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
					err = fmt.Errorf("%w: free space on this disk, or name another folder in sql.cache_dir", err)
				}
				return fmt.Errorf("fetch data file %s: %w", f.URI, whatToDo(err))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return paths, c.evict(0) // another process may have filled it meanwhile
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

// link links the copy of a file to path; false if there is none of its size.
func (c *cache) link(f catalog.PlannedFile, path string) (held bool, err error) {
	copied := c.copyOf(f.URI)
	err = linkOrCopy(copied, path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("use the cache: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() == f.Size {
		now := time.Now()
		_ = os.Chtimes(copied, now, now) // last use; the copy may be gone by now
		return true, nil
	}
	if err := errors.Join(err, os.Remove(path)); err != nil {
		return false, fmt.Errorf("use the cache: %w", err)
	}
	return false, nil
}

// fetch downloads a file to path, in the run's own folder, and links its copy to
// that once it is whole.
func (c *cache) fetch(ctx context.Context, f catalog.PlannedFile, path string, bar Progress) error {
	if err := c.download(ctx, f, path, bar); err != nil {
		return err
	}
	link := path + ".copy"
	if err := linkOrCopy(path, link); err != nil {
		return err
	}
	return os.Rename(link, c.copyOf(f.URI))
}

func (c *cache) download(ctx context.Context, f catalog.PlannedFile, path string, bar Progress) (err error) {
	in, err := c.open(ctx, f.URI)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	n, err := io.Copy(out, &contextReader{ctx, in, bar.Add})
	if err != nil {
		return err
	}
	if n != f.Size {
		return fmt.Errorf("it holds %d bytes, the table says %d: the file was cut short or replaced", n, f.Size)
	}
	// A copy is trusted by its size alone, so its bytes must outlive a crash.
	return out.Sync()
}

// linkOrCopy gives a file a second name, or makes a second file where the file
// system has no hard links or the system forbids one: to another user's file, for
// one.
func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if !slices.ContainsFunc([]error{syscall.EPERM, syscall.EXDEV, syscall.ENOTSUP, syscall.EMLINK}, func(why error) bool { return errors.Is(err, why) }) {
		return err
	}
	return copyFile(from, to)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

// contextReader ends a copy when its context does, and counts it.
type contextReader struct {
	ctx  context.Context
	r    io.Reader
	read func(int64)
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.read(int64(n))
	return n, err
}

// evict removes the copies that were not used for longest until the rest leaves
// room, in bytes, for more. Files that go meanwhile are no error: another process
// evicts too.
func (c *cache) evict(room int64) error {
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
	total := room
	for _, entry := range entries {
		if !copyName.MatchString(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue
		}
		copies = append(copies, copied{filepath.Join(c.dir, entry.Name()), info.Size(), info.ModTime()})
		total += info.Size()
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
