package catalog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// DataFile is a written data file that no snapshot refers to yet.
type DataFile struct {
	ice  iceberg.DataFile
	Rows int64
	Size int64 // bytes
	URI  string
}

// Batch is what one snapshot commit adds to one table: files, and the ranges of
// offsets they account for.
type Batch struct {
	ID      string // commit id, unique per batch, the same on every attempt
	Files   []DataFile
	Ranges  []Range // at most one per topic partition
	Version string  // version of the writer, for the snapshot summary
	// TableUUID is the table that the batch is for; one of that name which was made
	// since is not it. Any, if empty.
	TableUUID string

	// Timeout bounds the attempts, all together, and the waits between them; 0 is no
	// bound. The time in which others go first is not counted: the wait for the turn
	// in this process, and races that others won.
	Timeout time.Duration
	// OnRetry, when set, hears of every attempt that did not succeed.
	OnRetry func(attempt int, err error)
}

// Landed describes a snapshot commit that is in the table.
type Landed struct {
	SnapshotID int64
	Attempts   int
	// Late is set when an earlier attempt had landed though its answer was an
	// error or never came.
	Late bool
}

// FencedError says that a table is not where the batch starts: another owner of
// a topic partition got there first. The batch must be dropped; whoever still
// owns the topic partition starts again from the table.
type FencedError struct {
	Table      string
	Partition  TopicPartition
	Start, End int64 // of the batch
	Committed  int64 // the table's offset
	// Deletable tells that no attempt of this batch can have landed or land
	// later, so its files may be deleted.
	Deletable bool
}

func (e *FencedError) Error() string {
	if e.Committed < e.Start {
		return fmt.Sprintf("%s: batch [%d, %d) of %s is fenced: the table has gone back to offset %d: somebody restored an older state of it",
			e.Table, e.Start, e.End, e.Partition, e.Committed)
	}
	return fmt.Sprintf("%s: batch [%d, %d) of %s is fenced: the table is at offset %d, another sink took over",
		e.Table, e.Start, e.End, e.Partition, e.Committed)
}

// ConflictError says that other writers were faster on every attempt. Nothing
// landed.
type ConflictError struct {
	Table    string
	Attempts int
	Err      error
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: snapshot commit lost %d races against other writers: %v", e.Table, e.Attempts, e.Err)
}

// Unwrap returns the last conflict.
func (e *ConflictError) Unwrap() error { return e.Err }

// NotLandedError says that no attempt got as far as a snapshot commit: the
// catalog or the object store could not be used. Nothing landed.
type NotLandedError struct {
	Table    string
	Attempts int
	Err      error
}

func (e *NotLandedError) Error() string {
	return fmt.Sprintf("%s: no snapshot commit in %d attempts: %v", e.Table, e.Attempts, e.Err)
}

// Unwrap returns the last error.
func (e *NotLandedError) Unwrap() error { return e.Err }

// UnknownError says that the catalog never gave an answer to rely on: the
// snapshot commit may have landed or may yet. The files must be kept; the next
// start reads the truth from the table.
type UnknownError struct {
	Table    string
	Attempts int
	Err      error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s: outcome of the snapshot commit is unknown after %d attempts: %v", e.Table, e.Attempts, e.Err)
}

// Unwrap returns the last error.
func (e *UnknownError) Unwrap() error { return e.Err }

// Target is a table as the snapshot commit needs it: iceberg-go's, or the model of
// one in a simulation.
type Target interface {
	// Head reads the table as it is now.
	Head(ctx context.Context) (Head, error)
	// Judge tells what an error of an attempt says of its outcome, otherwise if it
	// says nothing. The error it returns says what to do where that is known.
	Judge(err error, otherwise Outcome) (Outcome, error)
	// Sleep lets some time between least and most pass, or what is left of ctx.
	Sleep(ctx context.Context, least, most time.Duration)
	// Wait returns when called is closed, or ctx is done.
	Wait(ctx context.Context, called <-chan struct{})
}

// Head is one state of a table, which a batch is judged against.
type Head interface {
	// MetadataLocation differs from that of every other state of the table.
	MetadataLocation() string
	UUID() string // of the table
	Offsets() (Offsets, error)
	// CommitSnapshot finds the snapshot made under a commit id, among this state's
	// snapshot and its ancestors.
	CommitSnapshot(id string) (snapshot int64, ok bool)
	// Stage makes ready to add a batch's files and set its offsets, at once and on
	// top of this state only. The commit that it returns gives the new snapshot.
	Stage(ctx context.Context, b Batch, have Offsets) (commit func(context.Context) (snapshot int64, err error), err error)
}

// Outcome is what is known of an attempt of a snapshot commit.
type Outcome int

// Outcomes of an attempt.
const (
	OutcomeLanded  Outcome = iota
	OutcomeRefused         // definite: this batch will never land
	OutcomeRetry           // definite: this attempt did not land
	OutcomeUnknown         // this attempt may have landed, or may yet
)

// Commit lands a batch once, or not at all. It retries until ctx is done or the
// batch's timeout is over; every attempt starts by reading the table again, so an
// attempt whose answer was lost is recognised. The result is one of: nil (landed),
// *FencedError, *ConflictError, *NotLandedError, *UnknownError, or what the target's
// judgement calls refused.
//
// A batch without files still makes a snapshot (an empty append): offsets only
// ever move together with the table's head.
func (ts *Turns) Commit(ctx context.Context, name string, to Target, b Batch) (Landed, error) {
	turn := ts.join(name, to)
	defer turn.leave()
	if b.Timeout == 0 {
		b.Timeout = math.MaxInt64
	}
	var last error
	unknown := false // an attempt without a definite answer was made
	anySent := false
	turn.await(ctx, 0, nil)
	deadline := time.Now().Add(b.Timeout)
	for attempt := 1; ; attempt++ {
		within, cancel := context.WithDeadline(ctx, deadline)
		landed, outcome, sent, err := try(within, name, to, turn, b)
		over := within.Err() != nil
		cancel()
		if anySent = anySent || sent; sent && outcome == OutcomeRefused {
			landed, outcome, err = lastLook(ctx, to, b.ID, outcome, err)
		}
		switch outcome {
		case OutcomeLanded:
			landed.Attempts = attempt
			return landed, nil
		case OutcomeRefused:
			var fenced *FencedError
			if errors.As(err, &fenced) {
				fenced.Deletable = !unknown
			} else if unknown {
				err = &UnknownError{name, attempt, err}
			}
			return Landed{}, err
		case OutcomeUnknown:
			unknown = true
		}
		if !over || last == nil {
			last = err // keep what went wrong before the deadline
		}
		if b.OnRetry != nil {
			b.OnRetry(attempt, err)
		}
		if !over {
			deadline = deadline.Add(turn.await(ctx, attempt, err))
			if ctx.Err() == nil && time.Now().Before(deadline) {
				continue
			}
		}
		if anySent && !unknown { // no attempt follows that would read the table first
			landed, outcome, _ = lastLook(ctx, to, b.ID, outcome, last)
			landed.Attempts, unknown = attempt, outcome == OutcomeUnknown
		}
		if outcome == OutcomeLanded {
			return landed, nil
		}
		return Landed{}, gaveUp(name, attempt, unknown, last)
	}
}

// gaveUp is what is known of a batch that is not tried again.
func gaveUp(name string, attempts int, unknown bool, last error) error {
	switch {
	case unknown:
		return &UnknownError{name, attempts, last}
	case isConflict(last):
		return &ConflictError{name, attempts, last}
	}
	return &NotLandedError{name, attempts, last}
}

// lastLookTimeout is how long the last look at the table may take.
const lastLookTimeout = 2 * time.Second

// lastLook tells whether the last commit that was sent landed: what is between here
// and the catalog may have answered a refusal for it, and a commit that was sent
// twice conflicts with itself.
func lastLook(ctx context.Context, to Target, commitID string, outcome Outcome, cause error) (Landed, Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLookTimeout)
	defer cancel()
	head, err := to.Head(ctx)
	if err != nil {
		return Landed{}, OutcomeUnknown, cause
	}
	if snapshot, ok := head.CommitSnapshot(commitID); ok {
		return Landed{SnapshotID: snapshot, Late: true}, OutcomeLanded, nil
	}
	return Landed{}, outcome, cause
}

// try reads the table, judges the batch against it and sends one commit.
func try(ctx context.Context, name string, to Target, turn *turn, b Batch) (landed Landed, outcome Outcome, sent bool, err error) {
	head, err := to.Head(ctx)
	if err != nil {
		outcome, err := to.Judge(err, OutcomeRetry)
		return Landed{}, outcome, false, err
	}
	turn.saw(head.MetadataLocation())
	have, err := head.Offsets()
	if err != nil {
		return Landed{}, OutcomeRefused, false, err
	}
	if id, ok := head.CommitSnapshot(b.ID); ok {
		return Landed{SnapshotID: id, Late: true}, OutcomeLanded, false, nil
	}
	if err := b.belongs(name, head, have); err != nil {
		return Landed{}, OutcomeRefused, false, err
	}
	for _, r := range b.Ranges {
		if o, ok := have[r.TopicPartition]; ok && !r.follows(o) {
			return Landed{}, OutcomeRefused, false, &FencedError{
				Table: name, Partition: r.TopicPartition, Start: r.Start, End: r.End, Committed: o.Next}
		}
	}
	commit, err := head.Stage(ctx, b, have)
	if err != nil {
		outcome, err := to.Judge(err, OutcomeRetry)
		return Landed{}, outcome, false, err
	}
	snapshot, err := commit(ctx)
	if err == nil {
		turn.landed()
		return Landed{SnapshotID: snapshot}, OutcomeLanded, true, nil
	}
	outcome, err = to.Judge(err, OutcomeUnknown)
	return Landed{}, outcome, true, err
}

// belongs refuses a table that the batch was not made for: it is another one by that
// name, or it has lost an offset from which the batch goes on. Rows from the middle
// of a topic partition would look like all of it there.
func (b Batch) belongs(name string, head Head, have Offsets) error {
	if is := head.UUID(); b.TableUUID != "" && is != b.TableUUID {
		return Replaced(name, b.TableUUID, is)
	}
	for _, r := range b.Ranges {
		if _, ok := have[r.TopicPartition]; !ok && r.Seen != "" {
			return &ConfigError{Text: fmt.Sprintf("table %s has lost its offset of %s, which was %d: somebody removed the property; "+
				"restore the table's properties, or go on under another catalog.namespace", name, r.TopicPartition, r.Start)}
		}
	}
	return nil
}

// Replaced is the error of a table that is no longer the one that it was.
func Replaced(name, was, is string) *ConfigError {
	other := DeadLetters
	if name == DeadLetters {
		other = AgentEvents
	}
	// Each table's offsets say what was read for both: with one of them new, the next
	// start wants records of Kafka that may be gone, or reads none for the new one.
	return &ConfigError{Text: fmt.Sprintf(
		"table %s was dropped and made again while the sink was at work (its UUID was %s and is %s): restore the old one, "+
			"or drop %s too, run auditlake init and start the sink again, which fills both with what Kafka still holds", name, was, is, other)}
}

// Stage implements Head: head pinned, files added, offsets set, in one transaction.
func (t *Table) Stage(ctx context.Context, b Batch, have Offsets) (func(context.Context) (int64, error), error) {
	tx, err := t.stage(ctx, b, have)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int64, error) {
		var done *table.Table
		land := func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			done, err = tx.Commit(ctx)
			return err
		}
		err := t.cat.intercept(t.name, land)
		if err != nil {
			return 0, err
		}
		// A REST catalog may answer with the state after somebody else's commit.
		if id, ok := (&Table{ice: done}).CommitSnapshot(b.ID); ok {
			return id, nil
		}
		return 0, errNotInAnswer
	}, nil
}

// errNotInAnswer says nothing of the outcome: whoever answered need not have looked.
var errNotInAnswer = errors.New("the catalog answers that the snapshot commit is done, with a table that does not have it")

func (c *Catalog) intercept(name string, land func() error) error {
	if c.cfg.Intercept == nil {
		return land()
	}
	return c.cfg.Intercept(name, land)
}

func (t *Table) stage(ctx context.Context, b Batch, have Offsets) (*table.Transaction, error) {
	tx := t.ice.NewTransaction()
	if err := tx.AssertRefSnapshotID(""); err != nil {
		return nil, err
	}
	summary := iceberg.Properties{
		summaryCommitID: b.ID,
		summaryRanges:   encodeRanges(b.Ranges),
		summaryVersion:  b.Version,
	}
	if len(b.Files) == 0 {
		if err := tx.AddFiles(ctx, nil, summary, false); err != nil {
			return nil, err
		}
	} else {
		files := make([]iceberg.DataFile, len(b.Files))
		for i, f := range b.Files {
			files[i] = f.ice
		}
		err := tx.AddDataFiles(ctx, files, summary, table.WithoutDuplicateCheck(), table.WithoutAutoNameMapping())
		if err != nil {
			return nil, err
		}
	}
	if err := t.mendEmptyText(ctx, tx); err != nil {
		return nil, err
	}
	return tx, tx.SetProperties(offsetProperties(have, b.Ranges))
}
