package queries

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// runPrefix starts the names of the folders that runs make.
const runPrefix = "auditlake-run-"

// makeRunDir makes the folder of one run in parent (the system's folder for
// temporary files if empty) and says how to remove it. A run that was killed
// could not remove its own: a lock tells whether a folder still has its run, and
// the next run removes those that have none.
func makeRunDir(parent string) (dir string, remove func() error, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if parent, err = filepath.Abs(parent); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", nil, fmt.Errorf("make the folder for temporary files: %w", err)
	}
	removeAbandoned(parent)
	if dir, err = os.MkdirTemp(parent, runPrefix); err != nil {
		return "", nil, fmt.Errorf("make a folder for temporary files: %w", err)
	}
	lock, err := os.Create(lockFile(dir))
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("make a folder for temporary files: %w", err), os.RemoveAll(dir))
	}
	// Where a file system has no locks, nobody can take this one either, and what
	// killed runs left stays.
	_ = takeLock(lock)
	return dir, func() error { return errors.Join(lock.Close(), os.RemoveAll(dir)) }, nil
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// removeAbandoned is housekeeping of what others left: what it cannot look at or
// remove, another user's folder for one, is not this run's trouble.
func removeAbandoned(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(globEscape(parent), runPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		// A young one may not have got as far as its lock.
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < leaveAlone {
			continue
		}
		lock, err := os.OpenFile(lockFile(dir), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			continue
		}
		if takeLock(lock) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

var globEscape = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace
