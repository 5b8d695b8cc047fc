package feed

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/envelope"
)

const testTopic = "agent-events"

// TestMain lets the test binary be the broker's process, for tests that kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FEED_TEST_BROKER_DIR"); dir != "" {
		b, err := StartBroker(BrokerOptions{Dir: dir, Topics: map[string]int32{testTopic: 3}})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		select {} // until it is killed
	}
	os.Exit(m.Run())
}

// lab is a broker and a client that looks at it.
type lab struct {
	t      *testing.T
	broker *Broker
	client *kgo.Client
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t}
	var err error
	l.broker, err = StartBroker(BrokerOptions{Dir: t.TempDir(), Topics: map[string]int32{testTopic: 3}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.broker.Close() }) // a test may have closed it
	l.client = connectTo(t, l.broker.Addr())
	return l
}

func connectTo(t *testing.T, addr string) *kgo.Client {
	t.Helper()
	client, err := Connect(context.Background(), []string{addr})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// options are those of produce without a flag.
func (l *lab) options() ProduceOptions {
	return ProduceOptions{Brokers: []string{l.broker.Addr()}, Topic: testTopic, Limits: envelope.DefaultLimits}
}

func (l *lab) produce(opts ProduceOptions, text string) (Produced, error) {
	return Produce(context.Background(), opts, "in.ndjson", strings.NewReader(text))
}

func (l *lab) mustProduce(opts ProduceOptions, text string) Produced {
	l.t.Helper()
	sum, err := l.produce(opts, text)
	require.NoError(l.t, err)
	return sum
}

// records reads what a topic holds, by topic partition and offset.
func (l *lab) records(topic string) []*kgo.Record {
	l.t.Helper()
	return readTopic(l.t, l.client, topic)
}

func readTopic(t *testing.T, client *kgo.Client, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	var records []*kgo.Record
	for _, end := range ends.Offsets().Sorted() {
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {end.Partition: kgo.NewOffset().AtStart()}})
		for n := int64(0); n < end.At; {
			fetches := client.PollFetches(ctx)
			require.NoError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) {
				records = append(records, r)
				n = r.Offset + 1
			})
		}
		client.RemoveConsumePartitions(map[string][]int32{topic: {end.Partition}})
	}
	return records
}

// values are the values of records, one a line.
func values(records []*kgo.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

// event is a valid line without its end.
func event(n int, session string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"/feed","type":"agent.prompt","time":"2026-01-31T12:00:00.%03dZ","sessionid":%q}`,
		n, n%1000, session)
}

// events are n lines of seven sessions.
func events(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(event(i, fmt.Sprintf("s%d", i%7)) + "\n")
	}
	return b.String()
}
