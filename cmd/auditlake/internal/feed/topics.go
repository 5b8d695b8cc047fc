package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connectTimeout is how long a cluster has to answer for the first time.
const connectTimeout = 10 * time.Second

// connect opens a client and sees that a broker answers.
func connect(ctx context.Context, client []kgo.Opt, brokers []string, more ...kgo.Opt) (*kgo.Client, error) {
	if len(brokers) == 0 {
		return nil, errors.New("no Kafka broker is named: give host:port of one at least")
	}
	opts := append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, client...)
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := cl.Ping(pingCtx); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("no Kafka broker answers at %s: check the address and that the cluster is up: %w", strings.Join(brokers, ", "), err)
	}
	return cl, nil
}

// EnsureTopic makes a topic where it is not there, with as many replicas as
// the cluster makes by default. It reports whether it made it; a topic that is
// there keeps its number of topic partitions.
func EnsureTopic(ctx context.Context, client []kgo.Opt, brokers []string, topic string, partitions int32) (created bool, err error) {
	if partitions < 1 {
		return false, fmt.Errorf("topic %s: %d is no number of topic partitions, the least is 1", topic, partitions)
	}
	cl, err := connect(ctx, client, brokers)
	if err != nil {
		return false, err
	}
	defer cl.Close()
	made, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, -1, nil, topic)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return false, fmt.Errorf("create topic %s: this user may not, ask who runs the cluster to: %w", topic, err)
	case err != nil:
		return false, topicError(topic, made.ErrMessage, err)
	}
	return true, nil
}

func topicError(topic, message string, err error) error {
	if message != "" {
		return fmt.Errorf("create topic %s: %s: %w", topic, message, err)
	}
	return fmt.Errorf("create topic %s: %w", topic, err)
}

// Records counts the records that a topic holds: for every topic partition the
// end offset less the first one, so markers of transactions and holes of
// compaction count too. A topic that is not there holds none.
func Records(ctx context.Context, client []kgo.Opt, brokers []string, topic string) (int64, error) {
	cl, err := connect(ctx, client, brokers)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("end offsets of topic %s: %w", topic, err)
	}
	if errors.Is(ends.Error(), kerr.UnknownTopicOrPartition) {
		return 0, nil
	}
	if err := ends.Error(); err != nil {
		return 0, fmt.Errorf("end offsets of topic %s: %w", topic, err)
	}
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("first offsets of topic %s: %w", topic, err)
	}
	var n int64
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, end.Partition)
		n += end.Offset - start.Offset
	})
	return n, nil
}

// requireTopic refuses a topic that is not there, since a producer would retry
// for long, and tells the largest record batch that it takes, in bytes.
func requireTopic(ctx context.Context, cl *kgo.Client, topic string) error {
	meta, err := kadm.NewClient(cl).Metadata(ctx, topic)
	if err != nil {
		return fmt.Errorf("look for topic %s: %w", topic, err)
	}
	d, ok := meta.Topics[topic]
	if !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %s does not exist: create it with your Kafka's tools, or give --create-topic", topic)
	}
	if d.Err != nil {
		return fmt.Errorf("topic %s: %w", topic, d.Err)
	}
	return nil
}
