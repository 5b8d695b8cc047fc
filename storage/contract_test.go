package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// partSize is the least that S3 takes, so that "large" stays small.
const partSize = 5 << 20

// place is a storage to hold against the contract.
type place struct {
	storage.FileIO
	root, other string // two folders, or two buckets
	// leftovers lists what is there besides files: temporary files, uploads.
	leftovers func(t *testing.T) []string
}

// contract is what both kinds of storage promise; every case gets folders of
// its own.
var contract = []struct {
	name string
	test func(*testing.T, place)
}{
	{"write and read", testWriteRead},
	{"read from a writer that got a reader", testReadFrom},
	{"seek", testSeek},
	{"read at", testReadAt},
	{"stat", testStat},
	{"empty file", testEmpty},
	{"missing file", testMissing},
	{"overwrite", testOverwrite},
	{"not there before Close", testNotThereBeforeClose},
	{"abort leaves nothing", testAbort},
	{"a failed write leaves nothing", testFailedWrite},
	{"close twice", testCloseTwice},
	{"large files", testLarge},
	{"walk", testWalk},
	{"walk of a missing folder", testWalkMissing},
	{"walk skips", testWalkSkips},
	{"remove", testRemove},
	{"delete many", testDeleteFiles},
	{"odd names", testOddNames},
	{"two folders or buckets", testTwoPlaces},
	{"many at once", testConcurrent},
	{"a name that is a folder", testFolderName},
	{"a location of another storage", testOtherStorage},
}

func TestLocal(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.test(t, localPlace(t, "file://"+dir+"/one", "file://"+dir+"/two"))
		})
	}
	t.Run("plain paths", func(t *testing.T) {
		for _, c := range contract {
			t.Run(c.name, func(t *testing.T) {
				dir := t.TempDir()
				c.test(t, localPlace(t, dir+"/one", dir+"/two"))
			})
		}
	})
}

func TestS3(t *testing.T) {
	cfg := storage.Config{S3: storagetest.StartS3(t, "one", "two")}
	cfg.S3.PartSize = partSize
	for i, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, s3Place(t, cfg, fmt.Sprintf("s3://one/case%d", i), fmt.Sprintf("s3://two/case%d", i)))
		})
	}
}

func localPlace(t *testing.T, root, other string) place {
	io, err := storage.New(context.Background(), root, storage.Config{})
	require.NoError(t, err)
	return place{FileIO: io, root: root, other: other, leftovers: func(t *testing.T) (left []string) {
		for _, dir := range []string{root, other} {
			err := filepath.WalkDir(strings.TrimPrefix(dir, "file://"), func(path string, d fs.DirEntry, err error) error {
				if err == nil && strings.HasPrefix(d.Name(), ".") {
					left = append(left, path)
				}
				return nil
			})
			require.NoError(t, err)
		}
		return left
	}}
}

func s3Place(t *testing.T, cfg storage.Config, root, other string) place {
	io, err := storage.New(context.Background(), root, cfg)
	require.NoError(t, err)
	client := storagetest.Client(cfg.S3)
	return place{FileIO: io, root: root, other: other, leftovers: func(t *testing.T) (left []string) {
		for _, bucket := range []string{"one", "two"} {
			out, err := client.ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
			require.NoError(t, err)
			for _, upload := range out.Uploads {
				left = append(left, bucket+"/"+*upload.Key)
			}
		}
		return left
	}}
}

func (p place) read(t *testing.T, name string) string {
	t.Helper()
	data, err := p.ReadFile(name)
	require.NoError(t, err)
	return string(data)
}

// files walks root and returns the files below it by name.
func (p place) files(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := p.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && !strings.HasPrefix(d.Name(), ".auditlake-tmp-") {
			names = append(names, name)
		}
		return nil
	})
	require.NoError(t, err)
	slices.Sort(names)
	return names
}

func (p place) requireMissing(t *testing.T, name string) {
	t.Helper()
	_, err := p.Stat(name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = p.ReadFile(name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	f, err := p.Open(name) // S3 finds out at the first read
	if err == nil {
		_, err = f.Read(make([]byte, 1))
		require.NoError(t, f.Close())
	}
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// noise is content in which each part differs from all others.
func noise(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(data) // never fails
	return data
}

func testWriteRead(t *testing.T, p place) {
	name := p.root + "/a/b/c.txt"
	w, err := p.Create(name)
	require.NoError(t, err)
	for _, piece := range []string{"one ", "", "two"} {
		n, err := w.Write([]byte(piece))
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
	}
	require.NoError(t, w.Close())
	require.Equal(t, "one two", p.read(t, name))

	f, err := p.Open(name)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(f, []byte("one two")))
	require.NoError(t, f.Close())
	_, err = f.Read(make([]byte, 1))
	require.ErrorIs(t, err, fs.ErrClosed)

	require.NoError(t, p.WriteFile(p.root+"/d/e.txt", []byte("three")))
	require.Equal(t, "three", p.read(t, p.root+"/d/e.txt"))
	require.Empty(t, p.leftovers(t))
}

func testReadFrom(t *testing.T, p place) {
	content := noise(partSize + 1)
	w, err := p.Create(p.root + "/f")
	require.NoError(t, err)
	n, err := w.ReadFrom(bytes.NewReader(content))
	require.NoError(t, err)
	require.EqualValues(t, len(content), n)
	require.NoError(t, w.Close())
	require.Equal(t, string(content), p.read(t, p.root+"/f"))
}

func testOverwrite(t *testing.T, p place) {
	name := p.root + "/f"
	require.NoError(t, p.WriteFile(name, []byte("a longer first content")))
	require.NoError(t, p.WriteFile(name, []byte("second")))
	require.Equal(t, "second", p.read(t, name))
	w, err := p.Create(name)
	require.NoError(t, err)
	_, err = w.Write([]byte("third"))
	require.NoError(t, err)
	require.Equal(t, "second", p.read(t, name))
	require.NoError(t, w.Close())
	require.Equal(t, "third", p.read(t, name))
}

func testNotThereBeforeClose(t *testing.T, p place) {
	name := p.root + "/d/f"
	require.NoError(t, p.WriteFile(p.root+"/d/neighbour", nil))
	w, err := p.Create(name)
	require.NoError(t, err)
	content := noise(2*partSize + 1)
	_, err = w.Write(content)
	require.NoError(t, err)
	p.requireMissing(t, name)
	require.Equal(t, []string{p.root + "/d/neighbour"}, p.files(t, p.root))
	require.NoError(t, w.Close())
	require.Equal(t, string(content), p.read(t, name))
}

func testAbort(t *testing.T, p place) {
	for _, size := range []int{0, 10, 2*partSize + 1} {
		w, err := p.Create(p.root + "/f")
		require.NoError(t, err)
		_, err = w.Write(noise(size))
		require.NoError(t, err)
		require.NoError(t, w.(storage.Aborter).Abort())
		require.NoError(t, w.(storage.Aborter).Abort())
		require.ErrorIs(t, w.Close(), fs.ErrClosed)
		_, err = w.Write([]byte("x"))
		require.ErrorIs(t, err, fs.ErrClosed)
		_, err = w.ReadFrom(strings.NewReader("x"))
		require.ErrorIs(t, err, fs.ErrClosed)
		p.requireMissing(t, p.root+"/f")
		require.Empty(t, p.leftovers(t))
	}
	require.NoError(t, p.WriteFile(p.root+"/f", []byte("kept")))
	w, err := p.Create(p.root + "/f")
	require.NoError(t, err)
	require.NoError(t, w.(storage.Aborter).Abort())
	require.Equal(t, "kept", p.read(t, p.root+"/f"))
}

func testFailedWrite(t *testing.T, p place) {
	for _, size := range []int{10, partSize + 10} {
		w, err := p.Create(p.root + "/f")
		require.NoError(t, err)
		broken := errors.New("the source broke")
		_, err = w.ReadFrom(io.MultiReader(bytes.NewReader(noise(size)), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken)
		_, err = w.Write([]byte("x"))
		require.ErrorIs(t, err, broken)
		_, err = w.ReadFrom(strings.NewReader("x"))
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, w.Close(), broken)
		require.ErrorIs(t, w.Close(), broken)
		p.requireMissing(t, p.root+"/f")
		require.Empty(t, p.leftovers(t))
	}
}

func testCloseTwice(t *testing.T, p place) {
	w, err := p.Create(p.root + "/f")
	require.NoError(t, err)
	_, err = w.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	require.NoError(t, w.(storage.Aborter).Abort())
	_, err = w.Write([]byte("y"))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.Equal(t, "x", p.read(t, p.root+"/f"))
}

func testLarge(t *testing.T, p place) {
	for _, size := range []int{partSize - 1, partSize, partSize + 1, 3 * partSize, 3*partSize + 7} {
		content := noise(size)
		w, err := p.Create(p.root + "/f")
		require.NoError(t, err)
		for piece := range slices.Chunk(content, 999_999) {
			_, err := w.Write(piece)
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		f, err := p.Open(p.root + "/f")
		require.NoError(t, err)
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got), "size %d", size)
		require.NoError(t, f.Close())
		require.True(t, string(content) == p.read(t, p.root+"/f"), "size %d", size)
	}
	require.Empty(t, p.leftovers(t))
}

func testConcurrent(t *testing.T, p place) {
	var group errgroup.Group
	for i := range 8 {
		content := noise(partSize + i)
		name := fmt.Sprintf("%s/new%d/f", p.root, i%3) + fmt.Sprint(i)
		group.Go(func() error {
			if err := p.WriteFile(name, content); err != nil {
				return err
			}
			return sameContent(p, name, content)
		})
		group.Go(func() error { // the same file by several: one of them wins, whole
			return p.WriteFile(p.root+"/contested", content)
		})
	}
	require.NoError(t, group.Wait())
	got := p.read(t, p.root+"/contested")
	require.True(t, got == string(noise(len(got))))
	require.GreaterOrEqual(t, len(got), partSize)
	require.Empty(t, p.leftovers(t))
}

func sameContent(p place, name string, want []byte) error {
	f, err := p.Open(name)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(f)
	if err == nil && !bytes.Equal(want, got) {
		err = fmt.Errorf("%s holds other bytes", name)
	}
	return errors.Join(err, f.Close())
}
