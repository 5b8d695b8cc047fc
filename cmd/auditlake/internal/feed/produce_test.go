package feed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/envelope"
)

func TestRecords(t *testing.T) {
	l := newLab(t)
	const (
		plain    = `{"specversion":"1.0","id":"1","source":"/feed","type":"agent.prompt","time":"2026-01-31T12:00:00.123456Z","sessionid":"s1"}`
		escaped  = `{"specversion":"1.0","id":"2","source":"/feed","type":"agent.prompt","time":"2026-01-31T13:00:00+01:00","sessionid":"s\u0031"}`
		inData   = `{"specversion":"1.0","id":"3","source":"/feed","type":"agent.prompt","time":"2026-01-31t12:00:01z","data":{"gen_ai.conversation.id":"s1"}}`
		both     = `{"specversion":"1.0","id":"4","source":"/feed","type":"agent.prompt","time":"2016-12-31T23:59:60Z","data":{"gen_ai.conversation.id":"s2"},"sessionid":"s1"}`
		number   = `{"specversion":"1.0","id":"5","source":"/feed","type":"agent.prompt","time":"2026-01-31T12:00:00Z","sessionid":17}`
		none     = `{"specversion":"1.0","id":"6","source":"/feed","type":"agent.prompt","time":"2026-01-31T12:00:00Z"}`
		deep     = `{"specversion":"1.0","id":"7","source":"/feed","type":"agent.prompt","time":"2026-01-31T12:00:00Z","data":{"x":{"gen_ai.conversation.id":"no","time":"2001-01-01T00:00:00Z"}}}`
		noObject = `{"specversion":"1.0","id":"8","source":"/feed","type":"agent.prompt","time":"2026-01-31T12:00:00Z","sessionid":{"a":1}}`
	)
	sum := l.mustProduce(l.options(), strings.Join([]string{plain, escaped, inData, both, number, none, deep, noObject}, "\n"))
	require.Equal(t, int64(8), sum.Lines)
	require.Equal(t, "2026-01-31T12:00:01Z", sum.Newest.UTC().Format(time.RFC3339Nano))
	require.Zero(t, sum.Shift)
	require.Positive(t, sum.Elapsed)

	var size int64
	got := map[string]*kgo.Record{}
	for _, r := range l.records(testTopic) {
		require.Equal(t, []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}, r.Headers)
		got[string(r.Value)] = r
		size += int64(len(r.Value))
	}
	require.Equal(t, size, sum.Bytes)
	for value, want := range map[string]struct{ key, time string }{
		plain: {"s1", "2026-01-31T12:00:00.123Z"}, escaped: {"s1", "2026-01-31T12:00:00Z"}, inData: {"s1", "2026-01-31T12:00:01Z"},
		both: {"s1", "2017-01-01T00:00:00Z"}, number: {"17", "2026-01-31T12:00:00Z"}, none: {"", "2026-01-31T12:00:00Z"},
		deep: {"", "2026-01-31T12:00:00Z"}, noObject: {"", "2026-01-31T12:00:00Z"},
	} {
		r := got[value]
		require.NotNil(t, r, value)
		require.Equal(t, want.key, string(r.Key), value)
		require.Equal(t, want.key == "", r.Key == nil, value)
		require.Equal(t, want.time, r.Timestamp.UTC().Format(time.RFC3339Nano), value)
	}
}

// A time that no timestamp of Kafka's can say is judged against the present.
func TestTimesBeyondKafka(t *testing.T) {
	l := newLab(t)
	for _, far := range []string{"1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"} {
		line := strings.Replace(event(0, "s"), "2026-01-31T12:00:00.000Z", far, 1)
		_, err := l.produce(l.options(), line)
		var invalid *envelope.Invalid
		require.ErrorAs(t, err, &invalid, far)
		require.Equal(t, envelope.TimeOutOfRange, invalid.Class, far)

		opts, began := l.options(), time.Now().Truncate(time.Millisecond)
		opts.Raw = true
		sum := l.mustProduce(opts, line)
		require.Zero(t, sum.Newest)
		records := l.records(testTopic)
		last := records[len(records)-1]
		require.Equal(t, line, string(last.Value))
		require.WithinRange(t, last.Timestamp, began, time.Now(), far)
	}
}

// Every session is in one topic partition, in the order of the input.
func TestOrderInASession(t *testing.T) {
	l := newLab(t)
	const n = 3000
	text := events(n)
	sum := l.mustProduce(l.options(), text)
	require.Equal(t, int64(n), sum.Lines)
	require.Equal(t, int64(len(text)-n), sum.Bytes)

	want := map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		_, session, _ := strings.Cut(line, `"sessionid":"`)
		want[session[:2]] = append(want[session[:2]], line)
	}
	got, partitions := map[string][]string{}, map[string]int32{}
	used := map[int32]bool{}
	for _, r := range l.records(testTopic) {
		key := string(r.Key)
		got[key] = append(got[key], string(r.Value))
		if p, ok := partitions[key]; ok {
			require.Equal(t, p, r.Partition)
		}
		partitions[key], used[r.Partition] = r.Partition, true
	}
	require.Equal(t, want, got)
	require.Len(t, used, 3)
}

// A producer is idempotent: its batches carry a producer id and sequence
// numbers, by which a broker tells a batch that comes again.
func TestIdempotent(t *testing.T) {
	l := newLab(t)
	l.broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.RequestTimedOut, Count: 3}) // though it was written
	sum := l.mustProduce(l.options(), events(500))
	require.Equal(t, int64(500), sum.Lines)
	records := l.records(testTopic)
	require.Len(t, records, 500)
	for _, r := range records {
		require.GreaterOrEqual(t, r.ProducerID, int64(0))
	}
}

func TestRefused(t *testing.T) {
	good := strings.TrimSpace(event(1, "s"))
	for _, tc := range []struct {
		name, text, want string
		sent             int64
		class            envelope.ErrorClass
	}{
		{"no JSON", good + "\n" + good + "\n\n{oops\n" + good + "\n", "in.ndjson:4: not JSON at byte 1: expected a key (sent: 2 lines before it, nothing after it)", 2, envelope.NotJSON},
		{"first line", "[]\n" + good, "in.ndjson:1: a JSON object was expected, found an array (nothing was sent)", 0, envelope.NotObject},
		{"attribute missing", good + "\n{\"specversion\":\"1.0\"}", "in.ndjson:2: id is missing (sent: 1 line before it, nothing after it)", 1, envelope.Missing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			sum, err := l.produce(l.options(), tc.text)
			require.EqualError(t, err, tc.want)
			var line *LineError
			require.ErrorAs(t, err, &line)
			require.True(t, line.Refused)
			require.Equal(t, tc.sent, line.Sent)
			require.Equal(t, tc.sent, sum.Lines)
			var invalid *envelope.Invalid
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, tc.class, invalid.Class)
			require.Len(t, l.records(testTopic), int(tc.sent))
		})
	}
}

func TestRaw(t *testing.T) {
	l := newLab(t)
	opts := l.options()
	opts.Raw = true
	lines := []string{event(1, "s"), "{oops", "\xff\x00", `{"time":"2026-01-31T12:00:00Z","sessionid":"s"}`, "\ufeff{}"}
	began := time.Now().Truncate(time.Millisecond)
	sum := l.mustProduce(opts, strings.Join(lines, "\n"))
	require.Equal(t, int64(len(lines)), sum.Lines)
	require.Equal(t, "2026-01-31T12:00:00.001Z", sum.Newest.UTC().Format(time.RFC3339Nano))
	records := l.records(testTopic)
	require.ElementsMatch(t, lines, values(records))
	for _, r := range records {
		if string(r.Value) != lines[0] {
			require.Nil(t, r.Key)
			require.WithinRange(t, r.Timestamp, began, time.Now())
		}
	}
}

// What a topic does not take is refused at its line; what it takes is sent,
// though it is more than the client's own limit.
func TestTooLarge(t *testing.T) {
	l := newLab(t)
	for topic, limit := range map[string]string{"small": "4096", "large": "6000000"} {
		require.NoError(t, l.broker.cluster.CreateTopic(topic, 1, map[string]string{"max.message.bytes": limit}))
	}
	long := func(n int) string {
		return event(7, "s") + strings.Repeat(" ", n-len(event(7, "s"))) + "\n"
	}
	opts := l.options()
	opts.Topic = "small"
	_, err := l.produce(opts, events(100)+long(5000)+events(1))
	require.EqualError(t, err, "in.ndjson:101: an event of 5000 bytes, and up to 257 around it, is too large for topic small, which takes 4096: raise its max.message.bytes: "+
		kerr.MessageTooLarge.Error()+" (sent: 100 lines before it, nothing after it)")
	require.Len(t, l.records("small"), 100)

	opts.Topic = "large"
	sum := l.mustProduce(opts, events(2000)+long(5_900_000))
	require.Equal(t, int64(2001), sum.Lines)

	// A user who may not describe the topic learns its limit from the cluster.
	l.broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed})
	opts.Topic = "small"
	noise := make([]byte, 5000) // the cluster measures what is compressed
	_, _ = rand.Read(noise)
	_, err = l.produce(opts, event(7, hex.EncodeToString(noise)))
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	require.ErrorContains(t, err, "in.ndjson:1: the events from here on are too large a batch for topic small")
	require.Len(t, l.records("small"), 100)
}

func TestClusterRefuses(t *testing.T) {
	for _, tc := range []struct {
		err  *kerr.Error
		want string
	}{
		{kerr.InvalidTimestamp, "raise message.timestamp.before.max.ms"},
		{kerr.TopicAuthorizationFailed, "this user may not write to topic agent-events"},
		{kerr.InvalidRecord, "send to topic agent-events: INVALID_RECORD"},
	} {
		l := newLab(t)
		l.broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: tc.err, Count: -1})
		sum, err := l.produce(l.options(), events(50))
		var line *LineError
		require.ErrorAs(t, err, &line)
		require.Equal(t, int64(1), line.Line)
		require.False(t, line.Refused)
		require.ErrorContains(t, err, tc.want)
		require.Zero(t, sum.Lines)
	}
}

func TestRate(t *testing.T) {
	l := newLab(t)
	opts := l.options()
	opts.Rate = 200
	sum := l.mustProduce(opts, events(100))
	require.Equal(t, int64(100), sum.Lines)
	require.GreaterOrEqual(t, sum.Elapsed, 490*time.Millisecond) // the last one leaves after 99/200 s

	for _, rate := range []float64{-1, nan()} {
		opts.Rate = rate
		_, err := l.produce(opts, "")
		require.ErrorContains(t, err, "a rate of")
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

func TestProgress(t *testing.T) {
	l := newLab(t)
	opts := l.options()
	var heard [][2]int64
	opts.Progress = func(lines, bytes int64) { heard = append(heard, [2]int64{lines, bytes}) }
	text := events(2500) + "\n\r\n"
	l.mustProduce(opts, text)
	require.Len(t, heard, 3)
	require.Equal(t, int64(1000), heard[0][0])
	require.Equal(t, [2]int64{2500, int64(len(text))}, heard[2])
}

func TestNoBroker(t *testing.T) {
	began := time.Now()
	_, err := Produce(context.Background(), ProduceOptions{Brokers: []string{"127.0.0.1:1"}, Topic: "t"}, "in", strings.NewReader(""))
	require.ErrorContains(t, err, "no Kafka broker answers at 127.0.0.1:1: check kafka.brokers")
	require.Less(t, time.Since(began), 5*time.Second)
	_, err = Connect(context.Background(), nil)
	require.ErrorContains(t, err, "no Kafka broker is named")

	l := newLab(t)
	opts := l.options()
	opts.Brokers = []string{"127.0.0.1:1", l.broker.Addr()} // one that answers is enough
	l.mustProduce(opts, events(1))

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Connect(ctx, []string{l.broker.Addr()})
	require.ErrorIs(t, err, context.Canceled)
}

func TestNoTopic(t *testing.T) {
	l := newLab(t)
	opts := l.options()
	opts.Topic = "none"
	_, err := l.produce(opts, events(1))
	require.EqualError(t, err, "topic none does not exist: create it with your Kafka's tools, or give --create-topic")
	var none *NoTopicError
	require.ErrorAs(t, err, &none)
	require.Equal(t, 2, none.ExitCode())

	brokers := opts.Brokers
	created, err := EnsureTopic(context.Background(), nil, brokers, "none", 5)
	require.NoError(t, err)
	require.True(t, created)
	created, err = EnsureTopic(context.Background(), nil, brokers, "none", 9)
	require.NoError(t, err)
	require.False(t, created)
	require.Len(t, l.broker.cluster.PartitionInfos("none"), 5)
	l.mustProduce(opts, events(1))

	_, err = EnsureTopic(context.Background(), nil, brokers, "x", 0)
	require.ErrorContains(t, err, "topic x: 0 is no number of topic partitions")
	l.broker.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed})
	_, err = EnsureTopic(context.Background(), nil, brokers, "x", 1)
	require.ErrorContains(t, err, "create topic x: this user may not")
	_, err = EnsureTopic(context.Background(), nil, brokers, "agent.events", 1)
	require.NoError(t, err)
	_, err = EnsureTopic(context.Background(), nil, brokers, "agent_events", 1) // too like the other one
	require.ErrorIs(t, err, kerr.InvalidTopicException)
}

// A run that is stopped has sent the lines that it has read, and no others.
func TestStopped(t *testing.T) {
	l := newLab(t)
	ctx, stop := context.WithCancel(context.Background())
	opts := l.options()
	opts.Progress = func(lines, _ int64) {
		if lines == 2000 {
			stop()
		}
	}
	text := events(5000)
	sum, err := Produce(ctx, opts, "in.ndjson", strings.NewReader(text))
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "in.ndjson: stopped: topic agent-events has 2000 lines of it: context canceled")
	require.Equal(t, int64(2000), sum.Lines)
	require.ElementsMatch(t, strings.Split(text, "\n")[:2000], values(l.records(testTopic)))

	opts.Progress, opts.Rate = nil, 0.01
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = Produce(ctx, opts, "in.ndjson", strings.NewReader(text)) // while it waits for its next line
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "stopped: topic agent-events has 1 line of it")
}

// A broker that goes away while records are on their way ends the run, and the
// counts say what is known.
func TestBrokerGoesAway(t *testing.T) {
	shorten(t, &stallTimeout, time.Second)
	l := newLab(t)
	dir := t.TempDir()
	b, err := StartBroker(BrokerOptions{Dir: dir, Topics: map[string]int32{testTopic: 3}})
	require.NoError(t, err)
	opts := l.options()
	opts.Brokers = []string{b.Addr()}
	opts.Progress = func(lines, _ int64) {
		if lines == 3000 {
			require.Eventually(t, func() bool { return b.cluster.PartitionInfos(testTopic)[0].HighWatermark > 0 }, 5*time.Second, time.Millisecond)
			require.NoError(t, b.Close())
		}
	}
	sum, err := l.produce(opts, events(20_000))
	require.ErrorContains(t, err, "in.ndjson: no broker acknowledges anything for 1s")
	require.ErrorContains(t, err, fmt.Sprintf(": topic agent-events has %s of it, and up to ", countLines(sum.Lines)))

	b, err = StartBroker(BrokerOptions{Dir: dir})
	require.NoError(t, err)
	held := len(readTopic(t, connectTo(t, b.Addr()), testTopic))
	require.NoError(t, b.Close())
	require.LessOrEqual(t, sum.Lines, int64(held))
	require.LessOrEqual(t, held, 3000)
}

// A broker that takes records and says nothing.
func TestBrokerIsSilent(t *testing.T) {
	shorten(t, &stallTimeout, time.Second)
	shorten(t, &settleTimeout, 300*time.Millisecond)
	l := newLab(t)
	silent := func(kmsg.Request) (kmsg.Response, error, bool) {
		l.broker.cluster.KeepControl()
		return nil, nil, true
	}
	l.broker.cluster.ControlKey(int16(kmsg.Produce), silent)
	opts := l.options()
	opts.Client = []kgo.Opt{kgo.ProduceRequestTimeout(100 * time.Millisecond), kgo.RequestTimeoutOverhead(200 * time.Millisecond)}
	sum, err := l.produce(opts, events(10))
	require.ErrorContains(t, err, "in.ndjson: no broker acknowledges anything for 1s: topic agent-events has 0 lines of it, and up to 10 more that were not acknowledged")
	require.Zero(t, sum.Lines)

	// Whoever stops the run need not wait for that, though the client is full.
	ctx, stop := context.WithCancel(context.Background())
	opts.Progress = func(lines, _ int64) {
		if lines == 9000 {
			time.AfterFunc(300*time.Millisecond, stop)
		}
	}
	began := time.Now()
	stallTimeout = time.Minute
	sum, err = Produce(ctx, opts, "in.ndjson", strings.NewReader(events(30_000)))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stopped: topic agent-events has 0 lines of it, and up to 1000") // and the one that waits for room
	require.Zero(t, sum.Lines)
	require.Less(t, time.Since(began), 10*time.Second)
}

func shorten(t *testing.T, d *time.Duration, to time.Duration) {
	old := *d
	*d = to
	t.Cleanup(func() { *d = old })
}

// A reader that fails does not lose the lines before, nor send half a line.
func TestReaderFails(t *testing.T) {
	l := newLab(t)
	opts := l.options()
	opts.Raw = true
	broken := errors.New("disk on fire")
	sum, err := Produce(context.Background(), opts, "in.ndjson", io.MultiReader(strings.NewReader(events(3)+`{"half`), failing{broken}))
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "in.ndjson: after line 3: disk on fire")
	require.Equal(t, int64(3), sum.Lines)
	require.Len(t, l.records(testTopic), 3)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
