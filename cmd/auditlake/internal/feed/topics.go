package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Connect opens a client and sees that a broker answers, since other requests
// are retried for long. Each broker has the time of [kgo.DialTimeout].
func Connect(ctx context.Context, brokers []string, opts ...kgo.Opt) (*kgo.Client, error) {
	if len(brokers) == 0 {
		return nil, errors.New("no Kafka broker is named: give host:port of one at least")
	}
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.SeedBrokers(brokers...))...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explain(brokers, err)
	}
	return client, nil
}

// NoTopicError says that a topic is not there.
type NoTopicError struct{ Topic string }

func (e *NoTopicError) Error() string {
	return fmt.Sprintf("topic %s does not exist: create it with your Kafka's tools, or give --create-topic", e.Topic)
}

// ExitCode is that of a wrong usage.
func (e *NoTopicError) ExitCode() int { return 2 }

// requireTopic refuses a topic that is not there: a producer would else retry.
func requireTopic(ctx context.Context, client *kgo.Client, topic string) error {
	found, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return fmt.Errorf("look for topic %s: %w", topic, err)
	}
	switch err := found[topic].Err; {
	case !found.Has(topic):
		return &NoTopicError{topic}
	case err != nil:
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	return nil
}

// defaultBatchBytes is for topics whose own limit cannot be read: a user who
// may produce need not be one who may describe.
const defaultBatchBytes = 1_000_000

// batchLimit is the topic's max.message.bytes, within what can be sent.
func batchLimit(ctx context.Context, client *kgo.Client, topic string) int32 {
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return defaultBatchBytes
	}
	c, _ := configs.On(topic, nil) // without configs where there was an error
	for _, kv := range c.Configs {
		if kv.Key != "max.message.bytes" {
			continue
		}
		if n, err := strconv.ParseInt(kv.MaybeValue(), 10, 64); err == nil {
			return int32(min(max(n, 1024), maxLineBytes))
		}
	}
	return defaultBatchBytes
}

// EnsureTopic makes a topic where it is not there, with as many replicas as
// the cluster makes by default. It reports whether it made it; a topic that is
// there keeps its number of topic partitions.
func EnsureTopic(ctx context.Context, opts []kgo.Opt, brokers []string, topic string, partitions int32) (created bool, err error) {
	if partitions < 1 {
		return false, fmt.Errorf("topic %s: %d is no number of topic partitions, the least is 1", topic, partitions)
	}
	client, err := Connect(ctx, brokers, opts...)
	if err != nil {
		return false, err
	}
	defer client.Close()
	made, err := kadm.NewClient(client).CreateTopic(ctx, partitions, -1, nil, topic)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return false, fmt.Errorf("create topic %s: this user may not, ask who runs the cluster to: %w", topic, err)
	case err != nil && made.ErrMessage != "":
		return false, fmt.Errorf("create topic %s: %s: %w", topic, made.ErrMessage, err)
	case err != nil:
		return false, fmt.Errorf("create topic %s: %w", topic, err)
	}
	return true, nil
}
