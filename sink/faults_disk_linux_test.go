package sink

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/part"
)

// smallDisk is a file system of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("auditlake-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	part.Need(t, "a small file system for a full disk (tmpfs; mounting it takes root)", err == nil, "sudo -E go test ./sink -run FullDisk")
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill takes what room a disk has left, until free is called.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
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
	return func() { require.NoError(t, os.Remove(path)) }
}

// A disk that is full: one clear line, nothing lost, and it goes on when there is room.
func TestSinkOutlivesAFullDisk(t *testing.T) {
	for name, want := range map[string]string{
		"warehouse": "no space left on device: free space on this disk, or raise the quota",
		"catalog":   "is full: make room",
	} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t, 24<<20)
			tables := localTables(t)
			if name == "warehouse" {
				tables.Warehouse = "file://" + filepath.Join(disk, "wh")
			} else {
				tables.URI = filepath.Join(disk, "catalog.db")
			}
			l := newFaultLab(t, 1, tables)
			l.produce(30, 5)
			d := l.start(func(cfg *Config) { cfg.CommitTimeout = faultTimeout })
			l.awaitAll(d)
			free := fill(t, disk)
			l.produce(200, 5)
			d.awaitLine(t, "failed; what is pending is read again", want)
			d.requireUp(t)
			// A job says it in one line, and ends.
			job, err := New(l.config(), l.cat)
			require.NoError(t, err)
			job.cfg.Group, job.cfg.CommitTimeout = "job", faultTimeout
			err = job.Run(t.Context())
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			free()
			l.awaitAll(d)
			d.end(t)
			l.requireOnce()
			_, err = l.cat.Verify(t.Context(), catalog.VerifyOptions{Deep: true})
			require.NoError(t, err)
		})
	}
}
