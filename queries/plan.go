package queries

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditlake/auditlake/catalog"
)

// Planner says which data files hold a table's rows at one snapshot. The
// tables are those of package catalog; see [Tables].
type Planner interface {
	Plan(ctx context.Context, table string, opts catalog.PlanOptions) (*catalog.Plan, error)
}

// Tables plans over the tables of an open catalog, each as it is when planned.
func Tables(c *catalog.Catalog) Planner { return tables{c} }

type tables struct{ c *catalog.Catalog }

func (t tables) Plan(ctx context.Context, table string, opts catalog.PlanOptions) (*catalog.Plan, error) {
	loaded, err := t.c.Load(ctx, table)
	if err != nil {
		return nil, err
	}
	return loaded.Plan(ctx, opts)
}

// window is a range of time; a zero bound is open.
type window struct{ from, to time.Time }

// source is one table as SQL sees it.
type source struct {
	table string // its name in package catalog
	rows  string // where its rows stand in the engine, in schema lake
	time  string // the column that a window means
}

// sources lists the tables, agent_events first: a snapshot pin is one of its.
var sources = []source{
	{catalog.AgentEvents, "event_rows", "event_time"},
	{catalog.DeadLetters, "dead_letter_rows", "ingest_time"},
	{catalog.MaintenanceLog, "maintenance_rows", "started_at"},
}

// column of a table as SQL sees it. A known column that the snapshot does not
// have yet has no field id and reads NULL.
type column struct {
	id   int // Iceberg field id; 0 if the snapshot lacks the column
	name string
	kind string // DuckDB type
}

// planned is the plan of one table, in DuckDB's words.
type planned struct {
	source
	plan    *catalog.Plan
	columns []column
	window  window
}

// planAll plans every table over one window. The first time it pins the
// snapshots, so that all runs of a session see the same rows.
func (s *Session) planAll(ctx context.Context, w window) ([]planned, error) {
	out := make([]planned, 0, len(sources))
	for _, src := range sources {
		plan, err := s.planOne(ctx, src.table, w)
		if err != nil {
			return nil, err
		}
		s.pin(src.table, plan)
		cols, err := columnsOf(plan)
		if err != nil {
			return nil, err
		}
		out = append(out, planned{src, plan, cols, w})
	}
	return out, nil
}

// planOne plans a table at the session's snapshot. A table that had none then
// was empty; only where agent_events had none at the time that was asked for is
// the question a mistake.
func (s *Session) planOne(ctx context.Context, table string, w window) (*catalog.Plan, error) {
	opts, empty := s.pinned(table)
	if !empty {
		opts.From, opts.To = w.from, w.to
		plan, err := s.opts.Planner.Plan(ctx, table, opts)
		var mistake *catalog.ConfigError
		if opts.AsOf.IsZero() || table == catalog.AgentEvents || !errors.As(err, &mistake) || errors.Is(err, catalog.ErrNotInitialized) {
			return plan, err
		}
	}
	plan, err := s.opts.Planner.Plan(ctx, table, catalog.PlanOptions{})
	if err != nil {
		return nil, err
	}
	none := *plan
	none.SnapshotID, none.SnapshotTime, none.Files, none.FilesTotal = 0, time.Time{}, nil, 0
	return &none, nil
}

// pinned gives the options that plan a table at the session's snapshot; empty is
// that the table had none when the session first looked.
func (s *Session) pinned(table string) (opts catalog.PlanOptions, empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.pins[table]; ok {
		return catalog.PlanOptions{SnapshotID: id}, id == 0
	}
	switch {
	case table == catalog.AgentEvents:
		opts = catalog.PlanOptions{SnapshotID: s.opts.SnapshotID, AsOf: s.opts.AsOf}
	case s.opts.SnapshotID != 0:
		opts = catalog.PlanOptions{AsOf: s.pinTime}
	default:
		opts = catalog.PlanOptions{AsOf: s.opts.AsOf}
	}
	return opts, false
}

func (s *Session) pin(table string, plan *catalog.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[table] = plan.SnapshotID
	if table == catalog.AgentEvents {
		s.pinTime = plan.SnapshotTime
	}
}

// columnsOf maps a plan's columns to DuckDB, and adds the columns of this
// release that the snapshot does not have.
func columnsOf(plan *catalog.Plan) ([]column, error) {
	var out []column
	for _, c := range plan.Columns {
		kind, err := duckType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s of table %s: %w", c.Name, plan.Table, err)
		}
		out = append(out, column{c.ID, c.Name, kind})
	}
	for _, def := range catalog.Definitions() {
		if def.Name != plan.Table {
			continue
		}
		for _, f := range def.Schema.Fields() {
			if slices.ContainsFunc(out, func(c column) bool { return c.name == f.Name }) {
				continue
			}
			kind, err := duckType(f.Type.String())
			if err != nil {
				return nil, fmt.Errorf("column %s of table %s: %w", f.Name, plan.Table, err)
			}
			out = append(out, column{0, f.Name, kind})
		}
	}
	return out, nil
}

// names lists the columns for a SELECT, each with the prefix given.
func (p planned) names(prefix string) string {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = prefix + ident(c.name)
	}
	return strings.Join(names, ", ")
}

// typed lists the columns as typed NULLs, the row of a table without files.
func (p planned) typed() string {
	cols := make([]string, len(p.columns))
	for i, c := range p.columns {
		cols[i] = "NULL::" + c.kind + " AS " + ident(c.name)
	}
	return strings.Join(cols, ", ")
}

// condition is the row filter of the window, for a WHERE; empty if there is none.
// Pruning alone would let the layout of files decide what a query sees.
func (p planned) condition() string {
	var terms []string
	if !p.window.from.IsZero() {
		terms = append(terms, ident(p.time)+" >= "+timestamp(p.window.from))
	}
	if !p.window.to.IsZero() {
		terms = append(terms, ident(p.time)+" < "+timestamp(p.window.to))
	}
	return strings.Join(terms, " AND ")
}

func timestamp(t time.Time) string {
	return "TIMESTAMPTZ " + literal(t.UTC().Format("2006-01-02 15:04:05.999999")+"+00")
}

// scan is the SELECT that reads the rows of the plan from files that DuckDB can
// open, columns found by field id. It adds where each row stands: file_name and
// file_row. files is SQL that gives the list of files; empty is none.
func (p planned) scan(files string) string {
	if files == "" {
		return "SELECT " + p.typed() + ", NULL::VARCHAR AS file_name, NULL::BIGINT AS file_row WHERE false"
	}
	fields, cols := make([]string, 0, len(p.columns)), make([]string, 0, len(p.columns))
	for _, c := range p.columns {
		if c.id == 0 {
			cols = append(cols, "NULL::"+c.kind+" AS "+ident(c.name))
			continue
		}
		cols = append(cols, ident(c.name))
		fields = append(fields, fmt.Sprintf("%d:{name:%s,type:%s,default_value:NULL}", c.id, literal(c.name), literal(c.kind)))
	}
	text := "SELECT " + strings.Join(cols, ", ") + ", filename AS file_name, file_row_number AS file_row FROM read_parquet(" +
		files + ", hive_partitioning=false, schema=MAP{" + strings.Join(fields, ",") + "})"
	if where := p.condition(); where != "" {
		text += " WHERE " + where
	}
	return text
}

func textList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = literal(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
