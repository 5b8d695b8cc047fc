package sink

import (
	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
)

// CanPartitionBy reports whether the sink can fill a table whose partition spec
// is by this column: one of the event, or one that says where a record came from.
func CanPartitionBy(table, column string) bool {
	switch table {
	case catalog.AgentEvents:
		_, ok := sourceNamed(column)
		return ok
	case catalog.DeadLetters:
		_, ok := deadValue(column, &arrowconv.Provenance{}, "")
		return ok
	}
	return false
}
