package catalog

import (
	"strconv"
	"time"

	"github.com/apache/iceberg-go/table"
)

// Snapshot is one committed state of a table.
type Snapshot struct {
	ID        int64
	ParentID  int64 // 0 if none
	Time      time.Time
	Operation string // append, replace, overwrite, delete
	// What the snapshot's summary says, as the Iceberg spec names it.
	AddedRows, AddedFiles, TotalRows, TotalFiles, TotalBytes int64
	// CommitID and Ranges are set on snapshot commits of the sink.
	CommitID string
	Ranges   []Range
}

// Snapshots returns the snapshots that the table's current state descends from
// and that are not expired, oldest first.
func (t *Table) Snapshots() ([]Snapshot, error) {
	var out []Snapshot
	for s := t.ice.CurrentSnapshot(); s != nil; {
		snap, err := snapshotOf(s)
		if err != nil {
			return nil, err
		}
		out = append(out, snap)
		if s.ParentSnapshotID == nil {
			break
		}
		s = t.ice.SnapshotByID(*s.ParentSnapshotID)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}

// Current returns the current snapshot; ok is false for a table without one.
func (t *Table) Current() (snap Snapshot, ok bool, err error) {
	s := t.ice.CurrentSnapshot()
	if s == nil {
		return Snapshot{}, false, nil
	}
	snap, err = snapshotOf(s)
	return snap, err == nil, err
}

func snapshotOf(s *table.Snapshot) (Snapshot, error) {
	out := Snapshot{ID: s.SnapshotID, Time: time.UnixMilli(s.TimestampMs).UTC()}
	if s.ParentSnapshotID != nil {
		out.ParentID = *s.ParentSnapshotID
	}
	if s.Summary == nil {
		return out, nil
	}
	p := s.Summary.Properties
	count := func(key string) int64 {
		n, _ := strconv.ParseInt(p[key], 10, 64) // absent is 0 by the spec
		return n
	}
	out.Operation = string(s.Summary.Operation)
	out.AddedRows, out.AddedFiles = count("added-records"), count("added-data-files")
	out.TotalRows, out.TotalFiles, out.TotalBytes = count("total-records"), count("total-data-files"), count("total-files-size")
	out.CommitID = p[summaryCommitID]
	var err error
	out.Ranges, err = decodeRanges(p[summaryRanges])
	return out, err
}

// CommitSnapshot finds the snapshot made under a commit id, among the ancestors
// of the current one.
func (t *Table) CommitSnapshot(commitID string) (int64, bool) {
	for s := t.ice.CurrentSnapshot(); s != nil; {
		if s.Summary != nil && s.Summary.Properties[summaryCommitID] == commitID {
			return s.SnapshotID, true
		}
		if s.ParentSnapshotID == nil {
			break
		}
		s = t.ice.SnapshotByID(*s.ParentSnapshotID)
	}
	return 0, false
}
