package queries

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// Format is the form of a result.
type Format string

// The forms of a result. How values are written is said in render.go.
const (
	Table   Format = "table"   // for people: aligned, NULL visible, cut at MaxRows and Width, and says so
	CSV     Format = "csv"     // RFC 4180 with a header; NULL is an empty field, an empty text is ""
	JSON    Format = "json"    // one array of objects
	NDJSON  Format = "ndjson"  // one object a line
	Parquet Format = "parquet" // with zstd; DuckDB's own types

	formatAnalyzed Format = "plan, analyzed" // DuckDB's plan, and what each step took
)

// Formats lists the forms of a result.
var Formats = []Format{Table, CSV, JSON, NDJSON, Parquet}

// Output says how a result is written.
type Output struct {
	Format  Format // Table if empty
	MaxRows int64  // of a table; 1000 if zero, all if negative
	Width   int    // columns of the terminal that a table must fit; 0 is any

	Columns []string // of the result, in this order; all if empty
}

const defaultMaxRows = 1000

func (o *Output) check(w io.Writer) error {
	if o.Format == "" {
		o.Format = Table
	}
	if o.MaxRows == 0 {
		o.MaxRows = defaultMaxRows
	}
	if !slices.Contains(Formats, o.Format) && o.Format != formatAnalyzed {
		return usagef("the form %q is not known: take table, csv, json, ndjson or parquet", o.Format)
	}
	if f, ok := w.(interface{ Stat() (os.FileInfo, error) }); ok && o.Format == Parquet {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return usagef("Parquet is no text for a terminal: send it to a file, with > result.parquet")
		}
	}
	return nil
}

// write runs the statement and writes its rows.
func (o Output) write(ctx context.Context, e *engine, cols resultColumns, st statement, w io.Writer) (Result, error) {
	switch o.Format {
	case Table:
		return o.writeTable(ctx, e, cols, st, w)
	case formatAnalyzed:
		return Result{}, o.writePlan(ctx, e, st, w)
	}
	return o.export(ctx, e, cols, st, w)
}

// export lets DuckDB write the result to a file of its own, a piece at a time,
// and copies that to w once it is whole: a failed run writes nothing, and the
// result is never in memory as a whole.
func (o Output) export(ctx context.Context, e *engine, cols resultColumns, st statement, w io.Writer) (res Result, err error) {
	options, expr := "FORMAT csv, HEADER", textExpr
	switch o.Format {
	case JSON:
		options, expr = "FORMAT json, ARRAY true", jsonExpr
	case NDJSON:
		options, expr = "FORMAT json, ARRAY false", jsonExpr
	case Parquet:
		options, expr = "FORMAT parquet, COMPRESSION zstd", parquetExpr
	}
	done, err := e.conn.ExecContext(ctx, "COPY ("+cols.rendered(st.text, expr)+") TO "+literal(e.resultFile())+
		" ("+options+", USE_TMP_FILE false)", st.args...)
	if err != nil {
		return Result{}, err
	}
	rows, err := done.RowsAffected()
	if err != nil {
		return Result{}, err
	}
	file, err := os.Open(e.resultFile())
	if err != nil {
		return Result{}, fmt.Errorf("read the result: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(w, &contextReader{ctx, file, silent{}.Add}); err != nil {
		return Result{}, fmt.Errorf("write the result: %w", err)
	}
	return Result{Rows: rows}, nil
}

// writeTable asks for one row more than it shows, to know whether there is more.
func (o Output) writeTable(ctx context.Context, e *engine, cols resultColumns, st statement, w io.Writer) (Result, error) {
	text := cols.rendered(st.text, tableExpr)
	if o.MaxRows > 0 {
		text += fmt.Sprintf(" LIMIT %d", min(o.MaxRows, math.MaxInt64-1)+1)
	}
	rows, err := queryText(ctx, e, text, st.args)
	if err != nil {
		return Result{}, err
	}
	res := Result{Rows: int64(len(rows))}
	if o.MaxRows > 0 && res.Rows > o.MaxRows {
		rows, res.Rows, res.More = rows[:o.MaxRows], o.MaxRows, true
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	names := make([]string, len(cols.shown))
	right, whole := make([]bool, len(names)), make([]bool, len(names))
	for i, c := range cols.shown {
		names[i], right[i] = c.name, numeric(c.info)
		whole[i] = right[i] || temporal(c.info)
	}
	return res, printTable(ctx, w, names, right, whole, rows, o.Width, res.More)
}

// queryText reads rows whose columns are all text.
func queryText(ctx context.Context, e *engine, text string, args []any) (out [][]sql.NullString, err error) {
	rows, err := e.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// writePlan analyzes a statement that the probe let through: EXPLAIN itself is
// refused there, since EXPLAIN ANALYZE of a COPY writes.
func (o Output) writePlan(ctx context.Context, e *engine, st statement, w io.Writer) error {
	text, err := planText(ctx, e, "EXPLAIN ANALYZE ", st)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

func planText(ctx context.Context, e *engine, verb string, st statement) (string, error) {
	rows, err := queryText(ctx, e, verb+st.text, st.args)
	var b strings.Builder
	for _, row := range rows {
		// A plan holds texts of the statement and, by its statistics, of the data.
		for line := range strings.SplitSeq(strings.TrimRight(row[len(row)-1].String, "\n"), "\n") {
			b.WriteString(Visible(line) + "\n")
		}
	}
	return b.String(), err
}
