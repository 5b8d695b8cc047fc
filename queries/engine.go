package queries

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// engine is one DuckDB in memory, for one run.
type engine struct {
	db   *sql.DB
	conn *sql.Conn
	dir  string // of this run alone: spill files and the result on its way out
}

// openEngine starts a DuckDB that writes nowhere but below dir.
func openEngine(ctx context.Context, threads int, memory int64, dir string) (*engine, error) {
	connector, err := duckdb.NewConnector(fmt.Sprintf("?threads=%d&memory_limit=%dB", threads, memory), nil)
	if err != nil {
		return nil, fmt.Errorf("start DuckDB: %w", err)
	}
	e := &engine{db: sql.OpenDB(connector), dir: dir}
	e.conn, err = e.db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start DuckDB: %w", err), e.db.Close())
	}
	// Times read and print as UTC wherever the machine stands.
	if err := e.exec(ctx, "SET TimeZone='UTC'", "CREATE SCHEMA lake"); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// close releases the engine; results still open keep it alive, so they are
// closed first.
func (e *engine) close() error {
	return errors.Join(e.conn.Close(), e.db.Close())
}

func (e *engine) exec(ctx context.Context, statements ...string) error {
	for _, text := range statements {
		if _, err := e.conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// loadHTTPFS loads DuckDB's httpfs extension from a folder: its file, or the layout
// in which DuckDB installs extensions. DuckDB itself checks signature, version and
// platform.
func (e *engine) loadHTTPFS(ctx context.Context, dir string) error {
	const file = "httpfs.duckdb_extension"
	var version, platform string
	if err := e.conn.QueryRowContext(ctx, "SELECT (SELECT library_version FROM pragma_version()), (SELECT platform FROM pragma_platform())").Scan(&version, &platform); err != nil {
		return err
	}
	want := fmt.Sprintf("it must be that of DuckDB %s for %s (PyPI: duckdb-extension-httpfs==%s), or leave sql.extension_directory out", version, platform, strings.TrimPrefix(version, "v"))
	path := filepath.Join(dir, file)
	if nested := filepath.Join(dir, version, platform, file); isFile(nested) {
		path = nested
	}
	if !isFile(path) {
		return usagef("there is no %s: %s", path, want)
	}
	if err := e.exec(ctx, "LOAD "+literal(path)); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return usagef("load %s: %s: %s", path, strings.Join(strings.Fields(firstLine(err.Error())), " "), want)
	}
	// The server is ours and tries again by itself. No proxy stands before it,
	// whatever the environment says, which only this client can be told. Keys that
	// the extension took from the environment are of no use here.
	return e.exec(ctx, "SET http_retries=0", "SET http_timeout=3600", "SET http_proxy=''", "SET httpfs_client_implementation='httplib'",
		"SET enable_global_s3_configuration=false", "SET s3_access_key_id=''", "SET s3_secret_access_key=''", "SET s3_session_token=''")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// resultFile is where a result stands before it goes to its writer.
func (e *engine) resultFile() string { return filepath.Join(e.dir, "result") }

// lock closes the engine to everything but the data files, in the order that
// DuckDB needs: first what is allowed, then no external access, then no more
// settings. The data files can still be written through COPY, which is why the
// probe lets no COPY through.
func (e *engine) lock(ctx context.Context, files []string, spill int64) error {
	allowed := append([]string{e.resultFile()}, files...)
	return e.exec(ctx,
		"SET allowed_paths="+textList(allowed),
		"SET temp_directory="+literal(filepath.Join(e.dir, "spill")),
		fmt.Sprintf("SET max_temp_directory_size='%dB'", spill),
		"SET autoinstall_known_extensions=false",
		"SET autoload_known_extensions=false",
		"SET allow_community_extensions=false",
		"SET allow_persistent_secrets=false",
		"SET enable_external_access=false",
		"SET lock_configuration=true",
	)
}

// mount makes the tables and views over the planned files. The views are made
// over empty tables, since every one of them is bound, and binding looks at
// every file.
func (e *engine) mount(ctx context.Context, tables []planned, paths map[string][]string, functions []macro) error {
	for _, p := range tables {
		if err := e.exec(ctx, "CREATE VIEW lake."+p.rows+" AS "+p.scan("")); err != nil {
			return fmt.Errorf("open table %s: %w", p.table, err)
		}
	}
	events := tables[0]
	if err := e.exec(ctx, viewScript(tables, "SELECT "+events.names("")+" FROM lake.event_rows", functions)...); err != nil {
		return fmt.Errorf("make the views: %w", err)
	}
	for _, p := range tables {
		if len(paths[p.table]) == 0 {
			continue
		}
		// A variable, since duckdb_views() shows the text of a view to everybody.
		files := "files_of_" + p.rows
		err := e.exec(ctx, "SET VARIABLE "+files+" = "+textList(paths[p.table]),
			"CREATE OR REPLACE VIEW lake."+p.rows+" AS "+p.scan("getvariable("+literal(files)+")"))
		if err != nil {
			return fmt.Errorf("open table %s: %w", p.table, err)
		}
	}
	return nil
}

// dropRepeats makes agent_events count an event once: of all rows with the same
// (source, event_id) it keeps the one at the lowest place in the log. The rows
// that lose are few or none, so they are found once and taken out by an
// anti-join; without any the view stays what it is. Grouping by a hash first
// keeps the memory small, the window then compares the ids themselves.
func (e *engine) dropRepeats(ctx context.Context, events planned) error {
	err := e.exec(ctx, `CREATE TEMP TABLE repeats AS
		WITH suspects AS (SELECT hash(source, event_id) AS h FROM lake.event_rows GROUP BY h HAVING count(*) > 1)
		SELECT file_name, file_row FROM lake.event_rows WHERE hash(source, event_id) IN (SELECT h FROM suspects)
		QUALIFY row_number() OVER (PARTITION BY source, event_id
			ORDER BY kafka_topic, kafka_partition, kafka_offset, record_index, file_name, file_row) > 1`)
	if err != nil {
		return err
	}
	var n int64
	if err := e.conn.QueryRowContext(ctx, "SELECT count(*) FROM repeats").Scan(&n); err != nil || n == 0 {
		return err
	}
	return e.exec(ctx, "CREATE OR REPLACE VIEW agent_events AS SELECT "+events.names("r.")+
		" FROM lake.event_rows r ANTI JOIN repeats d ON r.file_name = d.file_name AND r.file_row = d.file_row")
}
