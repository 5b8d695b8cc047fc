package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// sqlTypes are the types of a query's parameters.
var sqlTypes = map[string]string{"integer": "BIGINT", "number": "DOUBLE", "timestamp": "TIMESTAMPTZ"}

var paramUse = regexp.MustCompile(`\$[a-z_]\w*`)

// measureIceberg asks the same question of DuckDB with its iceberg extension:
// a child process loads the extension, makes the views that `auditlake sql
// --setup` prints, and runs the query's file with its parameters written in.
// With every, agent_events is every row there, not every event once, which asks
// less than the query does.
func (q *queryBench) measureIceberg(c canned, values map[string]string, every bool) (r result, rows int, err error) {
	setup, err := exec.Command(q.binary, "-c", q.config, "sql", "--setup").Output()
	if err != nil {
		return r, 0, fmt.Errorf("print the script: %w", err)
	}
	text, err := os.ReadFile(filepath.Join("queries", c.Surface, c.Name+".sql"))
	if err != nil {
		return r, 0, fmt.Errorf("%w: run the benchmark from the root of the repository", err)
	}
	out := filepath.Join(q.dir, "theirs.csv")
	script := strings.NewReplacer("INSTALL iceberg;", "LOAD '"+filepath.Join(q.extensions, "avro.duckdb_extension")+"';",
		"LOAD iceberg;", "LOAD '"+filepath.Join(q.extensions, "iceberg.duckdb_extension")+"';").Replace(string(setup)) +
		"COPY (\n" + c.bound(string(text), values) + "\n) TO '" + out + "' (HEADER);"
	if every {
		script = strings.Replace(script, "COPY (", "CREATE OR REPLACE VIEW agent_events AS FROM agent_log;\nCOPY (", 1)
	}
	file := filepath.Join(q.dir, "theirs.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return r, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return r, 0, err
	}
	if r, err = measure(exec.Command(self, "iceberg", file, fmt.Sprint(q.procs)), nil); err != nil {
		return r, 0, fmt.Errorf("query %s: %w", c.Name, err)
	}
	rows, err = csvRows(out)
	return r, rows, err
}

// bound is the SQL with its parameters written in.
func (c canned) bound(text string, values map[string]string) string {
	return paramUse.ReplaceAllStringFunc(text, func(use string) string {
		for _, p := range c.Params {
			if use != "$"+p.Name {
				continue
			}
			kind := sqlTypes[p.Type]
			if kind == "" {
				kind = "VARCHAR"
			}
			value, ok := values[p.Name]
			if !ok {
				value = p.Default
			}
			if value == "" {
				return "CAST(NULL AS " + kind + ")"
			}
			return "CAST('" + strings.ReplaceAll(value, "'", "''") + "' AS " + kind + ")"
		}
		return use
	})
}

// runIceberg is the child: args are the script and the number of threads.
func runIceberg(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: bench iceberg SCRIPT THREADS")
	}
	script, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	db, err := sql.Open("duckdb", "?threads="+args[1])
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(context.Background()) // the settings are a connection's
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.ExecContext(context.Background(), string(script))
	return err
}
