package catalog

import (
	"context"
	"errors"
	"fmt"
)

// Report is what Verify found. It proves, without a ledger, that for every
// topic partition each offset from the first to the committed one is accounted
// for exactly once.
type Report struct {
	OK         bool              `json:"ok"`
	Tables     []TableReport     `json:"tables"`
	Partitions []PartitionReport `json:"topic_partitions"`
	Problems   []Problem         `json:"problems"`
	Notes      []string          `json:"notes"`
}

// TableReport sums up one table at the snapshot that was verified.
type TableReport struct {
	Table      string `json:"table"`
	SnapshotID int64  `json:"snapshot_id,string,omitempty"` // a text in JSON, whose numbers lose digits
	Snapshots  int    `json:"snapshots"`
	Files      int    `json:"files"`
	Bytes      int64  `json:"bytes"`
	Rows       int64  `json:"rows"`
}

// PartitionReport sums up one topic partition over both tables.
type PartitionReport struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	First       int64  `json:"first_offset"`
	Next        int64  `json:"committed_offset"`
	Events      int64  `json:"event_records"`
	EventRows   int64  `json:"event_rows"`
	DeadLetters int64  `json:"dead_letters"`
	Holes       int64  `json:"explained_holes"` // offsets at which the broker had no record
	Missing     int64  `json:"missing"`
	Duplicates  int64  `json:"duplicates"`
}

// Problem is one thing that is not as it must be.
type Problem struct {
	// Kind is one of gap, duplicate, in_both_tables, beyond_committed, range,
	// count, file_missing, file_size, file_unreadable, metadata_unreadable.
	Kind      string `json:"kind"`
	Table     string `json:"table,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from,omitempty"` // offsets [From, To)
	To        int64  `json:"to,omitempty"`
	File      string `json:"file,omitempty"`
	Text      string `json:"text"`
}

// VerifyOptions tune a verification; the zero value is fine.
type VerifyOptions struct {
	// Deep reads all columns instead of the provenance alone, and checks the
	// checksum of every page: bit rot anywhere in a data file's pages is found.
	Deep bool
	// Progress, when set, hears after every data file how many of how many are done.
	Progress func(done, total int)

	loaded func() // called between the loads of the two tables; for tests
}

// Verify reads the provenance of every row of both tables at their current
// snapshots and holds it against the committed offsets, the snapshot summaries
// and the object store. The error is for what kept it from looking; what it
// found wrong is in the report.
func (c *Catalog) Verify(ctx context.Context, opts VerifyOptions) (*Report, error) {
	report := &Report{Tables: []TableReport{}, Partitions: []PartitionReport{}, Problems: []Problem{}, Notes: []string{}}
	// A sink may be at work. It lands dead letters before the events of the same
	// records: agent_events is loaded first, so that dead_letters, loaded later,
	// holds whatever the ranges of agent_events count on.
	var sides [2]*side
	var total, done int
	for i, name := range []string{AgentEvents, DeadLetters} {
		if i > 0 && opts.loaded != nil {
			opts.loaded()
		}
		s, damage, err := c.loadSide(ctx, name)
		if err != nil {
			return nil, err
		}
		if damage != nil {
			report.Problems = append(report.Problems, damage...)
			continue
		}
		s.deep = opts.Deep
		sides[i] = s
		total += len(s.plan.Files)
	}
	if len(report.Problems) > 0 {
		report.Notes = append(report.Notes, "nothing but metadata files was checked: without them it is not known which data files there are")
		return report, nil
	}
	for _, s := range sides {
		err := s.read(ctx, report, func() {
			done++
			if opts.Progress != nil {
				opts.Progress(done, total)
			}
		})
		if err != nil {
			return nil, err
		}
		report.Tables = append(report.Tables, TableReport{
			Table: s.table.name, SnapshotID: s.plan.SnapshotID, Snapshots: len(s.snapshots),
			Files: len(s.plan.Files), Bytes: s.bytes, Rows: s.rows,
		})
	}
	judge(report, sides[0], sides[1])
	report.OK = len(report.Problems) == 0
	return report, nil
}

// side is one table under verification.
type side struct {
	table     *Table
	plan      *Plan
	offsets   Offsets
	snapshots []Snapshot
	seen      map[logKey]*seen
	rows      int64
	bytes     int64
	deep      bool // see VerifyOptions
}

// loadSide loads and plans a table. Metadata files that are gone or damaged are
// problems to report instead.
func (c *Catalog) loadSide(ctx context.Context, name string) (*side, []Problem, error) {
	t, err := c.Load(ctx, name)
	var cfg *ConfigError
	if errors.As(err, &cfg) {
		return nil, nil, err
	}
	s := &side{table: t, seen: map[logKey]*seen{}}
	if err == nil {
		s.plan, err = t.Plan(ctx, PlanOptions{})
	}
	if err != nil {
		if damage := c.damagedMetadata(ctx, name, t); damage != nil {
			return nil, damage, nil
		}
		return nil, nil, err
	}
	if s.offsets, err = t.Offsets(); err != nil {
		return nil, nil, err
	}
	if s.snapshots, err = t.Snapshots(); err != nil {
		return nil, nil, err
	}
	return s, nil, nil
}

func (r *Report) problem(p Problem, format string, args ...any) {
	p.Text = fmt.Sprintf(format, args...)
	r.Problems = append(r.Problems, p)
}
