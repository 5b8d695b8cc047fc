package sink

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds on what the client buffers ahead of the sink: the fetches under way, one per
// broker, and the bytes of each as they come over the wire.
const (
	maxConcurrentFetches = 8
	fetchMaxBytes        = 1 << 20
	fetchMinBytes        = 4 << 10 // a broker gives a whole record batch, however small the bound
)

// fetchSize bounds fetches by what they are in memory. Kafka bounds them by their bytes
// over the wire, of which prompts that repeat make a hundred times as many when they
// are decompressed. It learns how many from each record batch that comes, and is wary
// before the first.
type fetchSize struct {
	most int64 // bytes of a fetch, decompressed

	mu     sync.Mutex
	ratio  float64 // decompressed to wire: the greatest of late
	update func(maxBytes, maxPartitionBytes int32)
}

func newFetchSize(memory int64) *fetchSize {
	most := memory / maxConcurrentFetches
	return &fetchSize{most: most, ratio: float64(most) / fetchMinBytes}
}

// wire is how many bytes to ask for, of all and of each topic partition.
func (f *fetchSize) wire() (all, partition int32) {
	bytes := min(max(float64(f.most)/f.ratio, fetchMinBytes), fetchMaxBytes)
	return int32(bytes), max(int32(bytes)/4, fetchMinBytes)
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (f *fetchSize) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, batch kgo.FetchBatchMetrics) {
	if batch.CompressedBytes <= 0 || batch.UncompressedBytes <= 0 {
		return
	}
	const forgets = 0.02 // of what is no longer so, with each record batch
	f.mu.Lock()
	defer f.mu.Unlock()
	ratio := max(float64(batch.UncompressedBytes)/float64(batch.CompressedBytes), 1)
	f.ratio = max(ratio, f.ratio-forgets*(f.ratio-ratio))
	if f.update != nil {
		f.update(f.wire())
	}
}

// of has what is learned go to a client.
func (f *fetchSize) of(client *kgo.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.update = client.UpdateFetchMaxBytes
	f.update(f.wire())
}
