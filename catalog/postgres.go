package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// openPostgres opens an Iceberg SQL catalog in a PostgreSQL database.
func openPostgres(ctx context.Context, cfg Config) (*Catalog, error) {
	pg, err := postgresConfig(cfg)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*pg, stdlib.OptionAfterConnect(settle))
	// A sink commits one at a time; readers are few.
	db.SetMaxOpenConns(8)
	db.SetConnMaxIdleTime(5 * time.Minute)
	cat, err := postgresCatalog(ctx, cfg, db)
	if err != nil {
		db.Close()
		if errors.Is(ctx.Err(), context.Canceled) { // whatever the driver makes of it
			return nil, fmt.Errorf("open catalog %s: %w", postgresName(pg), ctx.Err())
		}
		if mistake := addressMistake(err); mistake != nil {
			return nil, mistake
		}
		if outcome, explained, ok := judgePostgres(cfg, err); ok {
			if outcome == OutcomeRefused {
				return nil, explained
			}
			err = explained
		}
		return nil, fmt.Errorf("open catalog %s: %w", postgresName(pg), err)
	}
	cat.judge = func(err error) (Outcome, error, bool) { return judgePostgres(cfg, err) }
	return cat, nil
}

func postgresConfig(cfg Config) (*pgx.ConnConfig, error) {
	if cfg.URI == "" {
		return nil, &ConfigError{Text: "catalog.uri is not set: write postgres://user@host:5432/database"}
	}
	if scheme, _, _ := strings.Cut(cfg.URI, "://"); scheme != "postgres" && scheme != "postgresql" {
		return nil, &ConfigError{Text: "catalog.uri is no address of a PostgreSQL database: write postgres://user@host:5432/database"}
	}
	pg, err := pgx.ParseConfig(cfg.URI)
	if err != nil {
		return nil, unreadable(cfg.URI, err)
	}
	if cfg.Password != "" {
		pg.Password = cfg.Password // fallbacks are other hosts, for the same user
	}
	if !strings.Contains(cfg.URI, "default_query_exec_mode") {
		// The library writes values into its statements: preparing them is of no use,
		// and a pooler in between may not be able to.
		pg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if pg.ConnectTimeout == 0 {
		pg.ConnectTimeout = 10 * time.Second
	}
	if _, ok := pg.RuntimeParams["application_name"]; !ok {
		pg.RuntimeParams["application_name"] = "auditlake"
	}
	return pg, nil
}

// idleTimeout ends a session that sits in a transaction. Tests shorten it.
var idleTimeout = "15s"

// settle gives a session what the snapshot commit counts on: a commit that is
// answered is on disk, and a process that is stopped with the table's row in its
// hands does not stop the others for ever.
func settle(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local'); SET idle_in_transaction_session_timeout = '"+idleTimeout+"'; "+
		"SET lock_timeout = '15s'; SET statement_timeout = '60s'; SET default_transaction_isolation = 'read committed'")
	return err
}

// postgresName names the database for people, without a password.
func postgresName(pg *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", User: url.User(pg.User), Host: fmt.Sprintf("%s:%d", pg.Host, pg.Port), Path: "/" + pg.Database}
	return u.String()
}

// postgresCatalog makes the catalog's tables where init asks for it. Two that do
// so at once collide in PostgreSQL's own tables: the loser looks again.
func postgresCatalog(ctx context.Context, cfg Config, db *sql.DB) (cat *Catalog, err error) {
	var there bool
	// No ping before it: the driver says "bad connection" of whatever ends one.
	err = db.QueryRowContext(ctx, "SELECT to_regclass('iceberg_tables') IS NOT NULL AND to_regclass('iceberg_namespace_properties') IS NOT NULL").Scan(&there)
	if err != nil {
		return nil, err
	}
	if !there && !cfg.Create {
		return nil, &ConfigError{Text: "the PostgreSQL database of catalog.uri holds no catalog: run `auditlake init`", Err: ErrNotInitialized}
	}
	for range 5 {
		// Only where they are missing: PostgreSQL asks for the right to make them also if they are there.
		cat, err = sqlCatalog(ctx, cfg, db, icesql.Postgres, !there)
		if code := postgresCode(err); code != "23505" && code != "42P07" && code != "42710" {
			break
		}
	}
	return cat, err
}

// postgresCode is the SQLSTATE of an error of PostgreSQL, "" of any other.
func postgresCode(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// judgePostgres tells what PostgreSQL's errors mean. An error that ends a
// statement ends its transaction: nothing landed. One that ends the connection
// says nothing, since it may have come when the commit was done already.
func judgePostgres(cfg Config, err error) (Outcome, error, bool) {
	var config *ConfigError
	if errors.As(err, &config) {
		return OutcomeRefused, err, true
	}
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	connecting := errors.As(err, &connect) // nothing was sent
	switch {
	case errors.As(err, &pg):
	case connecting:
		return OutcomeRetry, fmt.Errorf("the PostgreSQL server of catalog.uri cannot be reached: start it, or correct catalog.uri: %w", err), true
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return OutcomeRetry, err, true
	default:
		return 0, err, false
	}
	refused := func(text string) (Outcome, error, bool) {
		return OutcomeRefused, &ConfigError{Text: text, Err: plainError(pg.Message), Access: pg.Code != "42P01"}, true
	}
	switch {
	case strings.HasPrefix(pg.Code, "28"):
		return refused("PostgreSQL refuses the login: correct the user and password of catalog.uri (or catalog.password, PGPASSWORD), or pg_hba.conf")
	case pg.Code == "3D000":
		return refused("the database of catalog.uri does not exist: make it (CREATE DATABASE), or correct catalog.uri")
	case pg.Code == "42501":
		return refused("the user of catalog.uri lacks a permission: grant it SELECT, INSERT, UPDATE and DELETE on iceberg_tables and iceberg_namespace_properties, and CREATE on the schema for init")
	case pg.Code == "25006":
		return refused("the PostgreSQL server of catalog.uri is read-only: name the primary (several hosts: target_session_attrs=read-write)")
	case pg.Code == "42P01":
		return refused("the PostgreSQL database of catalog.uri holds no catalog: run `auditlake init`")
	case pg.Code == "53100":
		return OutcomeRetry, fmt.Errorf("the disk of the PostgreSQL server is full: make room: %w", err), true
	case connecting:
		return OutcomeRetry, fmt.Errorf("the PostgreSQL server of catalog.uri takes no connection: wait, or see its log: %w", err), true
	case pg.Code == "40003", pg.Code == "57P01", pg.Code == "57P02", strings.HasPrefix(pg.Code, "08"):
	case strings.HasPrefix(pg.Code, "58"), strings.HasPrefix(pg.Code, "XX"): // a broken disk or server: what is left of the COMMIT is not known
	case pg.SeverityUnlocalized == "ERROR" || (pg.SeverityUnlocalized == "" && pg.Severity == "ERROR"):
		return OutcomeRetry, err, true // 40001, 40P01, 55P03, 57014 …: the transaction is undone
	}
	return 0, err, false
}

// plainError is the text of an error whose details are of no use to people.
type plainError string

func (e plainError) Error() string { return string(e) }
