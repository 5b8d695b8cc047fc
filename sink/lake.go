package sink

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/catalog"
)

// What the sink needs of the world: a consumer, what a cluster knows of its topics,
// and the tables. The simulation has models of them.

// consumer is a member of a consumer group; *kgo.Client is one.
type consumer interface {
	PollFetches(ctx context.Context) kgo.Fetches
	AllowRebalance()
	SetOffsets(offsets map[string]map[int32]kgo.EpochOffset)
	CommitOffsetsSync(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset, done func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error))
	PurgeTopicsFromConsuming(topics ...string)
	AddConsumeTopics(topics ...string) // without effect where patterns are asked for
	Close()
}

// cluster tells about topics; *kadm.Client is one.
type cluster interface {
	Metadata(ctx context.Context, topics ...string) (kadm.Metadata, error)
	ListStartOffsets(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)
	ListEndOffsets(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)
	ListCommittedOffsets(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)
	Close()
}

// lake holds the tables.
type lake interface {
	Load(ctx context.Context, name string) (lakeTable, error)
	CommitBatch(ctx context.Context, name string, b catalog.Batch) (catalog.Landed, error)
}

// lakeTable is one table as it was when it was loaded.
type lakeTable interface {
	Name() string
	UUID() string
	Current() (snap catalog.Snapshot, ok bool, err error)
	MissingColumns() []string
	Offsets() (catalog.Offsets, error)
	OffsetsIn(ctx context.Context, tp catalog.TopicPartition, from, to int64) (map[int64]struct{}, error)
	ArrowSchema() (*arrow.Schema, error)
	PartitionFields() ([]catalog.PartitionField, error)
	CreateDataFile(ctx context.Context, name string, fields []catalog.PartitionField, values []catalog.PartitionValue, opts catalog.WriteOptions) (dataFile, error)
	DeleteFiles(ctx context.Context, files []catalog.DataFile) error
}

// dataFile is a data file that is being written.
type dataFile interface {
	Write(rb arrow.RecordBatch) error
	FlushRowGroup() error
	Buffered() int64 // bytes held in memory
	Size() int64     // bytes written and held
	Close() (catalog.DataFile, error)
	Abort() error
}

// icebergLake is the lake of a catalog.
type icebergLake struct{ *catalog.Catalog }

func (l icebergLake) Load(ctx context.Context, name string) (lakeTable, error) {
	t, err := l.Catalog.Load(ctx, name)
	if err != nil {
		return nil, err
	}
	return icebergTable{t}, nil
}

type icebergTable struct{ *catalog.Table }

func (t icebergTable) CreateDataFile(
	ctx context.Context, name string, fields []catalog.PartitionField, values []catalog.PartitionValue, opts catalog.WriteOptions,
) (dataFile, error) {
	w, err := t.Table.CreateDataFile(ctx, name, fields, values, opts)
	if err != nil {
		return nil, err
	}
	return w, nil
}
