package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// flushed holds, by path, the folders whose entries this process has flushed in
// all folders above them. A folder that merely exists may have been made a
// moment ago by somebody who has not flushed it yet, or died before: so a folder
// is trusted only once it has been flushed here, and only while it is the same.
var flushed sync.Map // path string -> fs.FileInfo

// makeDir makes dir with what is missing above it, and flushes the entries that
// lead to it, from the root down.
func (l local) makeDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return advise(err)
	}
	missing := err != nil
	if known, ok := flushed.Load(dir); ok && !missing && os.SameFile(known.(fs.FileInfo), info) {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	if err := l.makeDir(parent); err != nil {
		return err
	}
	if missing {
		if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return advise(err)
		}
		if info, err = os.Stat(dir); err != nil {
			return advise(err)
		}
	}
	// In a folder we may not read and have made nothing in, there is nothing of
	// ours to flush.
	if err := l.syncDir(parent); err != nil && (missing || !errors.Is(err, fs.ErrPermission)) {
		return advise(err)
	}
	flushed.Store(dir, info)
	return nil
}

// syncDir flushes the entries of one folder, where its file system can.
func (l local) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = l.flush(d)
	_ = d.Close() // it was only read
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // read-only and some network file systems know no such thing
	}
	return err
}
