package queries

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files of the output forms anew")

func TestEveryFormWritesEveryTypeRight(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	const dir = "../testdata/queries/output"
	sql := readFile(t, filepath.Join(dir, "types.sql"))
	for _, form := range []struct {
		file string
		out  Output
	}{
		{"types.table", Output{}},
		{"types.narrow.table", Output{Width: 250}},
		{"types.records.table", Output{Width: 60}},
		{"types.csv", Output{Format: CSV}},
		{"types.json", Output{Format: JSON}},
		{"types.ndjson", Output{Format: NDJSON}},
	} {
		var b bytes.Buffer
		res, err := s.SQL(context.Background(), sql, form.out, &b)
		require.NoError(t, err)
		require.EqualValues(t, 3, res.Rows)
		path := filepath.Join(dir, form.file)
		if *update {
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
		}
		require.Equal(t, readFile(t, path), b.String(), form.file)
	}
}

func TestFormsAreWhatTheyClaim(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	sql := readFile(t, "../testdata/queries/output/types.sql")
	rows, err := csv.NewReader(strings.NewReader(sqlText(t, s, sql, CSV))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	require.Equal(t, "a\"b,c\nd\te\x1b[31m注文🙏", rows[2][3])
	var objects []map[string]any
	decode(t, sqlText(t, s, sql, JSON), &objects)
	require.Len(t, objects, 3)
	require.Equal(t, json.Number("99999999999999999999999999999999999999"), objects[1]["huge"])
	for line := range strings.Lines(sqlText(t, s, sql, NDJSON)) {
		require.True(t, json.Valid([]byte(line)), line)
	}
	var none []any
	decode(t, sqlText(t, s, "SELECT 1 AS a WHERE false", JSON), &none)
	require.Empty(t, none)
	require.Equal(t, "a\n", sqlText(t, s, "SELECT 1 AS a WHERE false", CSV))
	require.Empty(t, sqlText(t, s, "SELECT 1 AS a WHERE false", NDJSON))
}

func TestParquetKeepsTypesAndDigits(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	path := filepath.Join(t.TempDir(), "out.parquet")
	content := sqlText(t, s, readFile(t, "../testdata/queries/output/types.sql"), Parquet)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	ctx := context.Background()
	e, err := openEngine(ctx, 1, 256<<20, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, e.close()) }()
	var got string
	require.NoError(t, e.conn.QueryRowContext(ctx, `SELECT string_agg(DISTINCT typeof("at") || ' ' || typeof("decimal") || ' ' || typeof(huge) || ' ' || typeof("list")) FROM `+literal(path)).Scan(&got))
	require.Equal(t, "TIMESTAMP WITH TIME ZONE DECIMAL(18,9) DECIMAL(38,0) VARCHAR[]", got)
	require.NoError(t, os.WriteFile(path, []byte(sqlText(t, s, "SELECT event_time, misfits FROM agent_events", Parquet)), 0o600))
	require.NoError(t, e.conn.QueryRowContext(ctx, "SELECT string_agg(column_type, ' ') || (SELECT count(*) FROM "+literal(path)+") FROM (DESCRIBE FROM "+literal(path)+")").Scan(&got))
	require.Equal(t, "TIMESTAMP WITH TIME ZONE VARCHAR[]0", got, "a result without rows has its columns")
	_, err = s.SQL(ctx, "SELECT 170141183460469231731687303715884105727::HUGEINT * 1 AS h", Output{Format: Parquet}, io.Discard)
	require.ErrorContains(t, err, "170141183460469231731687303715884105727", "what does not fit is refused, not rounded")
}

func TestParquetIsNotWrittenToATerminal(t *testing.T) {
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		// No terminal here: /dev/null is a character device too.
		tty, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		require.NoError(t, err)
	}
	defer tty.Close()
	s := openTest(t, emptyPlans(t), Options{})
	_, err = s.SQL(context.Background(), "SELECT 1", Output{Format: Parquet}, tty)
	require.ErrorContains(t, err, "no text for a terminal")
	_, err = s.SQL(context.Background(), "SELECT 1", Output{Format: "xml"}, io.Discard)
	require.ErrorContains(t, err, `"xml" is not known`)
}

func TestATableIsCutAndSaysSo(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	var b bytes.Buffer
	res, err := s.SQL(context.Background(), "SELECT * FROM range(5000) ORDER BY 1 DESC", Output{}, &b)
	require.NoError(t, err)
	require.True(t, res.More)
	require.EqualValues(t, 1000, res.Rows)
	require.Contains(t, b.String(), "(the first 1,000 rows; there are more")
	require.Contains(t, b.String(), "│  4999 │")
	b.Reset()
	res, err = s.SQL(context.Background(), "SELECT * FROM range(5000)", Output{MaxRows: -1}, &b)
	require.NoError(t, err)
	require.EqualValues(t, 5000, res.Rows)
	require.Contains(t, b.String(), "(5,000 rows)")
	require.Contains(t, sqlText(t, s, "SELECT 1", Table), "(1 row)")
	for line := range strings.Lines(sqlText(t, s, "SELECT repeat('注', 1000) AS a, repeat('b', 1000) AS b", Table)) {
		require.LessOrEqual(t, len([]rune(line)), 2*maxCell+8)
	}
}

func TestATableFitsTheTerminal(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, width := range []int{1, 20, 40, 80, 200} {
		for _, sql := range []string{
			"SELECT repeat('注', 50) AS a, 12345678 AS b, 'x' AS c", "SELECT " + strings.Repeat("'some text' AS a_long_name, ", 30) + "1 AS b",
			"SELECT 1 AS a WHERE false", "SELECT 'short' AS a",
		} {
			var b bytes.Buffer
			_, err := s.SQL(context.Background(), sql, Output{Width: width}, &b)
			require.NoError(t, err)
			lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
			for _, line := range lines[:len(lines)-1] { // the last one is a sentence
				require.LessOrEqual(t, displayWidth(line), max(width, 2*minCell+3), line)
			}
			require.Equal(t, strings.Contains(strings.Join(lines[:len(lines)-1], ""), "…"), strings.Contains(lines[len(lines)-1], "was cut"), b.String())
		}
	}
}

func TestColumnsAreChosen(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	ask := func(form Format, columns ...string) (string, error) {
		var b strings.Builder
		_, err := s.SQL(context.Background(), `SELECT 1 AS a, 2 AS "A", 'x' AS b, 0.5::DOUBLE AS c UNION ALL SELECT 3, 4, 'y', 1 ORDER BY a DESC`, Output{Format: form, Columns: columns}, &b)
		return b.String(), err
	}
	text, err := ask(CSV, "b", "A_1")
	require.NoError(t, err)
	require.Equal(t, "b,A_1\ny,4\nx,2\n", text)
	text, err = ask(NDJSON, "c")
	require.NoError(t, err)
	require.Equal(t, "{\"c\":1.0}\n{\"c\":0.5}\n", text)
	text, err = ask(Table, "C", "b")
	require.NoError(t, err)
	require.Contains(t, text, "│   c │ b │")
	for _, c := range []struct{ name, want string }{{"bb", "no column \"bb\" (did you mean b?): it has a, A_1, b, c"}, {"", "no column"}} {
		_, err = ask(CSV, c.name)
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
		require.ErrorContains(t, err, c.want)
	}
	_, err = ask(CSV, "b", "B")
	require.ErrorContains(t, err, "column b is asked for twice")
}

func TestColumnsOfOneNameAreNumbered(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	require.Equal(t, "a,A_1,a_1_1,b\n1,2,3,4\n", sqlText(t, s, `SELECT 1 AS a, 2 AS "A", 3 AS a_1, 4 AS b`, CSV))
}

func TestTheOrderOfASelectIsKept(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, form := range []Format{CSV, NDJSON} {
		lines := strings.Split(strings.TrimSpace(sqlText(t, s, "SELECT (i * 7919) % 300000 AS i FROM range(300000) t(i) ORDER BY i", form)), "\n")
		if form == CSV {
			lines = lines[1:]
		}
		require.Len(t, lines, 300000)
		for i, line := range lines {
			if form == NDJSON {
				require.Equal(t, fmt.Sprintf(`{"i":%d}`, i), line)
			} else {
				require.Equal(t, fmt.Sprint(i), line)
			}
		}
	}
}

// A run that fails writes nothing, not half a result.
func TestAFailedRunWritesNothing(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, form := range Formats {
		var b bytes.Buffer
		_, err := s.SQL(context.Background(), "SELECT CASE WHEN i = 250000 THEN error('stop') ELSE i::VARCHAR END FROM range(300000) t(i)", Output{Format: form, MaxRows: -1}, &b)
		require.ErrorContains(t, err, "stop")
		require.Zero(t, b.Len(), form)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAWriterThatFailsIsReported(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, form := range Formats {
		_, err := s.SQL(context.Background(), "SELECT 1", Output{Format: form}, brokenPipe{})
		require.ErrorIs(t, err, io.ErrClosedPipe, form)
	}
}

// A cell leaves DuckDB no longer than it can be shown, and … stands where it was cut.
func TestLongCellsAreCutBeforeTheyAreRead(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for sql, cut := range map[string]bool{
		"SELECT repeat('x', 119) AS a": false, "SELECT repeat('x', 120) AS a": false, "SELECT repeat('x', 121) AS a": true, "SELECT repeat('x', 50000000) AS a": true,
		"SELECT 'a' || repeat(chr(769), 599) AS a": false, "SELECT 'a' || repeat(chr(769), 600) AS a": true, "SELECT repeat('日', 60) AS a": false, "SELECT repeat('日', 61) AS a": true,
		"SELECT list(i) AS a FROM range(100000) t(i)": true, "SELECT repeat('x', 118) || '…' AS a": false,
	} {
		text := sqlText(t, s, sql, Table)
		require.Equal(t, cut, strings.Contains(text, "; … is where a text was cut"), sql)
		require.Less(t, len(text), 4000, sql)
	}
	require.Equal(t, "left(c::VARCHAR, 601)", tableExpr(nil, "c"), "the cut is DuckDB's")
}

func TestTheLargestLimitIsNoMistake(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	for _, limit := range []int64{math.MaxInt64, math.MaxInt64 - 1} {
		var b bytes.Buffer
		res, err := s.SQL(context.Background(), "FROM range(3)", Output{MaxRows: limit}, &b)
		require.NoError(t, err)
		require.EqualValues(t, 3, res.Rows)
		require.False(t, res.More)
	}
}

func TestAPlanCannotSteerTheTerminal(t *testing.T) {
	s := openTest(t, logPlans(t, t.TempDir()), Options{})
	var b bytes.Buffer
	const sql = "SELECT count(*) FROM agent_log WHERE event_id <> chr(27) || '[2J\x1b]0;title\a'"
	require.NoError(t, s.Analyze(context.Background(), sql, &b))
	r, err := s.Explain(context.Background(), sql)
	require.NoError(t, err)
	for _, plan := range []string{b.String(), r.Plan} {
		require.Contains(t, plan, `\x1b`)
		require.False(t, strings.ContainsFunc(strings.ReplaceAll(plan, "\n", ""), unprintable))
	}
}

func TestPrintingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := printTable(ctx, io.Discard, []string{"a"}, []bool{false}, []bool{false}, [][]sql.NullString{{{String: "x", Valid: true}}}, 0, false)
	require.ErrorIs(t, err, context.Canceled)
}
