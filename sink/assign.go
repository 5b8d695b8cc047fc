package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// How long the first contact with the cluster may take.
const connectTimeout = 15 * time.Second

// connect checks that cluster and topics are there and joins the consumer group.
// Two clients: a consumer begins to join as soon as it is made, and what an
// assignment needs to know must be known by then.
func (s *Sink) connect(ctx context.Context) (err error) {
	reach := append([]kgo.Opt{kgo.SeedBrokers(s.cfg.Brokers...)}, s.cfg.Client...)
	plain, err := kgo.NewClient(reach...)
	if err != nil {
		return &Error{Text: "kafka configuration", Usage: true, Err: err}
	}
	s.admin = kadm.NewClient(plain)
	defer func() {
		if err != nil {
			s.admin.Close()
		}
	}()
	s.peek = peeker{plain, s.cfg.ReadUncommitted}.next
	now, err := findTopics(ctx, s.topics, s.admin, s.cfg.Brokers)
	if err != nil {
		return err
	}
	s.cluster = &clusterInfo{id: now.cluster, topicIDs: now.ids}
	if err := s.sayMissing(now); err != nil {
		return err
	}
	held, err := s.admitTopics(ctx)
	if err != nil {
		return err
	}
	if s.cfg.StartLatest {
		if err := s.pinLatest(ctx, held); err != nil {
			return err
		}
	}
	size := newFetchSize(s.cfg.Memory)
	s.size = size
	client, err := kgo.NewClient(append(reach, s.consumerOptions(size)...)...)
	if err != nil {
		return &Error{Text: "kafka configuration", Usage: true, Err: err}
	}
	size.of(client)
	s.client = client
	return nil
}

// admitTopics refuses to start where the tables know one of the topics as another one.
// It does before anything is read of any: what one worker lands of a topic that is new
// would stay after another one was refused.
func (s *Sink) admitTopics(ctx context.Context) (tables, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := s.loadTables(ctx)
	if err != nil {
		return tables{}, err
	}
	for _, topic := range s.cluster.topics() {
		if err := held.admits(s.idOf(topicPartition{topic: topic})); err != nil {
			return tables{}, err
		}
	}
	return held, nil
}

// findTopics is the first contact with a cluster.
func findTopics(ctx context.Context, set topicSet, admin cluster, brokers []string) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	now, err := set.find(ctx, admin)
	var knows *Error
	if err != nil && !errors.As(err, &knows) {
		err = &Error{Text: fmt.Sprintf("no Kafka broker answers at %s: check kafka.brokers and that the cluster is up", strings.Join(brokers, ", ")), Err: err}
	}
	return now, err
}

func (s *Sink) consumerOptions(size *fetchSize) []kgo.Opt {
	isolation := kgo.ReadCommitted()
	if s.cfg.ReadUncommitted {
		isolation = kgo.ReadUncommitted()
	}
	topics, patterns := s.topics.subscription()
	opts := []kgo.Opt{
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(topics...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(s.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, s.cfg.SessionTimeout/5)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(isolation),
		// Control records have offsets: seeing them tells holes from losses.
		kgo.KeepControlRecords(),
		// Never jump on its own: an offset that is out of range is a loss to report.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(size.partition()), kgo.WithHooks(size),
		kgo.MaxConcurrentFetches(maxConcurrentFetches), kgo.FetchMaxWait(time.Second),
		kgo.OnPartitionsAssigned(s.joined),
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
	}
	if patterns {
		opts = append(opts, kgo.ConsumeRegex())
	}
	return opts
}

// rewindOwned sets every owned topic partition back to the tables' offsets.
func (s *Sink) rewindOwned(ctx context.Context) error {
	positions, err := s.resolve(ctx, slices.SortedFunc(maps.Keys(s.owned), topicPartition.compare))
	if err != nil {
		return err
	}
	set := map[string]map[int32]kgo.EpochOffset{}
	for tp, p := range positions {
		s.owned[tp] = p
		if set[tp.topic] == nil {
			set[tp.topic] = map[int32]kgo.EpochOffset{}
		}
		set[tp.topic][tp.partition] = kgo.EpochOffset{Epoch: -1, Offset: p.start}
	}
	s.client.SetOffsets(set)
	return nil
}

// resolve reads from the tables, and for what is new to them from Kafka, where
// to start in each topic partition.
func (s *Sink) resolve(ctx context.Context, tps []topicPartition) (map[topicPartition]*progress, error) {
	out := map[topicPartition]*progress{}
	if len(tps) == 0 {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	if err := s.learnTopics(ctx, tps); err != nil {
		return nil, err
	}
	v, err := s.survey(ctx, topicsOf(tps))
	if err != nil {
		return nil, err
	}
	if s.cfg.StartLatest {
		if err := s.pinNew(ctx, tps, &v); err != nil {
			return nil, err
		}
	}
	for _, tp := range tps {
		p, err := v.begin(s.idOf(tp))
		if err != nil {
			return nil, err
		}
		if p.deadNext > p.start {
			if p.already, err = v.dead.OffsetsIn(ctx, p.id, p.start, p.deadNext); err != nil {
				return nil, err
			}
		}
		out[tp] = p
	}
	return out, nil
}

// survey is the logs of some topics beside what the tables say of them.
type survey struct {
	tables
	starts, ends kadm.ListedOffsets
}

func (s *Sink) survey(ctx context.Context, topics []string) (v survey, err error) {
	// The tables first: a log only grows, so one that is shorter is so for good.
	if v.tables, err = s.loadTables(ctx); err != nil {
		return survey{}, err
	}
	if v.starts, v.ends, err = s.listOffsets(ctx, topics); err != nil {
		return survey{}, err
	}
	if err = s.sameIDs(ctx, topics); err != nil {
		return survey{}, err
	}
	return v, nil
}

// begin is where reading a topic partition begins.
func (v survey) begin(id catalog.TopicPartition) (*progress, error) {
	first, okFirst := v.starts.Lookup(id.Topic, id.Partition)
	end, okEnd := v.ends.Lookup(id.Topic, id.Partition)
	if !okFirst || !okEnd || first.Err != nil || end.Err != nil {
		return nil, fmt.Errorf("offsets of %s/%d are not known: %w", id.Topic, id.Partition,
			cmp.Or(errors.Join(first.Err, end.Err), error(kerr.UnknownTopicOrPartition)))
	}
	return v.tables.begin(id, first.Offset, end.Offset)
}

// newTopicWait is how long a topic that was just made may have no leader.
const newTopicWait = 30 * time.Second

// listOffsets asks for the first and the last offsets of topics.
func (s *Sink) listOffsets(ctx context.Context, topics []string) (starts, ends kadm.ListedOffsets, err error) {
	for until := time.Now().Add(newTopicWait); ; {
		if starts, err = s.admin.ListStartOffsets(ctx, topics...); err != nil {
			return nil, nil, fmt.Errorf("list the first offsets of %s: %w", strings.Join(topics, ", "), err)
		}
		if ends, err = s.admin.ListEndOffsets(ctx, topics...); err != nil {
			return nil, nil, fmt.Errorf("list the last offsets of %s: %w", strings.Join(topics, ", "), err)
		}
		not := cmp.Or(starts.Error(), ends.Error())
		if !kerr.IsRetriable(not) || time.Now().After(until) {
			return starts, ends, nil // an error of one topic partition is its own
		}
		s.log.Warn("offsets are not known yet, asking again", "topics", strings.Join(topics, " "), "err", not)
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func topicsOf(tps []topicPartition) []string {
	var topics []string
	for _, tp := range tps {
		if !slices.Contains(topics, tp.topic) {
			topics = append(topics, tp.topic)
		}
	}
	return topics
}

// pinNew notes where topic partitions begin that have come since pinLatest: at their
// first records. A restart must not take them for some that were there before.
func (s *Sink) pinNew(ctx context.Context, tps []topicPartition, v *survey) error {
	at := map[topicPartition]int64{}
	for _, tp := range tps {
		id := s.idOf(tp)
		if err := v.admits(id); err != nil {
			return err
		}
		if first, ok := v.starts.Lookup(tp.topic, tp.partition); ok && first.Err == nil && !v.knows(id) {
			at[tp] = first.Offset
		}
	}
	if len(at) == 0 {
		return nil
	}
	err := s.pin(ctx, at)
	if err == nil {
		v.tables, err = s.loadTables(ctx)
	}
	return err
}

func (s *Sink) idOf(tp topicPartition) catalog.TopicPartition {
	topicID, _ := s.cluster.topicID(tp.topic)
	return catalog.TopicPartition{ClusterID: s.cluster.id, Topic: tp.topic, TopicID: topicID, Partition: tp.partition}
}
