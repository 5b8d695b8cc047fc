package queries

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// statement is SQL with the values of its $parameters.
type statement struct {
	text string
	args []any // [sql.NamedArg]

	query  *Query // that it is; nil for SQL of a command line
	values paramValues
	given  map[string]string // what the user said of them
}

func (st statement) withoutValues() error {
	if st.query != nil {
		return usagef("%s: the SQL has a $parameter that the header does not: give it a line -- param: NAME TYPE = DEFAULT: MEANING", st.query.named())
	}
	return usagef("the SQL has parameters, and nothing gives them values: write the values into it")
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
// harmless functions. Nothing of it runs. The text of the statement that it
// returns can stand in brackets.
func probe(ctx context.Context, tables []planned, st statement, dir string) (sh *shape, judged statement, err error) {
	e, err := openProbe(ctx, tables, dir, macrosFor(st.text))
	if err != nil {
		return nil, st, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	sh, judged = &shape{reads: map[string]bool{}}, st
	judged.text, err = e.judge(ctx, st.text)
	if errors.Is(err, errUnparsed) {
		// Preparing it fails too, and says where the mistake is.
		err = cmp.Or(sh.gate(e, st), err)
	}
	if err != nil {
		return nil, st, err
	}
	if err := sh.gate(e, judged); err != nil {
		return nil, st, err
	}
	if st.query != nil {
		if err := st.query.fits(sh); err != nil {
			return nil, st, err
		}
	}
	return sh, judged, sh.walkPlan(ctx, e, judged)
}

func openProbe(ctx context.Context, tables []planned, dir string, functions []macro) (*engine, error) {
	e, err := openEngine(ctx, 1, probeMemory, dir)
	if err != nil {
		return nil, err
	}
	if err := e.mountEmpty(ctx, tables, functions); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *engine) mountEmpty(ctx context.Context, tables []planned, functions []macro) error {
	for _, p := range tables {
		if err := e.exec(ctx, "CREATE TABLE lake."+p.rows+" AS "+p.scan("")); err != nil {
			return fmt.Errorf("table %s: %w", p.table, err)
		}
	}
	// The table stands for the place where repeats are taken out: who reads
	// agent_events reads it.
	if err := e.exec(ctx, "CREATE TABLE lake.once AS SELECT 1 AS n WHERE false"); err != nil {
		return err
	}
	once := "SELECT " + tables[0].names("") + " FROM lake.event_rows WHERE NOT EXISTS (FROM lake.once)"
	if err := e.exec(ctx, viewScript(tables, once, functions)...); err != nil {
		return fmt.Errorf("make the views: %w", err)
	}
	// The optimizer may drop a table that the data could not make it drop.
	if err := e.exec(ctx, "PRAGMA disable_optimizer"); err != nil {
		return err
	}
	if err := e.lock(ctx, nil, 0); err != nil {
		return fmt.Errorf("lock DuckDB down: %w", err)
	}
	return nil
}

// gate prepares the statement, which parses and binds it. It must be Prepare:
// that refuses several statements in one text, where PrepareContext would run
// all but the last.
func (sh *shape) gate(e *engine, st statement) error {
	return e.conn.Raw(func(c any) (err error) {
		prepared, err := c.(driver.Conn).Prepare(st.text)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, prepared.Close()) }()
		stmt := prepared.(*duckdb.Stmt)
		kind, err := stmt.StatementType()
		if err != nil {
			return err
		}
		if kind != duckdb.STATEMENT_TYPE_SELECT {
			return errNotSelect
		}
		if stmt.NumInput() > len(st.args) {
			return st.withoutValues()
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
		// Macros of DuckDB's own call functions that the text does not name.
		fn, ok := node.Extra["Function"].(string)
		if node.Name == "INOUT_FUNCTION" {
			fn, ok = node.Extra["Name"].(string)
		}
		if ok && !harmless(fn) {
			return refusedFunction(fn)
		}
	}
	return nil
}
