package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"modernc.org/sqlite" // also the "sqlite" driver, pure Go
	sqlite3 "modernc.org/sqlite/lib"
)

// openSQLite opens an Iceberg SQL catalog in a SQLite file.
func openSQLite(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.URI == "" {
		return nil, &ConfigError{Text: "catalog.uri is not set: give the path of the SQLite file, such as ./lake/catalog.db"}
	}
	made, err := sqliteFile(cfg)
	if err != nil {
		return nil, err
	}
	cat, err := dialSQLite(ctx, cfg, url.Values{
		// A busy catalog waits instead of failing; writers take the lock at BEGIN, so
		// that two of them queue instead of deadlocking; FULL makes a snapshot commit
		// survive a power cut in WAL mode.
		"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}, true)
	if sqliteCode(err) == sqlite3.SQLITE_READONLY && !cfg.Create {
		// Whoever verifies need not be able to change what is verified.
		cat, err = dialSQLite(ctx, cfg, readOnly(cfg.URI), false)
	}
	if err != nil {
		made.discard(ctx)
		if fails := diskFails(cfg, err); fails != nil {
			return nil, fails
		}
		return nil, &ConfigError{Text: fmt.Sprintf("catalog %s cannot be used: check that it is a SQLite file and that its folder is writable", cfg.URI), Err: err}
	}
	if made != nil {
		db := cat.db
		cat.close = func() error {
			err := db.Close()
			made.discard(context.WithoutCancel(ctx))
			return err
		}
	}
	cat.there, err = sameFile(cfg.URI)
	if err != nil {
		return nil, errors.Join(err, cat.Close())
	}
	return cat, nil
}

func dialSQLite(ctx context.Context, cfg Config, query url.Values, init bool) (*Catalog, error) {
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: cfg.URI, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	cat, err := sqlCatalog(ctx, cfg, db, icesql.SQLite, init)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return cat, nil
}

// readOnly opens a database that this process may not write to. SQLite cannot
// read one in WAL mode then unless it is told that nobody writes, which holds
// where no write-ahead log lies beside it.
func readOnly(path string) url.Values {
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(15000)"}}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		query.Set("immutable", "1")
	}
	return query
}

// sqliteCode is the primary result code of an error of SQLite, 0 of any other.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// diskFails tells of a disk that is full: SQLite says so, or only that it cannot make
// the file that its readers share too. It returns nil for other errors.
func diskFails(cfg Config, err error) error {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk of catalog %s is full: make room: %w", cfg.URI, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the disk of catalog %s is full or broken: make room, or mend it: %w", cfg.URI, err)
	}
	return nil
}

// sqliteFile finds the catalog's file, or makes it where that is wanted; made is nil
// where it was there.
func sqliteFile(cfg Config) (made *madeFile, err error) {
	info, err := os.Stat(cfg.URI)
	switch {
	case err == nil && info.IsDir():
		return nil, &ConfigError{Text: fmt.Sprintf("catalog.uri %s is a folder: give the path of a file in it", cfg.URI)}
	case err == nil:
		return nil, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, &ConfigError{Text: fmt.Sprintf("catalog %s cannot be read", cfg.URI), Err: err}
	case !cfg.Create:
		return nil, &ConfigError{Text: fmt.Sprintf("catalog %s does not exist: run `auditlake init`", cfg.URI), Err: ErrNotInitialized}
	}
	return makeSQLiteFile(cfg.URI)
}

func sqlCatalog(ctx context.Context, cfg Config, db *sql.DB, dialect icesql.SupportedDialect, init bool) (*Catalog, error) {
	if err := db.PingContext(ctx); err != nil {
		return nil, err
	}
	props := iceberg.Properties{"warehouse": cfg.Warehouse, "init_catalog_tables": strconv.FormatBool(init)}
	cat, err := icesql.NewCatalog(cfg.Name, db, dialect, props)
	if err != nil {
		return nil, err
	}
	return &Catalog{cfg: cfg, ice: cat, db: db, close: db.Close}, nil
}
