package catalog

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who may only read the catalog's file can load, plan and verify.
func TestSQLiteReadOnly(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t)
	c := initTest(t, cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 10))
	require.NoError(t, err)
	require.NoError(t, c.Close())

	// As openSQLite does where the first try meets a read-only file; root, who runs
	// many tests, may write to any.
	cfg.Namespace, cfg.Name = "audit", "auditlake"
	reader, err := dialSQLite(ctx, cfg, readOnly(cfg.URI), false)
	require.NoError(t, err)
	defer reader.Close()
	require.EqualValues(t, 10, verifyClean(t, reader).rows(AgentEvents))
}

// A catalog's file that Open made goes with it where nothing came in, and stays where
// a table did, or somebody else has it open.
func TestSQLiteFileThatNothingCameInto(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t)
	made, err := Open(ctx, cfg)
	require.NoError(t, err)
	other := openTest(t, cfg)
	require.NoError(t, made.Close())
	require.FileExists(t, cfg.URI, "another process is at it")
	_, err = other.Init(ctx, InitOptions{})
	require.NoError(t, err)
	_, err = openTest(t, cfg).Load(ctx, AgentEvents)
	require.NoError(t, err)

	cfg = testConfig(t)
	made, err = Open(ctx, cfg)
	require.NoError(t, err)
	require.NoError(t, made.Close())
	for _, name := range []string{"", "-wal", "-shm", "-journal"} {
		require.NoFileExists(t, cfg.URI+name)
	}
	made, err = Open(ctx, cfg)
	require.NoError(t, err)
	_, err = made.Init(ctx, InitOptions{})
	require.NoError(t, err)
	require.NoError(t, made.Close())
	require.FileExists(t, cfg.URI)

	// Tables in a file that nobody finds any more are none.
	cfg = testConfig(t)
	c := openTest(t, cfg)
	require.NoError(t, os.Rename(cfg.URI, cfg.URI+".away"))
	_, err = c.Init(ctx, InitOptions{})
	require.ErrorContains(t, err, "was removed while tables were made in it: run `auditlake init` again")
}
