package queries

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// statement is SQL with the values of its $parameters.
type statement struct {
	text string
	args []any // [sql.NamedArg]
}

// shape is what a probe learns about a statement it lets through.
type shape struct {
	names   []string
	types   []duckdb.TypeInfo // nil where DuckDB's Go client cannot describe the type
	reads   map[string]bool   // names of lake tables it reads
	repeats bool              // it reads agent_events, where repeats must not count
}

// probeMemory is plenty for planning a statement over empty tables.
const probeMemory = 256 << 20

// probe judges a statement on an engine that has the views but neither data nor
// access to anything: exactly one statement, a SELECT, over our views and
// harmless functions. Nothing of it runs.
func probe(ctx context.Context, tables []planned, st statement, dir string) (sh *shape, err error) {
	e, err := openEngine(ctx, 1, probeMemory, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	for _, p := range tables {
		if err := e.exec(ctx, "CREATE TABLE lake."+p.rows+" AS "+p.scan(nil)); err != nil {
			return nil, fmt.Errorf("table %s: %w", p.table, err)
		}
	}
	// The table stands for the place where repeats are taken out: who reads
	// agent_events reads it.
	if err := e.exec(ctx, "CREATE TABLE lake.once AS SELECT 1 AS n WHERE false"); err != nil {
		return nil, err
	}
	once := "SELECT " + tables[0].names("") + " FROM lake.event_rows WHERE NOT EXISTS (FROM lake.once)"
	if err := e.exec(ctx, viewScript(tables, once)...); err != nil {
		return nil, fmt.Errorf("make the views: %w", err)
	}
	// The optimizer may drop a table that the data could not make it drop.
	if err := e.exec(ctx, "PRAGMA disable_optimizer"); err != nil {
		return nil, err
	}
	if err := e.lock(ctx, nil, 0); err != nil {
		return nil, fmt.Errorf("lock DuckDB down: %w", err)
	}
	sh = &shape{reads: map[string]bool{}}
	if err := sh.gate(e, st); err != nil {
		return nil, err
	}
	return sh, sh.walkPlan(ctx, e, st)
}

// gate prepares the statement, which parses and binds it. It must be Prepare:
// that refuses several statements in one text, where PrepareContext would run
// all but the last.
func (sh *shape) gate(e *engine, st statement) error {
	return e.conn.Raw(func(c any) error {
		prepared, err := c.(driver.Conn).Prepare(st.text)
		if err != nil {
			return judgeText(err)
		}
		defer prepared.Close()
		stmt := prepared.(*duckdb.Stmt)
		kind, err := stmt.StatementType()
		if err != nil {
			return err
		}
		if kind != duckdb.STATEMENT_TYPE_SELECT {
			return &GateError{"only one SELECT (also WITH, FROM, DESCRIBE, SUMMARIZE, SHOW) may run here, to look at a query plan use --explain"}
		}
		n, err := stmt.ColumnCount()
		if err != nil {
			return err
		}
		for i := range n {
			name, err := stmt.ColumnName(i)
			if err != nil {
				return err
			}
			info, err := stmt.ColumnTypeInfo(i)
			if err != nil {
				info = nil
			}
			sh.names, sh.types = append(sh.names, name), append(sh.types, info)
		}
		return nil
	})
}

// judgeText tells a text that is refused from one that is merely wrong.
func judgeText(err error) error {
	if strings.Contains(err.Error(), "PrepareContext") { // the client's hint for several statements
		return &GateError{"one statement at a time, and this text holds several"}
	}
	if strings.Contains(err.Error(), "empty query") {
		return usagef("there is no SQL to run")
	}
	return err
}

// planNode is a node of EXPLAIN (FORMAT json).
type planNode struct {
	Name     string         `json:"name"`
	Children []planNode     `json:"children"`
	Extra    map[string]any `json:"extra_info"`
}

// walkPlan asks DuckDB itself what the statement reads: the text may hide it in
// quotes, macros, query_table() and the like.
func (sh *shape) walkPlan(ctx context.Context, e *engine, st statement) error {
	var key, text string
	if err := e.conn.QueryRowContext(ctx, "EXPLAIN (FORMAT json) "+st.text, st.args...).Scan(&key, &text); err != nil {
		return err
	}
	var nodes []planNode
	if err := json.Unmarshal([]byte(text), &nodes); err != nil {
		return fmt.Errorf("read DuckDB's query plan: %w", err)
	}
	for len(nodes) > 0 {
		node := nodes[0]
		nodes = append(nodes[1:], node.Children...)
		if table, ok := node.Extra["Table"].(string); ok {
			name := table[strings.LastIndexByte(table, '.')+1:]
			sh.reads[name] = true
			sh.repeats = sh.repeats || name == "once"
			continue
		}
		if fn, ok := node.Extra["Function"].(string); ok && !harmless(fn) {
			return &GateError{fmt.Sprintf("the function %s is not allowed here: SQL reads the views only", strings.ToLower(fn))}
		}
	}
	return nil
}

// harmless reports whether a table function neither reads files nor changes the
// engine.
func harmless(fn string) bool {
	fn = strings.ToLower(fn)
	return slices.Contains(harmlessFunctions, fn) || strings.HasPrefix(fn, "duckdb_") || strings.HasPrefix(fn, "pragma_")
}

var harmlessFunctions = []string{
	"range", "generate_series", "repeat", "repeat_row", "unnest", "json_each", "json_tree", "summary", "seq_scan",
	"icu_calendar_names", "pg_timezone_names", "test_all_types",
}
