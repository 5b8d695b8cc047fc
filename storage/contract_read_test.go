package storage_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func testSeek(t *testing.T, p place) {
	require.NoError(t, p.WriteFile(p.root+"/f", []byte("0123456789")))
	f, err := p.Open(p.root + "/f")
	require.NoError(t, err)
	defer f.Close()
	for _, c := range []struct {
		offset int64
		whence int
		at     int64
		rest   string
	}{
		{3, io.SeekStart, 3, "3456789"},
		{-4, io.SeekEnd, 6, "6789"},
		{-8, io.SeekCurrent, 2, "23456789"}, // the read before left it at the end
		{5, io.SeekEnd, 15, ""},
		{0, io.SeekStart, 0, "0123456789"},
	} {
		at, err := f.Seek(c.offset, c.whence)
		require.NoError(t, err)
		require.Equal(t, c.at, at)
		rest, err := io.ReadAll(f)
		require.NoError(t, err)
		require.Equal(t, c.rest, string(rest))
	}
	_, err = f.Seek(-1, io.SeekStart)
	require.Error(t, err)
}

func testReadAt(t *testing.T, p place) {
	content := noise(20 << 20)
	require.NoError(t, p.WriteFile(p.root+"/f", content))
	f, err := p.Open(p.root + "/f")
	require.NoError(t, err)
	defer f.Close()
	size := int64(len(content))
	for _, r := range []struct{ off, n int64 }{
		{0, 1}, {size - 8, 8}, {size - 1000, 992}, {100, 300 << 10}, {5 << 20, 10 << 20}, {7, 9 << 20}, {0, size},
		{size - 5, 10}, {size, 1}, {size + 1<<20, 4}, {size - 9<<20, 10 << 20},
	} {
		buf := make([]byte, r.n)
		n, err := f.ReadAt(buf, r.off)
		want := content[min(r.off, size):min(r.off+r.n, size)]
		require.Equal(t, len(want), n, "%+v", r)
		require.True(t, bytes.Equal(want, buf[:n]), "%+v", r)
		if int64(n) < r.n {
			require.Equal(t, io.EOF, err, "%+v", r)
		} else {
			require.NoError(t, err, "%+v", r)
		}
	}
	_, err = f.ReadAt(make([]byte, 1), -1)
	require.Error(t, err)

	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			buf := make([]byte, 70<<10)
			off := int64(i) * (1 << 20)
			if _, err := f.ReadAt(buf, off); err != nil {
				return err
			}
			if !bytes.Equal(buf, content[off:off+int64(len(buf))]) {
				return fmt.Errorf("other bytes at %d", off)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

func testStat(t *testing.T, p place) {
	require.NoError(t, p.WriteFile(p.root+"/d/f.txt", []byte("1234")))
	info, err := p.Stat(p.root + "/d/f.txt")
	require.NoError(t, err)
	require.EqualValues(t, 4, info.Size())
	require.Equal(t, "f.txt", info.Name())
	require.False(t, info.IsDir())
	require.True(t, info.Mode().IsRegular())
	require.False(t, info.ModTime().IsZero())

	f, err := p.Open(p.root + "/d/f.txt")
	require.NoError(t, err)
	defer f.Close()
	of, err := f.Stat()
	require.NoError(t, err)
	require.Equal(t, info.Size(), of.Size())
	require.Equal(t, info.Name(), of.Name())
	require.Equal(t, info.ModTime().Unix(), of.ModTime().Unix())

	dir, err := p.Stat(p.root + "/d")
	require.NoError(t, err)
	require.True(t, dir.IsDir())
	require.Equal(t, "d", dir.Name())
	_, err = p.Stat(p.root + "/d/f")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func testEmpty(t *testing.T, p place) {
	w, err := p.Create(p.root + "/empty")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Empty(t, p.read(t, p.root+"/empty"))
	f, err := p.Open(p.root + "/empty")
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = f.ReadAt(make([]byte, 1), 10)
	require.Equal(t, io.EOF, err)
	info, err := f.Stat()
	require.NoError(t, err)
	require.Zero(t, info.Size())
}

func testMissing(t *testing.T, p place) {
	p.requireMissing(t, p.root+"/nothing")
	require.NoError(t, p.WriteFile(p.root+"/something", nil))
	p.requireMissing(t, p.root+"/some")
	p.requireMissing(t, p.root+"/deep/er/nothing")
}
