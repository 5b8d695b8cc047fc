//go:build unix

package queries

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const leaveAlone = time.Minute

// dirLock is the lock of an open folder, which ends with the process, however that
// ends.
type dirLock struct{ dir *os.File }

// openOwnDir opens a folder, and no link to one, that this user alone can use.
func openOwnDir(path string) (dirLock, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return dirLock{}, err
	}
	info, err := dir.Stat()
	if err == nil {
		if of, ok := info.Sys().(*syscall.Stat_t); !ok || int(of.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s is open to others", path)
		}
	}
	if err != nil {
		return dirLock{}, errors.Join(err, dir.Close())
	}
	return dirLock{dir}, nil
}

// take takes the lock. It fails at once where another process has it.
func (l dirLock) take() error { return syscall.Flock(int(l.dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// Close lets go of it.
func (l dirLock) Close() error { return l.dir.Close() }
