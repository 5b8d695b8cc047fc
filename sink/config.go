// Package sink reads Kafka topics and makes their records rows of Iceberg
// tables, each record once. The way of a record:
//
//	poll (sink.go) -> decode and convert (take.go) -> data files (router.go)
//	-> snapshot commits, then the offset commit (flush.go)
//
// The table is the truth about offsets: a sink starts where the table says
// (assign.go), and the consumer group's own offsets only feed lag dashboards.
package sink

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// Config tunes a sink. Zero values of the fields marked with a default take it.
type Config struct {
	Brokers []string
	Topics  []string  // names, and regular expressions, which begin with ^
	Group   string    // consumer group
	Client  []kgo.Opt // how to reach the cluster: TLS, SASL, client id

	StartLatest     bool          // topics that are there and new to the tables when the sink starts begin at their ends
	ReadUncommitted bool          // also read records of open and aborted transactions
	SessionTimeout  time.Duration // of the consumer group; default 45 s
	MetadataRefresh time.Duration // how soon topics that are new must be seen, beside what Client says; default 30 s

	// The two main knobs: how old a pending record may get before it is
	// committed, and how large a data file is to be.
	TargetLag      time.Duration // default 60 s
	TargetFileSize int64         // bytes; default 128 MiB

	Memory       int64 // bytes of pending rows and open files held in memory; default 240 MiB
	MaxBatchRows int64 // rows of one snapshot commit; default 5,000,000

	CommitTimeout   time.Duration // how long the attempts at one snapshot commit may take, not counting the time in which others go first; and a read of the tables; default 5 min
	ShutdownTimeout time.Duration // bound on the last flush after a stop; default 30 s

	CompressionLevel int // zstd level of data files; default 1
	Limits           envelope.Limits
	Version          string // for dead_letters.sink_version and snapshot summaries

	// UntilCaughtUp stops the sink when it has committed up to the end of every
	// topic partition as it was at the start, or at the first error. Without it only
	// errors stop the sink that waiting does not mend.
	UntilCaughtUp bool

	Log *slog.Logger

	// OnProgress, when set, hears of the sink's counters: after every poll and what
	// followed from it, while the sink waits for the catalog, when the consumer group
	// gives or takes, and every few seconds whether or not the loop comes round. It is
	// called from several goroutines, one at a time. It must be quick, and not call the sink.
	OnProgress func(Stats)
	// OnFlush, when set, hears how each flush ended. It must be quick.
	OnFlush func(Flush)
	// OnStep, when set, is called at each named step of a flush, see Steps. It is
	// the seam for tests that kill the process there.
	OnStep func(step string)
}

// Steps of a flush, in order.
const (
	StepBeforeUpload        = "before-upload"         // data files are open
	StepAfterUpload         = "after-upload"          // data files are durable, nothing refers to them
	StepBetweenTables       = "between-tables"        // dead_letters has its rows, agent_events not yet
	StepAfterSnapshotCommit = "after-snapshot-commit" // both tables have their rows
	StepBeforeOffsetCommit  = "before-offset-commit"  // the group's offsets are behind
)

// Steps lists the named steps of a flush.
var Steps = []string{StepBeforeUpload, StepAfterUpload, StepBetweenTables, StepAfterSnapshotCommit, StepBeforeOffsetCommit}

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.SessionTimeout, 45*time.Second)
	def(&c.MetadataRefresh, 30*time.Second)
	def(&c.TargetLag, time.Minute)
	def(&c.CommitTimeout, 5*time.Minute)
	def(&c.ShutdownTimeout, 30*time.Second)
	if c.TargetFileSize == 0 {
		c.TargetFileSize = 128 << 20
	}
	if c.Memory == 0 {
		c.Memory = 240 << 20
	}
	if c.MaxBatchRows == 0 {
		c.MaxBatchRows = 5_000_000
	}
	if c.CompressionLevel == 0 {
		c.CompressionLevel = 1
	}
	if c.Limits == (envelope.Limits{}) {
		c.Limits = envelope.DefaultLimits
	}
	if c.Group == "" {
		c.Group = "auditlake"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// New prepares a sink; Run starts it. The tables must exist.
func New(cfg Config, cat *catalog.Catalog) (*Sink, error) {
	cfg.setDefaults()
	if len(cfg.Brokers) == 0 || len(cfg.Topics) == 0 {
		return nil, &Error{Text: "kafka.brokers and kafka.topics must name at least one broker and one topic", Usage: true}
	}
	topics, err := parseTopics(cfg.Topics)
	if err != nil {
		return nil, err
	}
	return &Sink{
		cfg: cfg, topics: topics, lake: icebergLake{cat}, log: cfg.Log,
		decoder: envelope.NewDecoder(cfg.Limits), wait: waitUpTo, sayWaitAfter: sayWaitAfter,
		owned: map[topicPartition]*progress{}, taking: map[topicPartition]bool{}, uuids: map[string]string{},
	}, nil
}

// Error is a reason to stop that a person has to act on. Its text says how.
type Error struct {
	Text  string
	Usage bool // a mistake of configuration, not of the world
	// Refused tells that going on could skip, repeat or mix up records: nothing is to
	// start it again before somebody has acted, or looked where the text says so.
	Refused bool
	Err     error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return fmt.Sprintf("%s: %v", e.Text, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is 2 for usage or configuration, 3 for what is refused, 1 for anything else.
func (e *Error) ExitCode() int {
	switch {
	case e.Usage:
		return 2
	case e.Refused:
		return 3
	}
	return 1
}
