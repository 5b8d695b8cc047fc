package catalog

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// OffsetsIn returns the offsets in [from, to) of a topic partition that have
// rows in the table.
func (t *Table) OffsetsIn(ctx context.Context, tp TopicPartition, from, to int64) (map[int64]struct{}, error) {
	offset := iceberg.Reference("kafka_offset")
	filter := iceberg.NewAnd(
		iceberg.EqualTo(iceberg.Reference("kafka_topic"), tp.Topic),
		iceberg.EqualTo(iceberg.Reference("kafka_partition"), tp.Partition),
		iceberg.GreaterThanEqual(offset, from), iceberg.LessThan(offset, to))
	_, batches, err := t.ice.Scan(table.WithRowFilter(filter), table.WithSelectedFields("kafka_offset")).ToArrowRecords(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the offsets [%d, %d) of %s in %s: %w", from, to, tp, t.name, err)
	}
	out := map[int64]struct{}{}
	for rb, err := range batches {
		if err != nil {
			return nil, fmt.Errorf("read the offsets [%d, %d) of %s in %s: %w", from, to, tp, t.name, err)
		}
		for _, o := range rb.Column(0).(*array.Int64).Int64Values() {
			out[o] = struct{}{}
		}
		rb.Release()
	}
	return out, nil
}
