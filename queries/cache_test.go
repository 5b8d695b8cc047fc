package queries

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
)

func TestFilesThatAreNotLocalComeThroughTheCache(t *testing.T) {
	dir, remote := filepath.Join(t.TempDir(), "cache"), t.TempDir()
	planner := logPlans(t, remote)
	var total int64
	for _, plan := range planner.plans {
		for i, f := range plan.Files {
			plan.Files[i].URI = "s3://bucket/" + filepath.Base(f.URI)
			total += f.Size
		}
	}
	fetched := 0
	s := openTest(t, planner, Options{CacheDir: dir, CacheBytes: total})
	s.cache.open = func(_ context.Context, uri string) (io.ReadCloser, error) {
		fetched++
		return os.Open(filepath.Join(remote, filepath.Base(uri)))
	}
	require.Equal(t, "17", one(t, s, "SELECT count(*) FROM dead_letters"))
	require.Equal(t, 1, fetched, "only the table that is read is fetched")
	require.Equal(t, "17", one(t, s, "SELECT count(*) FROM dead_letters"))
	require.Equal(t, 1, fetched, "a copy is used again")
	require.Empty(t, runDirs(t, dir))
	_, err := openTest(t, planner, Options{}).SQL(context.Background(), "FROM dead_letters", Output{}, io.Discard)
	require.ErrorContains(t, err, "sql.cache_dir is not set")
}

func runDirs(t *testing.T, dir string) []string {
	left, err := filepath.Glob(filepath.Join(dir, runPrefix+"*"))
	require.NoError(t, err)
	return left
}

// fakeFiles are files of 100 bytes by URI.
func fakeFiles(dir string, limit int64, uris ...string) (*cache, map[string]string) {
	content := map[string]string{}
	for _, uri := range uris {
		content[uri] = strings.Repeat(uri[len(uri)-1:], 100)
	}
	return &cache{dir: dir, limit: limit, open: func(_ context.Context, uri string) (io.ReadCloser, error) {
		text, ok := content[uri]
		if !ok {
			return nil, errors.New("no such key")
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}}, content
}

func fakeFile(uri string) catalog.PlannedFile { return catalog.PlannedFile{URI: uri, Size: 100} }

func TestTheCacheStaysWithinItsLimit(t *testing.T) {
	ctx := context.Background()
	c, content := fakeFiles(t.TempDir(), 250, "s3://b/a", "s3://b/b", "s3://b/c")
	// A folder that holds other things too keeps them, whatever they are called.
	mine := filepath.Join(c.dir, "mine.parquet")
	require.NoError(t, os.WriteFile(mine, make([]byte, 1000), 0o600))
	held, release, err := c.hold(ctx, []catalog.PlannedFile{fakeFile("s3://b/a"), fakeFile("s3://b/b")})
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(c.copyOf("s3://b/a"), time.Now(), time.Now().Add(-time.Hour)))

	open := c.open
	c.open = func(ctx context.Context, uri string) (io.ReadCloser, error) {
		require.NoFileExists(t, c.copyOf("s3://b/a"), "room is made before a file is fetched: the least recently used copy goes")
		return open(ctx, uri)
	}
	_, release2, err := c.hold(ctx, []catalog.PlannedFile{fakeFile("s3://b/c")})
	require.NoError(t, err)
	require.NoError(t, release2())
	require.FileExists(t, c.copyOf("s3://b/b"))
	require.Equal(t, content["s3://b/a"], readFile(t, held["s3://b/a"]), "a run under way keeps its files")
	require.NoError(t, release())
	require.FileExists(t, mine)

	_, _, err = c.hold(ctx, []catalog.PlannedFile{fakeFile("s3://b/a"), fakeFile("s3://b/b"), fakeFile("s3://b/c")})
	require.ErrorContains(t, err, "raise sql.cache_size")
}

func TestTheCacheTrustsNoCopyOfTheWrongSize(t *testing.T) {
	ctx := context.Background()
	c, content := fakeFiles(t.TempDir(), 1000, "s3://b/a", "s3://b/b")
	require.NoError(t, os.WriteFile(c.copyOf("s3://b/b"), []byte("short"), 0o600))
	held, release, err := c.hold(ctx, []catalog.PlannedFile{fakeFile("s3://b/b")})
	require.NoError(t, err)
	require.Equal(t, content["s3://b/b"], readFile(t, held["s3://b/b"]))
	require.Equal(t, content["s3://b/b"], readFile(t, c.copyOf("s3://b/b")))
	require.NoError(t, release())
	content["s3://b/a"] = "cut"
	_, _, err = c.hold(ctx, []catalog.PlannedFile{fakeFile("s3://b/b"), fakeFile("s3://b/a")})
	require.ErrorContains(t, err, "holds 3 bytes, the table says 100")
	require.NoFileExists(t, c.copyOf("s3://b/a"))
	_, _, err = c.hold(ctx, []catalog.PlannedFile{fakeFile("s3://b/none")})
	require.ErrorContains(t, err, "no such key")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	content["s3://b/a"] = content["s3://b/b"]
	_, _, err = c.hold(cancelled, []catalog.PlannedFile{fakeFile("s3://b/a")})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, runDirs(t, c.dir), "what failed leaves nothing")
}

// TestCacheProcess is no test of its own: it is the other process of the next
// two. It reads random files through the cache in the folder that the
// environment names, with room for half of them, until it is killed.
func TestCacheProcess(t *testing.T) {
	dir := os.Getenv("AUDITLAKE_TEST_CACHE")
	if dir == "" {
		return
	}
	names := []string{"s3://b/0", "s3://b/1", "s3://b/2", "s3://b/3", "s3://b/4", "s3://b/5"}
	c, content := fakeFiles(dir, 300, names...)
	c.open = func(_ context.Context, uri string) (io.ReadCloser, error) {
		return io.NopCloser(&slow{strings.NewReader(content[uri])}), nil
	}
	for n := 0; ; n++ {
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		held, release, err := c.hold(context.Background(), []catalog.PlannedFile{fakeFile(names[0]), fakeFile(names[1])})
		require.NoError(t, err)
		for uri, path := range held {
			require.Equal(t, content[uri], readFile(t, path))
		}
		require.NoError(t, release())
		fmt.Println("round", n)
	}
}

// slow gives a byte at a time, so that a kill meets a download half-way.
type slow struct{ io.Reader }

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(20 * time.Microsecond)
	return s.Reader.Read(p[:1])
}

// cacheProcess starts one and waits until it has done some rounds.
func cacheProcess(t *testing.T, dir string) (kill func()) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestCacheProcess$")
	cmd.Env = append(os.Environ(), "AUDITLAKE_TEST_CACHE="+dir)
	var out bytes.Buffer
	lines, pipe := io.Pipe()
	cmd.Stdout, cmd.Stderr = io.MultiWriter(pipe, &out), &out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); pipe.Close() }()
	third := make(chan bool, 1)
	go func() {
		text := make([]byte, 0, 64)
		buf := make([]byte, 64)
		for {
			n, err := lines.Read(buf)
			if text = append(text, buf[:n]...); bytes.Contains(text, []byte("round 3\n")) || err != nil {
				third <- err == nil
				_, _ = io.Copy(io.Discard, lines)
				return
			}
		}
	}()
	require.True(t, <-third, "the process ended: %s", &out)
	return func() {
		require.NoError(t, cmd.Process.Kill())
		require.ErrorContains(t, <-ended, "killed", out.String())
	}
}

func TestProcessesShareACache(t *testing.T) {
	dir := t.TempDir()
	var kills []func()
	for range 3 {
		kills = append(kills, cacheProcess(t, dir))
	}
	time.Sleep(500 * time.Millisecond)
	for _, kill := range kills {
		kill()
	}
	// Killed half-way, they left downloads and links. A run that comes right
	// after leaves these alone, one that comes later removes them.
	c, content := fakeFiles(dir, 300, "s3://b/0", "s3://b/1")
	left := runDirs(t, dir)
	require.NotEmpty(t, left)
	live, remove, err := makeRunDir(dir)
	require.NoError(t, err)
	for _, d := range append(left, live) {
		require.NoError(t, os.Chtimes(d, time.Now(), time.Now().Add(-2*leaveAlone)))
	}
	held, release, err := c.hold(context.Background(), []catalog.PlannedFile{fakeFile("s3://b/0"), fakeFile("s3://b/1")})
	require.NoError(t, err)
	for uri, path := range held {
		require.Equal(t, content[uri], readFile(t, path))
	}
	require.NoError(t, release())
	require.Equal(t, []string{live}, runDirs(t, dir), "only the folder of a run that is alive stays")
	require.NoError(t, remove())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(entries), 3, "the copies stay within the limit")
}

// Copies are for nobody else's eyes, and come about where hard links cannot.
func TestCopiesAreOnesOwn(t *testing.T) {
	c, content := fakeFiles(filepath.Join(t.TempDir(), "cache"), 1000, "s3://b/a")
	held, release, err := c.hold(context.Background(), []catalog.PlannedFile{fakeFile("s3://b/a")})
	require.NoError(t, err)
	for _, path := range []string{c.copyOf("s3://b/a"), held["s3://b/a"]} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	require.NoError(t, release())

	// /dev/shm is another file system than the folder of the cache.
	elsewhere, err := os.MkdirTemp("/dev/shm", "auditlake-test-")
	if err != nil {
		t.Skip("there is no second file system here: ", err)
	}
	defer func() { require.NoError(t, os.RemoveAll(elsewhere)) }()
	to := filepath.Join(elsewhere, "copy")
	if err := os.Link(c.copyOf("s3://b/a"), to); !errors.Is(err, syscall.EXDEV) {
		t.Skip("/dev/shm is no other file system")
	}
	require.NoError(t, linkOrCopy(c.copyOf("s3://b/a"), to))
	require.Equal(t, content["s3://b/a"], readFile(t, to))
	info, err := os.Stat(to)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.ErrorIs(t, linkOrCopy(filepath.Join(elsewhere, "none"), to+"2"), os.ErrNotExist)
}
