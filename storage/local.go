package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	iceio "github.com/apache/iceberg-go/io"
)

// tempPrefix starts the names of files that are being written. The leading dot
// keeps them out of what engines take for data.
const tempPrefix = ".auditlake-tmp-"

// local is the FileIO of local disk.
type local struct {
	flush func(*os.File) error // fsync; tests watch when it runs and let it fail
}

var _ FileIO = local{}

func newLocal() local { return local{flush: (*os.File).Sync} }

// localPath takes the path out of a location, as it stands.
func localPath(location string) (string, error) {
	path := location
	switch scheme := schemeOf(location); scheme {
	case "":
	case "file":
		path = location[len("file:"):]
		if rest, ok := strings.CutPrefix(path, "//"); ok {
			path = strings.TrimPrefix(rest, "localhost")
			if !strings.HasPrefix(path, "/") {
				return "", fmt.Errorf("%q names another host: write file:///folder, with three slashes", location)
			}
		}
	default:
		return "", unsupported(location, scheme)
	}
	// What a relative path names changes with the working folder, and so does
	// whose entries have to be flushed.
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not absolute: write /folder, file:///folder or s3://bucket/prefix", location)
	}
	return path, nil
}

func (local) Open(name string) (iceio.File, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, advise(err) // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (local) ReadFile(name string) ([]byte, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	return data, advise(err)
}

func (local) Stat(name string) (fs.FileInfo, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	return info, advise(err)
}

func (local) Remove(name string) error {
	path, err := localPath(name)
	if err != nil {
		return err
	}
	return advise(os.Remove(path))
}

func (l local) DeleteFiles(ctx context.Context, names []string) (deleted []string, err error) {
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		if err := l.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		deleted = append(deleted, name)
	}
	return deleted, errors.Join(errs...)
}

// WalkDir leaves out files being written that get their names, or go, meanwhile.
func (local) WalkDir(root string, fn fs.WalkDirFunc) error {
	path, err := localPath(root)
	if err != nil {
		return err
	}
	prefix := strings.TrimSuffix(root, path)
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), tempPrefix) {
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				d = fs.FileInfoToDirEntry(info)
			}
		}
		return fn(prefix+path, d, advise(err))
	})
}

func (l local) Create(name string) (iceio.FileWriter, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	return l.create(path)
}

func (l local) WriteFile(name string, content []byte) error {
	path, err := localPath(name)
	if err != nil {
		return err
	}
	w, err := l.create(path)
	if err != nil {
		return err
	}
	_, _ = w.Write(content) // Close returns what went wrong
	return w.Close()
}

// mistake is an error that somebody has to act on: trying again cannot help.
func mistake(err error, do string) error {
	return &explained{text: err.Error() + ": " + do, cause: err, mistake: true}
}

// advise adds to an error of the operating system what to do about it.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free space on this disk, or raise the quota", err)
	case errors.Is(err, syscall.EROFS):
		return mistake(err, "use a folder that can be written to")
	case errors.Is(err, fs.ErrPermission):
		return mistake(err, "give this user access to it")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%w: raise the limit (ulimit -n)", err)
	}
	return err
}
