package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
	Lag           int64  `json:"lag"`             // never below 0
	Ahead         int64  `json:"ahead,omitempty"` // by so many offsets the log is shorter than the table: Kafka lost records
	New           bool   `json:"new,omitempty"`   // not in the table yet
}

// Lag asks the cluster for the high watermarks of the configured topics and
// holds them against the table's offsets, in order of topic and partition. Where a
// configured topic does not exist it returns the error beside what it knows of the others.
func Lag(ctx context.Context, cfg Config, offsets catalog.Offsets) ([]PartitionLag, error) {
	set, err := parseTopics(cfg.Topics)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cfg.Brokers...)}, cfg.Client...)...)
	if err != nil {
		return nil, &Error{Text: "kafka configuration", Usage: true, Err: err}
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	now, err := findTopics(ctx, set, admin, cfg.Brokers)
	if err != nil {
		return nil, err
	}
	if len(now.missing) > 0 {
		err = noTopic(now.missing[0], cfg.Brokers)
	}
	if len(now.ids) == 0 {
		return []PartitionLag{}, err // asked for none, Kafka tells of all
	}
	topics := slices.Sorted(maps.Keys(now.ids))
	ends, err2 := admin.ListEndOffsets(ctx, topics...)
	if err2 != nil {
		return nil, fmt.Errorf("list the last offsets of %s: %w", strings.Join(topics, ", "), err2)
	}
	starts, err2 := admin.ListStartOffsets(ctx, topics...)
	if err2 != nil {
		return nil, fmt.Errorf("list the first offsets of %s: %w", strings.Join(topics, ", "), err2)
	}
	return lags(now, offsets, starts, ends), err
}

func lags(now found, offsets catalog.Offsets, starts, ends kadm.ListedOffsets) []PartitionLag {
	var out []PartitionLag
	for _, end := range ends.Offsets().Sorted() {
		id := catalog.TopicPartition{ClusterID: now.cluster, Topic: end.Topic, TopicID: now.ids[end.Topic], Partition: end.Partition}
		lag := PartitionLag{Topic: end.Topic, Partition: end.Partition, HighWatermark: end.At}
		if o, ok := offsets[id]; ok {
			lag.Committed = o.Next
		} else {
			lag.New = true
			if start, ok := starts.Lookup(end.Topic, end.Partition); ok {
				lag.Committed = start.Offset
			}
		}
		lag.Lag, lag.Ahead = max(lag.HighWatermark-lag.Committed, 0), max(lag.Committed-lag.HighWatermark, 0)
		out = append(out, lag)
	}
	return out
}
