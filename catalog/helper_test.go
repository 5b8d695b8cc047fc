package catalog

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// testConfig is a SQLite catalog and a local warehouse in a temporary folder.
func testConfig(t *testing.T) Config {
	dir := t.TempDir()
	return Config{Type: "sqlite", URI: filepath.Join(dir, "catalog.db"), Warehouse: "file://" + filepath.Join(dir, "warehouse"), Create: true}
}

func openTest(t *testing.T, cfg Config) *Catalog {
	c, err := Open(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// initTest is an initialized catalog.
func initTest(t *testing.T, cfg Config) *Catalog {
	c := openTest(t, cfg)
	_, err := c.Init(context.Background(), InitOptions{})
	require.NoError(t, err)
	return c
}

var testTP = TopicPartition{ClusterID: "c/1", Topic: "agent-events", TopicID: "id-1", Partition: 3}

// writeRows writes one data file with a row for each offset.
func writeRows(t *testing.T, c *Catalog, table string, offsets ...int64) DataFile {
	return writeTextRows(t, c, table, "x", offsets...)
}

// null is a text that is NULL, to writeTextRows.
const null = "\x00"

// writeTextRows is writeRows with a text for what is neither topic nor class.
func writeTextRows(t *testing.T, c *Catalog, table, text string, offsets ...int64) DataFile {
	tbl, err := c.Load(context.Background(), table)
	require.NoError(t, err)
	schema, err := tbl.ArrowSchema()
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for _, o := range offsets {
		for i, f := range schema.Fields() {
			switch fb := b.Field(i).(type) {
			case *array.StringBuilder:
				switch f.Name {
				case "kafka_topic":
					fb.Append(testTP.Topic)
				case "event_class":
					fb.Append("prompt")
				default:
					if text == null && f.Nullable {
						fb.AppendNull()
					} else {
						fb.Append(text)
					}
				}
			case *array.Int64Builder:
				if f.Name == "kafka_offset" {
					fb.Append(o)
				} else {
					fb.AppendNull()
				}
			case *array.Int32Builder:
				if f.Name == "kafka_partition" {
					fb.Append(testTP.Partition)
				} else {
					fb.Append(0)
				}
			case *array.TimestampBuilder:
				fb.Append(arrow.Timestamp(day.UnixMicro()))
			default:
				fb.AppendNull()
			}
		}
	}
	rb := b.NewRecordBatch()
	defer rb.Release()
	fields, err := tbl.PartitionFields()
	require.NoError(t, err)
	values := make([]PartitionValue, len(fields))
	for i, f := range fields {
		switch {
		case f.Column == "event_class":
			values[i].Text = []byte("prompt")
		case f.source.Equals(iceberg.PrimitiveTypes.String):
			values[i] = PartitionValue{Null: text == null, Text: []byte(text)}
		default:
			values[i].Int = day.UnixMicro()
		}
	}
	w, err := tbl.CreateDataFile(context.Background(), uuid.NewString(), fields, values, WriteOptions{CompressionLevel: 1})
	require.NoError(t, err)
	require.NoError(t, w.Write(rb))
	df, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, len(offsets), df.Rows)
	return df
}

// span is the offsets [start, end).
func span(start, end int64) []int64 {
	var out []int64
	for o := start; o < end; o++ {
		out = append(out, o)
	}
	return out
}

// eventBatch is a batch that accounts for [start, end) with an event each.
func eventBatch(t *testing.T, c *Catalog, start, end int64) Batch {
	return Batch{
		ID: uuid.NewString(), Version: "test", Files: []DataFile{writeRows(t, c, AgentEvents, span(start, end)...)},
		Ranges: []Range{{TopicPartition: testTP, Start: start, End: end, Rows: end - start, Events: end - start}},
	}
}

// setProperty sets a property of agent_events.
func setProperty(t *testing.T, c *Catalog, key, value string) {
	tbl, err := c.Load(context.Background(), AgentEvents)
	require.NoError(t, err)
	tx := tbl.ice.NewTransaction()
	require.NoError(t, tx.SetProperties(iceberg.Properties{key: value}))
	_, err = tx.Commit(context.Background())
	require.NoError(t, err)
}

// verifyClean runs the verification a user can run and wants it clean.
func verifyClean(t *testing.T, c *Catalog) *Report {
	report, err := c.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.True(t, report.OK)
	return report
}

func (r *Report) rows(table string) int64 {
	for _, t := range r.Tables {
		if t.Table == table {
			return t.Rows
		}
	}
	return -1
}
