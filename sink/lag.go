package sink

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// PartitionLag is how far a topic partition's end is ahead of the table.
type PartitionLag struct {
	Topic         string `json:"topic"`
	Partition     int32  `json:"partition"`
	Committed     int64  `json:"committed_offset"` // the next offset the table wants
	HighWatermark int64  `json:"high_watermark"`
	Lag           int64  `json:"lag"`
	New           bool   `json:"new,omitempty"` // not in the table yet
}

// Lag asks the cluster for the high watermarks of the configured topics and
// holds them against the table's offsets, in order of topic and partition.
func Lag(ctx context.Context, cfg Config, offsets catalog.Offsets) ([]PartitionLag, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cfg.Brokers...)}, cfg.Client...)...)
	if err != nil {
		return nil, &Error{Text: "kafka configuration", Usage: true, Err: err}
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	info, err := readCluster(ctx, admin, cfg.Brokers, cfg.Topics)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, cfg.Topics...)
	if err != nil {
		return nil, fmt.Errorf("list the last offsets of %s: %w", strings.Join(cfg.Topics, ", "), err)
	}
	starts, err := admin.ListStartOffsets(ctx, cfg.Topics...)
	if err != nil {
		return nil, fmt.Errorf("list the first offsets of %s: %w", strings.Join(cfg.Topics, ", "), err)
	}
	var out []PartitionLag
	for _, end := range ends.Offsets().Sorted() {
		id := catalog.TopicPartition{ClusterID: info.id, Topic: end.Topic, TopicID: info.topicIDs[end.Topic], Partition: end.Partition}
		lag := PartitionLag{Topic: end.Topic, Partition: end.Partition, HighWatermark: end.At}
		if o, ok := offsets[id]; ok {
			lag.Committed = o.Next
		} else {
			lag.New = true
			if start, ok := starts.Lookup(end.Topic, end.Partition); ok {
				lag.Committed = start.Offset
			}
		}
		lag.Lag = lag.HighWatermark - lag.Committed
		out = append(out, lag)
	}
	return out, nil
}
