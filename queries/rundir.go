package queries

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// runPrefix starts the names of the folders that runs make.
const runPrefix = "auditlake-run-"

// liveRuns are the folders of runs that this process has under way.
var liveRuns sync.Map

// makeRunDir makes the folder of one run in parent (the system's folder for
// temporary files if empty) and says how to remove it. A run that was killed
// could not remove its own: a lock on the folder itself tells whether it still has
// its run, and the next run removes those that have none.
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
	unlock := func() error { return nil }
	// Some file systems have no locks, or owners and modes of their own: there nobody
	// takes this folder for abandoned either, and what killed runs left stays.
	if lock, err := openOwnDir(dir); err == nil {
		_ = lock.take()
		unlock = lock.Close
	}
	liveRuns.Store(dir, nil)
	return dir, func() error {
		// The lock ends last: who takes it meanwhile would remove what this removes.
		err := errors.Join(os.RemoveAll(dir), unlock())
		liveRuns.Delete(dir)
		return err
	}, nil
}

// RemoveRunFolders removes the folders of all runs that this process has under
// way. It is for who ends the process because a run does not return: DuckDB may
// still write to them, so this tries more than once.
func RemoveRunFolders() {
	for range 3 {
		left := false
		liveRuns.Range(func(dir, _ any) bool {
			left = os.RemoveAll(dir.(string)) != nil || left
			return true
		})
		if !left {
			return
		}
	}
}

// removeAbandoned is housekeeping of what others left: what it cannot look at or
// remove, another user's folder for one, is not this run's trouble. Anybody can
// make a folder of such a name in a folder for temporary files, or a link: only a
// folder of this user alone is looked at, and nothing in it is opened.
func removeAbandoned(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(globEscape(parent), runPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		// A young one may not have got as far as its lock.
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < leaveAlone {
			continue
		}
		lock, err := openOwnDir(dir)
		if err != nil {
			continue
		}
		if lock.take() == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

var globEscape = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace
