package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
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
	addr    string
	lock    *os.File
	once    sync.Once
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
	b := &Broker{cluster: cluster, lock: lock, addr: cluster.ListenAddrs()[0]}
	if err := b.makeTopics(opts.Topics); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func startCluster(opts BrokerOptions) (*kfake.Cluster, error) {
	cluster, err := kfake.NewCluster(
		kfake.Ports(opts.Port),
		kfake.ListenFn(func(_, address string) (net.Listener, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
		}),
		kfake.DataDir(filepath.Join(opts.Dir, "log")),
		kfake.SyncWrites(),
		kfake.ClusterID("dev-"+uuid.NewString()), // of a new directory; an old one keeps its own
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": strconv.Itoa(brokerMaxMessageBytes)}),
	)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("dev broker: port %d on 127.0.0.1 is taken: stop what listens there, or choose another port (0 takes any that is free): %w", opts.Port, err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("dev broker on port %d with data in %s: check the folder's owner, and choose a port above 1023: %w", opts.Port, opts.Dir, err)
	case err != nil:
		return nil, fmt.Errorf("dev broker with data in %s: %w", opts.Dir, err)
	}
	return cluster, nil
}

func (b *Broker) makeTopics(topics map[string]int32) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var names []string
	for name := range topics {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := EnsureTopic(ctx, nil, []string{b.addr}, name, topics[name]); err != nil {
			return fmt.Errorf("dev broker: %w", err)
		}
	}
	return nil
}

// Addr is what clients connect to, host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker; its data stays in the directory, which is free again.
// A second Close does nothing.
func (b *Broker) Close() error {
	var err error
	b.once.Do(func() {
		b.cluster.Close()
		err = b.lock.Close()
	})
	return err
}
