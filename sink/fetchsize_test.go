package sink

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// aheadOfSink is what a client has buffered ahead of its reader, in bytes.
type aheadOfSink struct{ now, most atomic.Int64 }

func (f *aheadOfSink) OnFetchRecordBuffered(r *kgo.Record) {
	now := f.now.Add(int64(len(r.Value)))
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
		continue
	}
}

func (f *aheadOfSink) OnFetchRecordUnbuffered(r *kgo.Record, _ bool) { f.now.Add(-int64(len(r.Value))) }

// Agents repeat their prompts, which makes a megabyte of the wire a hundred in memory.
func TestFetchesFitIntoMemory(t *testing.T) {
	l := newLab(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.DefaultProduceTopic(l.topic), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	require.NoError(t, err)
	defer client.Close()
	const events, size = 40_000, 4 << 10
	var records []*kgo.Record
	for i := range events {
		value := strings.Replace(string(event(i)), `"data":{`, fmt.Sprintf(`"data":{"gen_ai.prompt":%q,`, strings.Repeat("be helpful. ", size/12)), 1)
		records = append(records, kgo.StringRecord(value))
	}
	require.NoError(t, client.ProduceSync(context.Background(), records...).FirstErr())
	l.sent = events

	var ahead aheadOfSink
	cfg := l.config()
	cfg.Memory = 32 << 20
	cfg.Client = []kgo.Opt{kgo.WithHooks(&ahead)}
	l.catchUp(cfg)
	l.requireOnce()
	t.Logf("%d KiB of %d KiB were fetched ahead at most", ahead.most.Load()>>10, events*size>>10)
	require.Less(t, ahead.most.Load(), cfg.Memory)
}

// A fetch is as large as the records of late allow, and no larger than its bounds.
func TestFetchSize(t *testing.T) {
	f := newFetchSize(240 << 20)
	batch := func(ratio int) {
		f.OnFetchBatchRead(kgo.BrokerMetadata{}, "", 0, kgo.FetchBatchMetrics{CompressedBytes: 1000, UncompressedBytes: 1000 * ratio})
	}
	require.EqualValues(t, fetchMinPartitionBytes, f.partition(), "nothing is known yet")
	for range 1000 {
		batch(5)
	}
	require.EqualValues(t, fetchMaxPartitionBytes, f.partition())
	batch(150)
	require.InDelta(t, 25<<10, f.partition(), 1<<10, "of which there are 3.75 MiB in memory")
	f.divide(128)
	require.InDelta(t, 12.5*(1<<10), f.partition(), 1<<10, "with twice as many topic partitions")
	batch(1_000_000)
	require.EqualValues(t, fetchMinPartitionBytes, f.partition())
}
