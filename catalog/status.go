package catalog

import (
	"context"
	"time"
)

// TableStatus is the state of one table for people who operate it.
type TableStatus struct {
	Table      string    `json:"table"`
	SnapshotID int64     `json:"snapshot_id,string,omitempty"` // 0: none yet; a text in JSON, whose numbers lose digits
	CommitTime time.Time `json:"commit_time,omitzero"`
	Snapshots  int       `json:"snapshots"`
	Rows       int64     `json:"rows"`
	Files      int       `json:"files"`
	Bytes      int64     `json:"bytes"`
	SmallFiles int       `json:"small_files"`
	// SmallRatio is SmallFiles over Files, 0 without files.
	SmallRatio float64 `json:"small_file_ratio"`
	Partitions int     `json:"table_partitions"`
}

// Status reads a table's current state. A data file of less than smallBelow
// bytes counts as small.
func (t *Table) Status(ctx context.Context, smallBelow int64) (*TableStatus, error) {
	out := &TableStatus{Table: t.name}
	snaps, err := t.Snapshots()
	if err != nil {
		return nil, err
	}
	out.Snapshots = len(snaps)
	if len(snaps) == 0 {
		return out, nil
	}
	last := snaps[len(snaps)-1]
	out.SnapshotID, out.CommitTime, out.Rows = last.ID, last.Time, last.TotalRows
	plan, err := t.Plan(ctx, PlanOptions{})
	if err != nil {
		return nil, err
	}
	out.Files = len(plan.Files)
	dirs := map[string]bool{}
	for _, f := range plan.Files {
		out.Bytes += f.Size
		if f.Size < smallBelow {
			out.SmallFiles++
		}
		dirs[f.Partition] = true
	}
	out.Partitions = len(dirs)
	if out.Files > 0 {
		out.SmallRatio = float64(out.SmallFiles) / float64(out.Files)
	}
	return out, nil
}
