package catalog

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
)

func startPostgres(t *testing.T) (*catalogtest.Postgres, Config) {
	p := catalogtest.StartPostgres(t)
	return p, Config{Type: "postgres", URI: p.URI, Warehouse: "file://" + t.TempDir(), Create: true}
}

func TestPostgresMistakes(t *testing.T) {
	ctx := context.Background()
	p, cfg := startPostgres(t)
	fails := func(what string, cfg Config, want string) {
		t.Helper()
		_, err := Open(ctx, cfg)
		requireConfigError(t, err, want)
		require.NotContains(t, err.Error(), "\n", what)
		require.NotContains(t, err.Error(), "hidden-pw", what)
	}
	change := func(do func(*Config)) Config { c := cfg; do(&c); return c }
	fails("no catalog", change(func(c *Config) { c.Create = false }), "holds no catalog: run `auditlake init`")
	fails("password", change(func(c *Config) { c.URI = p.URIFor("auditlake", "hidden-pw") }), "PostgreSQL refuses the login")
	fails("password apart", change(func(c *Config) { c.Password = "hidden-pw" }), "PostgreSQL refuses the login")
	fails("user", change(func(c *Config) { c.URI = p.URIFor("nobody", "hidden-pw") }), "PostgreSQL refuses the login")
	fails("database", change(func(c *Config) { c.URI = strings.Replace(cfg.URI, "/lake", "/sea", 1) }), "does not exist")
	for parameters, want := range map[string]string{
		"sslmode=yes":      "sslmode=yes is not known: it is one of disable",
		"sslmode=require":  "speaks no TLS, and sslmode wants it",
		"sslmodee=require": "does not take a parameter of catalog.uri: correct what stands there after the ?: unrecognized configuration parameter \"sslmodee\"",
		"sslmode=verify-ca&sslrootcert=/none.pem":  "/none.pem: no such file",
		"connect_timeout=soon":                     "invalid connect_timeout",
		"target_session_attrs=best":                "unknown target_session_attrs value: best",
		"sslcertmode=hidden-pw&password=hidden-pw": "cannot be read",
	} {
		fails(parameters, change(func(c *Config) { c.URI += "?" + parameters }), want)
	}
	fails("address", change(func(c *Config) { c.URI = "postgres://a:hidden-pw%zz@h/d" }), "cannot be read")
	fails("scheme", change(func(c *Config) { c.URI = "postgresql+psycopg2://a:hidden-pw@h/d" }), "no address of a PostgreSQL database")
	fails("warehouse", change(func(c *Config) { c.Warehouse = "" }), "warehouse is not set")

	// Without the right to make the catalog's tables.
	p.Exec("CREATE USER weak PASSWORD 'hidden-pw'")
	weak := change(func(c *Config) { c.URI = p.URIFor("weak", "hidden-pw") })
	fails("create", weak, "lacks a permission")
	c := initTest(t, cfg)
	p.Exec("GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO weak")
	weak.Create = false
	reader := openTest(t, weak) // whoever verifies need not be able to change what is verified
	b := eventBatch(t, reader, 0, 3)
	_, err := reader.CommitBatch(ctx, AgentEvents, b)
	requireConfigError(t, err, "lacks a permission")
	require.Zero(t, verifyClean(t, reader).rows(AgentEvents))

	// A server that has become read-only in mid-run.
	p.Exec("ALTER DATABASE lake SET default_transaction_read_only = on")
	c.db.SetMaxIdleConns(0)
	_, err = c.CommitBatch(ctx, AgentEvents, b)
	requireConfigError(t, err, "is read-only: name the primary")
	p.Exec("BEGIN READ WRITE; ALTER DATABASE lake RESET default_transaction_read_only; COMMIT")
	_, err = c.CommitBatch(ctx, AgentEvents, b)
	require.NoError(t, err)
}

// The server crashes and comes back: a commit under way waits for it, and what
// was committed is there.
func TestPostgresGoesAndComesBack(t *testing.T) {
	ctx := context.Background()
	p, cfg := startPostgres(t)
	c := initTest(t, cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	b, last := eventBatch(t, c, 3, 5), eventBatch(t, c, 5, 6)
	p.Kill()

	_, err = Open(ctx, cfg)
	require.ErrorContains(t, err, "cannot be reached: start it, or correct catalog.uri")
	require.NotContains(t, err.Error(), "pg-test-password")
	var config *ConfigError
	require.False(t, errors.As(err, &config), "a retry can mend it")
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = c.CommitBatch(short, AgentEvents, b)
	var notLanded *NotLandedError
	require.ErrorAs(t, err, &notLanded)

	tried := make(chan struct{})
	b.OnRetry = func(attempt int, _ error) {
		if attempt == 2 {
			close(tried)
		}
	}
	done := make(chan error)
	go func() { _, err := c.CommitBatch(ctx, AgentEvents, b); done <- err }()
	<-tried
	p.Start()
	require.NoError(t, <-done)
	// Connections that the pool still has from before a restart are no obstacle.
	p.Stop()
	p.Start()
	_, err = c.CommitBatch(ctx, AgentEvents, last)
	require.NoError(t, err)
	require.EqualValues(t, 6, verifyClean(t, c).rows(AgentEvents))
}

// A process that is stopped between its UPDATE and its COMMIT does not hold the
// others for ever.
func TestPostgresStoppedWriterLetsGo(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	was := idleTimeout
	idleTimeout = "2s"
	t.Cleanup(func() { idleTimeout = was })
	_, cfg := startPostgres(t)
	c := initTest(t, cfg)
	pg, err := postgresConfig(cfg)
	require.NoError(t, err)
	stopped, err := pgx.ConnectConfig(ctx, pg)
	require.NoError(t, err)
	defer stopped.Close(ctx)
	require.NoError(t, settle(ctx, stopped))
	tx, err := stopped.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "UPDATE iceberg_tables SET metadata_location = 'nowhere'")
	require.NoError(t, err)
	landed, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	require.Error(t, tx.Commit(ctx))
	require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))
	t.Logf("%d attempts", landed.Attempts)
}

func TestPostgresSettings(t *testing.T) {
	ctx := context.Background()
	p, cfg := startPostgres(t)
	p.Exec("ALTER DATABASE lake SET synchronous_commit = off", "ALTER DATABASE lake SET default_transaction_isolation = 'serializable'")
	c := initTest(t, cfg)
	for name, want := range map[string]string{"synchronous_commit": "on", "application_name": "auditlake", "idle_in_transaction_session_timeout": idleTimeout, "default_transaction_isolation": "read committed"} {
		var have string
		require.NoError(t, c.db.QueryRowContext(ctx, "SELECT current_setting($1)", name).Scan(&have))
		require.Equal(t, want, have, name)
	}
	p.Exec("ALTER DATABASE lake SET synchronous_commit = remote_apply")
	c.db.SetMaxIdleConns(0) // new sessions from here on
	var have string
	require.NoError(t, c.db.QueryRowContext(ctx, "SELECT current_setting('synchronous_commit')").Scan(&have))
	require.Equal(t, "remote_apply", have)
}

// What each of PostgreSQL's errors says of a commit.
func TestPostgresJudgement(t *testing.T) {
	of := func(code, severity string) error {
		return errors.Join(errors.New("update"), &pgconn.PgError{Code: code, Severity: severity, SeverityUnlocalized: severity, Message: "m"})
	}
	refused := OutcomeRefused
	for _, tc := range []struct {
		err  error
		want Outcome
	}{
		{of("40001", "ERROR"), OutcomeRetry}, {of("40P01", "ERROR"), OutcomeRetry}, {of("55P03", "ERROR"), OutcomeRetry},
		{of("57014", "ERROR"), OutcomeRetry}, {of("53100", "ERROR"), OutcomeRetry}, {of("23505", "ERROR"), OutcomeRetry},
		{of("40003", "ERROR"), OutcomeUnknown}, {of("57P01", "FATAL"), OutcomeUnknown}, {of("57P02", "FATAL"), OutcomeUnknown},
		{of("08006", "FATAL"), OutcomeUnknown}, {of("25P03", "FATAL"), OutcomeUnknown}, {of("XX000", "PANIC"), OutcomeUnknown},
		{of("58030", "ERROR"), OutcomeUnknown}, {of("XX000", "ERROR"), OutcomeUnknown}, {of("XX001", "ERROR"), OutcomeUnknown},
		{of("28P01", "FATAL"), refused}, {of("42501", "ERROR"), refused}, {of("25006", "ERROR"), refused}, {of("42P01", "ERROR"), refused},
		{pgx.ErrTxCommitRollback, OutcomeRetry}, {errors.New("unexpected EOF"), OutcomeUnknown}, {os.ErrDeadlineExceeded, OutcomeUnknown},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, OutcomeRetry}, {&net.OpError{Op: "read", Err: errors.New("reset")}, OutcomeUnknown},
	} {
		c := &Catalog{judge: func(err error) (Outcome, error, bool) { return judgePostgres(Config{}, err) }}
		outcome, err := c.judgeError(AgentEvents, tc.err, OutcomeUnknown)
		require.Equal(t, tc.want, outcome, "%v", tc.err)
		var config *ConfigError
		if errors.As(err, &config) { // only that the catalog is not there is not for somebody to give
			require.Equal(t, postgresCode(tc.err) != "42P01", config.Access, "%v", tc.err)
		}
	}
}

// Whoever ends a process while it connects is not told that a connection is bad.
func TestPostgresOpenIsInterrupted(t *testing.T) {
	_, cfg := startPostgres(t)
	initTest(t, cfg)
	began := time.Now()
	c, err := Open(context.Background(), cfg)
	require.NoError(t, err)
	took := time.Since(began)
	require.NoError(t, c.Close())
	for i := range time.Duration(60) { // at any moment of it
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(took*i/50, cancel)
		c, err := Open(ctx, cfg)
		cancel()
		if err == nil {
			require.NoError(t, c.Close())
			continue
		}
		require.ErrorIs(t, err, context.Canceled, "after %s of %s", took*i/50, took)
	}
}
