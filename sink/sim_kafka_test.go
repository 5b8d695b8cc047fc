package sink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	simTopic   = "t"
	simSession = 10 * time.Second
	simRequest = 30 * time.Second // after which the client gives up a request of its own accord
)

var simTopicID = kadm.TopicID{}.String()

// simKafka is a model of one topic and one consumer group.
type simKafka struct {
	*world
	logs    [][]entry // by topic partition
	members []*member // as the group's coordinator sees it
	holder  []*member // of each topic partition: who may still have it, nil if nobody
	target  []*member // who is to have it
}

// entry is what an offset holds.
type entry int

const (
	anEvent  entry = iota
	noEvent        // a dead letter whatever the limits
	large          // a dead letter where the limits are strict
	marker         // a control record
	nothing        // aborted or compacted away: no consumer sees it
	numKinds int   = iota
)

var (
	simNow    = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	simValues = func() (out [2][]byte) {
		for i := range out {
			out[i] = fmt.Appendf(nil, `{"specversion":"1.0","id":"e","source":"/s","type":"agent.%s","time":%q}`, []string{"prompt", "input"}[i], simNow.Format(time.RFC3339))
		}
		return out
	}()
	simLarge  = append(slices.Clone(simValues[0][:len(simValues[0])-1]), []byte(`,"x":"`+strings.Repeat("a", simStrict)+`"}`)...)
	simMarker = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true, Transactional: true})
)

// simStrict is a bound on an event that the large ones are above.
const simStrict = 200

// record is what a consumer gets of an offset.
func (w *world) record(p int32, offset int64, e entry) *kgo.Record {
	r := &kgo.Record{Topic: simTopic, Partition: p, Offset: offset, Timestamp: simNow}
	switch e {
	case anEvent:
		r.Value = simValues[offset%2]
	case noEvent:
		r.Value = []byte("no event")
	case large:
		r.Value = simLarge
	case marker:
		r.Attrs = simMarker
	}
	return r
}

// produce adds entries to a log. The last one is one that consumers see.
func (k *simKafka) produce(n int) {
	p := k.rng.IntN(len(k.logs))
	for range n {
		e := anEvent
		if k.rng.IntN(2) == 0 {
			e = entry(k.rng.IntN(numKinds))
		}
		k.logs[p] = append(k.logs[p], e)
	}
	k.logs[p] = append(k.logs[p], entry(k.rng.IntN(int(nothing))))
	k.note("log %d ends at %d", p, len(k.logs[p]))
}

// member is a worker's client: what it believes, which the coordinator may know better.
type member struct {
	*worker
	in       bool            // a member as the coordinator sees it
	expelled bool            // and it does not know yet
	have     map[int32]int64 // topic partitions it fetches, and from where
}

// join adds a member and spreads the topic partitions anew.
func (k *simKafka) join(m *member) {
	if m.in || m.dead {
		return
	}
	m.in, m.expelled = true, false
	k.members = append(k.members, m)
	k.note("%s joins", m.name)
	k.spread()
}

// expel takes a member out whether it knows or not: what it had is free at once.
func (k *simKafka) expel(m *member) {
	if !m.in {
		return
	}
	m.in, m.expelled = false, true
	k.members = slices.DeleteFunc(k.members, func(o *member) bool { return o == m })
	for p, h := range k.holder {
		if h == m {
			k.holder[p] = nil
		}
	}
	k.note("the group is without %s", m.name)
	k.spread()
}

// spread decides who is to have what; they take and give at their next polls.
func (k *simKafka) spread() {
	shift := k.rng.IntN(3)
	for p := range k.target {
		k.target[p] = nil
		if n := len(k.members); n > 0 {
			k.target[p] = k.members[(p+shift)%n]
		}
	}
}

// rebalance runs a member's callbacks as its client does between polls.
func (m *member) rebalance(ctx context.Context) {
	if m.expelled {
		if m.chance(0.5) {
			return // it does not know yet, and fetches on
		}
		gone := m.all()
		m.have, m.expelled = map[int32]int64{}, false
		m.note("%s learns that it is out", m.name)
		m.sink.lost(ctx, nil, map[string][]int32{simTopic: gone})
		m.kafka.join(m)
		return
	}
	if !m.in {
		m.kafka.join(m)
		return
	}
	var gone []int32
	for _, p := range m.all() {
		if m.kafka.target[p] != m {
			gone = append(gone, p)
		}
	}
	if len(gone) > 0 {
		m.note("%s must give %v", m.name, gone)
		m.sink.revoked(ctx, nil, map[string][]int32{simTopic: gone})
		for _, p := range gone {
			delete(m.have, p)
			if m.kafka.holder[p] == m {
				m.kafka.holder[p] = nil
			}
		}
	}
	m.takeOver(ctx)
}

// takeOver takes topic partitions that are this member's and that nobody has.
func (m *member) takeOver(ctx context.Context) {
	if !m.in {
		return
	}
	ask := map[int32]kgo.Offset{}
	for p, t := range m.kafka.target {
		if t == m && m.kafka.holder[p] == nil {
			m.kafka.holder[p] = m
			ask[int32(p)] = kgo.NewOffset().At(int64(m.rng.IntN(3))) // the group's: not to be trusted
		}
	}
	if len(ask) == 0 {
		return
	}
	got, err := m.sink.assigned(ctx, map[string]map[int32]kgo.Offset{simTopic: ask})
	for p := range ask {
		switch {
		case err == nil:
			m.have[p] = got[simTopic][p].EpochOffset().Offset
		case m.kafka.holder[p] == m:
			m.kafka.holder[p] = nil
		}
	}
	if err == nil {
		m.note("%s has %v", m.name, m.have)
	}
}

func (m *member) all() []int32 {
	var out []int32
	for p := range m.kafka.logs {
		if _, ok := m.have[int32(p)]; ok {
			out = append(out, int32(p))
		}
	}
	return out
}

// simConsumer is a member as the sink sees it.
type simConsumer struct{ *member }

// PollFetches runs what callbacks are due, then waits for records. Callbacks have a
// context of their own: a client's.
func (c simConsumer) PollFetches(ctx context.Context) kgo.Fetches {
	m := c.member
	if m.dead {
		return kgo.NewErrFetch(errDead)
	}
	if m.sleep(ctx, m.between(time.Millisecond, 50*time.Millisecond)) == nil {
		m.rebalance(context.Background())
	}
	if m.chance(m.faults.lost / 4) {
		return kgo.NewErrFetch(errReset)
	}
	if out := m.fetch(); out != nil {
		if m.chance(m.faults.pause) {
			m.pause()
			_ = m.sleep(context.Background(), 0)
		}
		return out
	}
	if m.sleep(ctx, time.Minute) != nil {
		return kgo.NewErrFetch(ctx.Err())
	}
	return nil
}

// fetch gives some records of each topic partition, now and then some that were
// given before.
func (m *member) fetch() kgo.Fetches {
	var topic kgo.FetchTopic
	topic.Topic = simTopic
	for _, p := range m.all() {
		log, at := m.kafka.logs[p], m.have[p]
		n := int64(m.rng.IntN(8))
		if m.rng.IntN(8) == 0 {
			at = max(at-int64(m.rng.IntN(3)), 0)
		}
		end := min(at+n, int64(len(log)))
		for end > at && log[end-1] == nothing && end < int64(len(log)) {
			end++ // a fetch ends with a record
		}
		var records []*kgo.Record
		for o := at; o < end; o++ {
			if log[o] != nothing {
				records = append(records, m.record(p, o, log[o]))
			}
		}
		if len(records) == 0 {
			continue
		}
		m.note("%s fetches %d [%d, %d)", m.name, p, at, end)
		m.have[p] = max(m.have[p], end)
		topic.Partitions = append(topic.Partitions, kgo.FetchPartition{Partition: p, HighWatermark: int64(len(log)), Records: records})
	}
	if len(topic.Partitions) == 0 {
		return nil
	}
	return kgo.Fetches{{Topics: []kgo.FetchTopic{topic}}}
}

func (c simConsumer) AllowRebalance() {}

func (c simConsumer) SetOffsets(offsets map[string]map[int32]kgo.EpochOffset) {
	if c.dead {
		return
	}
	for p, o := range offsets[simTopic] {
		if _, ok := c.have[p]; ok {
			c.have[p] = o.Offset
		}
	}
	c.note("%s goes back to %v", c.name, c.have)
}

func (c simConsumer) CommitOffsetsSync(
	ctx context.Context, _ map[string]map[int32]kgo.EpochOffset, done func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error),
) {
	done(nil, nil, nil, c.call(ctx, "offset commit", func() error { return nil }))
}

func (c simConsumer) PurgeTopicsFromConsuming(...string) {}

func (c simConsumer) AddConsumeTopics(...string) {}

// Close leaves the group, which revokes what the member has.
func (c simConsumer) Close() {
	if c.dead {
		return
	}
	c.sink.revoked(context.Background(), nil, map[string][]int32{simTopic: c.all()})
	c.kafka.expel(c.member)
	c.have = nil
}

// simCluster answers what a sink asks about the topic.
type simCluster struct{ *worker }

func (c simCluster) Metadata(ctx context.Context, _ ...string) (kadm.Metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, simRequest)
	defer cancel()
	out := kadm.Metadata{Topics: kadm.TopicDetails{simTopic: {Topic: simTopic, ID: kadm.TopicID{}}}}
	return out, c.call(ctx, "metadata", func() error { return nil })
}

func (c simCluster) list(ctx context.Context, what string, at func(p int) int64) (kadm.ListedOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, simRequest)
	defer cancel()
	out := kadm.ListedOffsets{}
	err := c.call(ctx, what, func() error {
		ps := map[int32]kadm.ListedOffset{}
		for p := range c.kafka.logs {
			ps[int32(p)] = kadm.ListedOffset{Topic: simTopic, Partition: int32(p), Offset: at(p), LeaderEpoch: -1}
		}
		out[simTopic] = ps
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (c simCluster) ListStartOffsets(ctx context.Context, _ ...string) (kadm.ListedOffsets, error) {
	return c.list(ctx, "first offsets", func(int) int64 { return 0 })
}

func (c simCluster) ListEndOffsets(ctx context.Context, _ ...string) (kadm.ListedOffsets, error) {
	return c.list(ctx, "last offsets", func(p int) int64 { return int64(len(c.kafka.logs[p])) })
}

func (c simCluster) ListCommittedOffsets(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
	return c.ListEndOffsets(ctx, topics...)
}

func (c simCluster) Close() {}
