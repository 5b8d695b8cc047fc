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

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	_ "modernc.org/sqlite" // the "sqlite" driver, pure Go
)

// openSQLite opens an Iceberg SQL catalog in a SQLite file.
func openSQLite(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.URI == "" {
		return nil, &ConfigError{Text: "catalog.uri is not set: give the path of the SQLite file, such as ./lake/catalog.db"}
	}
	if err := sqliteFile(cfg); err != nil {
		return nil, err
	}
	// A busy catalog waits instead of failing; writers take the lock at BEGIN, so
	// that two of them queue instead of deadlocking; FULL makes a snapshot commit
	// survive a power cut in WAL mode.
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: cfg.URI, RawQuery: url.Values{
		"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", cfg.URI, err)
	}
	cat, err := sqlCatalog(ctx, cfg, db, icesql.SQLite)
	if err != nil {
		db.Close()
		return nil, &ConfigError{Text: fmt.Sprintf("catalog %s cannot be used: check that it is a SQLite file and that its folder is writable", cfg.URI), Err: err}
	}
	return cat, nil
}

func sqliteFile(cfg Config) error {
	info, err := os.Stat(cfg.URI)
	switch {
	case err == nil && info.IsDir():
		return &ConfigError{Text: fmt.Sprintf("catalog.uri %s is a folder: give the path of a file in it", cfg.URI)}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return &ConfigError{Text: fmt.Sprintf("catalog %s cannot be read", cfg.URI), Err: err}
	case !cfg.Create:
		return &ConfigError{Text: fmt.Sprintf("catalog %s does not exist: run `auditlake init`", cfg.URI), Err: ErrNotInitialized}
	}
	if err := os.MkdirAll(filepath.Dir(cfg.URI), 0o755); err != nil {
		return &ConfigError{Text: fmt.Sprintf("catalog folder %s cannot be made: check catalog.uri and its permissions", filepath.Dir(cfg.URI)), Err: err}
	}
	return nil
}

func sqlCatalog(ctx context.Context, cfg Config, db *sql.DB, dialect icesql.SupportedDialect) (*Catalog, error) {
	if err := db.PingContext(ctx); err != nil {
		return nil, err
	}
	props := iceberg.Properties{"warehouse": cfg.Warehouse, "init_catalog_tables": "true"}
	cat, err := icesql.NewCatalog(cfg.Name, db, dialect, props)
	if err != nil {
		return nil, err
	}
	return &Catalog{cfg: cfg, ice: cat, close: db.Close}, nil
}
