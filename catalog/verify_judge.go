package catalog

import (
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/iceberg-go/table"
)

// judge holds the rows of both tables against the committed offsets and the
// ranges of the snapshot summaries. It reads nothing.
func judge(report *Report, events, dead *side) {
	judgeSummaries(report, events)
	judgeSummaries(report, dead)
	ranges := rangesByPartition(events.snapshots)
	known := map[logKey]bool{}
	for _, tp := range events.offsets.Keys() {
		key := logKey{tp.Topic, tp.Partition}
		if known[key] {
			report.problem(Problem{Kind: "range", Topic: tp.Topic, Partition: tp.Partition},
				"topic partition %s has offsets of two clusters or topic ids: its rows cannot be told apart", tp)
			continue
		}
		known[key] = true
		judgePartition(report, tp, events, dead, ranges[tp])
	}
	for _, s := range []*side{events, dead} {
		for _, key := range sortedKeys(s.seen) {
			// Dead letters land first: their table may know a topic partition alone.
			_, ahead := s.offsets[partitionNamed(s.offsets, key)]
			if !known[key] && (s != dead || !ahead) {
				report.problem(Problem{Kind: "beyond_committed", Table: s.table.name, Topic: key.topic, Partition: key.partition},
					"%s holds %d rows of %s/%d, for which no offset is committed", s.table.name, s.seen[key].rows, key.topic, key.partition)
			}
		}
	}
}

// judgeSummaries holds the counts of the snapshot summaries against each other
// and the last total against the rows that were read.
func judgeSummaries(report *Report, s *side) {
	for _, snap := range s.snapshots {
		if snap.CommitID == "" {
			// Others may rewrite and delete; what they add no offset accounts for.
			if snap.Operation == string(table.OpAppend) && snap.AddedRows > 0 {
				report.problem(Problem{Kind: "range", Table: s.table.name},
					"snapshot %d of %s added %d rows and was not made by auditlake", snap.ID, s.table.name, snap.AddedRows)
			}
			continue
		}
		rows := int64(0)
		for _, r := range snap.Ranges {
			rows += r.Rows
		}
		if rows != snap.AddedRows {
			report.problem(Problem{Kind: "count", Table: s.table.name},
				"snapshot %d of %s added %d rows, its ranges say %d", snap.ID, s.table.name, snap.AddedRows, rows)
		}
	}
	if n := len(s.snapshots); n > 0 && s.snapshots[n-1].TotalRows != s.rows {
		report.problem(Problem{Kind: "count", Table: s.table.name},
			"%s holds %d rows, snapshot %d says %d", s.table.name, s.rows, s.snapshots[n-1].ID, s.snapshots[n-1].TotalRows)
	}
}

func judgePartition(report *Report, tp TopicPartition, events, dead *side, ranges []Range) {
	key := logKey{tp.Topic, tp.Partition}
	at := events.offsets[tp]
	ev, dl := events.seen[key], dead.seen[key]
	evRecords, dlRecords := ev.records(), dl.records()
	out := PartitionReport{
		Topic: tp.Topic, Partition: tp.Partition, First: at.First, Next: at.Next,
		Events: int64(evRecords.GetCardinality()), EventRows: ev.rowsIn(0, at.Next), DeadLetters: countIn(dlRecords, 0, at.Next),
	}
	where := Problem{Topic: tp.Topic, Partition: tp.Partition}

	for _, s := range []*side{events, dead} {
		if sn := s.seen[key]; sn != nil && sn.duplicated > 0 {
			out.Duplicates += sn.duplicated
			p := where
			p.Kind, p.Table, p.From, p.To = "duplicate", s.table.name, sn.duplicates[0], sn.duplicates[0]+1
			report.problem(p, "%s holds %d rows of %s twice, first at offsets %v", s.table.name, sn.duplicated, tp, sn.duplicates)
		}
	}
	if both := roaring64.And(evRecords, dlRecords); !both.IsEmpty() {
		p := where
		p.Kind, p.From, p.To = "in_both_tables", int64(both.Minimum()), int64(both.Minimum())+1
		out.Duplicates += int64(both.GetCardinality())
		report.problem(p, "%d records of %s are an event and a dead letter, first at offset %d", both.GetCardinality(), tp, both.Minimum())
	}
	// Dead letters land before the events of their range: up to dead_letters'
	// own offset they may run ahead.
	judgeBounds(report, where, events.table.name, evRecords, at.First, at.Next)
	judgeBounds(report, where, dead.table.name, dlRecords, at.First, max(at.Next, dead.offsets[tp].Next))

	explained := judgeRanges(report, where, tp, events, ranges, dlRecords)
	missing := roaring64.New()
	missing.AddRange(uint64(at.First), uint64(at.Next))
	missing.AndNot(evRecords)
	missing.AndNot(dlRecords)
	judgeMissing(report, &out, where, tp, missing, explained, ranges)
	report.Partitions = append(report.Partitions, out)
}

func judgeBounds(report *Report, where Problem, table string, have *roaring64.Bitmap, first, next int64) {
	if have.IsEmpty() {
		return
	}
	if top := int64(have.Maximum()); top >= next {
		p := where
		p.Kind, p.Table, p.From, p.To = "beyond_committed", table, next, top+1
		report.problem(p, "%s holds rows of %s/%d up to offset %d, though only those before %d are committed", table, p.Topic, p.Partition, top, next)
	}
	if low := int64(have.Minimum()); low < first {
		p := where
		p.Kind, p.Table, p.From, p.To = "beyond_committed", table, low, first
		report.problem(p, "%s holds rows of %s/%d from offset %d, before the first committed one, %d", table, p.Topic, p.Partition, low, first)
	}
}

// judgeRanges checks that the ranges of the snapshots follow on each other up
// to the committed offset and count what is there. It returns the holes that
// they explain.
func judgeRanges(report *Report, where Problem, tp TopicPartition, events *side, ranges []Range, dlRecords *roaring64.Bitmap) *roaring64.Bitmap {
	explained := roaring64.New()
	where.Kind, where.Table = "range", AgentEvents
	at, ev := events.offsets[tp], events.seen[logKey{tp.Topic, tp.Partition}]
	first := at.Next // of the ranges
	if len(ranges) > 0 {
		first = ranges[0].Start
	}
	switch {
	case first > at.First && events.expired():
		report.Notes = append(report.Notes, fmt.Sprintf(
			"%s: snapshots have expired and none that is left accounts for offsets [%d, %d): counts per snapshot cannot be checked there", tp, at.First, first))
	case first > at.First:
		where.From, where.To = at.First, first
		report.problem(where, "no snapshot accounts for offsets [%d, %d) of %s, though none has expired", at.First, first, tp)
	}
	if len(ranges) == 0 {
		return explained
	}
	next := ranges[0].Start
	for _, r := range ranges {
		p := where
		p.From, p.To = r.Start, r.End
		if r.Start != next {
			report.problem(p, "the snapshots of %s go from offset %d on to %d", tp, next, r.Start)
		}
		next = r.End
		rows, records := ev.rowsIn(r.Start, r.End), countIn(ev.records(), r.Start, r.End)
		deads, holes := countIn(dlRecords, r.Start, r.End), int64(0)
		for _, h := range r.Holes {
			explained.AddRange(uint64(h.Start), uint64(h.End))
			holes += h.End - h.Start
		}
		if rows != r.Rows || records != r.Events || deads != r.DeadLetters {
			p.Kind = "count"
			report.problem(p, "offsets [%d, %d) of %s: the snapshot says %d rows of %d records and %d dead letters, the tables hold %d of %d and %d",
				r.Start, r.End, tp, r.Rows, r.Events, r.DeadLetters, rows, records, deads)
		}
		if r.Events+r.DeadLetters+holes+r.HolesOmitted != r.End-r.Start {
			report.problem(p, "offsets [%d, %d) of %s: %d records, %d dead letters and %d holes do not add up to %d",
				r.Start, r.End, tp, r.Events, r.DeadLetters, holes+r.HolesOmitted, r.End-r.Start)
		}
	}
	if next != at.Next {
		where.From, where.To = min(next, at.Next), max(next, at.Next)
		report.problem(where, "the snapshots of %s end at offset %d, the table's offset is %d", tp, next, at.Next)
	}
	return explained
}

// judgeMissing tells holes that the broker had from rows that were lost.
func judgeMissing(report *Report, out *PartitionReport, where Problem, tp TopicPartition, missing, explained *roaring64.Bitmap, ranges []Range) {
	wrong := roaring64.And(explained, missing).GetCardinality() != explained.GetCardinality()
	if wrong {
		where.Kind = "range"
		report.problem(where, "%s has rows at offsets at which its snapshots say the broker had none", tp)
	}
	unexplained := roaring64.AndNot(missing, explained)
	for _, r := range ranges {
		// A range with too many holes to list counts the rest; its sum was checked.
		if r.HolesOmitted > 0 && countIn(unexplained, r.Start, r.End) == r.HolesOmitted {
			unexplained.RemoveRange(uint64(r.Start), uint64(r.End))
		}
	}
	out.Missing = int64(unexplained.GetCardinality())
	out.Holes = int64(missing.GetCardinality()) - out.Missing
	where.Kind = "gap"
	listed := 0
	for it := unexplained.Iterator(); it.HasNext() && listed < maxListed; listed++ {
		from := it.Next()
		to := from + 1
		for it.HasNext() && it.PeekNext() == to {
			to = it.Next() + 1
		}
		p := where
		p.From, p.To = int64(from), int64(to)
		report.problem(p, "offsets [%d, %d) of %s are in neither table", from, to, tp)
	}
}

// expired tells whether snapshots that the current one descends from are gone.
func (s *side) expired() bool { return len(s.snapshots) > 0 && s.snapshots[0].ParentID != 0 }

// rangesByPartition collects the ranges of snapshot commits, ascending.
func rangesByPartition(snapshots []Snapshot) map[TopicPartition][]Range {
	out := map[TopicPartition][]Range{}
	for _, s := range snapshots {
		for _, r := range s.Ranges {
			out[r.TopicPartition] = append(out[r.TopicPartition], r)
		}
	}
	for _, rs := range out {
		slices.SortFunc(rs, func(a, b Range) int {
			if a.Start != b.Start {
				return int(min(max(a.Start-b.Start, -1), 1))
			}
			return int(min(max(a.End-b.End, -1), 1))
		})
	}
	return out
}

func sortedKeys(m map[logKey]*seen) []logKey {
	keys := make([]logKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b logKey) int {
		if a.topic != b.topic {
			if a.topic < b.topic {
				return -1
			}
			return 1
		}
		return int(a.partition - b.partition)
	})
	return keys
}

func partitionNamed(o Offsets, key logKey) TopicPartition {
	for _, tp := range o.Keys() {
		if tp.Topic == key.topic && tp.Partition == key.partition {
			return tp
		}
	}
	return TopicPartition{}
}
