package ui

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Table(&b, []string{"name", "rows>"}, [][]string{{"tool_call", "1,164"}, {"a\nb\x1b[31m", "7"}}))
	require.Equal(t, "name        rows\ntool_call  1,164\na b [31m       7\n", b.String())
}

func TestNumbersForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		850 * time.Millisecond: "850ms", 4250 * time.Millisecond: "4.2s", 192 * time.Second: "3m12s",
		5*time.Hour + 3*time.Minute: "5h3m", 52 * time.Hour: "2d4h", -time.Minute: "-1m0s",
	} {
		require.Equal(t, want, Duration(d))
	}
	require.Equal(t, "1,234,567", Count(1234567))
	require.Equal(t, "128 MiB", Bytes(128<<20))
	require.Equal(t, "1 file", Plural(1, "file", "files"))
	require.Equal(t, "0 files", Plural(0, "file", "files"))
}

func TestProgressIsSilentWithoutATerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, "events", 10)
	p.Add(5)
	p.Set(10)
	p.Done()
	require.Empty(t, b.String())
	require.False(t, IsTerminal(&b))
}
