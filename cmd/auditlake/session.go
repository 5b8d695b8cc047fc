package main

import (
	"context"
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
			CacheDir: a.cfg.SQL.CacheDir, CacheBytes: a.cfg.SQL.CacheSize.Bytes(),
			Threads: int(a.cfg.SQL.Threads), MemoryLimit: a.cfg.SQL.MemoryLimit.Bytes(),
			Timeout: a.cfg.SQL.Timeout.Std(), Now: time.Now(),
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
	limit int64
}

func addRowsFlags(cmd *cobra.Command) *rowsFlags {
	f := &rowsFlags{output: outputFlags(cmd, asTable, asCSV, asJSON, asNDJSON, asParquet)}
	cmd.Flags().Int64Var(&f.limit, "limit", 0, "rows that a table shows, -1 is all (else sql.max_rows); the other forms are not cut")
	return f
}

// rows is the output that the flags ask for.
func (a *app) rows(f *rowsFlags) (queries.Output, error) {
	form, err := f.form()
	if err != nil {
		return queries.Output{}, err
	}
	out := queries.Output{Format: queries.Format(form), MaxRows: a.cfg.SQL.MaxRows, Width: ui.Width(a.stdout)}
	if f.limit != 0 {
		out.MaxRows = f.limit
	}
	return out, nil
}
