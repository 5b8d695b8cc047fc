package sink

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/auditlake/auditlake/catalog"
)

// Stats are a sink's counters since it started. It is a plain value: a copy of
// it is a consistent picture.
type Stats struct {
	Records     int64            // records taken from Kafka, without control records
	Bytes       int64            // their values
	Events      int64            // rows for agent_events
	DeadLetters map[string]int64 // rows for dead_letters, by error class
	Misfits     int64            // values that did not fit their column
	Unknown     int64            // attributes without a column
	Skipped     int64            // records that the tables held already

	Commits       int64            // snapshot commits of agent_events
	CommittedRows int64            // rows of agent_events in them
	ByClass       map[string]int64 // the same, by event class: 100 of them, the others together
	CommittedDead int64            // rows of dead_letters
	Files         int64            // data files of both tables
	FileBytes     int64
	Fenced        int64 // batches dropped because another sink took over
	BegunAgain    int64 // failures after which all was read again from where the tables are
	CommitRetries int64

	Pending      int64     // rows taken and not yet committed
	Buffered     int64     // bytes they hold in memory
	LastCommit   time.Time // of agent_events, by whomever; zero where it has no snapshot
	CaughtUp     int64     // with UntilCaughtUp: offsets passed and offsets to pass
	CaughtUpGoal int64

	// How the sink does, for whoever watches it. Zero times are "not yet", or "not now".
	Member   bool      // of the consumer group, also where no topic partition is left for it
	NoTopic  bool      // none of Config.Topics exists yet; the sink is no member then
	GroupErr string    // why it is none, where that is known
	Polled   time.Time // the loop last came round
	Heard    time.Time // Kafka last told how far its topic partitions are
	Flushing time.Time // begin of the flush under way
	FlushErr string    // why the last flush failed, or the last attempt of the one under way
	// TakingOver is since when topic partitions that the group has given to this sink
	// are still to be taken over: nobody reads them. TakeOverErr is why the last attempt
	// failed.
	TakingOver  time.Time
	TakeOverErr string
	// Awaiting is what the catalog is to do for the sink, since when; "" while nothing.
	Awaiting      string
	AwaitingSince time.Time

	Owned []OwnedPartition // in order of topic and partition
}

// OwnedPartition is how far the tables are in a topic partition of this sink.
type OwnedPartition struct {
	Topic         string
	Partition     int32
	Committed     int64 // the next offset the tables want
	HighWatermark int64 // seconds old at most, while Kafka answers
	// Readable is where reading ends for now, the last stable offset where only
	// committed records are read; -1 until Kafka has told.
	Readable int64
	// Watermark is the Kafka timestamp of the newest committed record, zero
	// before the sink's first snapshot commit.
	Watermark time.Time

	// Where the loop is in it, for lookForGaps.
	of    *progress // only which one it is, and its id, which stays
	next  int64
	moved time.Time
}

// Lag is how many offsets the tables are behind.
func (p OwnedPartition) Lag() int64 { return max(p.HighWatermark-p.Committed, 0) }

// maxNames bounds the counters by name: producers choose the names of classes.
// What comes later counts as OtherNames.
const (
	maxNames   = 100
	OtherNames = "(others)" // no class can be called so
)

// count adds to a counter by name.
func count(m *map[string]int64, name string, n int64) {
	if *m == nil {
		*m = map[string]int64{}
	}
	if _, known := (*m)[name]; !known && len(*m) >= maxNames {
		name = OtherNames
	}
	(*m)[name] += n
}

// snapshot copies the counters and adds what is pending and how far the owned
// topic partitions are.
func (s *Sink) snapshot() Stats {
	out := s.stats
	if s.batch != nil {
		out.Pending, out.Buffered = s.batch.rows(), s.batch.buffered()
	}
	out.DeadLetters, out.ByClass = maps.Clone(s.stats.DeadLetters), maps.Clone(s.stats.ByClass)
	out.Owned = make([]OwnedPartition, 0, len(s.owned))
	for tp, p := range s.owned {
		out.Owned = append(out.Owned, OwnedPartition{
			Topic: tp.topic, Partition: tp.partition, Committed: p.start, HighWatermark: p.high, Readable: -1, Watermark: p.watermark,
			of: p, next: p.next, moved: p.moved})
	}
	slices.SortFunc(out.Owned, func(a, b OwnedPartition) int {
		return catalog.TopicPartition{Topic: a.Topic, Partition: a.Partition}.Compare(catalog.TopicPartition{Topic: b.Topic, Partition: b.Partition})
	})
	return out
}

// Outcomes of a flush.
const (
	OutcomeLanded    = "landed"
	OutcomeConflict  = "conflict"
	OutcomeFenced    = "fenced"
	OutcomeUnknown   = "unknown"
	OutcomeNotLanded = "not_landed"
	OutcomeFailed    = "failed" // before a snapshot commit was tried
)

// Flush tells how one pending batch ended.
type Flush struct {
	Outcome   string
	Took      time.Duration // data files, both tables' snapshot commits and the offset commit
	FileSizes []int64       // bytes, of both tables; only of what landed
}

func outcomeOf(err error) string {
	var (
		conflict *catalog.ConflictError
		fenced   *catalog.FencedError
		unknown  *catalog.UnknownError
		not      *catalog.NotLandedError
	)
	switch {
	case err == nil:
		return OutcomeLanded
	case errors.As(err, &conflict):
		return OutcomeConflict
	case errors.As(err, &fenced):
		return OutcomeFenced
	case errors.As(err, &unknown):
		return OutcomeUnknown
	case errors.As(err, &not):
		return OutcomeNotLanded
	}
	return OutcomeFailed
}
