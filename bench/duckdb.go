package main

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // the "duckdb" driver

	"github.com/auditlake/auditlake/envelope"
)

// duckType is what DuckDB is asked to make of a column.
var duckType = map[envelope.Kind]string{
	envelope.Text: "VARCHAR", envelope.Integer: "BIGINT", envelope.Count: "BIGINT", envelope.Sequence: "BIGINT",
	envelope.Double: "DOUBLE", envelope.Seconds: "DOUBLE", envelope.Decimal9: "DECIMAL(18,9)",
	envelope.Timestamp: "TIMESTAMPTZ", envelope.TextList: "VARCHAR[]",
}

// measureDuckDB runs the child that [runDuckDB] is, and counts its rows.
func measureDuckDB(o options, events string) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	dir := filepath.Join(o.dir, "duck")
	r, err := measure(exec.Command(self, "duckdb", events, dir, fmt.Sprint(o.level), fmt.Sprint(o.procs)), nil)
	if err != nil {
		return r, err
	}
	r.out = parquetBytes(dir)
	got, err := countRows(dir)
	if err == nil && got != o.events {
		err = fmt.Errorf("DuckDB's files have %d rows of %d events", got, o.events)
	}
	return r, err
}

func countRows(dir string) (n int, err error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if err := db.QueryRow("SELECT count(*) FROM read_parquet(?)", filepath.Join(dir, "**", "*.parquet")).Scan(&n); err != nil {
		return 0, fmt.Errorf("count DuckDB's rows: %w", err)
	}
	return n, nil
}

// runDuckDB does the sink's work in DuckDB: args are the NDJSON file, the
// output folder, the zstd level and the number of threads.
func runDuckDB(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: bench duckdb EVENTS DIR LEVEL THREADS")
	}
	if err := os.RemoveAll(args[1]); err != nil {
		return err
	}
	db, err := sql.Open("duckdb", "?threads="+args[3])
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec("SET TimeZone='UTC'; SET preserve_insertion_order=false"); err != nil {
		return err
	}
	_, err = db.Exec(duckCopy(args[0], args[1], args[2]))
	return err
}

// duckCopy is one statement: the event verbatim, the typed columns of the
// registry, partitioned by day and class.
func duckCopy(events, dir, level string) string {
	var top, data, columns []string
	for _, c := range envelope.Columns {
		switch {
		case c.Context == "traceparent":
			top = append(top, `"traceparent":"VARCHAR"`)
			columns = append(columns, "split_part(t.traceparent, '-', 2) AS trace_id", "split_part(t.traceparent, '-', 3) AS span_id")
		case c.Context != "":
			top = append(top, fmt.Sprintf("%q:%q", c.Context, duckType[c.Kind]))
			columns = append(columns, fmt.Sprintf("t.%q AS %s", c.Context, c.Name))
		case c.Data != "":
			data = append(data, fmt.Sprintf("%q:%q", c.Data, duckType[c.Kind]))
			columns = append(columns, fmt.Sprintf("t.data.%q AS %s", c.Data, c.Name))
		}
	}
	shape := "{" + strings.Join(append(top, `"data":{`+strings.Join(data, ",")+"}"), ",") + "}"
	return fmt.Sprintf(`COPY (
		SELECT %s, json AS payload, t.time::DATE AS event_day, split_part(t.type, '.', 2) AS event_class
		FROM (SELECT json, json_transform(json, '%s') AS t FROM read_ndjson_objects('%s'))
	) TO '%s' (FORMAT parquet, PARTITION_BY (event_day, event_class), COMPRESSION zstd, COMPRESSION_LEVEL %s)`,
		strings.Join(columns, ", "), shape, events, dir, level)
}
