package sink

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// More table partitions than may have an open file, one of them with a file open when the batch ends.
func TestSinkWritesManyTablePartitions(t *testing.T) {
	l := newLab(t)
	var records []*kgo.Record
	add := func(class string) {
		records = append(records, &kgo.Record{Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"m%d","source":"/lab","type":"agent.%s","time":%q}`,
			l.sent, class, time.Now().UTC().Format(time.RFC3339Nano))})
		l.sent++
	}
	for range 3 * recordBatchRows {
		add("zzz")
	}
	for i := range maxOpenFiles + 20 {
		add(fmt.Sprintf("c%d", i))
	}
	require.NoError(t, l.client.ProduceSync(context.Background(), records...).FirstErr())
	cfg := l.config()
	cfg.TargetLag = time.Hour
	l.catchUp(cfg)
	l.requireOnce()
}

// The values of a table partition must not alias Kafka's buffer.
func TestRouterKeepsNothingOfTheKafkaBuffer(t *testing.T) {
	l := newLab(t)
	table, err := l.cat.Load(context.Background(), catalog.AgentEvents)
	require.NoError(t, err)
	r, err := newRouter(icebergTable{table}, "x", catalog.WriteOptions{}, 1<<20, 64<<20)
	require.NoError(t, err)
	value := event(0)
	events, err := envelope.NewDecoder(envelope.DefaultLimits).Decode(&envelope.Record{Value: value, Timestamp: -1})
	require.NoError(t, err)
	require.NoError(t, r.append(context.Background(), &events[0], &arrowconv.Provenance{Topic: testTopic}))
	for i := range value {
		value[i] = '#'
	}
	files, err := r.close(context.Background())
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Contains(t, files[0].URI, "/event_class=prompt/")
	require.NoError(t, r.abort())
}

// Where many files are open each has a share of a quarter of the memory budget, and
// no less than is worth a record batch.
func TestRouterSharesItsMemory(t *testing.T) {
	for _, tc := range []struct {
		budget int64
		open   int
		want   int64
	}{
		{64 << 20, 0, 4 << 20}, {64 << 20, 1, 4 << 20}, {64 << 20, 8, 2 << 20}, {64 << 20, 256, 64 << 10}, {4 << 20, 256, 32 << 10},
	} {
		r := router{budget: tc.budget, open: map[string]*openFile{}}
		for i := range tc.open {
			r.open[fmt.Sprint(i)] = &openFile{}
		}
		require.Equal(t, tc.want, r.batchBytes(), "%+v", tc)
	}
}

// A batch of ever more data files is full at some point: producers choose how many.
func TestBatchIsFullOfFiles(t *testing.T) {
	b := &batch{router: &router{closed: make([]catalog.DataFile, maxFinishedFiles-1)}, dead: &deadLetters{}}
	why, err := b.full(1<<30, 1<<30)
	require.NoError(t, err)
	require.Empty(t, why)
	b.dead.closed = make([]catalog.DataFile, 1)
	why, err = b.full(1<<30, 1<<30)
	require.NoError(t, err)
	require.Equal(t, "number of data files", why)
}
