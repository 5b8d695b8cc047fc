package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// smallDisk is a file system of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("auditlake-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	part.Need(t, "a small file system for a full disk (tmpfs; mounting it takes root)", err == nil, "sudo -E go test ./cmd/auditlake -run FullDisk")
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// A full disk below the cache of files from S3, below the warehouse and below the
// catalog: one line, nothing is lost, and with room it goes on.
func TestFullDisk(t *testing.T) {
	t.Run("cache", func(t *testing.T) {
		disk := smallDisk(t, 1<<20)
		l := newLab(t, "warehouse: s3://lake/warehouse", s3Lines(storagetest.StartS3(t, "lake")), fmt.Sprintf("sql: {cache_dir: %q}", filepath.Join(disk, "cache")))
		l.sendRandom(5000)
		l.catchUp()
		r := l.call("sql", "SELECT count(payload) FROM agent_events")
		requireOneLine(t, r, exitFailed, "no space left on device: free space on this disk, or name another folder in sql.cache_dir")
		left, err := filepath.Glob(filepath.Join(disk, "cache", "*.parquet"))
		require.NoError(t, err)
		require.Empty(t, left, "half a copy is not kept")
		require.NoError(t, syscall.Mount("auditlake-test", disk, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", 64<<20)))
		require.EqualValues(t, 5000, l.value(`SELECT count(payload) FROM agent_events`))
	})
	for _, of := range []struct{ name, want string }{
		{"warehouse", "no space left on device: free space on this disk, or raise the quota"},
		{"catalog", "catalog.db is full or broken: make room, or mend it"},
	} {
		t.Run(of.name, func(t *testing.T) {
			disk := smallDisk(t, 24<<20)
			lines := []string{"catalog: {type: sqlite, uri: " + filepath.Join(disk, "catalog.db") + "}"}
			if of.name == "warehouse" {
				lines = []string{"warehouse: " + filepath.Join(disk, "warehouse")}
			}
			l := newLab(t, lines...)
			l.sendPrompts(0, 30)
			l.catchUp()
			ballast := filepath.Join(disk, "ballast")
			fillDisk(t, ballast)
			l.sendPrompts(30, 60)
			requireOneLine(t, l.call("run", "--until-caught-up"), exitFailed, of.want)
			if of.name == "warehouse" { // what only reads needs no room there; of a catalog SQLite needs some
				l.requireVerified()
			}
			require.NoError(t, os.Remove(ballast))
			l.catchUp()
			l.requireVerified()
			require.EqualValues(t, 60, l.value(`SELECT count(*) FROM agent_events`))
		})
	}
}

// fillDisk takes what room there is.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	for _, piece := range []int{1 << 20, 64 << 10, 4 << 10} {
		for err == nil {
			_, err = f.Write(make([]byte, piece))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		err = nil
	}
	require.NoError(t, f.Close())
}
