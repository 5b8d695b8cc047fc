package catalog

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icecat "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/catalog/catalogtest"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

var (
	contractWriters = flag.Int("contract-writers", 8, "writers at once in the contract of catalogs")
	contractCommits = flag.Int("contract-commits", 2, "snapshot commits of each writer in the contract of catalogs")
)

// lab is one kind of catalog, running.
type lab struct {
	cfg Config
	// lose has the next commit's answer lost on its way, after or before the
	// catalog has acted on it; nil where only Intercept can do that.
	lose func(landed bool)
	// loseCreate is the same for the creation of a table.
	loseCreate func(landed bool)
}

// kinds are the catalogs that the contract holds for.
var kinds = []struct {
	name string
	open func(t *testing.T) lab
}{
	{"sqlite", func(t *testing.T) lab { return lab{cfg: testConfig(t)} }},
	{"postgres", func(t *testing.T) lab {
		cut := catalogtest.StartCutter(t, catalogtest.StartPostgres(t))
		return lab{Config{Type: "postgres", URI: cut.URI, Warehouse: "file://" + t.TempDir(), Create: true}, cut.LoseCommit, cut.LoseCreate}
	}},
	{"rest", func(t *testing.T) lab {
		s3 := storagetest.StartS3(t, "lake")
		rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, JDBC: catalogtest.StartPostgres(t).JDBC})
		return restLab(rest, restConfig(rest, s3))
	}},
	{"rest with OAuth2 and vended keys", func(t *testing.T) lab {
		s3 := storagetest.StartS3(t, "lake")
		gate := catalogtest.StartS3Gate(t, s3, 20*time.Second)
		rest := catalogtest.StartREST(t, catalogtest.RESTOptions{Warehouse: "s3://lake/wh", S3: s3, JDBC: catalogtest.StartPostgres(t).JDBC,
			Auth: catalogtest.Auth{ClientID: "sink", ClientSecret: "se:cret", Scope: "lake", TokenLife: 15 * time.Second}, Vend: gate})
		cfg := restConfig(rest, storage.S3Config{Region: "nowhere", AccessKeyID: "none", SecretAccessKey: "none"})
		cfg.Warehouse, cfg.REST.Credential, cfg.REST.Scope = "", "sink:se:cret", "lake"
		return restLab(rest, cfg)
	}},
	{"glue, a fake", func(t *testing.T) lab {
		fake := startGlue(t)
		return lab{fake.config(t), fake.lose, func(landed bool) { fake.failNext("CreateTable", glueFault{landed: landed}) }}
	}},
}

func restConfig(rest *catalogtest.REST, s3 storage.S3Config) Config {
	return Config{Type: "rest", URI: rest.URI, Warehouse: "s3://lake/tables", Create: true, Storage: storage.Config{S3: s3}}
}

func restLab(rest *catalogtest.REST, cfg Config) lab {
	return lab{cfg, func(landed bool) { loseREST(rest, catalogtest.Fault{Landed: landed}) },
		func(landed bool) { loseOne(rest, catalogtest.IsCreate, catalogtest.Fault{Landed: landed}) }}
}

// loseREST has the next commit go wrong, once.
func loseREST(rest *catalogtest.REST, fault catalogtest.Fault) {
	loseOne(rest, catalogtest.IsCommit, fault)
}

func loseOne(rest *catalogtest.REST, which func(*http.Request) bool, fault catalogtest.Fault) {
	var once sync.Once
	rest.Judge(func(r *http.Request) (found *catalogtest.Fault) {
		if which(r) {
			once.Do(func() { found = &fault })
		}
		return found
	})
}

func TestContract(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			l := kind.open(t)
			t.Cleanup(func() { storage.Register(storage.Config{}) })
			for _, part := range []struct {
				name string
				test func(t *testing.T, l lab)
			}{
				{"init", contractInit}, {"init without an answer", contractInitUnknown}, {"init by two at once", contractInitAtOnce}, {"commit", contractCommit},
				{"conflict", contractConflict}, {"unknown outcome", contractUnknown}, {"concurrent writers", contractWritersAtOnce},
				{"properties", contractProperties}, {"migrate", contractMigrate},
			} {
				t.Run(part.name, func(t *testing.T) {
					own := l // a namespace of its own
					own.cfg.Namespace = "n" + uuid.NewString()[:8]
					part.test(t, own)
				})
			}
		})
	}
}

func contractInit(t *testing.T, l lab) {
	ctx := context.Background()
	c := openTest(t, l.cfg)
	_, err := c.Load(ctx, AgentEvents)
	require.ErrorIs(t, err, ErrNotInitialized)
	requireConfigError(t, err, "run `auditlake init`")

	first, err := c.Init(ctx, InitOptions{})
	require.NoError(t, err)
	require.True(t, first.NamespaceCreated)
	require.Len(t, first.Created, 3)
	second, err := openTest(t, l.cfg).Init(ctx, InitOptions{})
	require.NoError(t, err)
	require.Empty(t, second.Created)
	require.False(t, second.NamespaceCreated)

	// Half-made: one table is missing.
	require.NoError(t, c.ice.DropTable(ctx, c.ident(DeadLetters)))
	again, err := c.Init(ctx, InitOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{c.cfg.Namespace + "." + DeadLetters}, again.Created)

	// And with rows beside it: not without being told.
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	require.NoError(t, c.ice.DropTable(ctx, c.ident(DeadLetters)))
	_, err = c.Init(ctx, InitOptions{})
	requireConfigError(t, err, "init --repair")
	_, err = c.Init(ctx, InitOptions{Repair: true})
	require.NoError(t, err)
	require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))
}

// The answer to the creation of a table is lost, landed or not: the tables are there
// and whole.
func contractInitUnknown(t *testing.T, l lab) {
	ctx := context.Background()
	for how, lose := range map[string]func(c *Catalog, landed bool){
		"in the library": func(c *Catalog, landed bool) { c.ice = &losingCreate{Catalog: c.ice, armed: true, landed: landed} },
		"on the way":     func(_ *Catalog, landed bool) { l.loseCreate(landed) },
	} {
		if how == "on the way" && l.loseCreate == nil {
			continue // a catalog in the process has none
		}
		for _, landed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, landed %t", how, landed), func(t *testing.T) {
				cfg := l.cfg
				cfg.Namespace = "n" + uuid.NewString()[:8]
				c := openTest(t, cfg)
				lose(c, landed)
				report, err := c.Init(ctx, InitOptions{})
				require.NoError(t, err)
				want := 3
				if landed { // one was found when it was looked for
					want = 2
					require.Len(t, report.Existed, 1)
				}
				require.Len(t, report.Created, want)
				_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
				require.NoError(t, err)
				require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))
			})
		}
	}
}

// losingCreate is a catalog whose next answer to a creation is lost.
type losingCreate struct {
	icecat.Catalog
	armed, landed bool
}

func (l *losingCreate) CreateTable(ctx context.Context, id table.Identifier, schema *iceberg.Schema, opts ...icecat.CreateTableOpt) (*table.Table, error) {
	if !l.armed {
		return l.Catalog.CreateTable(ctx, id, schema, opts...)
	}
	if l.armed = false; l.landed {
		if _, err := l.Catalog.CreateTable(ctx, id, schema, opts...); err != nil {
			return nil, err
		}
	}
	return nil, errLost
}

func contractInitAtOnce(t *testing.T, l lab) {
	ctx := context.Background()
	const inits = 4
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := map[string]int{}
	for range inits {
		wg.Go(func() {
			c, err := Open(ctx, l.cfg)
			if err == nil {
				defer c.Close()
				var report *InitReport
				if report, err = c.Init(ctx, InitOptions{}); err == nil {
					mu.Lock()
					defer mu.Unlock()
					for _, name := range report.Created {
						created[name]++
					}
				}
			}
			if err != nil {
				t.Errorf("init: %v", err)
			}
		})
	}
	wg.Wait()
	require.Len(t, created, 3)
	for name, n := range created {
		require.Equal(t, 1, n, name)
	}
	c := openTest(t, l.cfg)
	for _, def := range Definitions() {
		_, err := c.Load(ctx, def.Name)
		require.NoError(t, err)
	}
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	verifyClean(t, c)
}

func contractCommit(t *testing.T, l lab) {
	ctx := context.Background()
	c := initTest(t, l.cfg)
	one, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	require.Equal(t, 1, one.Attempts)
	_, err = c.CommitBatch(ctx, AgentEvents, Batch{ID: uuid.NewString(), Ranges: []Range{{TopicPartition: testTP, Start: 3, End: 5, Holes: []Hole{{3, 5}}}}})
	require.NoError(t, err)
	three, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 5, 9))
	require.NoError(t, err)
	// Another process sees all of it.
	other := openTest(t, l.cfg)
	tbl, err := other.Load(ctx, AgentEvents)
	require.NoError(t, err)
	snap, ok, err := tbl.Current()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, three.SnapshotID, snap.ID)
	require.EqualValues(t, 7, snap.TotalRows)
	offsets, err := tbl.Offsets()
	require.NoError(t, err)
	require.Equal(t, Offsets{testTP: {First: 0, Next: 9}}, offsets)
	plan, err := tbl.Plan(ctx, PlanOptions{SnapshotID: one.SnapshotID})
	require.NoError(t, err)
	require.Len(t, plan.Files, 1)
	// A zombie is fenced.
	_, err = other.CommitBatch(ctx, AgentEvents, eventBatch(t, other, 0, 4))
	var fenced *FencedError
	require.ErrorAs(t, err, &fenced)
	require.EqualValues(t, 9, fenced.Committed)
	require.EqualValues(t, 7, verifyClean(t, other).rows(AgentEvents))
}

// A commit on a head that has moved is refused, definitely, and refused as what it is.
func contractConflict(t *testing.T, l lab) {
	ctx := context.Background()
	c := initTest(t, l.cfg)
	for round := range 2 { // on a table without a snapshot, and on one with
		stale, err := c.Load(ctx, AgentEvents)
		require.NoError(t, err)
		start := int64(3 * round)
		late := eventBatch(t, c, start, start+3)
		have, err := stale.Offsets()
		require.NoError(t, err)
		commit, err := stale.Stage(ctx, late, have)
		require.NoError(t, err)
		_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, start, start+3))
		require.NoError(t, err)
		_, err = commit(ctx)
		require.Error(t, err)
		outcome, _ := c.judgeError(AgentEvents, err, OutcomeUnknown)
		require.Equal(t, OutcomeRetry, outcome, "%v", err)
		_, err = c.CommitBatch(ctx, AgentEvents, late)
		var fenced *FencedError
		require.ErrorAs(t, err, &fenced)
		require.True(t, fenced.Deletable)
	}
	require.EqualValues(t, 6, verifyClean(t, c).rows(AgentEvents))
}

// The answer to a commit is lost, landed or not: the batch is in the table once.
func contractUnknown(t *testing.T, l lab) {
	ctx := context.Background()
	lost := 0
	ways := []string{"in the library"}
	if l.lose != nil { // a catalog in the process has no way to be lost on
		ways = append(ways, "on the way")
	}
	for _, landed := range []bool{false, true} {
		for _, how := range ways {
			t.Run(fmt.Sprintf("%s, landed %t", how, landed), func(t *testing.T) {
				cfg := l.cfg
				cfg.Namespace = fmt.Sprintf("%s_%d", cfg.Namespace, lost)
				lost++
				c := initTest(t, cfg)
				_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 2))
				require.NoError(t, err)
				b := eventBatch(t, c, 2, 9)
				var heard []error
				b.OnRetry = func(_ int, err error) { heard = append(heard, err) }
				if how == "on the way" {
					l.lose(landed)
				} else {
					armed := true
					c.cfg.Intercept = func(_ string, land func() error) error {
						if !armed {
							return land()
						}
						if armed = false; landed {
							require.NoError(t, land())
						}
						return errLost
					}
				}
				done, err := c.CommitBatch(ctx, AgentEvents, b)
				require.NoError(t, err)
				require.Equal(t, 2, done.Attempts, "%v", heard)
				require.Equal(t, landed, done.Late, "%v", heard)
				require.EqualValues(t, 9, verifyClean(t, c).rows(AgentEvents))
			})
		}
	}
}

// Many writers, each with its own topic partition: every batch lands once.
func contractWritersAtOnce(t *testing.T, l lab) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	main := initTest(t, l.cfg)
	writers, each := *contractWriters, *contractCommits
	var wg sync.WaitGroup
	for w := range writers {
		c := openTest(t, l.cfg)
		files := make([]DataFile, each)
		for i := range each {
			files[i] = writeRows(t, c, DeadLetters, int64(i))
		}
		wg.Go(func() {
			tp := testTP
			tp.Partition = int32(w)
			for i := range each {
				_, err := c.CommitBatch(ctx, DeadLetters, Batch{ID: uuid.NewString(), Files: files[i:][:1],
					Ranges: []Range{{TopicPartition: tp, Start: int64(i), End: int64(i + 1), Rows: 1, DeadLetters: 1}}})
				if err != nil {
					t.Errorf("writer %d, commit %d: %v", w, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	tbl, err := main.Load(ctx, DeadLetters)
	require.NoError(t, err)
	snaps, err := tbl.Snapshots()
	require.NoError(t, err)
	require.Len(t, snaps, writers*each)
	require.EqualValues(t, writers*each, snaps[len(snaps)-1].TotalRows)
	offsets, err := tbl.Offsets()
	require.NoError(t, err)
	require.Len(t, offsets, writers)
	for _, o := range offsets {
		require.Equal(t, Offset{First: 0, Next: int64(each)}, o)
	}
}

// Others may set properties of the tables: offsets stay, and what they say of their
// own retries is left alone.
func contractProperties(t *testing.T, l lab) {
	ctx := context.Background()
	c := initTest(t, l.cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	setProperty(t, c, "owner", "compliance")
	setProperty(t, c, "commit.retry.num-retries", "4")
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 3, 5))
	require.NoError(t, err)
	there, err := c.ice.LoadTable(ctx, c.ident(AgentEvents))
	require.NoError(t, err)
	require.Equal(t, "compliance", there.Properties()["owner"])
	require.Equal(t, "4", there.Properties()["commit.retry.num-retries"])
	tbl, err := c.Load(ctx, AgentEvents)
	require.NoError(t, err)
	require.NotContains(t, tbl.properties(), "commit.retry.num-retries")
	offsets, err := tbl.Offsets()
	require.NoError(t, err)
	require.Equal(t, Offsets{testTP: {First: 0, Next: 5}}, offsets)
	verifyClean(t, c)

	setProperty(t, c, "s3.endpoint", "http://elsewhere")
	_, err = c.Load(ctx, AgentEvents)
	requireConfigError(t, err, "would send files elsewhere")
}

func contractMigrate(t *testing.T, l lab) {
	ctx := context.Background()
	c := initTest(t, l.cfg)
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	require.NoError(t, err)
	changes, err := c.Migrate(ctx, MigrateOptions{PartitionBy: map[string][]string{AgentEvents: {"day(event_time)"}}})
	require.NoError(t, err)
	require.Len(t, changes, 1)
	_, err = c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 3, 5))
	require.NoError(t, err)
	require.EqualValues(t, 5, verifyClean(t, c).rows(AgentEvents))
	again, err := c.Migrate(ctx, MigrateOptions{PartitionBy: map[string][]string{AgentEvents: {"day(event_time)"}}})
	require.NoError(t, err)
	require.Empty(t, again)
}
