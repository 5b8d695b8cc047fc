package catalog

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// PlanOptions choose what a plan covers. The zero value is the whole of the
// current snapshot.
type PlanOptions struct {
	SnapshotID int64     // time travel to this snapshot
	AsOf       time.Time // time travel to the snapshot that was current then
	// From and To keep files that may hold rows of [From, To) by the table's
	// time column: event_time of agent_events, ingest_time of dead_letters.
	From, To time.Time
}

// Plan lists the data files that hold a table's rows at one snapshot.
type Plan struct {
	Table            string
	MetadataLocation string
	SnapshotID       int64 // 0: the table has no snapshot yet
	SnapshotTime     time.Time
	Columns          []PlannedColumn
	Files            []PlannedFile
	FilesTotal       int64 // in the snapshot, before pruning
	BytesTotal       int64 // of these; 0 where another engine does not say
}

// PlannedColumn is a column of the plan's schema. Type is Iceberg's name for
// its type, such as "string", "timestamptz" or "list<string>".
type PlannedColumn struct {
	ID       int
	Name     string
	Type     string
	Doc      string
	Required bool
}

// PlannedFile is one data file.
type PlannedFile struct {
	URI       string
	Size      int64 // bytes
	Rows      int64
	Partition string // table partition, as in event_time_day=2026-11-24/event_class=prompt
	RowGroups int    // 0 where the file's writer does not say
	// First and Last bound the table's time column in the file; zero where its
	// writer does not say. They may be wider than its rows.
	First, Last time.Time
}

// timeColumn is the column that From and To mean, by table.
var timeColumn = map[string]string{AgentEvents: "event_time", DeadLetters: "ingest_time", MaintenanceLog: "started_at"}

// Plan lists the files a reader needs. Files that need delete files to be read
// right are refused: another engine wrote them merge-on-read, and reading them
// as they are would bring deleted rows back.
func (t *Table) Plan(ctx context.Context, opts PlanOptions) (*Plan, error) {
	plan := &Plan{Table: t.name, MetadataLocation: t.ice.MetadataLocation()}
	snap, err := t.pick(opts)
	if err != nil {
		return nil, err
	}
	schema := t.ice.Schema()
	if snap != nil && snap.SchemaID != nil && snap.SnapshotID != currentID(t.ice) {
		if s, ok := t.ice.Schemas()[*snap.SchemaID]; ok {
			schema = s // time travel reads with the columns of its time
		}
	}
	plan.Columns = plannedColumns(schema)
	if snap == nil {
		return plan, nil
	}
	meta, err := snapshotOf(snap)
	if err != nil {
		return nil, err
	}
	plan.SnapshotID, plan.SnapshotTime, plan.FilesTotal, plan.BytesTotal = meta.ID, meta.Time, meta.TotalFiles, meta.TotalBytes
	tasks, err := t.ice.Scan(table.WithSnapshotID(snap.SnapshotID), table.WithRowFilter(t.timeFilter(opts))).PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan %s at snapshot %d: %w", t.name, snap.SnapshotID, err)
	}
	var timeID int
	if f, ok := schema.FindFieldByName(timeColumn[t.name]); ok {
		timeID = f.ID
	}
	seen := map[string]bool{}
	for _, task := range tasks {
		if len(task.DeleteFiles)+len(task.EqualityDeleteFiles)+len(task.DeletionVectorFiles) > 0 {
			return nil, fmt.Errorf("table %s has delete files at snapshot %d, written merge-on-read by another engine: "+
				"rewrite its data files there (Spark: rewrite_data_files) and set write.delete.mode to copy-on-write", t.name, snap.SnapshotID)
		}
		// A task is a split of a file: several may name the same one.
		if uri := task.File.FilePath(); !seen[uri] {
			seen[uri] = true
			plan.Files = append(plan.Files, PlannedFile{
				URI: uri, Size: task.File.FileSizeBytes(), Rows: task.File.Count(), Partition: t.partitionOf(task.File),
				RowGroups: len(task.File.SplitOffsets()),
				First:     timeBound(task.File.LowerBoundValues()[timeID]), Last: timeBound(task.File.UpperBoundValues()[timeID])})
		}
	}
	slices.SortFunc(plan.Files, func(a, b PlannedFile) int {
		if a.URI < b.URI {
			return -1
		}
		return 1
	})
	return plan, nil
}

// timeBound reads the bound of a column of times: microseconds, as the Iceberg
// spec serializes them.
func timeBound(b []byte) time.Time {
	if len(b) != 8 {
		return time.Time{}
	}
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(b))).UTC()
}

func plannedColumns(schema *iceberg.Schema) []PlannedColumn {
	var out []PlannedColumn
	for _, f := range schema.Fields() {
		out = append(out, PlannedColumn{f.ID, f.Name, typeName(f.Type), f.Doc, f.Required})
	}
	return out
}

func currentID(t *table.Table) int64 {
	if s := t.CurrentSnapshot(); s != nil {
		return s.SnapshotID
	}
	return 0
}

func (t *Table) pick(opts PlanOptions) (*table.Snapshot, error) {
	switch {
	case opts.SnapshotID != 0:
		s := t.ice.SnapshotByID(opts.SnapshotID)
		if s == nil {
			return nil, &ConfigError{Text: fmt.Sprintf("table %s has no snapshot %d (it may have expired): `auditlake status` shows the last one", t.name, opts.SnapshotID)}
		}
		return s, nil
	case !opts.AsOf.IsZero():
		s := t.ice.SnapshotAsOf(opts.AsOf.UnixMilli(), true)
		if s == nil {
			return nil, &ConfigError{Text: fmt.Sprintf("table %s has no snapshot as old as %s", t.name, opts.AsOf.UTC().Format(time.RFC3339))}
		}
		return s, nil
	}
	return t.ice.CurrentSnapshot(), nil
}

func (t *Table) timeFilter(opts PlanOptions) iceberg.BooleanExpression {
	col := iceberg.Reference(timeColumn[t.name])
	var expr iceberg.BooleanExpression = iceberg.AlwaysTrue{}
	if !opts.From.IsZero() {
		expr = iceberg.GreaterThanEqual(col, iceberg.Timestamp(opts.From.UnixMicro()))
	}
	if !opts.To.IsZero() {
		to := iceberg.LessThan(col, iceberg.Timestamp(opts.To.UnixMicro()))
		if opts.From.IsZero() {
			return to
		}
		return iceberg.NewAnd(expr, to)
	}
	return expr
}

// partitionOf names the table partition of a file, by the spec it was written
// under.
func (t *Table) partitionOf(f iceberg.DataFile) string {
	for _, spec := range t.ice.Metadata().PartitionSpecs() {
		if int32(spec.ID()) != f.SpecID() {
			continue
		}
		record := partitionRecord{}
		for _, field := range spec.Fields() {
			record = append(record, f.Partition()[field.FieldID])
		}
		return spec.PartitionToPath(record, t.ice.Schema())
	}
	return ""
}

// typeName writes nested types without field ids, which readers have no use for.
func typeName(t iceberg.Type) string {
	switch t := t.(type) {
	case *iceberg.ListType:
		return "list<" + typeName(t.Element) + ">"
	case *iceberg.StructType:
		out := "struct<"
		for i, f := range t.FieldList {
			if i > 0 {
				out += ", "
			}
			out += f.Name + ": " + typeName(f.Type)
		}
		return out + ">"
	}
	return t.String()
}

// ArrowSchema is the schema of the record batches the table takes; every field
// carries its Iceberg field id as PARQUET:field_id.
func (t *Table) ArrowSchema() (*arrow.Schema, error) {
	return table.SchemaToArrowSchema(t.ice.Schema(), nil, true, false)
}
