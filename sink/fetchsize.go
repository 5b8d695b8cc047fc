package sink

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds on what the client buffers ahead of the sink: the fetches under way, one per
// broker, and the bytes of each as they come over the wire, of which a topic partition
// has its own bound.
const (
	maxConcurrentFetches   = 8
	fetchMaxBytes          = 4 << 20
	fetchMaxPartitionBytes = 256 << 10
	fetchMinPartitionBytes = 4 << 10 // a broker gives a whole record batch, however small the bound
)

// leastShares is in how many parts the memory budget is divided, one for what is fetched
// of a topic partition at a time; in more where there are more topic partitions.
const leastShares = 64

// fetchSize bounds fetches by what they are in memory. Kafka bounds them by their bytes
// over the wire, of which prompts that repeat make a hundred times as many when they
// are decompressed. It learns how many from each record batch that comes, and is wary
// before the first. It is the bound of each topic partition that moves; kfake forgets
// which transactions were aborted where it has to cut a fetch as a whole.
type fetchSize struct {
	memory int64 // bytes, for all topic partitions

	mu     sync.Mutex
	shares int     // of the memory
	ratio  float64 // decompressed to wire: the greatest of late
	update func(maxBytes, maxPartitionBytes int32)
}

func newFetchSize(memory int64) *fetchSize {
	return &fetchSize{memory: memory, shares: leastShares, ratio: float64(memory) / leastShares / fetchMinPartitionBytes}
}

// partition is how many bytes to ask for of a topic partition.
func (f *fetchSize) partition() int32 {
	return int32(min(max(float64(f.memory)/float64(f.shares)/f.ratio, fetchMinPartitionBytes), fetchMaxPartitionBytes))
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
		f.update(fetchMaxBytes, f.partition())
	}
}

// divide is told how many topic partitions there are.
func (f *fetchSize) divide(partitions int) {
	if f == nil {
		return // a simulation has no client
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shares = max(partitions, leastShares)
	if f.update != nil {
		f.update(fetchMaxBytes, f.partition())
	}
}

// of has what is learned go to a client.
func (f *fetchSize) of(client *kgo.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.update = client.UpdateFetchMaxBytes
	f.update(fetchMaxBytes, f.partition())
}
