package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// flushed holds, by path, the folders whose entries this process has flushed in
// all folders above them. A folder that merely exists may have been made a
// moment ago by somebody who has not flushed it yet, or died before: so a folder
// is trusted only once it has been flushed here, and only while it is the same.
var flushed sync.Map // path string -> fs.FileInfo

// syncAncestors flushes the entries that lead to dir, up to the root.
func syncAncestors(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if known, ok := flushed.Load(dir); ok && os.SameFile(known.(fs.FileInfo), info) {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	// A folder we may not read is one we have made nothing in.
	if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := syncAncestors(parent); err != nil {
		return err
	}
	flushed.Store(dir, info)
	return nil
}

// syncDir flushes the entries of one folder.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
