package catalog

import (
	"context"
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
