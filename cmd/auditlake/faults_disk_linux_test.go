package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// A full disk below the cache of files from S3, below the warehouse and below the
// catalog: one line, nothing is lost, and with room it goes on.
func TestFullDisk(t *testing.T) {
	t.Run("cache", func(t *testing.T) {
		disk := part.MountDisk(t, 1<<20)
		l := newLab(t, "warehouse: s3://lake/warehouse", s3Lines(storagetest.StartS3(t, "lake")), fmt.Sprintf("sql: {cache_dir: %q}", filepath.Join(disk.Dir, "cache")))
		l.sendRandom(5000)
		l.catchUp()
		r := l.call("sql", "SELECT count(payload) FROM agent_events")
		requireOneLine(t, r, exitFailed, "no space left on device: free space on this disk, or name another folder in sql.cache_dir")
		left, err := filepath.Glob(filepath.Join(disk.Dir, "cache", "*.parquet"))
		require.NoError(t, err)
		require.Empty(t, left, "half a copy is not kept")
		disk.Resize(64 << 20)
		require.EqualValues(t, 5000, l.value(`SELECT count(payload) FROM agent_events`))
	})
	for _, of := range []struct{ name, want string }{
		{"warehouse", "no space left on device: free space on this disk, or raise the quota"},
		{"catalog", "catalog.db is full or broken: make room, or mend it"},
	} {
		t.Run(of.name, func(t *testing.T) {
			disk := part.MountDisk(t, 24<<20)
			lines := []string{"catalog: {type: sqlite, uri: " + filepath.Join(disk.Dir, "catalog.db") + "}"}
			if of.name == "warehouse" {
				lines = []string{"warehouse: " + filepath.Join(disk.Dir, "warehouse")}
			}
			l := newLab(t, lines...)
			l.sendPrompts(0, 30)
			l.catchUp()
			free := disk.Fill()
			l.sendPrompts(30, 60)
			requireOneLine(t, l.call("run", "--until-caught-up"), exitFailed, of.want)
			if of.name == "warehouse" { // what only reads needs no room there; of a catalog SQLite needs some
				l.requireVerified()
			}
			free()
			l.catchUp()
			l.requireVerified()
			require.EqualValues(t, 60, l.value(`SELECT count(*) FROM agent_events`))
		})
	}
}
