package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// localWriter writes beside the final name and renames in Close.
type localWriter struct {
	local
	file *os.File
	path string
	err  error // the first failed write: what is there is not the file
	done bool
	last error // what Close returned
}

func (l local) create(path string) (*localWriter, error) {
	dir, name := filepath.Split(path)
	if name == "" || name == "." || name == ".." {
		return nil, &fs.PathError{Op: "create", Path: path, Err: errFolderName}
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "create", Path: path, Err: errors.New("a folder of that name is there")}
	}
	if err := l.makeDir(filepath.Clean(dir)); err != nil {
		return nil, err
	}
	temp := filepath.Join(dir, tempPrefix+uuid.NewString())
	// Permissions are the umask's business, as for os.Create.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, renamed(err, temp, path)
	}
	return &localWriter{local: l, file: f, path: path}, nil
}

func (w *localWriter) Write(p []byte) (int, error) {
	if err := w.refusal(); err != nil {
		return 0, err
	}
	n, err := w.file.Write(p)
	return n, w.keep(err)
}

// ReadFrom lets io.Copy use what the operating system has for copying.
func (w *localWriter) ReadFrom(r io.Reader) (int64, error) {
	if err := w.refusal(); err != nil {
		return 0, err
	}
	n, err := w.file.ReadFrom(r)
	return n, w.keep(err)
}

// refusal is why nothing more can be written, nil if it can.
func (w *localWriter) refusal() error {
	if w.done {
		return &fs.PathError{Op: "write", Path: w.path, Err: fs.ErrClosed}
	}
	return w.err
}

func (w *localWriter) keep(err error) error {
	w.err = renamed(err, w.file.Name(), w.path)
	return w.err
}

// Close flushes the file, gives it its name and flushes that. After an error the
// caller must not refer to the file. A second Close returns what the first did.
func (w *localWriter) Close() error {
	if w.done {
		return w.last
	}
	if w.err != nil {
		w.last = andCleanup(fmt.Errorf("%s is not written: %w", w.path, w.err), w.Abort())
		return w.last
	}
	w.done = true
	w.last = renamed(w.publish(), w.file.Name(), w.path)
	return w.last
}

func (w *localWriter) publish() error {
	temp := w.file.Name()
	err := w.flush(w.file)
	if closed := w.file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return andCleanup(err, os.Remove(temp))
	}
	_, err = os.Lstat(w.path)
	replaces := err == nil
	if err := os.Rename(temp, w.path); err != nil {
		return andCleanup(err, os.Remove(temp))
	}
	if err := w.syncDir(filepath.Dir(w.path)); err != nil {
		if replaces {
			return err // removing it would not bring back what was there
		}
		return andCleanup(err, os.Remove(w.path))
	}
	return nil
}

// Abort removes what was written.
func (w *localWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.last = fmt.Errorf("%s was aborted: %w", w.path, fs.ErrClosed)
	_ = w.file.Close() // what it cannot write any more goes anyhow
	return renamed(os.Remove(w.file.Name()), w.file.Name(), w.path)
}

// renamed puts the name that the caller knows into an error about the temporary
// file, with what to do about it.
func renamed(err error, temp, path string) error {
	var at *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &at) && at.Path == temp:
		at.Path = path
	case errors.As(err, &link) && link.Old == temp:
		err = &fs.PathError{Op: link.Op, Path: path, Err: link.Err}
	}
	return advise(err)
}

// andCleanup adds to err, on its line, that cleaning up after it failed too.
func andCleanup(err, cleanup error) error {
	if cleanup == nil {
		return err
	}
	return fmt.Errorf("%w (and cleaning up: %w)", err, cleanup)
}
