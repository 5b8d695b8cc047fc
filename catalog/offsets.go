package catalog

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
)

// Table properties and snapshot summary keys of ours. Anyone may write table
// properties and summaries, so every key has the project's prefix.
const (
	propTable       = "auditlake.table"   // which of our tables this is
	propOffsets     = "auditlake.offset/" // + cluster/topic/topic id/partition
	summaryCommitID = "auditlake.commit-id"
	summaryRanges   = "auditlake.ranges"
	summaryVersion  = "auditlake.version"
)

// TopicPartition names one log for good: a topic that was deleted and made
// again under its name has another topic id.
type TopicPartition struct {
	ClusterID string
	Topic     string
	TopicID   string
	Partition int32
}

func (tp TopicPartition) String() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// Compare orders by cluster, topic, topic id and partition.
func (tp TopicPartition) Compare(o TopicPartition) int {
	if c := strings.Compare(tp.ClusterID, o.ClusterID); c != 0 {
		return c
	}
	if c := strings.Compare(tp.Topic, o.Topic); c != 0 {
		return c
	}
	if c := strings.Compare(tp.TopicID, o.TopicID); c != 0 {
		return c
	}
	return int(tp.Partition) - int(o.Partition)
}

// Offset is how far a table has come in a topic partition: every offset in
// [First, Next) is accounted for, Next is the one to read next.
type Offset struct {
	First int64 `json:"first"`
	Next  int64 `json:"next"`
	// Mark is the mark of the range that set it last, see [Range].
	Mark string `json:"mark,omitempty"`
}

// Offsets maps topic partitions to how far a table has come in them.
type Offsets map[TopicPartition]Offset

// Keys returns the topic partitions in order.
func (o Offsets) Keys() []TopicPartition {
	keys := make([]TopicPartition, 0, len(o))
	for tp := range o {
		keys = append(keys, tp)
	}
	slices.SortFunc(keys, TopicPartition.Compare)
	return keys
}

// After is how far the table is in a range's topic partition once the range is in it.
func (o Offsets) After(r Range) Offset {
	at, ok := o[r.TopicPartition]
	if !ok {
		at.First = r.Start
	}
	at.Next, at.Mark = r.End, r.Mark
	return at
}

// Offsets reads the offsets that the table's snapshot commits have set.
func (t *Table) Offsets() (Offsets, error) {
	out := Offsets{}
	for k, v := range t.properties() {
		if !strings.HasPrefix(k, propOffsets) {
			continue
		}
		tp, err := parseOffsetKey(k)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		var o Offset
		if err := json.Unmarshal([]byte(v), &o); err != nil {
			return nil, fmt.Errorf("table %s: property %s is %q, not an offset: %w", t.name, k, v, err)
		}
		out[tp] = o
	}
	return out, nil
}

func offsetKey(tp TopicPartition) string {
	return propOffsets + url.PathEscape(tp.ClusterID) + "/" + tp.Topic + "/" + url.PathEscape(tp.TopicID) + "/" + strconv.Itoa(int(tp.Partition))
}

func parseOffsetKey(key string) (TopicPartition, error) {
	bad := func() (TopicPartition, error) {
		return TopicPartition{}, fmt.Errorf("property %s does not name a topic partition", key)
	}
	parts := strings.Split(strings.TrimPrefix(key, propOffsets), "/")
	if len(parts) != 4 {
		return bad()
	}
	cluster, err1 := url.PathUnescape(parts[0])
	id, err2 := url.PathUnescape(parts[2])
	p, err3 := strconv.ParseInt(parts[3], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil {
		return bad()
	}
	return TopicPartition{ClusterID: cluster, Topic: parts[1], TopicID: id, Partition: int32(p)}, nil
}

func offsetProperties(have Offsets, ranges []Range) iceberg.Properties {
	props := iceberg.Properties{}
	for _, r := range ranges {
		text, _ := json.Marshal(have.After(r)) // integers and a string: cannot fail
		props[offsetKey(r.TopicPartition)] = string(text)
	}
	return props
}

// Range is what one snapshot commit says of one topic partition: it accounts
// for the offsets [Start, End).
type Range struct {
	TopicPartition
	Start, End  int64
	Rows        int64 // rows added to this table from the range
	Events      int64 // records of the range that hold events
	DeadLetters int64 // records of the range that are dead letters
	// Holes are offsets of the range at which the broker had no record to give:
	// control records of transactions, aborted or compacted-away records.
	// Ascending, not adjacent. HolesOmitted counts offsets that did not fit.
	Holes        []Hole
	HolesOmitted int64
	// Mark is left at the table's offset, and Seen is the mark that must be there:
	// offsets alone do not tell a table from one that has moved on without them, by
	// a claim or by rows below its offset. Not part of a snapshot summary.
	Mark, Seen string
}

// follows tells whether a table at this offset is where r goes on.
func (r Range) follows(at Offset) bool { return at.Next == r.Start && at.Mark == r.Seen }

// Hole is the offsets [Start, End).
type Hole struct{ Start, End int64 }

// MarshalJSON writes a hole as a pair.
func (h Hole) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{h.Start, h.End}) }

// UnmarshalJSON reads a pair.
func (h *Hole) UnmarshalJSON(b []byte) error {
	var p [2]int64
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	h.Start, h.End = p[0], p[1]
	return nil
}

// topicRanges is the form of ranges in a snapshot summary: grouped by topic,
// since a summary stays in the table's metadata as long as its snapshot does.
type topicRanges struct {
	ClusterID  string           `json:"cluster"`
	Topic      string           `json:"topic"`
	TopicID    string           `json:"topic_id"`
	Partitions []partitionRange `json:"partitions"`
}

type partitionRange struct {
	Partition    int32  `json:"p"`
	Start        int64  `json:"start"`
	End          int64  `json:"end"`
	Rows         int64  `json:"rows"`
	Events       int64  `json:"events"`
	DeadLetters  int64  `json:"dead,omitempty"`
	Holes        []Hole `json:"holes,omitempty"`
	HolesOmitted int64  `json:"holes_omitted,omitempty"`
}

func encodeRanges(ranges []Range) string {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return a.Compare(b.TopicPartition) })
	var topics []topicRanges
	for _, r := range sorted {
		if n := len(topics); n == 0 || topics[n-1].ClusterID != r.ClusterID || topics[n-1].Topic != r.Topic || topics[n-1].TopicID != r.TopicID {
			topics = append(topics, topicRanges{ClusterID: r.ClusterID, Topic: r.Topic, TopicID: r.TopicID})
		}
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, partitionRange{r.Partition, r.Start, r.End, r.Rows, r.Events, r.DeadLetters, r.Holes, r.HolesOmitted})
	}
	text, _ := json.Marshal(topics) // strings and integers: cannot fail
	return string(text)
}

func decodeRanges(text string) ([]Range, error) {
	if text == "" {
		return nil, nil
	}
	var topics []topicRanges
	if err := json.Unmarshal([]byte(text), &topics); err != nil {
		return nil, fmt.Errorf("summary %s: %w", summaryRanges, err)
	}
	var out []Range
	for _, t := range topics {
		for _, p := range t.Partitions {
			out = append(out, Range{
				TopicPartition: TopicPartition{t.ClusterID, t.Topic, t.TopicID, p.Partition},
				Start:          p.Start, End: p.End, Rows: p.Rows, Events: p.Events, DeadLetters: p.DeadLetters,
				Holes: p.Holes, HolesOmitted: p.HolesOmitted,
			})
		}
	}
	return out, nil
}
