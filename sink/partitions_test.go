package sink

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
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
	for range recordBatchRows + 10 {
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
