package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// madeFile is the file of a SQLite catalog that this process made, and the folders
// that it made for it, the innermost first.
type madeFile struct {
	path    string
	folders []string
}

// makeSQLiteFile makes an empty file; made is nil where another process was faster.
func makeSQLiteFile(path string) (made *madeFile, err error) {
	made = &madeFile{path: path}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		made.folders = append(made.folders, dir)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, &ConfigError{Text: fmt.Sprintf("catalog folder %s cannot be made: check catalog.uri and its permissions", filepath.Dir(path)), Err: err}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, nil
	case err != nil:
		made.removeFolders()
		return nil, &ConfigError{Text: fmt.Sprintf("catalog %s cannot be made: check that its folder is writable", path), Err: err}
	}
	return made, f.Close()
}

// discard removes the file if no table came into it, so that an init that was refused
// leaves nothing. Where another process uses the file, or it cannot be told, it stays.
func (m *madeFile) discard(ctx context.Context) {
	if m == nil {
		return
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: m.path, RawQuery: url.Values{"mode": {"rw"}, "_txlock": {"exclusive"}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return
	}
	defer db.Close() // what it holds is not wanted
	db.SetMaxOpenConns(1)
	if holdsTables(ctx, db) {
		return
	}
	// Without a write-ahead log, which SQLite gives up only where nobody else has the
	// file open, an exclusive transaction keeps out everybody.
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode); err != nil || mode != "delete" {
		return
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if holdsTables(ctx, tx) || os.Remove(m.path) != nil {
		return
	}
	m.removeFolders()
}

// removeFolders removes those that are empty.
func (m *madeFile) removeFolders() {
	for _, dir := range m.folders {
		if os.Remove(dir) != nil {
			return
		}
	}
}

// holdsTables tells whether a catalog knows a table, or may: an error other than that
// it has no tables of its own yet says nothing.
func holdsTables(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) bool {
	var n int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'iceberg_tables'").Scan(&n)
	if err == nil && n > 0 {
		err = db.QueryRowContext(ctx, "SELECT count(*) FROM iceberg_tables").Scan(&n)
	}
	return err != nil || n > 0
}

// sameFile returns what tells whether the file at a path is still the one it is now:
// another init may have made it, failed and removed it.
func sameFile(path string) (there func() error, err error) {
	was, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("catalog %s: %w", path, err)
	}
	return func() error {
		if now, err := os.Stat(path); err != nil || !os.SameFile(was, now) {
			return fmt.Errorf("catalog %s was removed while tables were made in it: run `auditlake init` again", path)
		}
		return nil
	}, nil
}
