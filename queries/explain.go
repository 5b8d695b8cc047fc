package queries

import (
	"context"
	"errors"
	"os"

	"github.com/auditlake/auditlake/catalog"
)

// Reading is what a statement reads, told without running it.
type Reading struct {
	SnapshotID int64          `json:"snapshot_id"` // of agent_events
	Tables     []TableReading `json:"tables"`      // those that it reads
	ByRanges   bool           `json:"by_ranges"`   // of files that are neither here nor in the cache only what is needed is read
	Plan       string         `json:"plan"`        // DuckDB's own; empty where files would have to be fetched first
}

// TableReading is what a statement reads of one table.
type TableReading struct {
	Table      string `json:"table"`
	Files      int    `json:"files"`       // data files planned
	FilesTotal int64  `json:"files_total"` // of the snapshot
	Bytes      int64  `json:"bytes"`       // size of the planned files, of which a query reads the columns it needs
	BytesTotal int64  `json:"bytes_total"` // of the snapshot's
	RowGroups  int    `json:"row_groups"`  // in the planned files; 0 where their writer does not say
	Rows       int64  `json:"rows"`        // in the planned files
	Remote     int    `json:"remote"`      // planned files that are not on this machine
	Cached     int    `json:"cached"`      // of these, in the cache
	FetchBytes int64  `json:"fetch_bytes"` // of those that are not, where they are fetched whole
}

// Explain says what a SELECT reads, and how DuckDB would go about it. It neither
// fetches nor runs anything.
func (s *Session) Explain(ctx context.Context, text string) (Reading, error) {
	return s.explain(ctx, statement{text: text}, window{s.opts.From, s.opts.To})
}

// ExplainQuery is [Session.Explain] of a query by its name.
func (s *Session) ExplainQuery(ctx context.Context, name string, params map[string]string) (Reading, error) {
	st, win, err := s.statementOf(name, params)
	if err != nil {
		return Reading{}, err
	}
	r, err := s.explain(ctx, st, win)
	return r, st.query.blame(err)
}

func (s *Session) explain(ctx context.Context, st statement, win window) (r Reading, err error) {
	err = s.judged(ctx, st, win, func(ctx context.Context, j judgement) error {
		r = s.reading(j)
		for _, t := range r.Tables {
			if t.Cached < t.Remote {
				return nil
			}
		}
		r.Plan, err = s.duckPlan(ctx, j)
		return err
	})
	return r, err
}

func (s *Session) reading(j judgement) Reading {
	r := Reading{SnapshotID: j.tables[0].plan.SnapshotID, Tables: []TableReading{}, ByRanges: s.opts.ExtensionDir != ""}
	for _, p := range j.tables {
		if !j.shape.reads[p.rows] {
			continue
		}
		t := TableReading{Table: p.table, Files: len(p.plan.Files), FilesTotal: p.plan.FilesTotal, BytesTotal: p.plan.BytesTotal}
		for _, f := range p.plan.Files {
			t.Bytes, t.RowGroups, t.Rows = t.Bytes+f.Size, t.RowGroups+f.RowGroups, t.Rows+f.Rows
			if _, local := localPath(f.URI); local {
				continue
			}
			if t.Remote++; s.cache.has(f) {
				t.Cached++
			} else if !r.ByRanges {
				t.FetchBytes += f.Size
			}
		}
		r.Tables = append(r.Tables, t)
	}
	return r
}

// duckPlan asks DuckDB over files that are here. Repeats are not looked for,
// since that reads every id; where there are any, a run has an anti-join more.
func (s *Session) duckPlan(ctx context.Context, j judgement) (plan string, err error) {
	j.shape.repeats = false
	err = s.opened(ctx, j, s.cache.heldOnly(), func(e *engine) (err error) {
		plan, err = planText(ctx, e, "EXPLAIN ", j.statement)
		return err
	})
	if errors.Is(err, errNotHeld) {
		return "", nil // evicted just now
	}
	return plan, err
}

// has reports whether a copy of the file is in the cache.
func (c *cache) has(f catalog.PlannedFile) bool {
	if c.dir == "" {
		return false
	}
	info, err := os.Stat(c.copyOf(f.URI))
	return err == nil && info.Size() == f.Size
}
