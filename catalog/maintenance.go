package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
)

// MaintenanceEntry is one row of maintenance_log: what a job did, who ran it.
type MaintenanceEntry struct {
	RunID      string
	Job        string
	Started    time.Time
	Finished   time.Time
	Actor      string
	Policy     string // "" if none decided
	Target     string
	Detail     string // JSON
	Rows       int64
	SnapBefore int64 // 0 if none
	SnapAfter  int64 // 0 if none
}

// LogMaintenance adds a row to maintenance_log.
func (c *Catalog) LogMaintenance(ctx context.Context, e MaintenanceEntry, version string) error {
	t, err := c.Load(ctx, MaintenanceLog)
	if err != nil {
		return err
	}
	schema, err := t.ArrowSchema()
	if err != nil {
		return err
	}
	rb, err := e.recordBatch(schema)
	if err != nil {
		return err
	}
	defer rb.Release()
	id := uuid.NewString()
	w, err := t.CreateDataFile(ctx, id, nil, nil, WriteOptions{CompressionLevel: 3})
	if err != nil {
		return err
	}
	if err := w.Write(rb); err != nil {
		_ = w.Abort() // the first error says more
		return err
	}
	file, err := w.Close()
	if err != nil {
		return err
	}
	_, err = c.CommitBatch(ctx, MaintenanceLog, Batch{ID: id, Files: []DataFile{file}, Version: version})
	return err
}

func (e MaintenanceEntry) recordBatch(schema *arrow.Schema) (arrow.RecordBatch, error) {
	values := map[string]any{
		"run_id": e.RunID, "job": e.Job, "started_at": e.Started, "finished_at": e.Finished, "actor": e.Actor,
		"policy": e.Policy, "target": e.Target, "detail": e.Detail, "row_count": e.Rows,
		"snapshot_before": e.SnapBefore, "snapshot_after": e.SnapAfter,
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, f := range schema.Fields() {
		switch v := values[f.Name].(type) {
		case string:
			if v == "" && f.Nullable {
				b.Field(i).AppendNull()
				continue
			}
			b.Field(i).(*array.StringBuilder).Append(v)
		case time.Time:
			b.Field(i).(*array.TimestampBuilder).Append(arrow.Timestamp(v.UnixMicro()))
		case int64:
			if v == 0 && f.Name != "row_count" {
				b.Field(i).AppendNull()
				continue
			}
			b.Field(i).(*array.Int64Builder).Append(v)
		default:
			if !f.Nullable {
				return nil, fmt.Errorf("maintenance_log has a column %s that this release cannot fill", f.Name)
			}
			b.Field(i).AppendNull() // a column of a later release
		}
	}
	return b.NewRecordBatch(), nil
}
