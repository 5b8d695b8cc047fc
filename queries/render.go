package queries

import (
	"fmt"
	"slices"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// How a value is written, whatever the form: times are RFC 3339 in UTC,
// decimals and integers have all their digits, bytes are DuckDB's text of a
// BLOB (printable ASCII as it is, any other byte \xNN, so that it can be read
// back), NULL is empty in CSV and null in JSON. Lists, structs and maps are JSON
// in every form but Parquet. JSON knows no NaN and no infinity: they are null.

// textExpr gives SQL that writes a column as text, for CSV.
func textExpr(info duckdb.TypeInfo, col string) string {
	if info == nil {
		return col + "::VARCHAR"
	}
	switch info.InternalType() {
	case duckdb.TYPE_LIST, duckdb.TYPE_ARRAY, duckdb.TYPE_STRUCT, duckdb.TYPE_MAP, duckdb.TYPE_UNION:
		return "to_json(" + jsonExpr(info, col) + ")::VARCHAR"
	case duckdb.TYPE_TIMESTAMP_TZ, duckdb.TYPE_TIMESTAMP, duckdb.TYPE_TIMESTAMP_S, duckdb.TYPE_TIMESTAMP_MS, duckdb.TYPE_TIMESTAMP_NS:
		return isoTime(info.InternalType(), col)
	}
	return col + "::VARCHAR"
}

// tableExpr gives SQL that writes a column for people: as text, but of a double
// six digits, or all before the point, and of a
// text no more than a cell can show, and one character more if there is more.
func tableExpr(info duckdb.TypeInfo, col string) string {
	if info != nil && info.InternalType() == duckdb.TYPE_DOUBLE {
		return fmt.Sprintf("CASE WHEN %[1]s = 0 OR NOT isfinite(%[1]s) THEN %[1]s::VARCHAR WHEN abs(%[1]s) < 1e-4 THEN printf('%%.5e', %[1]s) "+
			"ELSE round(%[1]s, CAST(greatest(0, 5 - floor(log10(abs(%[1]s)))) AS INTEGER))::VARCHAR END", col)
	}
	text := textExpr(info, col)
	if numeric(info) || temporal(info) {
		return text
	}
	return fmt.Sprintf("left(%s, %d)", text, maxRunes+1)
}

// jsonExpr gives SQL for a value that DuckDB's JSON writer renders right.
func jsonExpr(info duckdb.TypeInfo, col string) string { return jsonNested(info, col, 0) }

func jsonNested(info duckdb.TypeInfo, col string, depth int) string {
	if info == nil {
		return col + "::VARCHAR"
	}
	switch info.InternalType() {
	case duckdb.TYPE_TIMESTAMP_TZ, duckdb.TYPE_TIMESTAMP, duckdb.TYPE_TIMESTAMP_S, duckdb.TYPE_TIMESTAMP_MS, duckdb.TYPE_TIMESTAMP_NS:
		return isoTime(info.InternalType(), col)
	case duckdb.TYPE_DOUBLE, duckdb.TYPE_FLOAT:
		return "CASE WHEN isfinite(" + col + ") THEN " + col + " END"
	case duckdb.TYPE_BLOB, duckdb.TYPE_BIT, duckdb.TYPE_INTERVAL:
		return col + "::VARCHAR"
	}
	v := fmt.Sprintf("v%d", depth)
	switch d := info.Details().(type) {
	case *duckdb.ListDetails:
		return listExpr(d.Child, col, v, depth)
	case *duckdb.ArrayDetails:
		return listExpr(d.Child, col, v, depth)
	case *duckdb.StructDetails:
		fields := make([]string, len(d.Entries))
		for i, entry := range d.Entries {
			fields[i] = ident(entry.Name()) + " := " + jsonNested(entry.Info(), "("+col+")."+ident(entry.Name()), depth+1)
		}
		return "CASE WHEN " + col + " IS NOT NULL THEN struct_pack(" + strings.Join(fields, ", ") + ") END"
	case *duckdb.MapDetails:
		return fmt.Sprintf("CASE WHEN %[1]s IS NOT NULL THEN map_from_entries(list_transform(map_entries(%[1]s), lambda %[2]s: struct_pack(k := %[2]s.key, v := %[3]s))) END",
			col, v, jsonNested(d.Value, v+".value", depth+1))
	}
	return col
}

func listExpr(child duckdb.TypeInfo, col, v string, depth int) string {
	inner := jsonNested(child, v, depth+1)
	if inner == v {
		return col
	}
	return "list_transform(" + col + ", lambda " + v + ": " + inner + ")"
}

// isoTime writes a timestamp as RFC 3339, with as many digits as it needs.
func isoTime(kind duckdb.Type, col string) string {
	text := "replace(" + col + "::VARCHAR, ' ', 'T')"
	if kind == duckdb.TYPE_TIMESTAMP_TZ {
		return "replace(" + text + ", '+00', 'Z')"
	}
	return text
}

// parquetExpr gives SQL for a value that stays what it is in Parquet. That has no
// 128-bit integer, DuckDB would write a double, and its intervals cannot be
// negative.
func parquetExpr(info duckdb.TypeInfo, col string) string {
	if info == nil {
		return col
	}
	switch info.InternalType() {
	case duckdb.TYPE_HUGEINT, duckdb.TYPE_UHUGEINT:
		return col + "::DECIMAL(38, 0)"
	case duckdb.TYPE_INTERVAL:
		return col + "::VARCHAR"
	}
	return col
}

// numeric reports whether people read a column as numbers.
func numeric(info duckdb.TypeInfo) bool {
	if info == nil {
		return false
	}
	switch info.InternalType() {
	case duckdb.TYPE_TINYINT, duckdb.TYPE_SMALLINT, duckdb.TYPE_INTEGER, duckdb.TYPE_BIGINT, duckdb.TYPE_HUGEINT,
		duckdb.TYPE_UTINYINT, duckdb.TYPE_USMALLINT, duckdb.TYPE_UINTEGER, duckdb.TYPE_UBIGINT, duckdb.TYPE_UHUGEINT,
		duckdb.TYPE_FLOAT, duckdb.TYPE_DOUBLE, duckdb.TYPE_DECIMAL:
		return true
	}
	return false
}

// temporal reports whether a column is of dates or times.
func temporal(info duckdb.TypeInfo) bool {
	if info == nil {
		return false
	}
	switch info.InternalType() {
	case duckdb.TYPE_DATE, duckdb.TYPE_TIME, duckdb.TYPE_TIME_TZ, duckdb.TYPE_TIMESTAMP_TZ,
		duckdb.TYPE_TIMESTAMP, duckdb.TYPE_TIMESTAMP_S, duckdb.TYPE_TIMESTAMP_MS, duckdb.TYPE_TIMESTAMP_NS:
		return true
	}
	return false
}

// resultColumns are those of a statement that are written.
type resultColumns struct {
	all   int // columns of the statement
	shown []resultColumn
}

// resultColumn is found by its place: names may stand twice, and then get a number.
type resultColumn struct {
	name  string
	info  duckdb.TypeInfo
	place int
}

// columns are those that were asked for, in that order.
func (o Output) columns(sh *shape) (resultColumns, error) {
	out := resultColumns{all: len(sh.names)}
	names := uniqueNames(sh.names)
	for i, name := range names {
		out.shown = append(out.shown, resultColumn{name, sh.types[i], i})
	}
	if len(o.Columns) == 0 {
		return out, nil
	}
	all := out.shown
	out.shown = nil
	for _, wanted := range o.Columns {
		i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, wanted) })
		if i < 0 {
			return out, usagef("the result has no column %q%s: it has %s", wanted, didYouMean(wanted, names), strings.Join(names, ", "))
		}
		if slices.ContainsFunc(out.shown, func(c resultColumn) bool { return c.place == i }) {
			return out, usagef("column %s is asked for twice", names[i])
		}
		out.shown = append(out.shown, all[i])
	}
	return out, nil
}

// rendered wraps a statement so that each column is written by expr.
func (c resultColumns) rendered(text string, expr func(duckdb.TypeInfo, string) string) string {
	places, cols := make([]string, c.all), make([]string, len(c.shown))
	for i := range places {
		places[i] = fmt.Sprintf("c%d", i)
	}
	for i, col := range c.shown {
		cols[i] = expr(col.info, places[col.place]) + " AS " + ident(col.name)
	}
	return "SELECT " + strings.Join(cols, ", ") + " FROM (\n" + text + "\n) AS result(" + strings.Join(places, ", ") + ")"
}

// uniqueNames numbers names that stand twice, without regard to case.
func uniqueNames(names []string) []string {
	seen, out := map[string]bool{}, make([]string, len(names))
	for i, name := range names {
		out[i] = name
		for n := 1; seen[strings.ToLower(out[i])]; n++ {
			out[i] = fmt.Sprintf("%s_%d", name, n)
		}
		seen[strings.ToLower(out[i])] = true
	}
	return out
}
