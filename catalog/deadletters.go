package catalog

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/auditlake/auditlake/storage"
)

// OffsetsIn returns the offsets in [from, to) of a topic partition that have
// rows in the table's data files. Rows that another engine deleted merge-on-read
// count: they must not come back.
func (t *Table) OffsetsIn(ctx context.Context, tp TopicPartition, from, to int64) (map[int64]struct{}, error) {
	fail := func(err error) (map[int64]struct{}, error) {
		return nil, fmt.Errorf("read the offsets [%d, %d) of %s in %s: %w", from, to, tp, t.name, err)
	}
	offset := iceberg.Reference("kafka_offset")
	filter := iceberg.NewAnd(
		iceberg.EqualTo(iceberg.Reference("kafka_topic"), tp.Topic),
		iceberg.EqualTo(iceberg.Reference("kafka_partition"), tp.Partition),
		iceberg.GreaterThanEqual(offset, from), iceberg.LessThan(offset, to))
	tasks, err := t.ice.Scan(table.WithRowFilter(filter)).PlanFiles(ctx)
	if err != nil {
		return fail(err)
	}
	io, err := storage.New(ctx, t.Location(), t.cat.cfg.Storage)
	if err != nil {
		return fail(err)
	}
	out := map[int64]struct{}{}
	seen := map[string]bool{}
	for _, task := range tasks {
		uri := task.File.FilePath()
		if seen[uri] {
			continue // a task is a split of a file
		}
		seen[uri] = true
		_, err := t.readProvenance(ctx, io, uri, nil, func(o origins) {
			for i, at := range o.offset.Int64Values() {
				if at >= from && at < to && o.topic.Value(i) == tp.Topic && o.partition.Value(i) == tp.Partition {
					out[at] = struct{}{}
				}
			}
		})
		if err != nil {
			return fail(fmt.Errorf("data file %s: %w", uri, err))
		}
	}
	return out, nil
}
