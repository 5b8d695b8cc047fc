package queries

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Only parameters are parameters: DuckDB itself says which ones it sees.
func TestParametersInTextsAreText(t *testing.T) {
	ctx := context.Background()
	e, err := openEngine(ctx, 1, 256<<20, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, e.close()) }()
	for text, want := range map[string]string{
		"SELECT $x":                                       "SELECT <$x>",
		"SELECT '$x'":                                     "SELECT '$x'",
		"SELECT 'it''s $x' || $x":                         "SELECT 'it''s $x' || <$x>",
		`SELECT 1 AS "$x ""$x"" $x"`:                      `SELECT 1 AS "$x ""$x"" $x"`,
		"SELECT 1 -- $x\n+ 1":                             "SELECT 1 -- $x\n+ 1",
		"SELECT /* $x /* $x */ $x */ 1":                   "SELECT /* $x /* $x */ $x */ 1",
		"SELECT $$ $x $$":                                 "SELECT $$ $x $$",
		"SELECT $q$ $x $$ $q$ || $x":                      "SELECT $q$ $x $$ $q$ || <$x>",
		`SELECT E'\' $x' || $x`:                           `SELECT E'\' $x' || <$x>`,
		`SELECT e'$x\\' || $x`:                            `SELECT e'$x\\' || <$x>`,
		`SELECT '\' || $x`:                                `SELECT '\' || <$x>`,
		"SELECT 1 AS a$x":                                 "SELECT 1 AS a$x",
		"SELECT 1 AS größe$x, $x":                         "SELECT 1 AS größe$x, <$x>",
		"SELECT CASE WHEN 1=1THEN $x END, 7-$x::INT, $x5": "SELECT CASE WHEN 1=1THEN <$x> END, 7-<$x>::INT, <$x5>",
		"SELECT '$x":                                      "SELECT '$x", "SELECT /* $x": "SELECT /* $x", "SELECT $a$ $x": "SELECT $a$ $x", "SELECT 1 -- $x": "SELECT 1 -- $x", "": "",
	} {
		seen := false
		have := mapParams(text, func(use string) string { seen = true; return "<" + use + ">" })
		require.Equal(t, want, have)
		var params int
		err := e.conn.QueryRowContext(ctx, "SELECT len(regexp_extract_all(json_serialize_sql(?::VARCHAR)::VARCHAR, '\"(VALUE_)?PARAMETER\"')) > 0", text).Scan(&seenByDuckDB{&params})
		require.NoError(t, err)
		require.Equal(t, seen, params == 1, text)
	}
}

type seenByDuckDB struct{ n *int }

func (s *seenByDuckDB) Scan(v any) error {
	*s.n = 0
	if yes, ok := v.(bool); ok && yes {
		*s.n = 1
	}
	return nil
}

func TestAParameterThatStandsInATextOnlyIsNotUsed(t *testing.T) {
	const header = "-- title: T\n-- question: Q?\n-- param: from timestamp = none: when, $from\n-- column: a VARCHAR: n\n"
	for _, sql := range []string{"SELECT '$from' AS a", `SELECT 'x' AS a FROM (SELECT 1 AS "$from")`, "SELECT 'x' AS a -- $from", "SELECT $$$from$$ AS a"} {
		_, err := parseQuery("audit/x.sql", header+sql)
		require.ErrorContains(t, err, "the SQL does not use $from", sql)
	}
	q, err := parseQuery("audit/x.sql", header+"SELECT '$from' AS a WHERE $from IS NULL")
	require.NoError(t, err)
	require.Equal(t, header+"SELECT '$from' AS a WHERE CAST($from AS TIMESTAMPTZ) IS NULL", q.typed())
}
