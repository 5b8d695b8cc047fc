package storage

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// flushes is a disk that notes what is flushed, and what was visible then.
type flushes struct {
	root   string // what is above it is not noted
	name   string // the file whose visibility is noted
	seen   []string
	failAt int // the flush below root that fails, from 1; 0: none
	cause  error
}

func (f *flushes) disk() local {
	return local{flush: func(file *os.File) error {
		below, ok := strings.CutPrefix(file.Name(), f.root)
		if !ok {
			return file.Sync()
		}
		if i := strings.Index(below, tempPrefix); i >= 0 {
			below = below[:i] + "TEMP"
		}
		if _, err := os.Stat(f.name); err == nil {
			below += " (visible)"
		}
		f.seen = append(f.seen, below)
		if len(f.seen) == f.failAt {
			return &fs.PathError{Op: "sync", Path: file.Name(), Err: f.cause}
		}
		return file.Sync()
	}}
}

func (f *flushes) write(name, content string) error {
	f.seen, f.name = nil, f.root+name
	return f.disk().WriteFile(f.name, []byte(content))
}

func TestLocalFlushesBeforeVisible(t *testing.T) {
	root := t.TempDir()
	f := &flushes{root: root}
	require.NoError(t, f.write("/a/b/f", "x"))
	require.Equal(t, []string{"", "/a", "/a/b/TEMP", "/a/b (visible)"}, f.seen)
	require.NoError(t, f.write("/a/b/g", "x"))
	require.Equal(t, []string{"/a/b/TEMP", "/a/b (visible)"}, f.seen, "known folders are flushed once")

	require.NoError(t, os.MkdirAll(root+"/a/c/d", 0o777))
	require.NoError(t, f.write("/a/c/d/f", "x"))
	require.Equal(t, []string{"/a", "/a/c", "/a/c/d/TEMP", "/a/c/d (visible)"}, f.seen, "somebody else made it, perhaps a moment ago")

	require.NoError(t, os.RemoveAll(root+"/a/b"))
	require.NoError(t, f.write("/a/b/f", "x"))
	require.Equal(t, []string{"/a", "/a/b/TEMP", "/a/b (visible)"}, f.seen, "made anew, flushed anew")

	w, err := f.disk().Create(root + "/a/b/h")
	require.NoError(t, err)
	f.seen, f.name = nil, root+"/a/b/h"
	require.NoError(t, w.(Aborter).Abort())
	require.Empty(t, f.seen)
}

func TestLocalFlushFails(t *testing.T) {
	broken := errors.New("the disk is broken")
	for i, at := range []string{"a folder", "a folder in it", "the file", "the name of the file"} {
		t.Run(at, func(t *testing.T) {
			root := t.TempDir()
			f := &flushes{root: root, failAt: i + 1, cause: broken}
			err := f.write("/a/b/f", "x")
			require.ErrorIs(t, err, broken)
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), tempPrefix)
			require.Empty(t, filesBelow(t, root))

			f.failAt = 0
			require.NoError(t, f.write("/a/b/f", "x"), "the next one flushes what is not")
			require.Equal(t, "/a/b (visible)", f.seen[len(f.seen)-1])
			require.Equal(t, []string{"/a/b/f"}, filesBelow(t, root))
		})
	}
	t.Run("over a file", func(t *testing.T) {
		root := t.TempDir()
		f := &flushes{root: root, cause: broken}
		require.NoError(t, f.write("/f", "old"))
		f.failAt = 1 // the file
		require.ErrorIs(t, f.write("/f", "new"), broken)
		require.Equal(t, "old", read(t, root+"/f"))
		f.failAt = 2 // its name
		require.ErrorIs(t, f.write("/f", "new"), broken)
		require.Equal(t, "new", read(t, root+"/f"))
		require.Equal(t, []string{"/f"}, filesBelow(t, root))
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// filesBelow lists all files, temporary ones too.
func filesBelow(t *testing.T, root string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, root))
		}
		return err
	}))
	return names
}

// TestLocalWriterDies kills a process that has written half a file.
func TestLocalWriterDies(t *testing.T) {
	const in = "AUDITLAKE_TEST_HALF_WRITTEN"
	if name := os.Getenv(in); name != "" {
		w, err := newLocal().Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte("half"))
		require.NoError(t, err)
		_, _ = os.Stdout.WriteString("written\n")
		select {} // until killed
	}
	root := t.TempDir()
	name := root + "/data/f.parquet"
	cmd := exec.Command(os.Args[0], "-test.run=^TestLocalWriterDies$")
	cmd.Env = append(os.Environ(), in+"="+name)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.NoError(t, err)
	require.Equal(t, "written\n", line)

	disk := newLocal()
	_, err = disk.Stat(name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = disk.Open(name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, disk.WriteFile(name, []byte("whole")))
	require.Equal(t, "whole", read(t, name))

	var left []string // orphan removal finds the other one and takes it away
	require.NoError(t, disk.WalkDir("file://"+root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != "file://"+name {
			left = append(left, path)
		}
		return err
	}))
	require.Len(t, left, 1)
	require.True(t, strings.HasPrefix(filepath.Base(left[0]), tempPrefix))
	_, err = disk.DeleteFiles(context.Background(), left)
	require.NoError(t, err)
	require.Equal(t, []string{"/data/f.parquet"}, filesBelow(t, root))
}

// TestLocalWalkWhileWriting: what is listed under its temporary name may have got
// its final one when it is looked at.
func TestLocalWalkWhileWriting(t *testing.T) {
	disk, root := newLocal(), t.TempDir()
	w, err := disk.Create(root + "/f")
	require.NoError(t, err)
	require.NoError(t, disk.WriteFile(root+"/.a", nil)) // before .auditlake-tmp- in order
	require.NoError(t, disk.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.Name() == ".a" {
			require.NoError(t, w.Close())
		}
		_, err = d.Info()
		require.NoError(t, err)
		return nil
	}))
}

func TestLocalMistakes(t *testing.T) {
	disk, root := newLocal(), t.TempDir()
	require.NoError(t, disk.WriteFile(root+"/file", nil))
	for _, c := range []struct{ name, want string }{
		{"relative/f", `"relative/f" is not absolute: write /folder, file:///folder or s3://bucket/prefix`},
		{"file:relative/f", `"file:relative/f" is not absolute: write`},
		{"./f", "is not absolute"},
		{"", "is not absolute"},
		{"file://host/f", `"file://host/f" names another host: write file:///folder, with three slashes`},
		{"file://localhostile/f", "names another host"},
		{"file://", "names another host"},
		{root, root + ": a folder of that name is there"},
		{root + "/..", "it is the name of a folder: add a file name"},
		{root + "/file/f", root + "/file/f: not a directory"},
	} {
		_, err := disk.Create(c.name)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), tempPrefix)
		require.ErrorContains(t, disk.WriteFile(c.name, nil), c.want)
	}
	long := root + "/" + strings.Repeat("x", 300)
	require.EqualError(t, disk.WriteFile(long, nil), "rename "+long+": file name too long")
	require.Equal(t, []string{"/file"}, filesBelow(t, root))
}

func TestLocalPath(t *testing.T) {
	for location, want := range map[string]string{
		"/a/b": "/a/b", "file:///a/b": "/a/b", "file:/a/b": "/a/b", "file://localhost/a/b": "/a/b", "FILE:///a": "/a",
		"file:///a%20b": "/a%20b", "/s3://b": "/s3://b", "/a:b": "/a:b", "file:///a?b#c": "/a?b#c",
	} {
		path, err := localPath(location)
		require.NoError(t, err, location)
		require.Equal(t, want, path)
	}
}
