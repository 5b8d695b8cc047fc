package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func testWalk(t *testing.T, p place) {
	want := []string{"/a-b/1", "/a/1", "/a/b/c/2", "/a/b/c/3", "/z"}
	for _, name := range want {
		require.NoError(t, p.WriteFile(p.root+name, []byte(name)))
	}
	require.NoError(t, p.WriteFile(p.root+"-sibling/f", nil))
	got := map[string]bool{} // name -> is a folder
	err := p.WalkDir(p.root, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.NotContains(t, got, name, "seen twice")
		below := strings.TrimPrefix(name, p.root)
		got[below] = d.IsDir()
		if below != "" {
			require.Equal(t, name[strings.LastIndex(name, "/")+1:], d.Name())
		}
		if !d.IsDir() {
			info, err := d.Info()
			require.NoError(t, err)
			require.EqualValues(t, len(below), info.Size())
			require.False(t, info.ModTime().IsZero())
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{
		"": true, "/a-b": true, "/a-b/1": false, "/a": true, "/a/1": false, "/a/b": true,
		"/a/b/c": true, "/a/b/c/2": false, "/a/b/c/3": false, "/z": false}, got)
	require.Equal(t, []string{p.root + "/a/b/c/2", p.root + "/a/b/c/3"}, p.files(t, p.root+"/a/b"))
	require.Equal(t, []string{p.root + "/z"}, p.files(t, p.root+"/z"))
}

func testWalkMissing(t *testing.T, p place) {
	calls := 0
	missing := p.root + "/nothing"
	err := p.WalkDir(missing, func(name string, _ fs.DirEntry, err error) error {
		calls++
		require.Equal(t, missing, name)
		require.ErrorIs(t, err, fs.ErrNotExist)
		return err
	})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, 1, calls)
	require.NoError(t, p.WalkDir(missing, func(string, fs.DirEntry, error) error { return nil }))
}

func testWalkSkips(t *testing.T, p place) {
	for _, name := range []string{"/a/1", "/a/2", "/b/1", "/b/2", "/c/1"} {
		require.NoError(t, p.WriteFile(p.root+name, nil))
	}
	walk := func(answers map[string]error) (seen []string) {
		require.NoError(t, p.WalkDir(p.root, func(name string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			below := strings.TrimPrefix(name, p.root)
			seen = append(seen, below)
			return answers[below]
		}))
		return seen
	}
	require.Equal(t, []string{"", "/a", "/b", "/b/1", "/b/2", "/c", "/c/1"}, walk(map[string]error{"/a": fs.SkipDir}))
	require.Equal(t, []string{"", "/a", "/a/1", "/b", "/b/1", "/b/2", "/c", "/c/1"}, walk(map[string]error{"/a/1": fs.SkipDir}))
	require.Equal(t, []string{"", "/a", "/a/1", "/a/2", "/b", "/b/1"}, walk(map[string]error{"/b/1": fs.SkipAll}))
	require.Equal(t, []string{""}, walk(map[string]error{"": fs.SkipDir}))
	stop := errors.New("stop")
	require.ErrorIs(t, p.WalkDir(p.root, func(string, fs.DirEntry, error) error { return stop }), stop)
}

func testRemove(t *testing.T, p place) {
	require.NoError(t, p.WriteFile(p.root+"/f", nil))
	require.NoError(t, p.Remove(p.root+"/f"))
	p.requireMissing(t, p.root+"/f")
	require.ErrorIs(t, p.Remove(p.root+"/f"), fs.ErrNotExist)
}

func testDeleteFiles(t *testing.T, p place) {
	ctx := context.Background()
	deleted, err := p.DeleteFiles(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, deleted)

	names := []string{p.root + "/never there"}
	for i := range 1005 { // more than S3 takes at once
		names = append(names, fmt.Sprintf("%s/d%d/f%d", p.root, i%7, i))
	}
	names = append(names, p.other+"/g")
	var group errgroup.Group
	group.SetLimit(16)
	for _, name := range names[1:] {
		group.Go(func() error { return p.WriteFile(name, nil) })
	}
	require.NoError(t, group.Wait())
	require.NoError(t, p.WriteFile(p.root+"/d0/kept", nil))

	deleted, err = p.DeleteFiles(ctx, names)
	require.NoError(t, err)
	require.ElementsMatch(t, names, deleted)
	require.Equal(t, []string{p.root + "/d0/kept"}, p.files(t, p.root))

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = p.DeleteFiles(cancelled, []string{p.root + "/d0/kept"})
	require.ErrorIs(t, err, context.Canceled)
	deleted, err = p.DeleteFiles(ctx, []string{"gs://elsewhere/f", p.root + "/d0/kept"})
	require.ErrorContains(t, err, "gs://")
	require.Equal(t, []string{p.root + "/d0/kept"}, deleted)
}

func testOddNames(t *testing.T, p place) {
	names := []string{
		"a b", "100%", "%41", "a%2Fb", "ü/日本語/🙂", "event_class=tool_call", "a+b", "q?x=1&y=2", "h#1", "semi;colon", "quote'\"",
		"x&y<z>", `back\slash`, "~tilde", "colon:x", "a*b[1]{2}", "at@2026-01-02T03%3A04", "dot.", "..twodots", "-dash", "(p)", "a,b", "$x", "pipe|", "^",
	}
	var want []string
	for _, name := range names {
		uri := p.root + "/" + name + "/data=" + name
		want = append(want, uri)
		require.NoError(t, p.WriteFile(uri, []byte(name)), uri)
		require.Equal(t, name, p.read(t, uri))
		info, err := p.Stat(uri)
		require.NoError(t, err, uri)
		require.EqualValues(t, len(name), info.Size())
		w, err := p.Create(uri + ".multi")
		require.NoError(t, err)
		_, err = w.Write([]byte(name))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoError(t, p.Remove(uri+".multi"), uri)
	}
	slices.Sort(want)
	require.Equal(t, want, p.files(t, p.root))
	deleted, err := p.DeleteFiles(context.Background(), want)
	require.NoError(t, err)
	require.ElementsMatch(t, want, deleted)
	for _, uri := range want {
		p.requireMissing(t, uri)
	}
}

func testTwoPlaces(t *testing.T, p place) {
	require.NoError(t, p.WriteFile(p.root+"/f", []byte("one")))
	require.NoError(t, p.WriteFile(p.other+"/f", []byte("two")))
	require.Equal(t, "one", p.read(t, p.root+"/f"))
	require.Equal(t, "two", p.read(t, p.other+"/f"))
	require.Equal(t, []string{p.other + "/f"}, p.files(t, p.other))
}

func testFolderName(t *testing.T, p place) {
	require.NoError(t, p.WriteFile(p.root+"/d/f", nil))
	for _, name := range []string{p.root + "/d/", p.root + "/new/"} {
		_, err := p.Create(name)
		require.ErrorContains(t, err, "it is the name of a folder: add a file name")
		require.Error(t, p.WriteFile(name, nil))
	}
	require.Equal(t, []string{p.root + "/d/f"}, p.files(t, p.root))
	p.requireMissing(t, p.root+"/new")
}

func testOtherStorage(t *testing.T, p place) {
	const elsewhere = "gs://bucket/f"
	_, err := p.Open(elsewhere)
	require.ErrorContains(t, err, elsewhere)
	_, err = p.ReadFile(elsewhere)
	require.ErrorContains(t, err, elsewhere)
	_, err = p.Stat(elsewhere)
	require.ErrorContains(t, err, elsewhere)
	_, err = p.Create(elsewhere)
	require.ErrorContains(t, err, elsewhere)
	require.ErrorContains(t, p.WriteFile(elsewhere, nil), elsewhere)
	require.ErrorContains(t, p.Remove(elsewhere), elsewhere)
	require.ErrorContains(t, p.WalkDir(elsewhere, nil), elsewhere)
	_, err = os.Stat("gs:") // what taking it for a path would have made
	require.ErrorIs(t, err, fs.ErrNotExist)
}
