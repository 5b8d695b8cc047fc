package catalog

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/tables.md anew")

// docs/tables.md is written from the definitions and must stay what they say.
func TestDocsOfTables(t *testing.T) {
	const path = "../docs/tables.md"
	var b strings.Builder
	b.WriteString("# Tables\n\nIceberg v2, copy-on-write, Parquet with zstd, in namespace `audit` (`catalog.namespace`). Times are UTC with microseconds.\n" +
		"This page is written from the code: `go test ./catalog -run TestDocsOfTables -update`.\n")
	for _, d := range Definitions() {
		by := "not partitioned"
		if len(d.PartitionBy) > 0 {
			by = "partitioned by `" + strings.Join(d.PartitionBy, "`, `") + "` unless configured otherwise"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s; %s.\n\n| column | type | |\n|---|---|---|\n", d.Name, strings.ToUpper(d.Doc[:1])+d.Doc[1:], by)
		for _, c := range d.Columns() {
			required := ""
			if c.Required {
				required = ", never NULL"
			}
			fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", c.Name, c.Type, required, c.Doc)
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "docs/tables.md is not what the code says: run this test with -update")
}
