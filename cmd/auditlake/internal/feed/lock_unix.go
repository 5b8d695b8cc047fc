//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package feed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir takes the one lock of a directory, which the system gives back when
// the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("dev broker: lock %s: name a directory that can be written: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("dev broker: another process uses %s: stop it, or name another directory", dir)
		}
		return nil, fmt.Errorf("dev broker: lock %s: %w", path, err)
	}
	return f, nil
}
