package queries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var errNotSelect = &GateError{"only one SELECT (also WITH, FROM, DESCRIBE, SUMMARIZE, SHOW, and PIVOT with an IN list) may run here; " +
	"to look at its query plan use --explain or --analyze"}

// errUnparsed is a text that DuckDB cannot parse.
var errUnparsed = errors.New("the SQL cannot be parsed")

// judge looks at a text as DuckDB parses it, before anything of it is bound:
// binding read_csv already reads a file, and binding query() what its text says.
// It returns the statement without the semicolon that ends it.
func (e *engine) judge(ctx context.Context, text string) (string, error) {
	if strings.ContainsRune(text, 0) {
		return "", usagef("the SQL holds a NUL byte: is it a text file?")
	}
	tree, err := e.parse(ctx, text)
	if err != nil {
		return "", err
	}
	switch {
	case tree.failed:
		return "", errUnparsed
	case tree.statements == 0:
		return "", usagef("there is no SQL to run")
	case tree.statements > 1:
		return "", &GateError{"one statement at a time, and this text holds several"}
	}
	if tree.internal {
		return "", &GateError{"schema lake is where the views' rows stand, and file names of this machine: SQL reads the views, see `auditlake sql \"SHOW TABLES\"`"}
	}
	for _, fn := range tree.tableFunctions {
		if !harmless(fn) {
			return "", refusedFunction(fn)
		}
	}
	for _, fn := range tree.functions {
		if slices.Contains(refusedFunctions, strings.ToLower(fn)) {
			return "", refusedFunction(fn)
		}
	}
	return e.unterminated(ctx, text, tree)
}

// unterminated cuts off the semicolon that ends a statement and the comments
// after it, so that the text can stand in brackets. The parser decides which
// semicolon that is: the rest must be the same statement.
func (e *engine) unterminated(ctx context.Context, text string, whole syntax) (string, error) {
	for end := len(text); end >= 0; end = strings.LastIndexByte(text[:end], ';') {
		bracketed, err := e.parse(ctx, "FROM (\n"+text[:end]+"\n)")
		if err != nil {
			return "", err
		}
		if bracketed.failed || bracketed.statements != 1 {
			continue
		}
		tree, err := e.parse(ctx, text[:end])
		if err != nil {
			return "", err
		}
		if tree.text == whole.text {
			return text[:end], nil
		}
	}
	return "", errNotSelect
}

// syntax is a text as DuckDB's parser sees it.
type syntax struct {
	text           string // the tree, JSON
	failed         bool   // it does not parse
	statements     int
	functions      []string // all that are called
	tableFunctions []string // of these the ones in place of a table
	internal       bool     // it names a table of schema lake
}

// parse parses SELECTs; a text that holds anything else is refused.
func (e *engine) parse(ctx context.Context, text string) (syntax, error) {
	var tree string
	if err := e.conn.QueryRowContext(ctx, "SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", text).Scan(&tree); err != nil {
		return syntax{}, err
	}
	var doc struct {
		Error      bool   `json:"error"`
		Message    string `json:"error_message"`
		Statements []any  `json:"statements"`
	}
	if err := json.Unmarshal([]byte(tree), &doc); err != nil {
		return syntax{}, fmt.Errorf("read DuckDB's syntax tree: %w", err)
	}
	switch {
	case doc.Error && strings.HasPrefix(doc.Message, "Only SELECT"):
		return syntax{}, errNotSelect
	case doc.Error:
		return syntax{text: tree, failed: true}, nil
	}
	s := syntax{text: tree, statements: len(doc.Statements)}
	s.walk(doc.Statements)
	return s, nil
}

// walk collects the functions and tables of a part of the tree.
func (s *syntax) walk(part any) {
	switch part := part.(type) {
	case []any:
		for _, inner := range part {
			s.walk(inner)
		}
	case map[string]any:
		if name, ok := part["function_name"].(string); ok {
			s.functions = append(s.functions, name)
		}
		if call, ok := part["function"].(map[string]any); ok && part["type"] == "TABLE_FUNCTION" {
			name, _ := call["function_name"].(string)
			s.tableFunctions = append(s.tableFunctions, name)
		}
		if schema, ok := part["schema_name"].(string); ok && part["type"] == "BASE_TABLE" {
			s.internal = s.internal || strings.EqualFold(schema, "lake")
		}
		for _, inner := range part {
			s.walk(inner)
		}
	}
}

func refusedFunction(fn string) error {
	return &GateError{fmt.Sprintf("the function %s is not allowed here: SQL reads the views only", strings.ToLower(fn))}
}

// harmless reports whether a table function neither reads files nor changes the
// engine, nor tells about this machine.
func harmless(fn string) bool { return slices.Contains(harmlessFunctions, strings.ToLower(fn)) }

var harmlessFunctions = []string{
	"range", "generate_series", "repeat", "repeat_row", "unnest", "json_each", "json_tree", "summary",
	"icu_calendar_names", "pg_timezone_names", "test_all_types",
	"duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_dependencies", "duckdb_functions", "duckdb_indexes",
	"duckdb_keywords", "duckdb_schemas", "duckdb_sequences", "duckdb_tables", "duckdb_types", "duckdb_views",
	"pragma_collations", "pragma_platform", "pragma_show", "pragma_table_info", "pragma_version",
}

// refusedFunctions may stand nowhere. What query and query_table read is a text
// that may come out differently in the probe and in the engine, so the probe
// could not answer for it; json_serialize_plan binds a text too; the sleeps wait
// where nothing can stop them; the others tell about this machine (current_query the
// folder of the run) or write.
var refusedFunctions = []string{"query", "query_table", "json_serialize_plan", "sleep_ms", "pg_sleep", "current_query", "current_setting", "getenv", "getvariable", "write_log"}
