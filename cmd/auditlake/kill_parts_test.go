package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/internal/groupkeeper"
	"github.com/auditlake/auditlake/sink/kafkatest"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// killParts are the servers below the sinks of a killLab, and a way to the files of
// the warehouse that is not auditlake's.
type killParts struct {
	name    string
	broker  string        // address
	session time.Duration // kafka.session_timeout
	lines   string        // of configuration, NAMESPACE for catalog.namespace

	lakes *int // so many have been begun on them

	restartBroker, restartCatalog func() // nil where that cannot be

	list func() []string // every file of the warehouse
	read func(path string) []byte
}

func partsInProcess(t *testing.T) killParts {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.ListenFn(groupkeeper.Listen))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	dir := t.TempDir()
	warehouse := filepath.Join(dir, "warehouse")
	return killParts{
		lakes:  new(int),
		name:   "kfake in the test's process, SQLite, a folder",
		broker: broker.ListenAddrs()[0], session: 600 * time.Millisecond,
		lines: fmt.Sprintf("catalog: {type: sqlite, uri: %q, namespace: NAMESPACE}\nwarehouse: %q", filepath.Join(dir, "catalog.db"), warehouse),
		list: func() []string {
			var out []string
			require.NoError(t, filepath.WalkDir(warehouse, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() {
					out = append(out, path)
				}
				return err
			}))
			return out
		},
		read: func(path string) []byte {
			content, err := os.ReadFile(strings.TrimPrefix(path, "file://"))
			require.NoError(t, err)
			return content
		},
	}
}

func realParts(t *testing.T) killParts {
	server, pg := storagetest.StartS3(t, "lake"), catalogtest.StartPostgres(t)
	kafka := kafkatest.Start(t, kafkatest.Options{})
	client := storagetest.Client(server)
	return killParts{
		lakes:  new(int),
		name:   "Apache Kafka, PostgreSQL, versitygw as S3",
		broker: kafka.Addr(), session: time.Second,
		lines: fmt.Sprintf("catalog: {type: postgres, uri: %q, namespace: NAMESPACE}\nwarehouse: s3://lake/warehouse\n%s\nsql: {cache_dir: %q}",
			pg.URI, s3Lines(server), t.TempDir()),
		restartBroker:  func() { kafka.Kill(); kafka.Restart() },
		restartCatalog: func() { pg.Kill(); pg.Start() },
		list: func() []string {
			var out []string
			pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String("lake")})
			for pages.HasMorePages() {
				page, err := pages.NextPage(context.Background())
				require.NoError(t, err)
				for _, object := range page.Contents {
					out = append(out, "s3://lake/"+*object.Key)
				}
			}
			return out
		},
		read: func(path string) []byte {
			key := strings.TrimPrefix(path, "s3://lake/")
			object, err := client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("lake"), Key: &key})
			require.NoError(t, err)
			defer object.Body.Close()
			content, err := io.ReadAll(object.Body)
			require.NoError(t, err)
			return content
		},
	}
}

// compareFiles holds the files that any snapshot of the lake refers to against those
// that are there, by way of iceberg-go's readers alone: missing are referred to and
// not there, orphans are data files that nothing refers to.
func (l *killLab) compareFiles() (missing, orphans []string) {
	l.t.Helper()
	there := map[string]bool{}
	for _, path := range l.parts.list() {
		there[path] = true
	}
	referred := map[string]bool{}
	refer := func(path string) (first bool) {
		path = strings.TrimPrefix(path, "file://")
		if first = !referred[path]; first {
			referred[path] = true
			if !there[path] {
				missing = append(missing, path)
				return false
			}
		}
		return first
	}
	for _, snapshot := range l.snapshots() {
		if !refer(snapshot.List) {
			continue
		}
		manifests, err := iceberg.ReadManifestList(bytes.NewReader(l.parts.read(snapshot.List)))
		require.NoError(l.t, err)
		for _, m := range manifests {
			if !refer(m.FilePath()) {
				continue
			}
			entries, err := iceberg.ReadManifest(m, bytes.NewReader(l.parts.read(m.FilePath())), true)
			require.NoError(l.t, err)
			for _, e := range entries {
				refer(e.DataFile().FilePath())
			}
		}
	}
	for path := range there {
		if strings.Contains(path, "/"+l.name+"/") && strings.Contains(path, "/data/") && !referred[path] {
			orphans = append(orphans, path)
		}
	}
	return missing, orphans
}

// snapshot is what the tables' metadata files say of one.
type snapshotEntry struct {
	ID   int64  `json:"snapshot-id"`
	List string `json:"manifest-list"`
}

// snapshots are those of both tables.
func (l *killLab) snapshots() []snapshotEntry {
	l.t.Helper()
	var out []snapshotEntry
	for _, path := range l.metadataFiles() {
		var metadata struct{ Snapshots []snapshotEntry }
		require.NoError(l.t, json.Unmarshal(l.parts.read(path), &metadata))
		out = append(out, metadata.Snapshots...)
	}
	return out
}
