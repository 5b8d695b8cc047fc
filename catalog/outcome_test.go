package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sqliteErrors are errors as SQLite makes them, by what they mean.
func sqliteErrors(t *testing.T) (readOnly, cantOpen, full error) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "x.db")
	run := func(dsn string, statements ...string) (err error) {
		db, err := sql.Open("sqlite", dsn)
		require.NoError(t, err)
		defer db.Close()
		db.SetMaxOpenConns(1) // pragmas are a connection's
		for _, s := range statements {
			if _, err = db.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
	require.NoError(t, run("file:"+path, "CREATE TABLE t(a)"))
	readOnly = run("file:"+path+"?mode=ro", "INSERT INTO t VALUES (1)")
	cantOpen = run("file:"+path+"/none/x.db", "CREATE TABLE t(a)")
	full = run("file:"+path, "PRAGMA max_page_count=1", "INSERT INTO t VALUES (zeroblob(1000000))")
	require.Equal(t, []int{8, 14, 13}, []int{sqliteCode(readOnly), sqliteCode(cantOpen), sqliteCode(full)})
	return readOnly, cantOpen, full
}

// A catalog that cannot be written ends a commit at once and says what to do.
func TestCommitBatchCatalogNotWritable(t *testing.T) {
	ctx := context.Background()
	t.Run("really read-only", func(t *testing.T) {
		c := initTest(t, testConfig(t))
		b := eventBatch(t, c, 0, 3)
		c.db.SetMaxOpenConns(1)
		_, err := c.db.ExecContext(ctx, "PRAGMA query_only=1")
		require.NoError(t, err)
		_, err = c.CommitBatch(ctx, AgentEvents, b)
		requireConfigError(t, err, "is read-only: make the file")
		_, err = c.db.ExecContext(ctx, "PRAGMA query_only=0")
		require.NoError(t, err)
		require.Zero(t, verifyClean(t, c).rows(AgentEvents))
	})
	readOnly, cantOpen, full := sqliteErrors(t)
	for text, fault := range map[string]error{"is read-only": readOnly, "cannot be opened": cantOpen} {
		t.Run(text, func(t *testing.T) {
			cfg := testConfig(t)
			attempts := 0
			cfg.Intercept = func(string, func() error) error { attempts++; return fmt.Errorf("update: %w", fault) }
			c := initTest(t, cfg)
			_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
			requireConfigError(t, err, text)
			require.Equal(t, 1, attempts)
		})
		t.Run(text+" after an unknown attempt", func(t *testing.T) {
			cfg := testConfig(t)
			answers := []error{errLost, fault}
			cfg.Intercept = func(string, func() error) (err error) {
				err, answers = answers[0], answers[1:]
				return err
			}
			c := initTest(t, cfg)
			_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
			var unknown *UnknownError
			require.ErrorAs(t, err, &unknown)
			requireConfigError(t, err, text)
		})
	}
	t.Run("full for a while", func(t *testing.T) {
		cfg := testConfig(t)
		attempts := 0
		cfg.Intercept = func(_ string, land func() error) error {
			if attempts++; attempts < 3 {
				return full
			}
			return land()
		}
		c := initTest(t, cfg)
		landed, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
		require.NoError(t, err)
		require.Equal(t, 3, landed.Attempts)
	})
	t.Run("full to the end", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Intercept = func(string, func() error) error { return full }
		c := initTest(t, cfg)
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
		var notLanded *NotLandedError
		require.ErrorAs(t, err, &notLanded)
		require.ErrorContains(t, err, "make room")
	})
}

func requireConfigError(t *testing.T, err error, text string) {
	t.Helper()
	var cfg *ConfigError
	require.ErrorAs(t, err, &cfg)
	require.Equal(t, 2, cfg.ExitCode())
	require.ErrorContains(t, err, text)
}

// A clock behind the table's last snapshot refuses every attempt, definitely,
// until it has caught up.
func TestCommitBatchClockBehind(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	// The last snapshot was made two hours from now.
	snap := tbl.ice.CurrentSnapshot()
	path := localPath(tbl.MetadataLocation())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var meta map[string]any
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	require.NoError(t, in.Decode(&meta))
	future := snap.TimestampMs + (2 * time.Hour).Milliseconds()
	meta["last-updated-ms"] = future
	meta["snapshots"].([]any)[0].(map[string]any)["timestamp-ms"] = future
	meta["snapshot-log"].([]any)[0].(map[string]any)["timestamp-ms"] = future
	text, err = json.Marshal(meta)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o644))

	b := eventBatch(t, c, 3, 5)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err = c.CommitBatch(short, AgentEvents, b)
	var notLanded *NotLandedError
	require.ErrorAs(t, err, &notLanded)
	require.Greater(t, notLanded.Attempts, 1)
	require.ErrorContains(t, err, "the clock of this machine is 1h59m")
}
