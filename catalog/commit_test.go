package catalog

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	icecat "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

var errLost = errors.New("connection reset by test")

// Every fault comes as a pair, "it did not land" and "it landed": the batch
// must be in the table once in both.
func TestCommitBatchFaultsInPairs(t *testing.T) {
	peer := func(c *Catalog) error { // somebody else moves the head
		_, err := (&Catalog{cfg: noIntercept(c.cfg), ice: c.ice, close: c.close}).CommitBatch(
			context.Background(), AgentEvents, Batch{ID: uuid.NewString()})
		return err
	}
	cases := []struct {
		name     string
		fault    func(c *Catalog, land func() error) error
		attempts int
		late     bool
	}{
		{"none", func(_ *Catalog, land func() error) error { return land() }, 1, false},
		{"answer lost, not landed", func(*Catalog, func() error) error { return errLost }, 2, false},
		{"answer lost, landed", func(_ *Catalog, land func() error) error { return errors.Join(land(), errLost) }, 2, true},
		{"conflict before", func(c *Catalog, land func() error) error { return errors.Join(peer(c), land()) }, 2, false},
		{"answer lost, landed, then others moved on", func(c *Catalog, land func() error) error {
			return errors.Join(land(), peer(c), errLost)
		}, 2, true},
		{"answer lost, not landed, others moved on", func(c *Catalog, _ func() error) error {
			return errors.Join(peer(c), errLost)
		}, 2, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			var c *Catalog
			armed := true
			cfg.Intercept = func(_ string, land func() error) error {
				if !armed {
					return land()
				}
				armed = false
				return tc.fault(c, land)
			}
			c = initTest(t, cfg)
			landed, err := c.CommitBatch(context.Background(), AgentEvents, eventBatch(t, c, 5, 25))
			require.NoError(t, err)
			require.Equal(t, tc.attempts, landed.Attempts)
			require.Equal(t, tc.late, landed.Late)
			report := verifyClean(t, c)
			require.EqualValues(t, 20, report.Partitions[0].EventRows)
			require.EqualValues(t, 25, report.Partitions[0].Next)
			require.EqualValues(t, 5, report.Partitions[0].First)
		})
	}
}

func noIntercept(cfg Config) Config { cfg.Intercept = nil; return cfg }

func TestCommitBatchUnknownToTheEnd(t *testing.T) {
	for name, lands := range map[string]bool{"landed": true, "not landed": false} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			c := initTest(t, cfg)
			ctx, cancel := context.WithCancel(context.Background())
			faulty := &Catalog{cfg: c.cfg, ice: c.ice}
			faulty.cfg.Intercept = func(_ string, land func() error) error {
				if lands {
					require.NoError(t, land())
				}
				cancel() // no time is left to look again
				return errLost
			}
			b := eventBatch(t, c, 0, 10)
			_, err := faulty.CommitBatch(ctx, AgentEvents, b)
			var unknown *UnknownError
			require.ErrorAs(t, err, &unknown)
			require.ErrorIs(t, err, errLost)
			// Whoever comes next reads the truth and can go on with the same batch.
			landed, err := c.CommitBatch(context.Background(), AgentEvents, b)
			require.NoError(t, err)
			require.Equal(t, lands, landed.Late)
			require.EqualValues(t, 10, verifyClean(t, c).rows(AgentEvents))
		})
	}
}

// Once an attempt may have landed, definite failures after it do not make the
// batch "not landed".
func TestCommitBatchUnknownThenDefinite(t *testing.T) {
	cfg := testConfig(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answers := 0
	cfg.Intercept = func(string, func() error) error {
		if answers++; answers == 1 {
			return errLost
		}
		cancel()
		return table.ErrCommitFailed
	}
	c := initTest(t, cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 10))
	require.Equal(t, 2, answers)
	var unknown *UnknownError
	require.ErrorAs(t, err, &unknown)
}

// racing is a catalog that calls before when a commit is under way, as the SQL
// catalog is raced between its read and its update of the table's row.
type racing struct {
	icecat.Catalog
	loads  *int
	before func() error
}

func (r *racing) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	*r.loads++
	t, err := r.Catalog.LoadTable(ctx, id)
	if err != nil {
		return nil, err
	}
	return table.New(id, t.Metadata(), t.MetadataLocation(), t.FS, r), nil
}

func (r *racing) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if err := r.before(); err != nil {
		return nil, "", err
	}
	return r.Catalog.CommitTable(ctx, id, reqs, updates)
}

// iceberg-go replays an append onto a head that has moved where the table's
// properties say so. Ours must not be: another sink landed the same offsets.
func TestCommitBatchIsNeverReplayed(t *testing.T) {
	ctx := context.Background()
	c := initTest(t, testConfig(t))
	setProperty(t, c, "commit.retry.num-retries", "4") // somebody meant well
	armed := true
	loads := 0
	raced := &Catalog{cfg: c.cfg, close: c.close, ice: &racing{c.ice, &loads, func() error {
		if !armed {
			return nil
		}
		armed = false
		_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 7))
		return errors.Join(err, table.ErrCommitFailed)
	}}}
	b := eventBatch(t, c, 0, 7)
	_, err := raced.CommitBatch(ctx, AgentEvents, b)
	var fenced *FencedError
	require.ErrorAs(t, err, &fenced)
	require.Equal(t, 2, loads, "one for each attempt, none of the library's own")
	require.EqualValues(t, 7, verifyClean(t, c).rows(AgentEvents))
	tbl, err := c.ice.LoadTable(ctx, c.ident(AgentEvents))
	require.NoError(t, err)
	require.Equal(t, "4", tbl.Properties()["commit.retry.num-retries"], "it is for others to say")
}

func TestCommitBatchFencesZombies(t *testing.T) {
	c := initTest(t, testConfig(t))
	ctx := context.Background()
	zombie := eventBatch(t, c, 0, 10)
	longer := eventBatch(t, c, 0, 15)
	same := eventBatch(t, c, 0, 15)
	_, err := c.CommitBatch(ctx, AgentEvents, longer)
	require.NoError(t, err)
	for _, b := range []Batch{zombie, same, eventBatch(t, c, 10, 12), eventBatch(t, c, 20, 30)} {
		_, err := c.CommitBatch(ctx, AgentEvents, b)
		var fenced *FencedError
		require.ErrorAs(t, err, &fenced)
		require.EqualValues(t, 15, fenced.Committed)
		require.True(t, fenced.Deletable)
	}
	require.EqualValues(t, 15, verifyClean(t, c).rows(AgentEvents))
}

func TestCommitBatchNotLanded(t *testing.T) {
	c := initTest(t, testConfig(t))
	b := eventBatch(t, c, 0, 10)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.CommitBatch(ctx, AgentEvents, b)
	var notLanded *NotLandedError
	require.ErrorAs(t, err, &notLanded)
}

// Many writers, each with its own topic partition: every batch lands once.
func TestCommitBatchConcurrentWriters(t *testing.T) {
	c := initTest(t, testConfig(t))
	const writers, each = 4, 5
	var files [writers][each]DataFile
	for w := range writers {
		for i := range each {
			files[w][i] = writeRows(t, c, DeadLetters, int64(i))
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, writers*each)
	for w := range writers {
		wg.Go(func() {
			tp := testTP
			tp.Partition = int32(w)
			for i := range each {
				_, err := c.CommitBatch(context.Background(), DeadLetters, Batch{
					ID: uuid.NewString(), Files: []DataFile{files[w][i]},
					Ranges: []Range{{TopicPartition: tp, Start: int64(i), End: int64(i + 1), Rows: 1, DeadLetters: 1}},
				})
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	tbl, err := c.Load(context.Background(), DeadLetters)
	require.NoError(t, err)
	snap, _, err := tbl.Current()
	require.NoError(t, err)
	require.EqualValues(t, writers*each, snap.TotalRows)
	offsets, err := tbl.Offsets()
	require.NoError(t, err)
	for _, o := range offsets {
		require.Equal(t, Offset{First: 0, Next: each}, o)
	}
}

// Offsets move by a snapshot commit even where a range holds no event.
func TestCommitBatchWithoutFiles(t *testing.T) {
	c := initTest(t, testConfig(t))
	ctx := context.Background()
	_, err := c.CommitBatch(ctx, AgentEvents, Batch{ID: uuid.NewString(), Ranges: []Range{{
		TopicPartition: testTP, Start: 7, End: 12, Holes: []Hole{{7, 12}}}}})
	require.NoError(t, err)
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 12, 20))
	require.NoError(t, err)
	report := verifyClean(t, c)
	require.EqualValues(t, 5, report.Partitions[0].Holes)
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	snaps, err := tbl.Snapshots()
	require.NoError(t, err)
	require.Len(t, snaps, 2)
	require.WithinDuration(t, time.Now(), snaps[1].Time, time.Minute)
}

// After an attempt without an answer the files of a fenced batch must stay: the
// attempt may land yet.
func TestCommitBatchFencedAfterUnknownKeepsFiles(t *testing.T) {
	cfg := testConfig(t)
	other := initTest(t, cfg) // of another process: those of one take turns
	armed := true
	cfg.Intercept = func(_ string, land func() error) error {
		if !armed {
			return land()
		}
		armed = false
		_, err := other.CommitBatch(context.Background(), AgentEvents, eventBatch(t, other, 0, 7))
		require.NoError(t, err)
		return errLost
	}
	c := openTest(t, cfg)
	_, err := c.CommitBatch(context.Background(), AgentEvents, eventBatch(t, c, 0, 10))
	var fenced *FencedError
	require.ErrorAs(t, err, &fenced)
	require.False(t, fenced.Deletable)
}

// Offsets that fit are not enough: a mark that is not the one that was seen says
// that somebody was there.
func TestCommitBatchFencesByMark(t *testing.T) {
	c := initTest(t, testConfig(t))
	ctx := context.Background()
	commit := func(mark, seen string, start, end int64) error {
		_, err := c.CommitBatch(ctx, AgentEvents, Batch{ID: uuid.NewString(), Ranges: []Range{{
			TopicPartition: testTP, Start: start, End: end, Mark: mark, Seen: seen, Holes: []Hole{{start, end}}}}})
		return err
	}
	require.NoError(t, commit("a", "", 0, 5))
	_, err := c.CommitBatch(ctx, AgentEvents, Batch{ID: uuid.NewString(), Ranges: []Range{{TopicPartition: testTP, Start: 5, End: 5, Mark: "b", Seen: "a"}}})
	require.NoError(t, err, "a claim")
	var fenced *FencedError
	require.ErrorAs(t, commit("c", "a", 5, 7), &fenced)
	require.NoError(t, commit("c", "b", 5, 7))
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	offsets, err := tbl.Offsets()
	require.NoError(t, err)
	require.Equal(t, Offset{First: 0, Next: 7, Mark: "c"}, offsets[testTP])
	verifyClean(t, c)
}

// A batch is for the table that it was made for, with the offsets that were seen
// there: one of that name which was made since has none of what came before.
func TestCommitBatchKnowsItsTable(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig(t)
	c := initTest(t, cfg)
	uuidOf := func() string {
		tbl, err := c.Load(ctx, AgentEvents)
		require.NoError(t, err)
		return tbl.UUID()
	}
	first := eventBatch(t, c, 0, 5)
	first.Ranges[0].Mark, first.TableUUID = first.ID, uuidOf()
	_, err := c.CommitBatch(ctx, AgentEvents, first)
	require.NoError(t, err)
	next := func(seen, table string) Batch {
		b := eventBatch(t, c, 5, 9)
		b.Ranges[0].Seen, b.TableUUID = seen, table
		return b
	}
	require.NoError(t, c.ice.DropTable(ctx, c.ident(AgentEvents)))
	require.NoError(t, os.RemoveAll(strings.TrimPrefix(cfg.Warehouse, "file://")+"/audit/"+AgentEvents))
	_, err = c.Init(ctx, InitOptions{})
	require.NoError(t, err)
	for text, b := range map[string]Batch{
		"was dropped and made again while the sink was at work (its UUID was " + first.TableUUID + " and is " + uuidOf(): next("", first.TableUUID),
		"has lost its offset of agent-events/3, which was 5":                                                             next(first.ID, ""),
	} {
		_, err = c.CommitBatch(ctx, AgentEvents, b)
		requireConfigError(t, err, text)
		var config *ConfigError
		require.ErrorAs(t, err, &config)
		require.False(t, config.Access, "waiting does not mend it")
	}
	require.Zero(t, verifyClean(t, c).rows(AgentEvents))
	own := eventBatch(t, c, 0, 5)
	own.TableUUID = uuidOf()
	_, err = c.CommitBatch(ctx, AgentEvents, own)
	require.NoError(t, err)

	// Between two attempts, of which the first may have landed.
	cfg.Intercept = func(_ string, land func() error) error {
		require.NoError(t, land())
		require.NoError(t, c.ice.DropTable(ctx, c.ident(AgentEvents)))
		require.NoError(t, os.RemoveAll(strings.TrimPrefix(cfg.Warehouse, "file://")+"/audit/"+AgentEvents))
		_, err := c.Init(ctx, InitOptions{})
		return errors.Join(err, errLost)
	}
	last := next("", own.TableUUID)
	_, err = openTest(t, cfg).CommitBatch(ctx, AgentEvents, last)
	var unknown *UnknownError
	require.ErrorAs(t, err, &unknown)
	requireConfigError(t, err, "was dropped and made again")
	require.Zero(t, verifyClean(t, c).rows(AgentEvents))
}
