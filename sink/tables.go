package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/auditlake/auditlake/catalog"
)

// tables is what the two tables say of topic partitions, as of one load of each. It
// alone judges whether a topic is the one that the tables know, and where reading a
// topic partition begins: for a start, for the goals of a job, for an assignment, and
// for a topic that appears while the sink runs.
type tables struct {
	events, dead         lakeTable
	offsets, deadOffsets catalog.Offsets
}

func (s *Sink) loadTables(ctx context.Context) (tables, error) {
	l, err := readTables(ctx, s.load)
	if err != nil {
		return tables{}, err
	}
	if snap, ok, err := l.events.Current(); err == nil && ok && s.stats.LastCommit.IsZero() {
		s.stats.LastCommit = snap.Time // an earlier run's, or another sink's
	}
	return l, nil
}

// askTables asks beside the loop, which may wait for the same catalog. It does not look
// whether the tables are still those that this sink met: who commits to them does.
func (s *Sink) askTables(ctx context.Context) (tables, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return readTables(ctx, s.lake.Load)
}

func readTables(ctx context.Context, load func(context.Context, string) (lakeTable, error)) (l tables, err error) {
	if l.dead, err = load(ctx, catalog.DeadLetters); err != nil {
		return tables{}, err
	}
	if l.events, err = load(ctx, catalog.AgentEvents); err != nil {
		return tables{}, err
	}
	if l.deadOffsets, err = l.dead.Offsets(); err != nil {
		return tables{}, err
	}
	if l.offsets, err = l.events.Offsets(); err != nil {
		return tables{}, err
	}
	return l, nil
}

// load loads a table, which must stay the one that it was when this sink first did:
// what the sink knows of that one's offsets says nothing of another.
func (s *Sink) load(ctx context.Context, name string) (lakeTable, error) {
	_, done := s.awaitCatalog("load " + name)
	defer done()
	t, err := s.lake.Load(ctx, name)
	if err != nil {
		return nil, err
	}
	if was, known := s.uuids[name]; known && was != t.UUID() {
		return nil, catalog.Replaced(name, was, t.UUID())
	}
	s.uuids[name] = t.UUID()
	return t, nil
}

// knows tells whether a table holds an offset of a topic partition.
func (l tables) knows(id catalog.TopicPartition) bool {
	_, known := l.offsets[id]
	_, knownDead := l.deadOffsets[id]
	return known || knownDead
}

// topics are the names of a cluster's topics that the tables know, in order. They need
// not be there any more.
func (l tables) topics(cluster string) []string {
	known := map[string]bool{}
	for _, held := range []catalog.Offsets{l.offsets, l.deadOffsets} {
		for id := range held {
			if id.ClusterID == cluster {
				known[id.Topic] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(known))
}

// admits refuses a topic of which the tables hold offsets under another cluster or
// topic id. Nothing may be noted of such a topic: the right one would be refused from
// then on.
func (l tables) admits(id catalog.TopicPartition) error {
	for _, held := range []catalog.Offsets{l.offsets, l.deadOffsets} {
		for other := range held {
			switch {
			case other.Topic != id.Topic:
			case other.ClusterID != id.ClusterID:
				return &Error{Refused: true, Text: fmt.Sprintf(
					"the tables hold offsets of topic %s on cluster %s, this is cluster %s: give each cluster its own catalog.namespace", id.Topic, other.ClusterID, id.ClusterID)}
			case other.TopicID != id.TopicID:
				return recreated(id.Topic, other.TopicID, id.TopicID)
			}
		}
	}
	return nil
}

func recreated(topic, was, is string) error {
	return &Error{Refused: true, Text: fmt.Sprintf(
		"topic %s was deleted and made again: the tables hold offsets of its topic id %s, the topic is now %s. "+
			"Its offsets start over, so its rows could not be told apart: give the new topic another name, or another catalog.namespace", topic, was, is)}
}

// begin is where reading a topic partition begins whose log is [first, end). It
// refuses what would skip or repeat records.
func (l tables) begin(id catalog.TopicPartition, first, end int64) (*progress, error) {
	if err := l.admits(id); err != nil {
		return nil, err
	}
	p := &progress{id: id, deadNext: -1, high: end, seen: l.offsets[id].Mark, deadSeen: l.deadOffsets[id].Mark}
	at, known := l.offsets[id]
	if d, ok := l.deadOffsets[id]; ok {
		p.deadNext = d.Next
		if !known {
			// The very first batch died between the two tables' commits.
			at, known = catalog.Offset{First: d.First, Next: d.First}, true
		}
	}
	switch {
	case !known:
		p.start = first
	case at.Next < first:
		return nil, gone(catalog.Range{TopicPartition: id, Start: at.Next, End: first})
	case at.Next > end:
		return nil, logEnds(id, at.Next, end)
	default:
		p.start = at.Next
	}
	p.next = p.start
	return p, nil
}

// gone refuses to go on without records that were not read.
func gone(lost ...catalog.Range) error {
	var records []string
	for _, r := range lost {
		records = append(records, fmt.Sprintf("[%d, %d) of %s/%d", r.Start, r.End, r.Topic, r.Partition))
	}
	return &Error{Refused: true, Text: fmt.Sprintf(
		"records %s are gone from Kafka before they were in the table: its retention is shorter than what the sink was away or behind, or somebody deleted them. "+
			"Restore them, or go on without them under another catalog.namespace", strings.Join(records, ", "))}
}

// logEnds refuses to go on with a log that is shorter than the table.
func logEnds(id catalog.TopicPartition, next, end int64) error {
	return &Error{Refused: true, Text: fmt.Sprintf(
		"the table is at offset %d of %s/%d, the log ends at %d: records were lost in Kafka after they were read. "+
			"New records would reuse their offsets: give the topic another name, or another catalog.namespace", next, id.Topic, id.Partition, end)}
}
