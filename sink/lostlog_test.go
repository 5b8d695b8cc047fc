package sink

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// Of a log that was truncated nothing that is pending may land: other records have its
// offsets by now, or will. That comes before whatever else ends the sink.
func TestTruncatedLog(t *testing.T) {
	cut := func(to int64) kgo.Fetches {
		return fetched("cut", kadm.TopicID{}, &kgo.ErrDataLoss{Topic: "cut", ConsumedTo: 17, ResetTo: to})
	}
	outOfRange := fetched("cut", kadm.TopicID{}, kerr.OffsetOutOfRange)
	for name, tc := range map[string]struct {
		poll kgo.Fetches
		want string
		code int
	}{
		"after what the tables hold":      {cut(12), "the log of cut/0 was truncated to 12 after it was read to 17", 1},
		"before":                          {cut(8), "the table is at offset 10 of cut/0, the log ends at 8", 3},
		"the broker does not say how far": {outOfRange, "the log of cut/0 no longer holds offset 17, to which it was read, and begins at 0 (the table is at offset 10): it seems truncated", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			d := l.pendingOf("cut", 10, 7)
			err := d.work(t.Context(), append(kgo.NewErrFetch(kerr.GroupAuthorizationFailed), tc.poll...))
			var ours *Error
			require.ErrorAs(t, err, &ours)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, tc.code, ours.ExitCode())
			require.Zero(t, d.Stats().Pending)
			require.EqualValues(t, 10, l.next())
		})
	}
}

// A truncation that cut off nothing that was taken ends no sink: the client tells of it
// also after it was sent back, when the log may be long past it.
func TestTruncationOfWhatWasNotTaken(t *testing.T) {
	l := newLab(t)
	cut := func(to int64) kgo.Fetches {
		return fetched("t", kadm.TopicID{}, &kgo.ErrDataLoss{Topic: "t", ConsumedTo: 17, ResetTo: to})
	}
	s := l.unrun("t")
	s.stop = errTest // work ends by it before it reads again from the tables
	s.rewind = true
	require.ErrorIs(t, s.work(t.Context(), cut(2)), errTest, "that is read anew in any case")
	require.True(t, s.rewind)

	s.stop, s.rewind = nil, false
	require.NoError(t, s.work(t.Context(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
	s.stop = errTest
	require.ErrorIs(t, s.work(t.Context(), cut(7)), errTest)
	require.True(t, s.rewind, "the client may have moved on to there, over what was not taken")
	require.Zero(t, s.Stats().Pending)

	s.stop, s.rewind = nil, false
	require.NoError(t, s.work(t.Context(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
	require.ErrorContains(t, s.work(t.Context(), cut(6)), "the log of t/0 was truncated to 6 after it was read to 17")
}

// begins is a cluster that tells where the first partitions of some topics begin, and of
// the others nothing, or that only the askings after the first.
type begins struct {
	cluster
	at    map[string]int64
	late  map[string]int64
	fails map[string]error // of whole topics
	err   error
	asked *[][]string
	until *[]time.Time // of the askings
}

func (b begins) Close() {}

func (b begins) ListStartOffsets(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
	if b.until != nil {
		until, _ := ctx.Deadline()
		*b.until = append(*b.until, until)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	out := kadm.ListedOffsets{}
	for _, topic := range topics {
		at, ok := b.at[topic]
		if late, is := b.late[topic]; is && b.asked != nil && len(*b.asked) > 0 {
			at, ok = late, true
		}
		if ok {
			out[topic] = map[int32]kadm.ListedOffset{0: {Topic: topic, Offset: at}}
		}
		if err := b.fails[topic]; err != nil {
			out[topic] = map[int32]kadm.ListedOffset{-1: {Topic: topic, Partition: -1, Err: err}}
		}
	}
	if b.asked != nil {
		*b.asked = append(*b.asked, topics)
	}
	return out, b.err
}

// All topic partitions of a poll are judged before what is pending of any lands.
func TestLogsAreJudgedTogether(t *testing.T) {
	outOfRange := func(topics ...string) (poll kgo.Fetches) {
		for _, topic := range topics {
			poll = append(poll, fetched(topic, kadm.TopicID{}, kerr.OffsetOutOfRange)...)
		}
		return poll
	}
	both := outOfRange("a", "b", "b")
	const untold, refused = 0, 3
	for name, tc := range map[string]struct {
		kafka  begins
		change func(*Sink)
		want   string
		also   string
		code   int
		asked  int
		next   int64 // of the tables afterwards
	}{
		"both begin later": {kafka: begins{at: map[string]int64{"a": 9, "b": 8}}, asked: 1, next: 7, code: refused,
			want: "records [7, 9) of a/0, [7, 8) of b/0 are gone"},
		"one begins later, the other is truncated": {kafka: begins{at: map[string]int64{"a": 9, "b": 0}}, asked: 1, code: refused,
			want: "the log of b/0 no longer holds offset 7, to which it was read, and begins at 0 (the table is at offset 0): it seems",
			also: "Besides, records [0, 9) of a/0 are gone"},
		"one is truncated, of the other it is not known": {kafka: begins{at: map[string]int64{"a": 0}}, asked: beginTries, code: refused,
			want: "the log of a/0 no longer holds offset 7, to which it was read, and begins at 0",
			also: "Besides, the log of b/0 does not hold offset 7, and Kafka does not say where it begins"},
		"truncated, and there is another reason to end": {kafka: begins{at: map[string]int64{"a": 9, "b": 0}}, asked: 1, code: refused,
			change: func(s *Sink) { s.stop = &Error{Text: "another"} }, want: "the log of b/0 no longer holds offset 7"},
		"both are truncated": {kafka: begins{at: map[string]int64{"a": 1, "b": 0}}, asked: 1, code: refused,
			want: "and begins at 1 (the table is at offset 0); the log of b/0 no longer holds"},
		"one begins later, of the other it is not known": {kafka: begins{at: map[string]int64{"a": 9}}, asked: beginTries,
			want: "the log of b/0 does not hold offset 7, and Kafka does not say where it begins: UNKNOWN_TOPIC_OR_PARTITION"},
		"why it is not known": {kafka: begins{err: errTest}, asked: beginTries,
			want: "the log of a/0 does not hold offset 7, and Kafka does not say where it begins: connection reset by test",
			also: "; the log of b/0 does not hold offset 7, and Kafka"},
		"a topic may not be described": {kafka: begins{at: map[string]int64{"a": 9}, fails: map[string]error{"b": kerr.TopicAuthorizationFailed}}, asked: beginTries,
			want: "the log of b/0 does not hold offset 7, and Kafka does not say where it begins: TOPIC_AUTHORIZATION_FAILED"},
		"both are told, of others there is no answer": {kafka: begins{at: map[string]int64{"a": 9, "b": 8}, err: errTest}, asked: 1, next: 7, code: refused,
			want: "records [7, 9) of a/0, [7, 8) of b/0 are gone"},
		"one is told later": {kafka: begins{at: map[string]int64{"a": 9}, late: map[string]int64{"b": 8}, err: errTest}, asked: 2, next: 7, code: refused,
			want: "records [7, 9) of a/0, [7, 8) of b/0 are gone"},
		"the errors are of offsets before a rewind": {kafka: begins{at: map[string]int64{"a": 9, "b": 0}},
			change: func(s *Sink) { s.dropLocked(); s.rewind = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			s := l.unrun("a", "b")
			for _, topic := range []string{"a", "b"} {
				require.NoError(t, s.work(t.Context(), fetched(topic, kadm.TopicID{}, nil, records(topic, 7)...)))
			}
			if tc.change != nil {
				tc.change(s)
			}
			var asked [][]string
			tc.kafka.asked = &asked
			s.admin = tc.kafka
			if tc.want == "" {
				require.NoError(t, s.lostLog(t.Context(), both))
				return
			}
			err := s.work(t.Context(), both)
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, tc.also)
			require.NotContains(t, err.Error(), "\n")
			require.Len(t, asked, tc.asked)
			require.Equal(t, []string{"a", "b"}, asked[0])
			var ours *Error
			require.Equal(t, tc.code != untold, errors.As(err, &ours), "one that may mend is read again")
			if ours != nil {
				require.Equal(t, tc.code, ours.ExitCode())
			}
			require.Zero(t, s.Stats().Pending)
			for _, tp := range []string{"a", "b"} {
				require.Equal(t, tc.next, l.offsets()[s.idOf(topicPartition{topic: tp})].Next)
			}
		})
	}
}

// Nothing lands of what may be of a truncated log, whatever comes before it is read
// again: a stop, or a rebalance that waits for the poll.
func TestWhatMayBeTruncatedNeverLands(t *testing.T) {
	for name, then := range map[string]func(*testing.T, *Sink, error){
		"a stop":      func(t *testing.T, s *Sink, err error) { require.NoError(t, s.lastFlush(err)) },
		"a rebalance": func(t *testing.T, s *Sink, _ error) { s.revoked(t.Context(), nil, map[string][]int32{"t": {0}}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			s := l.unrun("t")
			s.size = newFetchSize(1 << 20)
			require.NoError(t, s.work(t.Context(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
			require.EqualValues(t, 7, s.Stats().Pending)
			var asked [][]string
			s.admin = begins{asked: &asked}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			err := s.work(ctx, fetched("t", kadm.TopicID{}, kerr.OffsetOutOfRange))
			require.ErrorContains(t, err, "does not say where it begins")
			require.Len(t, asked, beginTries, "a stop alone does not make it unknown")
			then(t, s, err)
			require.Empty(t, l.offsets())
			require.True(t, s.rewind)
		})
	}
}

// What is pending is fenced while a log begins later: only of a topic partition that
// somebody took over it is for the new owner to say what is lost.
func TestBegunLaterAndFenced(t *testing.T) {
	b, both := []string{"b"}, []string{"a", "b"}
	for name, tc := range map[string]struct {
		taken, later []string
		want         string
		code         int
	}{
		"the other one was taken over": {[]string{"a"}, b, "records [0, 9) of b/0 are gone from Kafka", 3},
		"it was taken over":            {b, b, "the log of b/0 no longer holds offset 7, and another sink has read on", 1},
		"both were":                    {both, b, "the log of b/0 no longer holds offset 7, and another sink has read on", 1},
		"both were, and begin later":   {both, both, "the log of a/0 no longer holds offset 7, the log of b/0 no longer holds offset 7, and another sink has read on", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			s := l.unrun("a", "b")
			s.admin = begins{at: map[string]int64{"a": 9, "b": 9}}
			for _, topic := range []string{"a", "b"} {
				require.NoError(t, s.work(t.Context(), fetched(topic, kadm.TopicID{}, nil, records(topic, 7)...)))
			}
			other := catalog.Batch{ID: "other"}
			for _, topic := range tc.taken {
				other.Ranges = append(other.Ranges, catalog.Range{TopicPartition: s.idOf(topicPartition{topic: topic}), End: 3, Mark: other.ID,
					Holes: []catalog.Hole{{End: 3}}})
			}
			_, err := l.cat.CommitBatch(t.Context(), catalog.AgentEvents, other)
			require.NoError(t, err)
			var poll kgo.Fetches
			for _, topic := range tc.later {
				poll = append(poll, fetched(topic, kadm.TopicID{}, kerr.OffsetOutOfRange)...)
			}
			err = s.work(t.Context(), poll)
			require.ErrorContains(t, err, tc.want)
			var ours *Error
			require.ErrorAs(t, err, &ours)
			require.Equal(t, tc.code, ours.ExitCode())
			require.Zero(t, s.Stats().Pending)
		})
	}
}

// silent is a lake that can be committed to, and tells nothing of its tables.
type silent struct{ lake }

func (silent) Load(context.Context, string) (lakeTable, error) { return nil, errTest }

// Fenced in one topic partition, the sink asks the tables who took over another one: a
// claim moves no offset. Where they do not say, what is lost there is told.
func TestNotTaken(t *testing.T) {
	l := newLab(t)
	s := l.unrun("a", "claimed", "read", "lost")
	var all []catalog.Range
	for _, topic := range []string{"a", "claimed", "read", "lost"} {
		all = append(all, catalog.Range{TopicPartition: s.idOf(topicPartition{topic: topic}), Start: 7, End: 9})
	}
	fenced := &catalog.FencedError{Partition: all[0].TopicPartition}
	other := catalog.Batch{ID: "other", Ranges: []catalog.Range{
		{TopicPartition: all[1].TopicPartition, Mark: "other"},
		{TopicPartition: all[2].TopicPartition, End: 3, Mark: "other", Holes: []catalog.Hole{{End: 3}}},
	}}
	_, err := l.cat.CommitBatch(t.Context(), catalog.AgentEvents, other)
	require.NoError(t, err)
	require.Equal(t, all[3:], s.notTaken(t.Context(), all, fenced))
	s.lake = silent{s.lake}
	require.Equal(t, all[1:], s.notTaken(t.Context(), all, fenced))
}

// Amid a stop nothing of this takes longer than what is left of the stop's time.
func TestLostLogAmidAStop(t *testing.T) {
	l := newLab(t)
	s := l.unrun("t")
	require.NoError(t, s.work(t.Context(), fetched("t", kadm.TopicID{}, nil, records("t", 7)...)))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	began := time.Now()
	s.stopped.Store(began.Add(-s.cfg.ShutdownTimeout + time.Minute).UnixNano())
	var until []time.Time
	s.admin = begins{at: map[string]int64{"t": 9}, until: &until}
	bounded, cancel := s.detached(ctx)
	defer cancel()
	by, _ := bounded.Deadline()
	require.True(t, by.Equal(s.stopBy()), "a minute is left of it")

	s.stopped.Store(began.Add(-s.cfg.ShutdownTimeout).UnixNano())
	_, unknown := s.logsBegin(ctx, []*progress{s.owned[topicPartition{"t", 0}]})
	require.ErrorIs(t, unknown, context.DeadlineExceeded)
	require.Len(t, until, 1)
	require.True(t, until[0].Equal(s.stopBy()))

	lost := []catalog.Range{{TopicPartition: s.idOf(topicPartition{topic: "t"}), Start: 7, End: 9}}
	s.lake = waiting{s.lake, &until}
	s.notTaken(ctx, lost, &catalog.FencedError{})
	require.Len(t, until, 2)
	require.True(t, until[1].Equal(s.stopBy()))

	err := s.begunLater(ctx, lost)
	require.ErrorContains(t, err, "records [0, 9) of t/0 are gone from Kafka")
	require.ErrorContains(t, err, "did not land: context deadline exceeded")
	require.Zero(t, s.Stats().Pending)
	require.Empty(t, l.offsets())
}

// waiting is a lake that notes how long it may take.
type waiting struct {
	lake
	until *[]time.Time
}

func (w waiting) Load(ctx context.Context, name string) (lakeTable, error) {
	until, _ := ctx.Deadline()
	*w.until = append(*w.until, until)
	return nil, ctx.Err()
}
