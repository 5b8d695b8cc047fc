package sink

import (
	"context"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/sink/kafkatest"
)

func localTables(t *testing.T) catalog.Config {
	dir := t.TempDir()
	return catalog.Config{Type: "sqlite", URI: filepath.Join(dir, "catalog.db"), Warehouse: "file://" + filepath.Join(dir, "warehouse")}
}

// What a broker may answer for a while, each of it under a running sink.
func TestSinkOutlivesKafkasErrors(t *testing.T) {
	const topic, group = testTopic, "auditlake"
	faults := map[string]kfake.Fault{
		"fetch: not the leader":           {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition},
		"fetch: fenced leader epoch":      {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.FencedLeaderEpoch},
		"fetch: unknown topic":            {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.UnknownTopicOrPartition},
		"fetch: unknown topic id":         {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.UnknownTopicID},
		"fetch: storage error":            {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.KafkaStorageError},
		"fetch: corrupt message":          {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.CorruptMessage},
		"fetch: unknown":                  {Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.UnknownServerError},
		"metadata: leader not available":  {Keys: []kmsg.Key{kmsg.Metadata}, Topic: topic, Err: kerr.LeaderNotAvailable},
		"metadata: unknown topic":         {Keys: []kmsg.Key{kmsg.Metadata}, Topic: topic, Err: kerr.UnknownTopicOrPartition},
		"offsets: not the leader":         {Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topic, Err: kerr.NotLeaderForPartition},
		"offset commit: unknown member":   {Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.UnknownMemberID},
		"offset commit: unknown":          {Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.UnknownServerError},
		"offset commit: no coordinator":   {Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.NotCoordinator},
		"offset commit: too large":        {Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.OffsetMetadataTooLarge},
		"heartbeat: unknown member":       {Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.UnknownMemberID},
		"heartbeat: illegal generation":   {Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.IllegalGeneration},
		"heartbeat: no coordinator":       {Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.NotCoordinator},
		"heartbeat: coordinator loads":    {Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.CoordinatorLoadInProgress},
		"heartbeat: rebalance":            {Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.RebalanceInProgress},
		"coordinator: not available":      {Keys: []kmsg.Key{kmsg.FindCoordinator, kmsg.Heartbeat}, Group: group, Err: kerr.CoordinatorNotAvailable},
		"join: group is at its limit":     {Keys: []kmsg.Key{kmsg.JoinGroup, kmsg.Heartbeat}, Group: group, Err: kerr.UnknownMemberID},
		"offset fetch: coordinator loads": {Keys: []kmsg.Key{kmsg.OffsetFetch, kmsg.Heartbeat}, Group: group, Err: kerr.IllegalGeneration},
	}
	for i, name := range slices.Sorted(maps.Keys(faults)) {
		fault := faults[name]
		if !*allFaults && i%3 != 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultLab(t, 2, localTables(t))
			l.produce(50, 5)
			d := l.start(func(cfg *Config) {
				cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(500 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond)}
			})
			l.awaitAll(d)
			fault.Count = 4
			handle := l.broker.Fault(fault)
			for end := time.Now().Add(faultPatience); handle.Hits() < 4; time.Sleep(20 * time.Millisecond) {
				require.True(t, time.Now().Before(end), "%d of the faults happened", handle.Hits())
				l.produce(10, 5)
			}
			l.produce(50, 5)
			l.awaitAll(d)
			d.end(t)
			l.requireOnce()
		})
	}
}

// Leaders move under the sink, the group's coordinator too, and the brokers tell for a
// while where they were.
func TestSinkOutlivesMovedLeaders(t *testing.T) {
	t.Parallel()
	l := newFaultLab(t, 3, localTables(t))
	l.produce(50, 5)
	d := l.start(func(cfg *Config) {
		cfg.Client = []kgo.Opt{kgo.ClientID("the-sink"), kgo.MetadataMaxAge(500 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond)}
	})
	l.awaitAll(d)
	for round := range 6 {
		l.produce(50, 5)
		stale, told := metadataOf(t, l), 0
		for p := range int32(3) {
			require.NoError(t, l.broker.MoveTopicPartition(testTopic, p, rand.Int32N(3)))
		}
		if round%2 == 1 {
			l.broker.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
				if told == 5 {
					return nil, nil, false
				}
				if told++; told < 5 {
					l.broker.KeepControl()
				}
				answer := *stale
				answer.Version = r.GetVersion()
				return &answer, nil, true
			})
		}
		l.broker.RehashCoordinators()
		require.Eventually(t, func() bool {
			_, err := l.client.Request(context.Background(), kmsg.NewPtrMetadataRequest())
			return err == nil
		},
			faultPatience, 20*time.Millisecond)
		l.produce(50, 5)
		l.awaitAll(d)
	}
	d.end(t)
	l.requireOnce()
}

// metadataOf is what the brokers tell of the topic now.
func metadataOf(t *testing.T, l *lab) *kmsg.MetadataResponse {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(testTopic)
	req.Topics = append(req.Topics, topic)
	answer, err := req.RequestWith(context.Background(), l.client)
	require.NoError(t, err)
	return answer
}

// Connections to brokers are cut, refused and hang.
func TestSinkOutlivesTheNetworkToKafka(t *testing.T) {
	t.Parallel()
	l := newFaultLab(t, 2, localTables(t))
	l.produce(50, 5)
	wire := faultproxy.NewSwitch(t)
	d := l.start(func(cfg *Config) {
		cfg.Client = []kgo.Opt{kgo.Dialer(wire.Dial), kgo.RequestTimeoutOverhead(time.Second), kgo.MetadataMinAge(50 * time.Millisecond)}
	})
	l.awaitAll(d)
	rounds := 1
	if *allFaults {
		rounds = 4
	}
	for range rounds {
		for name, fault := range map[string]func(*faultproxy.TCP){
			"cut": (*faultproxy.TCP).Cut, "refused": func(p *faultproxy.TCP) { p.Refuse(true) }, "hangs": func(p *faultproxy.TCP) { p.Stall(true) },
		} {
			l.produce(50, 5)
			wire.Each(fault)
			l.produce(50, 5)
			time.Sleep(time.Duration(rand.IntN(2500)) * time.Millisecond) // past the session timeout, or not
			wire.Each((*faultproxy.TCP).Mend)
			l.produce(50, 5)
			l.awaitAll(d)
			t.Log(name)
		}
	}
	d.end(t)
	l.requireOnce()
}

// A real broker that is stopped, killed and started again while the sink runs.
func TestSinkOutlivesTheBroker(t *testing.T) {
	if !*allFaults {
		t.Skip("left out: TestOnKafka/restarts does it to two sinks; -faults does it more often")
	}
	t.Parallel()
	broker := kafkatest.Start(t, kafkatest.Options{})
	broker.Topic(testTopic, 3)
	l := newLabOf(t, []string{broker.Addr()}, testTopic, localTables(t))
	l.produce(50, 5)
	d := l.start(func(cfg *Config) { cfg.SessionTimeout = 6 * time.Second })
	l.awaitAll(d)
	for _, end := range []func(){broker.Kill, broker.Stop, broker.Kill} {
		l.produce(50, 5)
		end()
		broker.Restart()
		l.produce(50, 5)
		l.awaitAll(d)
	}
	d.end(t)
	l.requireOnce()
}
