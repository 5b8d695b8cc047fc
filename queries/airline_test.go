package queries

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// airlineCase is a question to the airline runs, of a canned query or in SQL, and
// some columns of its answer that testdata/airline/answers.py worked out.
type airlineCase struct {
	Query   string
	SQL     string
	Params  map[string]string
	Columns []string
	Ordered bool // rows come in this order
	Rows    [][]any
}

// Real runs of an agent: testdata/README.md says which. Their numbers are those
// that a script finds in the file.
func TestAirlineRuns(t *testing.T) {
	path := os.Getenv("AUDITLAKE_AIRLINE_RUNS")
	if path == "" {
		t.Skip("left out, the real agent runs: set AUDITLAKE_AIRLINE_RUNS to their file; testdata/README.md says what it is")
	}
	var rows []logRow
	for line := range strings.Lines(readFile(t, path)) {
		rows = append(rows, logRow{Topic: "agent-events", Offset: int64(len(rows)), IngestTime: "2024-05-20T00:00:00Z", Value: strings.TrimSuffix(line, "\n")})
	}
	require.Len(t, rows, 6484)
	s := lakeOf(t, rows).session(Options{})
	var cases []airlineCase
	decode(t, readFile(t, "../testdata/airline/airline.json"), &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.name(), func(t *testing.T) {
			var b strings.Builder
			var err error
			if c.Query != "" {
				_, err = s.Query(context.Background(), c.Query, c.Params, Output{Format: JSON}, &b)
			} else {
				_, err = s.SQL(context.Background(), c.SQL, Output{Format: JSON}, &b)
			}
			require.NoError(t, err)
			var answer []map[string]any
			decode(t, b.String(), &answer)
			c.matches(t, answer)
		})
	}
}

func (c airlineCase) name() string {
	if c.Query == "" {
		return c.SQL
	}
	params, _ := json.Marshal(c.Params) // texts always encode
	return c.Query + string(params)
}

func (c airlineCase) matches(t *testing.T, answer []map[string]any) {
	require.Len(t, answer, len(c.Rows), "%v", answer)
	got := make([][]any, len(answer))
	for i, row := range answer {
		for _, name := range c.Columns {
			require.Contains(t, row, name)
			got[i] = append(got[i], row[name])
		}
	}
	if !c.Ordered {
		byText := func(a, b []any) int { return strings.Compare(rowText(a), rowText(b)) }
		slices.SortFunc(got, byText)
		slices.SortFunc(c.Rows, byText)
	}
	for i, want := range c.Rows {
		for j, v := range want {
			require.True(t, same(v, got[i][j]), "row %d, %s: want %v, got %v", i, c.Columns[j], want, got[i])
		}
	}
}

// rowText orders rows by their texts: those tell them apart.
func rowText(row []any) string {
	var b strings.Builder
	for _, v := range row {
		if text, ok := v.(string); ok {
			b.WriteString(text + "\x00")
		}
	}
	return b.String()
}
