package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/google/uuid"
)

// tempPrefix starts the names of files that are being written. The leading dot
// keeps them out of what engines take for data.
const tempPrefix = ".auditlake-tmp-"

// local is the FileIO of local disk.
type local struct{}

var _ FileIO = local{}

// localPath takes the path out of a location, as it stands.
func localPath(location string) (string, error) {
	switch scheme := schemeOf(location); scheme {
	case "":
		return location, nil
	case "file":
	default:
		return "", unsupported(location, scheme)
	}
	rest := location[len("file:"):]
	if !strings.HasPrefix(rest, "//") {
		return rest, nil
	}
	rest = strings.TrimPrefix(rest[len("//"):], "localhost/")
	if len(rest) < len(location)-len("file://") {
		return "/" + rest, nil
	}
	if !strings.HasPrefix(rest, "/") {
		return "", fmt.Errorf("%q names another host: write file:///folder, with three slashes", location)
	}
	return rest, nil
}

func (local) Open(name string) (iceio.File, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (local) ReadFile(name string) ([]byte, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func (local) Stat(name string) (fs.FileInfo, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	return os.Stat(path)
}

func (local) Remove(name string) error {
	path, err := localPath(name)
	if err != nil {
		return err
	}
	return os.Remove(path)
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

func (local) WalkDir(root string, fn fs.WalkDirFunc) error {
	path, err := localPath(root)
	if err != nil {
		return err
	}
	prefix := strings.TrimSuffix(root, path)
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		return fn(prefix+path, d, err)
	})
}

func (local) Create(name string) (iceio.FileWriter, error) {
	path, err := localPath(name)
	if err != nil {
		return nil, err
	}
	return createLocal(path)
}

func (local) WriteFile(name string, content []byte) error {
	path, err := localPath(name)
	if err != nil {
		return err
	}
	w, err := createLocal(path)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}

// localWriter writes beside the final name and renames in Close.
type localWriter struct {
	file *os.File
	path string
	err  error // the first failed write: what is there is not the file
	done bool
	last error // what Close returned
}

func createLocal(path string) (*localWriter, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("create %s: a folder of that name is there", path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make the folder of %s: %w", path, err)
	}
	temp := filepath.Join(dir, tempPrefix+uuid.NewString())
	// Permissions are the umask's business, as for os.Create.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &localWriter{file: f, path: path}, nil
}

func (w *localWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, w.keep(err)
}

// ReadFrom lets io.Copy use what the operating system has for copying.
func (w *localWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := w.file.ReadFrom(r)
	return n, w.keep(err)
}

func (w *localWriter) keep(err error) error {
	if err != nil && w.err == nil {
		w.err = err
	}
	return err
}

// Close flushes the file, gives it its name and flushes the folders that lead to
// it. After an error the caller must not refer to the file. A second Close
// returns what the first did.
func (w *localWriter) Close() error {
	if w.done {
		return w.last
	}
	if w.err != nil {
		w.last = errors.Join(fmt.Errorf("%s is not written: %w", w.path, w.err), w.Abort())
		return w.last
	}
	w.done = true
	w.last = w.publish()
	return w.last
}

func (w *localWriter) publish() error {
	temp := w.file.Name()
	if err := w.file.Sync(); err != nil {
		return errors.Join(err, w.file.Close(), os.Remove(temp))
	}
	if err := w.file.Close(); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, w.path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	dir := filepath.Dir(w.path)
	if err := syncDir(dir); err != nil {
		return err
	}
	return syncAncestors(dir)
}

// Abort removes what was written.
func (w *localWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.last = fmt.Errorf("%s was aborted: %w", w.path, fs.ErrClosed)
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}
