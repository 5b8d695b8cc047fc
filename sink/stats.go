package sink

import "time"

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

	Commits       int64 // snapshot commits of agent_events
	CommittedRows int64 // rows of agent_events in them
	CommittedDead int64 // rows of dead_letters
	Files         int64 // data files of both tables
	FileBytes     int64
	Fenced        int64 // batches dropped because another sink took over
	CommitRetries int64

	Pending      int64 // rows taken and not yet committed
	Buffered     int64 // bytes they hold in memory
	LastCommit   time.Time
	CaughtUp     int64 // with UntilCaughtUp: offsets passed and offsets to pass
	CaughtUpGoal int64
}

func (s *Stats) dead(class string) {
	if s.DeadLetters == nil {
		s.DeadLetters = map[string]int64{}
	}
	s.DeadLetters[class]++
}

// snapshot copies s.
func (s *Stats) snapshot() Stats {
	out := *s
	out.DeadLetters = make(map[string]int64, len(s.DeadLetters))
	for k, v := range s.DeadLetters {
		out.DeadLetters[k] = v
	}
	return out
}
