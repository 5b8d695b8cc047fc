package sink

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/part"
)

// A disk that is full: one clear line, nothing lost, and it goes on when there is room.
func TestSinkOutlivesAFullDisk(t *testing.T) {
	for name, want := range map[string]string{
		"warehouse": "no space left on device: free space on this disk, or raise the quota",
		"catalog":   "is full: make room",
	} {
		t.Run(name, func(t *testing.T) {
			disk := part.MountDisk(t, 24<<20)
			tables := localTables(t)
			if name == "warehouse" {
				tables.Warehouse = "file://" + filepath.Join(disk.Dir, "wh")
			} else {
				tables.URI = filepath.Join(disk.Dir, "catalog.db")
			}
			l := newFaultLab(t, 1, tables)
			l.produce(30, 5)
			d := l.start(func(cfg *Config) { cfg.CommitTimeout = faultTimeout })
			l.awaitAll(d)
			free := disk.Fill()
			l.produce(200, 5)
			d.awaitLine(t, "failed; what is pending is read again", want)
			d.requireUp(t)
			// A job says it in one line, and ends.
			job, err := New(l.config(), l.cat)
			require.NoError(t, err)
			job.cfg.Group, job.cfg.CommitTimeout = "job", faultTimeout
			err = job.Run(t.Context())
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			free()
			l.awaitAll(d)
			d.end(t)
			l.requireOnce()
			_, err = l.cat.Verify(t.Context(), catalog.VerifyOptions{Deep: true})
			require.NoError(t, err)
		})
	}
}
