//go:build unix

package queries

import (
	"os"
	"syscall"
	"time"
)

const leaveAlone = time.Minute

// takeLock takes the lock of an open file, which ends with the process, however
// that ends. It fails at once where another process has it.
func takeLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
