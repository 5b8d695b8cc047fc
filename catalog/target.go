package catalog

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Waits between attempts of a snapshot commit, where the catalog or the object store
// failed: exponential with full jitter, so that writers do not come back at once.
const (
	commitMinWait = 20 * time.Millisecond
	commitMaxWait = 5 * time.Second
)

// CommitBatch is Commit to one of the catalog's tables. A table that is gone or a
// catalog that cannot be written is a *ConfigError; where an earlier attempt may
// have landed, it is the cause of an *UnknownError. Batches of one Catalog for one
// table take turns.
func (c *Catalog) CommitBatch(ctx context.Context, name string, b Batch) (Landed, error) {
	t := &icebergTarget{cat: c, name: name, turn: c.turns.join(name), onOthers: b.OnOthers}
	defer t.turn.leave()
	landed, err := Commit(ctx, name, t, b)
	if err == nil && !landed.Late {
		t.turn.landed(time.Since(t.began))
	}
	return landed, err
}

// icebergTarget is a table of the catalog as Commit sees it, for one batch.
type icebergTarget struct {
	cat      *Catalog
	name     string
	turn     *ticket
	onOthers func()

	at    string    // metadata file of the last attempt's head
	began time.Time // the last attempt
	lost  int       // races, against writers outside of this process
	raced bool      // the last attempt was one of them
}

// Head implements Target.
func (t *icebergTarget) Head(ctx context.Context) (Head, error) {
	waited, err := t.turn.take(ctx)
	if err != nil {
		return nil, err
	}
	if waited && t.lost == 0 {
		if err := t.letOthers(ctx); err != nil {
			return nil, err
		}
	}
	t.began, t.raced = time.Now(), false
	table, err := t.cat.Load(ctx, t.name)
	if err != nil {
		return nil, err
	}
	moved := t.at != "" && t.at != table.MetadataLocation()
	t.at = table.MetadataLocation()
	if (waited || moved) && t.onOthers != nil {
		t.onOthers()
	}
	return table, nil
}

// letOthers lets other processes go first, where it is time for it.
func (t *icebergTarget) letOthers(ctx context.Context) error {
	wait := t.turn.yields()
	if wait == 0 {
		return nil
	}
	before, err := t.cat.Load(ctx, t.name)
	if err != nil {
		return err
	}
	_ = pause(ctx, wait) // the next request says that ctx ended
	after, err := t.cat.Load(ctx, t.name)
	if err != nil {
		return err
	}
	t.turn.others(before.MetadataLocation() != after.MetadataLocation())
	return nil
}

// Judge implements Target.
func (t *icebergTarget) Judge(err error, otherwise Outcome) (Outcome, error) {
	var cfg *ConfigError
	if errors.As(err, &cfg) {
		return OutcomeRefused, err
	}
	if t.raced = isConflict(err); t.raced {
		t.lost++
		t.turn.others(true)
	}
	return t.cat.judgeError(t.name, err, otherwise)
}

// Pause implements Target. After a lost race the batch keeps its turn and waits the
// less the more races it lost, so that the oldest wins soon: a wait that grew would
// have it starve beside batches that are new. At the first it waits up to what an
// attempt takes, which is when the next race is decided.
func (t *icebergTarget) Pause(ctx context.Context, attempt int) {
	wait := min(commitMinWait<<min(attempt-1, 20), commitMaxWait)
	if t.raced {
		wait = max(min(time.Since(t.began), commitMaxWait)/time.Duration(t.lost), time.Millisecond)
	} else {
		t.turn.leave()
	}
	_ = pause(ctx, rand.N(wait)) // Commit looks at ctx
}
