package feed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/auditlake/auditlake/internal/groupkeeper"
)

// brokerMaxMessageBytes is the largest record batch of the dev broker, in
// bytes: well above the largest event that the sink takes (16 MiB).
const brokerMaxMessageBytes = 64 << 20

// BrokerOptions says where the dev broker keeps its data and what it listens on.
type BrokerOptions struct {
	Dir    string           // its data, made where it is not there; one process at a time
	Port   int              // on 127.0.0.1; 0 takes any that is free
	Topics map[string]int32 // name to number of topic partitions: made where they are not there
}

// Broker is an in-process Kafka broker to try things with. It is no
// replacement for Kafka: one node, no authentication, loopback only.
type Broker struct {
	cluster *kfake.Cluster
	lock    *os.File
}

// StartBroker starts a broker on the data in opts.Dir. What a producer had
// acknowledged outlives the process, however it ends; so do the cluster id and
// the topic ids, by which a sink knows its offsets to be of this log.
func StartBroker(opts BrokerOptions) (*Broker, error) {
	if opts.Dir == "" {
		return nil, errors.New("dev broker: no directory for its data is named")
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("dev broker: make directory %s: %w", opts.Dir, err)
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	cluster, err := startCluster(opts)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	b := &Broker{cluster, lock}
	for name, partitions := range opts.Topics {
		if err := b.ensureTopic(name, partitions); err != nil {
			_ = b.Close() // the first error says more
			return nil, err
		}
	}
	return b, nil
}

func startCluster(opts BrokerOptions) (*kfake.Cluster, error) {
	cluster, err := kfake.NewCluster( // listens on 127.0.0.1
		kfake.Ports(opts.Port),
		kfake.ListenFn(groupkeeper.Listen),
		kfake.DataDir(filepath.Join(opts.Dir, "log")),
		kfake.SyncWrites(),
		kfake.ClusterID("dev-"+uuid.NewString()), // of a new directory; an old one keeps its own
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes": strconv.Itoa(brokerMaxMessageBytes),
			"log.retention.ms":  "-1", // by the event's time; old events are no less welcome
		}),
	)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("dev broker: port %d on 127.0.0.1 is taken: stop what listens there, or choose another port (0 takes any that is free): %w", opts.Port, err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("dev broker on port %d with data in %s: check the folder's owner, and choose a port above 1023: %w", opts.Port, opts.Dir, err)
	case err != nil:
		return nil, fmt.Errorf("dev broker with data in %s: mend it, or name another directory: %w", opts.Dir, err)
	}
	return cluster, nil
}

// ensureTopic makes a topic where it is not there; one that is there keeps its
// number of topic partitions.
func (b *Broker) ensureTopic(name string, partitions int32) error {
	if partitions < 1 {
		return fmt.Errorf("dev broker: topic %s: %d is no number of topic partitions, the least is 1", name, partitions)
	}
	if b.cluster.TopicInfo(name) != nil {
		return nil
	}
	if err := b.cluster.CreateTopic(name, partitions, nil); err != nil {
		return fmt.Errorf("dev broker: create topic %q: %w", name, err)
	}
	return nil
}

// Addr is what clients connect to, host:port.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// Close stops the broker; its data stays in the directory, which is free again.
func (b *Broker) Close() error {
	b.cluster.Close()
	return b.lock.Close()
}
