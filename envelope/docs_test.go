package envelope

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tables of docs/envelope.md are written from the registry.
func TestDocs(t *testing.T) {
	const path = "../docs/envelope.md"
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(raw)

	var columns strings.Builder
	columns.WriteString("| column | type | context attribute | data key | |\n|---|---|---|---|---|\n")
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	for _, c := range Columns {
		fmt.Fprintf(&columns, "| `%s` | %s | %s | %s | %s |\n", c.Name, kindLabels[c.Kind], code(c.Context), code(c.Data), c.Doc)
	}
	var classes strings.Builder
	classes.WriteString("| error class | when |\n|---|---|\n")
	for _, c := range ErrorClasses {
		fmt.Fprintf(&classes, "| `%s` | %s |\n", c.Class, c.Doc)
	}
	want := between(t, between(t, text, "columns", columns.String()), "classes", classes.String())
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, text, "%s is not what the registry says: run this test with -update", path)
}

// between puts a table between the markers of its name.
func between(t *testing.T, text, name, table string) string {
	start := strings.Index(text, "<!-- "+name+":")
	end := strings.Index(text, "<!-- end of "+name)
	require.True(t, start >= 0 && end > start, "markers of %s", name)
	start += strings.IndexByte(text[start:], '\n') + 1
	return text[:start] + table + text[end:]
}
