package sink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// Where a catalog gives keys that are good for one table each, a dropped batch takes
// the files of both tables with it.
func TestDroppedBatchLeavesNothingBehindVendedKeys(t *testing.T) {
	t.Cleanup(func() { storage.Register(storage.Config{}) })
	server := storagetest.StartS3(t, "lake")
	gate := catalogtest.StartS3Gate(t, server, time.Hour)
	rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: server, Vend: gate})
	l := newFaultLab(t, 1, catalog.Config{Type: "rest", URI: rest.URI})
	l.produce(60, 3)
	said := &lockedLines{}
	cfg := l.config()
	cfg.CommitTimeout, cfg.Log = faultTimeout, said.logger()
	plan := &faultPlan{table: catalog.AgentEvents}
	plan.fault = func(func() error) error { l.faults.Store(plan); return errors.New("requirement failed: a test's") }
	l.faults.Store(plan)
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	require.Error(t, s.Run(context.Background()))

	list, err := storagetest.Client(server).ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: aws.String("lake")})
	require.NoError(t, err)
	for _, o := range list.Contents {
		require.False(t, strings.HasSuffix(*o.Key, ".parquet"), "%s is left behind", *o.Key)
	}
	require.Empty(t, gate.Refused())
	require.Len(t, gate.Served(), 2, "each table by its own key")
	require.NotContains(t, said.text(), "left behind")

	l.faults.Store(nil)
	l.catchUp(l.config())
	l.requireOnce()
}
