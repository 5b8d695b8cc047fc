package sink

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/auditlake/auditlake/catalog"
)

// simLake is a model of a catalog with two tables, and of the object store under it.
type simLake struct {
	*world
	shapes map[string]simShape
	tables map[string]*simTable
	remade int // how often some of them were dropped and made again

	mu    sync.Mutex // data files are closed several at a time
	store map[string]*simFile
}

// simShape is what data files need to know of a table.
type simShape struct {
	schema *arrow.Schema
	fields []catalog.PartitionField
}

// simTable is a table's current snapshot, which compare-and-swap replaces.
type simTable struct {
	name   string
	uuid   string
	head   *simSnapshot
	placed map[place]int // rows by offset, of all data files
}

// newSimTable is the nth table of that name, without rows.
func newSimTable(name string, n int) *simTable {
	return &simTable{name: name, uuid: fmt.Sprintf("%s %d", name, n), head: &simSnapshot{offsets: catalog.Offsets{}}, placed: map[place]int{}}
}

type place struct {
	partition int32
	offset    int64
}

type simSnapshot struct {
	id       int64
	oldest   int64 // of its ancestors that are not expired
	parent   *simSnapshot
	commitID string
	offsets  catalog.Offsets
	ranges   []catalog.Range
	files    []*simFile // added by it
}

// simFile is a data file: the places its rows come from.
type simFile struct {
	uri     string
	rows    []place
	exists  bool
	inTable string // that refers to it
}

// simLakeOf is the lake as one worker reaches it.
type simLakeOf struct {
	*worker
}

// Load reads a table's current snapshot.
func (l simLakeOf) Load(ctx context.Context, name string) (lakeTable, error) {
	return l.load(ctx, name)
}

func (l simLakeOf) load(ctx context.Context, name string) (simLoaded, error) {
	t := simLoaded{worker: l.worker, table: l.lake.tables[name]}
	err := l.call(ctx, "load "+name, func() error {
		t.table = l.lake.tables[name] // as it is now
		t.at = t.table.head
		return nil
	})
	return t, err
}

// CommitBatch is the catalog's own loop over the model's tables.
func (l simLakeOf) CommitBatch(ctx context.Context, name string, b catalog.Batch) (catalog.Landed, error) {
	if l.dead {
		return catalog.Landed{}, errDead
	}
	landed, err := l.process.turns.Commit(ctx, name, simTarget{l, name}, b)
	if !l.dead {
		l.note("%s: %s of %s: %v", l.name, l.alias(b.ID), name, errText(err))
	}
	return landed, err
}

// errText is an error without what differs from run to run: which of several topic
// partitions is named first.
func errText(err error) string {
	var fenced *catalog.FencedError
	if errors.As(err, &fenced) {
		return fmt.Sprintf("fenced, deletable %v", fenced.Deletable)
	}
	return fmt.Sprint(err)
}

// simTarget is a table of the model as catalog.Commit sees it.
type simTarget struct {
	lake simLakeOf
	name string
}

func (t simTarget) Head(ctx context.Context) (catalog.Head, error) {
	head, err := t.lake.load(ctx, t.name)
	if err != nil {
		return nil, err
	}
	return head, nil
}

// Judge knows the errors of the model for what they are.
func (t simTarget) Judge(err error, otherwise catalog.Outcome) (catalog.Outcome, error) {
	if errors.Is(err, errConflict) || errors.Is(err, errRefused) {
		return catalog.OutcomeRetry, err
	}
	return otherwise, err
}

func (t simTarget) Sleep(ctx context.Context, least, most time.Duration) {
	_ = t.lake.sleep(ctx, t.lake.between(least, most))
}

// Wait looks now and then: nobody but the world may wake a worker.
func (t simTarget) Wait(ctx context.Context, called <-chan struct{}) {
	for ctx.Err() == nil && !t.lake.dead {
		select {
		case <-called:
			return
		default:
			t.Sleep(ctx, time.Millisecond, 20*time.Millisecond)
		}
	}
}

var errConflict = errors.New("requirement failed: the table has moved on")

// simLoaded is a table as it was when it was loaded.
type simLoaded struct {
	*worker
	table *simTable
	at    *simSnapshot
}

func (t simLoaded) Name() string { return t.table.name }

func (t simLoaded) MetadataLocation() string { return fmt.Sprint(t.table.uuid, t.at.id) }

func (t simLoaded) UUID() string { return t.table.uuid }

func (t simLoaded) Current() (catalog.Snapshot, bool, error) { return catalog.Snapshot{}, false, nil }

func (t simLoaded) MissingColumns() []string { return nil }

func (t simLoaded) Offsets() (catalog.Offsets, error) { return t.at.offsets, nil }

func (t simLoaded) CommitSnapshot(id string) (int64, bool) {
	for s := t.at; s != nil && s.id >= t.at.oldest; s = s.parent {
		if s.commitID == id {
			return s.id, true
		}
	}
	return 0, false
}

// OffsetsIn reads the data files of the snapshot.
func (t simLoaded) OffsetsIn(ctx context.Context, tp catalog.TopicPartition, from, to int64) (map[int64]struct{}, error) {
	out := map[int64]struct{}{}
	err := t.call(ctx, fmt.Sprintf("rows [%d, %d) of %v", from, to, tp), func() error {
		for s := t.at; s != nil; s = s.parent {
			for _, f := range s.files {
				for _, r := range f.rows {
					if r.partition == tp.Partition && r.offset >= from && r.offset < to {
						out[r.offset] = struct{}{}
					}
				}
			}
		}
		return nil
	})
	return out, err
}

func (t simLoaded) ArrowSchema() (*arrow.Schema, error) {
	return t.lake.shapes[t.table.name].schema, nil
}

func (t simLoaded) PartitionFields() ([]catalog.PartitionField, error) {
	return t.lake.shapes[t.table.name].fields, nil
}

// Stage prepares a compare-and-swap of the table's head.
func (t simLoaded) Stage(_ context.Context, b catalog.Batch, have catalog.Offsets) (func(context.Context) (int64, error), error) {
	next := &simSnapshot{parent: t.at, commitID: b.ID, offsets: maps.Clone(have)}
	next.ranges = slices.Clone(b.Ranges)
	slices.SortFunc(next.ranges, func(a, b catalog.Range) int { return a.Compare(b.TopicPartition) })
	for _, r := range next.ranges {
		next.offsets[r.TopicPartition] = have.After(r)
	}
	for _, f := range b.Files {
		next.files = append(next.files, t.lake.store[f.URI])
	}
	return func(ctx context.Context) (int64, error) {
		defer t.process.try(t.worker, t.table.name)()
		err := t.call(ctx, fmt.Sprintf("commit %s to %s", t.alias(b.ID), t.table.name), func() error {
			if t.lake.tables[t.table.name] != t.table || t.table.head != t.at {
				return errConflict
			}
			t.lake.land(t.table, next)
			return nil
		})
		return next.id, err
	}, nil
}

// land makes a snapshot the current one. It looks after the promises: nothing may
// land twice, or without its files, or beside what the table's offsets say.
func (l *simLake) land(t *simTable, s *simSnapshot) {
	s.id = 1
	if s.parent != nil {
		s.id, s.oldest = s.parent.id+1, s.parent.oldest
	}
	t.head = s
	var where []string
	rows := map[int32]int64{}
	for _, f := range s.files {
		if !f.exists {
			l.fail("a snapshot of %s refers to %s, which was removed", t.name, f.uri)
		}
		if f.inTable != "" {
			l.fail("data file %s is added to %s a second time", f.uri, t.name)
		}
		f.inTable = t.name
		for _, r := range f.rows {
			t.placed[r]++
			rows[r.partition]++
			for _, other := range l.tables {
				if other != t && other.placed[r] > 0 {
					l.fail("%d/%d is a row of both tables", r.partition, r.offset)
				}
			}
			if t.placed[r] > 1 {
				l.fail("%d/%d is in %s twice", r.partition, r.offset, t.name)
			}
		}
	}
	for _, r := range s.ranges {
		where = append(where, fmt.Sprintf("%d [%d, %d) %d rows", r.Partition, r.Start, r.End, r.Rows))
		if was, ok := s.parent.offsets[r.TopicPartition]; ok && was.Next != r.Start || r.End < r.Start {
			l.fail("%s is at offset %d of %v, a range is [%d, %d)", t.name, was.Next, r.TopicPartition, r.Start, r.End)
		}
		if rows[r.Partition] != r.Rows {
			l.fail("a range of %v says %d rows, its files have %d", r.TopicPartition, r.Rows, rows[r.Partition])
		}
		delete(rows, r.Partition)
	}
	if len(rows) > 0 {
		l.fail("a snapshot of %s has rows without a range: %v", t.name, rows)
	}
	l.note("%s is at snapshot %d: %s", t.name, s.id, strings.Join(where, ", "))
}

// maintain is somebody else's commit, which moves the heads of the tables and may
// expire what was before.
func (l *simLake) maintain(expire bool) {
	for _, name := range []string{catalog.AgentEvents, catalog.DeadLetters} {
		t := l.tables[name]
		l.land(t, &simSnapshot{parent: t.head, offsets: t.head.offsets})
		if expire {
			t.head.oldest = t.head.id
		}
	}
}

// remake is somebody who drops agent_events, or both tables, and makes them again
// without a row. What Kafka has is to be in the new ones, from its first record on.
func (l *simLake) remake(both bool) {
	l.remade++
	for _, name := range []string{catalog.AgentEvents, catalog.DeadLetters} {
		if both || name == catalog.AgentEvents {
			l.tables[name] = newSimTable(name, l.remade)
			l.note("%s is dropped and made again", name)
		}
	}
}

// DeleteFiles removes data files, which must not be a table's.
func (t simLoaded) DeleteFiles(ctx context.Context, files []catalog.DataFile) error {
	return t.call(ctx, fmt.Sprintf("delete %d files", len(files)), func() error {
		for _, f := range files {
			if t.lake.store[f.URI].inTable != "" {
				t.fail("%s is removed, and %s refers to it", f.URI, t.lake.store[f.URI].inTable)
			}
			t.lake.store[f.URI].exists = false
		}
		return nil
	})
}

// CreateDataFile begins a data file. Whether that, or finishing it, fails depends on
// the file's name: several are finished at a time, in no order.
func (t simLoaded) CreateDataFile(
	_ context.Context, name string, _ []catalog.PartitionField, _ []catalog.PartitionValue, _ catalog.WriteOptions,
) (dataFile, error) {
	uri := t.table.name + "/" + t.alias(name[:36]) + name[36:] // a commit id and a number
	h := fnv.New64a()
	fmt.Fprint(h, t.seed, uri)
	w := &simWriter{at: t, file: &simFile{uri: uri}, fails: !t.calm && float64(h.Sum64()%1e6)/1e6 < t.faults.upload}
	w.stops = w.fails && h.Sum64()>>40%4 == 0
	if w.fails && h.Sum64()>>32%2 == 0 {
		t.note("%s: no data file %s", t.name, uri)
		return nil, w.fail()
	}
	t.files.Add(1)
	return w, nil
}

// fail is the failure of a data file. Now and then the sink is told to stop then.
func (w *simWriter) fail() error {
	if w.stops {
		w.at.stop()
	}
	return errReset
}

// simWriter is a data file that is being written.
type simWriter struct {
	at    simLoaded
	file  *simFile
	fails bool
	stops bool
	ended bool
}

func (w *simWriter) Write(rb arrow.RecordBatch) error {
	var partitions *array.Int32
	var offsets *array.Int64
	for i, f := range rb.Schema().Fields() {
		switch f.Name {
		case "kafka_partition":
			partitions = rb.Column(i).(*array.Int32)
		case "kafka_offset":
			offsets = rb.Column(i).(*array.Int64)
		}
	}
	for i := range int(rb.NumRows()) {
		w.file.rows = append(w.file.rows, place{partitions.Value(i), offsets.Value(i)})
	}
	return nil
}

func (w *simWriter) FlushRowGroup() error { return nil }
func (w *simWriter) Buffered() int64      { return int64(len(w.file.rows)) }
func (w *simWriter) Size() int64          { return int64(len(w.file.rows)) }

func (w *simWriter) Close() (catalog.DataFile, error) {
	w.at.lake.mu.Lock()
	defer w.at.lake.mu.Unlock()
	w.end()
	if w.at.dead {
		return catalog.DataFile{}, errDead
	}
	if w.fails {
		return catalog.DataFile{}, w.fail()
	}
	w.file.exists = true
	w.at.lake.store[w.file.uri] = w.file
	return catalog.DataFile{URI: w.file.uri, Rows: int64(len(w.file.rows)), Size: int64(len(w.file.rows))}, nil
}

func (w *simWriter) Abort() error {
	w.end()
	return nil
}

// end closes what is open; a file that could not be finished is aborted too.
func (w *simWriter) end() {
	if !w.ended {
		w.ended = true
		w.at.files.Add(-1)
	}
}
