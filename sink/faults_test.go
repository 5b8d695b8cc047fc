package sink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/arrowconv"
	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
)

// faultTimeout is a commit timeout that a snapshot commit without a fault keeps on
// a busy machine too.
const faultTimeout = 1500 * time.Millisecond

var errTest = errors.New("connection reset by test")

// Each fault of a snapshot commit, in both tables, landed and not landed.
func TestSinkFaultsInPairs(t *testing.T) {
	faults := map[string]func(land func() error) error{
		"not landed":        func(func() error) error { return errTest },
		"landed, no answer": func(land func() error) error { return errors.Join(land(), errTest) },
		"slow":              func(land func() error) error { time.Sleep(300 * time.Millisecond); return land() },
		"slow and no answer": func(land func() error) error {
			err := land()
			time.Sleep(300 * time.Millisecond)
			return errors.Join(err, errTest)
		},
	}
	for _, plan := range []faultPlan{{table: catalog.AgentEvents}, {table: catalog.AgentEvents, afterClaim: true}, {table: catalog.DeadLetters}} {
		for name, fault := range faults {
			t.Run(fmt.Sprintf("%s %s, after the claim %v", plan.table, name, plan.afterClaim), func(t *testing.T) {
				l := newLab(t)
				l.produce(200, 5)
				plan.fault = fault
				l.faults.Store(&plan)
				stats := l.catchUp(l.config())
				require.Nil(t, l.faults.Load(), "the fault did not happen")
				require.EqualValues(t, 160, stats.CommittedRows)
				l.requireOnce()
			})
		}
	}
}

// The sink ends without an answer; the next one finds out what landed.
func TestSinkRestartsAfterUnknownOutcome(t *testing.T) {
	for _, table := range []string{catalog.AgentEvents, catalog.DeadLetters} {
		for name, lands := range map[string]bool{"landed": true, "not landed": false} {
			t.Run(table+" "+name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				l.produce(200, 5)
				cfg := l.config()
				cfg.CommitTimeout = faultTimeout
				l.faults.Store(&faultPlan{table, table == catalog.AgentEvents, func(land func() error) error {
					if lands {
						require.NoError(t, land())
					}
					time.Sleep(faultTimeout) // past the commit timeout
					return errTest
				}})
				s, err := New(cfg, l.cat)
				require.NoError(t, err)
				var unknown *catalog.UnknownError
				require.ErrorAs(t, s.Run(context.Background()), &unknown)
				l.produce(20, 0)
				l.catchUp(l.config())
				l.requireOnce()
			})
		}
	}
}

// Between the two tables' commits the limits change: what is a dead letter
// already stays one, and is not an event too.
func TestSinkKeepsDeadLettersAcrossALimitChange(t *testing.T) {
	l := newLab(t)
	l.produce(60, 0)
	strict := l.config()
	strict.Limits.MaxEventBytes = 60 // every event is too large
	strict.Limits.MaxEventAge, strict.Limits.MaxClockSkew = 100*24*time.Hour, time.Hour
	strict.CommitTimeout = faultTimeout
	l.faults.Store(&faultPlan{catalog.AgentEvents, true, func(func() error) error { time.Sleep(faultTimeout); return errTest }})
	s, err := New(strict, l.cat)
	require.NoError(t, err)
	require.Error(t, s.Run(context.Background()))
	l.produce(10, 0)
	stats := l.catchUp(l.config())
	require.EqualValues(t, 10, stats.CommittedRows)
	l.requireOnce()
}

// The very first batch dies between the two tables' commits, and the sink is told
// to start at the end of what is new: what the batch had read is not new.
func TestSinkStartsWhereItsFirstBatchDid(t *testing.T) {
	l := newLab(t)
	l.produce(60, 3)
	cfg := l.config()
	cfg.CommitTimeout = faultTimeout
	l.faults.Store(&faultPlan{catalog.AgentEvents, true, func(func() error) error { time.Sleep(faultTimeout); return errTest }})
	s, err := New(cfg, l.cat)
	require.NoError(t, err)
	require.Error(t, s.Run(context.Background()))
	latest := l.config()
	latest.StartLatest = true
	require.EqualValues(t, 40, l.catchUp(latest).CommittedRows)
	l.requireOnce()
}

// A data file that cannot be finished while the sink is told to stop: the rest of
// its batch does not land without it, and is not left behind.
func TestSinkFailedUploadLosesNothing(t *testing.T) {
	for name, breakIt := range map[string]func(folder string) error{
		"not begun": func(folder string) error { // a file where its folder must be
			return errors.Join(os.RemoveAll(folder), os.MkdirAll(filepath.Dir(folder), 0o755), os.WriteFile(folder, nil, 0o644))
		},
		"half written": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			n := 300
			if name == "half written" {
				n = 4 * recordBatchRows // of them a third are prompts: enough to begin the file
			}
			l.produce(n, 10)
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			cfg := l.config()
			cfg.TargetLag = time.Hour
			folder := filepath.Join(strings.TrimPrefix(l.catalog.Warehouse, "file://"), "audit", catalog.AgentEvents, "data",
				"event_time_day="+time.Now().UTC().Format(time.DateOnly), "event_class=prompt")
			cfg.OnStep = func(step string) {
				if step == StepBeforeUpload && ctx.Err() == nil {
					require.NoError(t, breakIt(folder))
					stop()
				}
			}
			s, err := New(cfg, l.cat)
			require.NoError(t, err)
			require.ErrorContains(t, s.Run(ctx), "stopped before the last snapshot commit")
			require.NoError(t, os.RemoveAll(folder))
			l.requireNoLeftovers()
			l.catchUp(l.config())
			l.requireOnce()
		})
	}
}

// Data files go only after outcomes that leave no attempt that can land.
func TestNeverLands(t *testing.T) {
	config := &catalog.ConfigError{Text: "read-only"}
	for err, want := range map[error]bool{
		nil:                                     false,
		errTest:                                 false,
		&catalog.UnknownError{Err: errTest}:     false,
		&catalog.UnknownError{Err: config}:      false,
		&catalog.FencedError{}:                  false,
		&catalog.FencedError{Deletable: true}:   true,
		&catalog.ConflictError{Err: errTest}:    true,
		&catalog.NotLandedError{Err: errTest}:   true,
		config:                                  false,
		fmt.Errorf("commit: %w", error(config)): false,
	} {
		require.Equal(t, want, neverLands(err), "%v", err)
	}
}

// A stop in the middle of a flush that fails: the batch is flushed again, or
// dropped, and no data file goes that a snapshot refers to.
func TestSinkStopKeepsWhatLanded(t *testing.T) {
	for _, tc := range []struct {
		name    string
		badEach int
		lands   bool          // agent_events' snapshot commit, though its answer is lost
		answer  error         // of the catalog
		bound   time.Duration // of the shutdown; the fault takes a second of it
		fails   bool          // the run ends with an error
	}{
		{"events landed", 0, true, errTest, 500 * time.Millisecond, true},
		{"both landed", 5, true, errTest, 500 * time.Millisecond, true},
		{"both landed, in time by a hair", 5, true, nil, 500 * time.Millisecond, false},
		{"dead letters landed, events not", 5, false, errTest, 500 * time.Millisecond, true},
		{"events landed, time for another flush", 5, true, errTest, 20 * time.Second, false},
		{"events not, time for another flush", 5, false, errTest, 20 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.produce(200, tc.badEach)
			cfg := l.config()
			cfg.UntilCaughtUp, cfg.ShutdownTimeout = false, tc.bound
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			l.faults.Store(&faultPlan{catalog.AgentEvents, tc.badEach > 0, func(land func() error) error {
				var err error
				if tc.lands {
					err = land()
				}
				stop()
				time.Sleep(time.Second)
				return errors.Join(err, tc.answer)
			}})
			s, err := New(cfg, l.cat)
			require.NoError(t, err)
			began := time.Now()
			err = s.Run(ctx)
			if tc.fails {
				require.ErrorContains(t, err, "stopped before the last snapshot commit")
				require.Less(t, time.Since(began), 10*time.Second)
			} else {
				require.NoError(t, err)
			}
			report, err := l.cat.Verify(context.Background(), catalog.VerifyOptions{Deep: true})
			require.NoError(t, err)
			require.Empty(t, report.Problems)
			l.catchUp(l.config())
			l.requireOnce()
		})
	}
}

// What an earlier flush of a batch sent stays, whatever a later one is told.
func TestLandedFilesStayThroughALaterFlush(t *testing.T) {
	l := newLab(t)
	s, err := New(l.config(), l.cat)
	require.NoError(t, err)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, sentBefore := range []bool{true, false} {
		b, err := s.newBatch(context.Background())
		require.NoError(t, err)
		events, err := envelope.NewDecoder(envelope.DefaultLimits).Decode(&envelope.Record{Value: event(0), Timestamp: -1})
		require.NoError(t, err)
		require.NoError(t, b.router.append(context.Background(), &events[0], &arrowconv.Provenance{Topic: testTopic}))
		files, err := b.router.close(context.Background())
		require.NoError(t, err)
		if sentBefore {
			_, err = s.land(context.Background(), catalog.AgentEvents, b, files, nil)
			require.NoError(t, err)
		}
		_, err = s.land(over, catalog.AgentEvents, b, files, nil)
		var not *catalog.NotLandedError
		require.ErrorAs(t, err, &not)
		s.removeUnsent(b)
		_, err = os.Stat(strings.TrimPrefix(files[0].URI, "file://"))
		require.Equal(t, sentBefore, err == nil, "%v", err)
		b.abort()
	}
}
