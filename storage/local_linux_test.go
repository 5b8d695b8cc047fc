package storage

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLocalDiskFull has the kernel say that the disk is full: the descriptor of
// an open file becomes one of /dev/full.
func TestLocalDiskFull(t *testing.T) {
	root := t.TempDir()
	w, err := newLocal().create(root + "/f")
	require.NoError(t, err)
	_, err = w.Write([]byte("what still fits"))
	require.NoError(t, err)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	require.NoError(t, syscall.Dup3(int(full.Fd()), int(w.file.Fd()), 0))

	_, err = w.Write([]byte("x"))
	want := "write " + root + "/f: no space left on device: free space on this disk, or raise the quota"
	require.EqualError(t, err, want)
	err = w.Close()
	require.EqualError(t, err, root+"/f is not written: "+want)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Empty(t, filesBelow(t, root))
}

// TestLocalDiskFullAtFlush is the same where the file system finds out late.
func TestLocalDiskFullAtFlush(t *testing.T) {
	root := t.TempDir()
	f := &flushes{root: root, failAt: 1, cause: syscall.ENOSPC}
	require.EqualError(t, f.write("/f", "x"), "sync "+root+"/f: no space left on device: free space on this disk, or raise the quota")
	require.Empty(t, filesBelow(t, root))
}

// TestLocalNotWritable writes where nobody can, not even root.
func TestLocalNotWritable(t *testing.T) {
	err := newLocal().WriteFile("/sys/auditlake/f", nil)
	require.Error(t, err)
	require.Regexp(t, `^mkdir /sys/auditlake: .*: (give this user access to it|use a folder that can be written to)$`, err.Error())
}

// TestLocalFolderCannotBeFlushed: what has no flush is not an error, for the file
// systems of read-only images have none and may be above the lake's.
func TestLocalFolderCannotBeFlushed(t *testing.T) {
	proc, err := os.Open("/proc")
	require.NoError(t, err)
	defer proc.Close()
	require.ErrorIs(t, proc.Sync(), syscall.EINVAL)
	require.NoError(t, newLocal().syncDir("/proc"))
}
