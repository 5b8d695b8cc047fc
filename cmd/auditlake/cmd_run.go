package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/sink"
)

func newRun(a *app) *cobra.Command {
	var untilCaughtUp bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Write events from Kafka to the tables: the sink",
		Long: `Reads the configured topics and writes their records to the tables, each once, whatever crashes.
Start as many as you like: they share the topic partitions. SIGINT or SIGTERM commits what is pending
within sink.shutdown_timeout and ends with 0; a second one leaves at once, and nothing is lost: the next
run starts where the tables are.

What it cannot reach at its start ends it. Once it has begun it tries again for as long as it takes where
that may help, with a line in the log for each failure.

With --until-caught-up it is a job for cron: it stops when everything that could be read of the topics at
its start is in the tables. It says where an open transaction held that back.`,
		Args: takes(0, 0, ""),
	}
	cmd.Flags().BoolVar(&untilCaughtUp, "until-caught-up", false, "stop at the high watermarks seen at the start")
	out := outputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		cfg, err := a.loadKafkaConfig()
		if err != nil {
			return err
		}
		if err := pingKafka(cmd.Context(), cfg); err != nil {
			return err
		}
		a.tells = !untilCaughtUp
		return a.withCatalog(cmd.Context(), false, func(cat *catalog.Catalog) error {
			defer a.lendLogger()()
			ctx, started := cmd.Context(), time.Now()
			if err := probe(cat)(ctx); err != nil {
				return err
			}
			stats, err := a.runSink(ctx, cfg, cat, untilCaughtUp)
			if err != nil {
				return err
			}
			if untilCaughtUp && ctx.Err() != nil {
				a.note("stopped before it had caught up; the next run goes on from there")
				err = ctx.Err()
			}
			if form == asJSON {
				if e := writeJSON(a.stdout, summary(stats)); e != nil {
					return e
				}
			} else if e := a.sayRun(stats, untilCaughtUp && ctx.Err() == nil, time.Since(started)); e != nil {
				return e
			}
			if err == nil && stats.CommittedRows+stats.CommittedDead == 0 {
				err = errNothingToDo
			}
			return err
		})
	}
	return cmd
}

// runSink runs the configured number of sinks until ctx is done or, if asked
// to, until they have caught up.
func (a *app) runSink(ctx context.Context, cfg *config.Config, cat *catalog.Catalog, untilCaughtUp bool) (sink.Stats, error) {
	settings, err := sinkConfig(cfg)
	if err != nil {
		return sink.Stats{}, err
	}
	workers := int(cfg.Sink.Workers)
	settings.UntilCaughtUp, settings.Log, settings.OnStep = untilCaughtUp, a.logger(), a.stepHook()
	settings.Memory /= int64(workers)
	defer a.boundHeap(cfg.Sink.Memory.Bytes())()
	all := newTotals(workers)
	watch := newMonitor(all, cfg, probe(cat))
	settings.OnFlush = watch.flushed
	if address := cfg.Metrics.Listen; address != config.Off && (!untilCaughtUp || cfg.IsSet("metrics.listen")) {
		stop, err := watch.serve(ctx, cfg, a.logger())
		if err != nil {
			return sink.Stats{}, err
		}
		defer stop()
	}
	var bar *ui.Progress
	defer func() { bar.Done() }()
	outer := ctx
	ended := make(chan error, workers)
	group, ctx := errgroup.WithContext(ctx)
	looking, lookAway := context.WithCancel(ctx)
	defer lookAway()
	go watch.run(looking)
	// Also where a worker fails and another one hangs.
	defer leaveAfter(ctx, settings.ShutdownTimeout+leaveGrace, a.leave)()
	for i := range workers {
		if workers > 1 {
			settings.Log = a.logger().With("worker", i+1)
		}
		settings.OnProgress = func(s sink.Stats) {
			all.set(i, s, func(sum sink.Stats) {
				if untilCaughtUp {
					if bar == nil {
						bar = ui.NewProgress(a.stderr, "records", sum.CaughtUpGoal)
					}
					bar.Set(sum.CaughtUp)
				}
			})
		}
		s, err := sink.New(settings, cat)
		if err != nil {
			return sink.Stats{}, err
		}
		group.Go(func() error {
			err := s.Run(ctx)
			all.set(i, s.Stats(), nil)
			ended <- err
			return err
		})
	}
	_ = group.Wait()
	close(ended)
	return all.sum(), a.gravest(outer, ended)
}

// gravest is, of what workers ended with, what most needs somebody to act: a stop, or the
// end of one of them, stops the others, and how that went may be told first. Of several
// it is the first.
func (a *app) gravest(ctx context.Context, ended <-chan error) error {
	var errs []error
	for err := range ended {
		errs = append(errs, err)
	}
	for _, code := range []int{exitRefused, exitUsage, exitFailed} {
		for _, err := range errs {
			if a.exitCode(ctx, err) == code {
				return err
			}
		}
	}
	return cmp.Or(errs...)
}

// leaveGrace is what a sink has beyond its shutdown timeout to clean up.
const leaveGrace = 5 * time.Second

// leaveAfter calls leave some time after ctx is done, unless stopped before: a
// store that hangs must not hold a sink that was told to stop.
func leaveAfter(ctx context.Context, bound time.Duration, leave func()) (stop func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		select {
		case <-over:
		case <-time.After(bound):
			leave()
		}
	}()
	return func() { close(over) }
}

// leave ends the process where the sink does not end by itself: nothing is lost by it.
func (a *app) leave() {
	a.note("auditlake: the sink did not end within sink.shutdown_timeout: left as it was, the next run starts where the tables are")
	os.Exit(exitFailed)
}

// lendLogger has what libraries log go where our own lines do.
func (a *app) lendLogger() (restore func()) {
	before := slog.Default()
	slog.SetDefault(a.logger())
	return func() { slog.SetDefault(before) }
}

// boundHeap keeps garbage in proportion to the memory budget of a sink: collecting
// it at twice the live heap, as the runtime does, would take twice the budget. What
// is beside the budget, fetched records above all, has 5/8 of it as room.
// GOMEMLIMIT wins.
func (a *app) boundHeap(budget int64) (restore func()) {
	if _, set := a.getenv("GOMEMLIMIT"); set {
		return func() {}
	}
	before := debug.SetMemoryLimit(budget + budget*5/8)
	return func() { debug.SetMemoryLimit(before) }
}

func sinkConfig(cfg *config.Config) (sink.Config, error) {
	client, err := kafkaOptions(cfg)
	return sink.Config{
		Brokers: cfg.Kafka.Brokers, Topics: cfg.Kafka.Topics, Group: cfg.Kafka.Group, Client: client,
		StartLatest:     cfg.Kafka.Start == "latest",
		ReadUncommitted: cfg.Kafka.Isolation == "read_uncommitted",
		SessionTimeout:  cfg.Kafka.SessionTimeout.Std(), MetadataRefresh: cfg.Kafka.MetadataRefresh.Std(),
		TargetLag: cfg.Sink.TargetLag.Std(), TargetFileSize: cfg.Sink.TargetFileSize.Bytes(),
		Memory: cfg.Sink.Memory.Bytes(), MaxBatchRows: cfg.Sink.MaxBatchRows,
		ShutdownTimeout: cfg.Sink.ShutdownTimeout.Std(), CompressionLevel: int(cfg.Sink.CompressionLevel),
		Limits:  limits(cfg),
		Version: readVersions().Version,
	}, err
}

func limits(cfg *config.Config) envelope.Limits {
	l := envelope.DefaultLimits
	l.MaxEventBytes = int(cfg.Sink.MaxEventBytes.Bytes())
	l.MaxEventAge = cfg.Sink.MaxEventAge.Std()
	l.MaxClockSkew = cfg.Sink.MaxClockSkew.Std()
	return l
}

// totals adds up what several sinks say of themselves.
type totals struct {
	mu  sync.Mutex
	per []sink.Stats
}

func newTotals(workers int) *totals { return &totals{per: make([]sink.Stats, workers)} }

func (t *totals) set(i int, s sink.Stats, tell func(sum sink.Stats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.per[i] = s
	if tell != nil {
		tell(t.add())
	}
}

// each is what every one of them said last.
func (t *totals) each() []sink.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.per)
}

func (t *totals) sum() sink.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.add()
}

func (t *totals) add() sink.Stats {
	sum := sink.Stats{DeadLetters: map[string]int64{}, ByClass: map[string]int64{}}
	for _, s := range t.per {
		sum.Records += s.Records
		sum.Bytes += s.Bytes
		sum.Events += s.Events
		sum.Misfits += s.Misfits
		sum.Unknown += s.Unknown
		sum.Skipped += s.Skipped
		sum.Commits += s.Commits
		sum.CommittedRows += s.CommittedRows
		sum.CommittedDead += s.CommittedDead
		sum.Files += s.Files
		sum.FileBytes += s.FileBytes
		sum.Fenced += s.Fenced
		sum.BegunAgain += s.BegunAgain
		sum.CommitRetries += s.CommitRetries
		sum.Pending += s.Pending
		sum.Buffered += s.Buffered
		sum.Owned = append(sum.Owned, s.Owned...)
		sum.CaughtUp += s.CaughtUp
		sum.CaughtUpGoal = max(sum.CaughtUpGoal, s.CaughtUpGoal) // all of them, for each
		for class, n := range s.DeadLetters {
			sum.DeadLetters[class] += n
		}
		for class, n := range s.ByClass {
			sum.ByClass[class] += n
		}
		if s.LastCommit.After(sum.LastCommit) {
			sum.LastCommit = s.LastCommit
		}
		if sum.Flushing.IsZero() || !s.Flushing.IsZero() && s.Flushing.Before(sum.Flushing) {
			sum.Flushing = s.Flushing
		}
	}
	return sum
}

// runSummary is what `run --json` prints when it ends.
type runSummary struct {
	Records         int64            `json:"records"`
	RecordBytes     int64            `json:"record_bytes"`
	EventRows       int64            `json:"event_rows"`
	DeadLetters     int64            `json:"dead_letters"`
	ByClass         map[string]int64 `json:"dead_letters_by_class"`
	Misfits         int64            `json:"misfits"`
	SnapshotCommits int64            `json:"snapshot_commits"`
	Files           int64            `json:"files"`
	FileBytes       int64            `json:"file_bytes"`
	Fenced          int64            `json:"fenced_batches"`
	CommitRetries   int64            `json:"snapshot_commit_retries"`
}

func summary(s sink.Stats) runSummary {
	return runSummary{s.Records, s.Bytes, s.CommittedRows, s.CommittedDead, s.DeadLetters, s.Misfits, s.Commits, s.Files, s.FileBytes, s.Fenced, s.CommitRetries}
}

// sayRun tells what a run did; caughtUp tells that it ended by having everything.
func (a *app) sayRun(s sink.Stats, caughtUp bool, took time.Duration) error {
	if s.CommittedRows+s.CommittedDead == 0 {
		if caughtUp {
			return a.say("nothing new: the tables hold every record that can be read")
		}
		return a.say("nothing committed")
	}
	err := a.say("committed %s and %s in %s, %s (%s), in %s",
		ui.Plural(s.CommittedRows, "event", "events"), ui.Plural(s.CommittedDead, "dead letter", "dead letters"),
		ui.Plural(s.Commits, "snapshot commit", "snapshot commits"), ui.Plural(s.Files, "data file", "data files"),
		ui.Bytes(s.FileBytes), ui.Duration(took))
	if err != nil || len(s.DeadLetters) == 0 {
		return err
	}
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(s.DeadLetters)) {
		parts = append(parts, fmt.Sprintf("%s %s", class, ui.Count(s.DeadLetters[class])))
	}
	return a.say("dead letters: %s (`auditlake dead-letters list` shows them)", strings.Join(parts, ", "))
}
