package sink

import (
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

// clusterInfo is what the offsets in the tables are keyed by.
type clusterInfo struct {
	id       string
	topicIDs map[string]string
}

// How long the first contact with the cluster may take.
const connectTimeout = 15 * time.Second

// connect checks that cluster and topics are there and joins the consumer group.
// Two clients: a consumer begins to join as soon as it is made, and what an
// assignment needs to know must be known by then.
func (s *Sink) connect(ctx context.Context) error {
	reach := append([]kgo.Opt{kgo.SeedBrokers(s.cfg.Brokers...)}, s.cfg.Client...)
	plain, err := kgo.NewClient(reach...)
	if err != nil {
		return &Error{Text: "kafka configuration", Usage: true, Err: err}
	}
	admin := kadm.NewClient(plain)
	s.admin = admin
	checkCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if s.cluster, err = readCluster(checkCtx, admin, s.cfg.Brokers, s.cfg.Topics); err != nil {
		s.admin.Close()
		return err
	}
	client, err := kgo.NewClient(append(reach, s.consumerOptions()...)...)
	if err != nil {
		s.admin.Close()
		return &Error{Text: "kafka configuration", Usage: true, Err: err}
	}
	s.client = client
	return nil
}

func (s *Sink) consumerOptions() []kgo.Opt {
	isolation := kgo.ReadCommitted()
	if s.cfg.ReadUncommitted {
		isolation = kgo.ReadUncommitted()
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(s.cfg.Topics...),
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
		kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(fetchMaxPartitionBytes),
		kgo.MaxConcurrentFetches(maxConcurrentFetches), kgo.FetchMaxWait(time.Second),
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
	}
}

// Bounds on what the client buffers ahead of the sink: the fetches under way, and
// the bytes of each as they come over the wire. Decompressed they are about five
// times as large.
const (
	maxConcurrentFetches   = 8
	fetchMaxBytes          = 4 << 20
	fetchMaxPartitionBytes = 1 << 20
)

// readCluster reads the cluster id and the topics' ids, and refuses clusters
// that do not answer and topics that do not exist.
func readCluster(ctx context.Context, admin *kadm.Client, brokers, topics []string) (clusterInfo, error) {
	meta, err := admin.Metadata(ctx, topics...)
	if err != nil {
		return clusterInfo{}, &Error{Text: fmt.Sprintf("no Kafka broker answers at %s: check kafka.brokers and that the cluster is up", strings.Join(brokers, ", ")), Err: err}
	}
	info := clusterInfo{id: meta.Cluster, topicIDs: map[string]string{}}
	for _, topic := range topics {
		d, ok := meta.Topics[topic]
		switch {
		case !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			return info, &Error{Text: fmt.Sprintf("topic %s does not exist on %s: create it, or correct kafka.topics", topic, strings.Join(brokers, ", ")), Usage: true}
		case d.Err != nil:
			return info, &Error{Text: fmt.Sprintf("topic %s cannot be read on %s", topic, strings.Join(brokers, ", ")), Err: d.Err}
		}
		info.topicIDs[topic] = d.ID.String()
	}
	return info, nil
}

// watchTopics looks for topics that were deleted and made again under the same
// name while the sink runs; the client itself does not follow them.
func (s *Sink) watchTopics(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		meta, err := s.admin.Metadata(ctx, s.cfg.Topics...)
		if err != nil {
			continue // brokers that do not answer are the loop's to report
		}
		for topic, was := range s.cluster.topicIDs {
			if d, ok := meta.Topics[topic]; ok && d.Err == nil && d.ID.String() != was {
				return recreated(topic, was, d.ID.String())
			}
		}
	}
}

func recreated(topic, was, is string) error {
	return &Error{Text: fmt.Sprintf(
		"topic %s was deleted and made again: the tables hold offsets of its topic id %s, the topic is now %s. "+
			"Its offsets start over, so its rows could not be told apart: give the new topic another name, or another catalog.namespace", topic, was, is)}
}

// assigned runs when the group has given topic partitions to this sink: it
// replaces the group's offsets by those of the tables.
func (s *Sink) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tps []topicPartition
	for topic, ps := range offsets {
		for p := range ps {
			tps = append(tps, topicPartition{topic, p})
		}
	}
	slices.SortFunc(tps, topicPartition.compare)
	positions, err := s.resolve(ctx, tps)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err // the session is ending; the next one asks again
		}
		s.stop = err
		return nil, err
	}
	out := map[string]map[int32]kgo.Offset{}
	for _, tp := range tps {
		p := positions[tp]
		s.owned[tp] = p
		if out[tp.topic] == nil {
			out[tp.topic] = map[int32]kgo.Offset{}
		}
		out[tp.topic][tp.partition] = kgo.NewOffset().At(p.start)
		s.log.Info("assigned", "topic", tp.topic, "partition", tp.partition, "offset", p.start)
	}
	return out, nil
}

// revoked runs before topic partitions go to another sink: what is pending is
// flushed if there is time, and dropped if not. Either way the next owner
// starts from the tables.
func (s *Sink) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil {
		flushCtx, cancel := context.WithTimeout(ctx, s.cfg.SessionTimeout*2/3)
		err := s.flush(flushCtx, "rebalance")
		cancel()
		if err != nil {
			s.log.Warn("pending rows dropped at a rebalance; their next owner reads them again", "err", err)
			s.dropLocked()
			s.rewind = true
		}
	}
	s.disown(gone)
}

// lost runs when the group has thrown this sink out: others may already own
// its topic partitions.
func (s *Sink) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil {
		s.log.Warn("pending rows dropped: the consumer group threw this sink out; their next owner reads them again")
		s.dropLocked()
		s.rewind = true
	}
	s.disown(gone)
}

func (s *Sink) disown(gone map[string][]int32) {
	for topic, ps := range gone {
		for _, p := range ps {
			delete(s.owned, topicPartition{topic, p})
			s.log.Info("revoked", "topic", topic, "partition", p)
		}
	}
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
	dead, deadOffsets, err := s.loadOffsets(ctx, catalog.DeadLetters)
	if err != nil {
		return nil, err
	}
	events, offsets, err := s.loadOffsets(ctx, catalog.AgentEvents)
	if err != nil {
		return nil, err
	}
	if snap, ok, err := events.Current(); err == nil && ok && s.stats.LastCommit.IsZero() {
		s.stats.LastCommit = snap.Time // an earlier run's, or another sink's
	}
	starts, err := s.admin.ListStartOffsets(ctx, s.cfg.Topics...)
	if err != nil {
		return nil, fmt.Errorf("list the first offsets of %v: %w", s.cfg.Topics, err)
	}
	ends, err := s.admin.ListEndOffsets(ctx, s.cfg.Topics...)
	if err != nil {
		return nil, fmt.Errorf("list the last offsets of %v: %w", s.cfg.Topics, err)
	}
	for _, tp := range tps {
		first, okFirst := starts.Lookup(tp.topic, tp.partition)
		end, okEnd := ends.Lookup(tp.topic, tp.partition)
		if !okFirst || !okEnd || first.Err != nil || end.Err != nil {
			return nil, fmt.Errorf("offsets of %s/%d are not known: %w", tp.topic, tp.partition, errors.Join(first.Err, end.Err))
		}
		p, err := s.position(tp, offsets, deadOffsets, first.Offset, end.Offset)
		if err != nil {
			return nil, err
		}
		p.seen, p.deadSeen = offsets[p.id].Mark, deadOffsets[p.id].Mark
		if p.deadNext > p.start {
			if p.already, err = dead.OffsetsIn(ctx, p.id, p.start, p.deadNext); err != nil {
				return nil, err
			}
		}
		out[tp] = p
	}
	return out, nil
}

func (s *Sink) loadOffsets(ctx context.Context, name string) (lakeTable, catalog.Offsets, error) {
	t, err := s.lake.Load(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	offsets, err := t.Offsets()
	return t, offsets, err
}

// position decides where one topic partition starts, and refuses what would
// skip or repeat records.
func (s *Sink) position(tp topicPartition, offsets, dead catalog.Offsets, first, end int64) (*progress, error) {
	id := catalog.TopicPartition{ClusterID: s.cluster.id, Topic: tp.topic, TopicID: s.cluster.topicIDs[tp.topic], Partition: tp.partition}
	for other := range offsets {
		switch {
		case other.Topic != tp.topic:
		case other.ClusterID != id.ClusterID:
			return nil, &Error{Text: fmt.Sprintf(
				"the tables hold offsets of topic %s on cluster %s, this is cluster %s: give each cluster its own catalog.namespace", tp.topic, other.ClusterID, id.ClusterID)}
		case other.TopicID != id.TopicID:
			return nil, recreated(tp.topic, other.TopicID, id.TopicID)
		}
	}
	p := &progress{id: id, deadNext: -1, high: end}
	if d, ok := dead[id]; ok {
		p.deadNext = d.Next
	}
	at, known := offsets[id]
	if d, ok := dead[id]; ok && !known {
		// The very first batch died between the two tables' commits.
		at, known = catalog.Offset{First: d.First, Next: d.First}, true
	}
	switch {
	case !known && s.cfg.StartLatest:
		p.start = end
	case !known:
		p.start = first
	case at.Next < first:
		return nil, &Error{Text: fmt.Sprintf(
			"records [%d, %d) of %s/%d are gone from Kafka before they were in the table: its retention is shorter than the time the sink was away. "+
				"Restore them, or go on without them under another catalog.namespace", at.Next, first, tp.topic, tp.partition)}
	case at.Next > end:
		return nil, &Error{Text: fmt.Sprintf(
			"the table is at offset %d of %s/%d, the log ends at %d: records were lost in Kafka after they were read. "+
				"New records would reuse their offsets: give the topic another name, or another catalog.namespace", at.Next, tp.topic, tp.partition, end)}
	default:
		p.start = at.Next
	}
	p.next = p.start
	return p, nil
}
