package main

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/queries"
)

// withSession runs do with a query session over the configured tables.
func (a *app) withSession(ctx context.Context, s scan, do func(*catalog.Catalog, *queries.Session) error) error {
	return a.withCatalog(ctx, false, func(cat *catalog.Catalog) error {
		session, err := queries.Open(ctx, queries.Options{
			Planner: queries.Tables(cat), Storage: cat.Storage(), Library: a.queryLibrary(),
			SnapshotID: s.snapshot, AsOf: s.asOf, From: s.from, To: s.to,
			ExtensionDir: cmp.Or(s.extensions, a.cfg.SQL.ExtensionDirectory), CacheDir: a.cfg.SQL.CacheDir, CacheBytes: a.cfg.SQL.CacheSize.Bytes(),
			Progress: func(total int64) queries.Progress { return ui.NewByteProgress(a.stderr, "fetching", total) },
			Threads:  int(a.cfg.SQL.Threads), MemoryLimit: a.cfg.SQL.MemoryLimit.Bytes(),
			Timeout: a.cfg.SQL.Timeout.Std(), Now: time.Now(), Tell: func(text string) { a.note("%s", text) },
		})
		if err != nil {
			return err
		}
		return do(cat, session)
	})
}

// rowsFlags is the output of commands that write rows of a query.
type rowsFlags struct {
	*output
	limit   int64
	columns []string
}

func addRowsFlags(cmd *cobra.Command) *rowsFlags {
	f := &rowsFlags{output: outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON, asParquet)}
	cmd.Flags().Int64Var(&f.limit, "limit", 0, "rows that a table shows, -1 is all (else sql.max_rows); the other forms are not cut")
	cmd.Flags().StringSliceVar(&f.columns, "columns", nil, "only these columns of the result, in this order: `NAME,NAME`")
	return f
}

// rows is the output that the flags ask for.
func (a *app) rows(f *rowsFlags) (queries.Output, error) {
	form, err := f.form()
	if err != nil {
		return queries.Output{}, err
	}
	out := queries.Output{Format: queries.Format(form), MaxRows: a.cfg.SQL.MaxRows, Width: ui.Width(a.stdout), Columns: f.columns}
	if f.limit != 0 {
		out.MaxRows = f.limit
	}
	return out, nil
}

// explain asks what a statement reads, and tells people or machines.
func (a *app) explain(form queries.Format, ask func() (queries.Reading, error)) error {
	if form != queries.Table && form != queries.JSON {
		return usagef("--explain tells what is read, as a table or as JSON: leave -o %s out", form)
	}
	r, err := ask()
	if err != nil {
		return err
	}
	return a.writeReading(r, string(form))
}

func (a *app) writeReading(r queries.Reading, form string) error {
	if form == asJSON {
		return writeJSON(a.stdout, r)
	}
	if len(r.Tables) == 0 {
		return a.say("It reads no table.\n\n%s", strings.TrimRight(r.Plan, "\n"))
	}
	var rows [][]string
	var fetch, cached int
	var fetchBytes int64
	for _, t := range r.Tables {
		fetch, cached, fetchBytes = fetch+t.Remote-t.Cached, cached+t.Cached, fetchBytes+t.FetchBytes
		rows = append(rows, []string{
			t.Table, ui.Count(int64(t.Files)), ui.Count(t.FilesTotal), ui.Bytes(t.Bytes), ui.Bytes(t.BytesTotal), ui.Count(int64(t.RowGroups)), ui.Count(t.Rows)})
	}
	if err := ui.Table(a.stdout, []string{"table", "files>", "of>", "size>", "of>", "row groups>", "rows>"}, rows); err != nil {
		return err
	}
	var err error
	switch {
	case fetch+cached == 0:
	case r.ByRanges:
		err = a.say("\n%s data files are in the cache, of %s on the object store only what is needed is read.", ui.Count(int64(cached)), ui.Count(int64(fetch)))
	default:
		err = a.say("\n%s data files are in the cache, %s must be fetched first (%s).", ui.Count(int64(cached)), ui.Count(int64(fetch)), ui.Bytes(fetchBytes))
	}
	if err != nil {
		return err
	}
	if r.Plan == "" {
		return a.say("DuckDB's own plan takes a look into the files: `sql --analyze` shows it.")
	}
	return a.say("\n%s", strings.TrimRight(r.Plan, "\n"))
}
