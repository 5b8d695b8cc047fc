package catalog

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// CommitBatch is Turns.Commit to one of the catalog's tables. A table that is gone or
// a catalog that cannot be written is a *ConfigError; where an earlier attempt may
// have landed, it is the cause of an *UnknownError. Batches of one Catalog for one
// table take turns.
func (c *Catalog) CommitBatch(ctx context.Context, name string, b Batch) (Landed, error) {
	return c.turns.Commit(ctx, name, icebergTarget{c, name}, b)
}

// icebergTarget is a table of the catalog as Commit sees it.
type icebergTarget struct {
	cat  *Catalog
	name string
}

// Head implements Target.
func (t icebergTarget) Head(ctx context.Context) (Head, error) {
	table, err := t.cat.Load(ctx, t.name)
	if err != nil {
		return nil, err
	}
	return table, nil
}

// Judge implements Target.
func (t icebergTarget) Judge(err error, otherwise Outcome) (Outcome, error) {
	var cfg *ConfigError
	if errors.As(err, &cfg) {
		return OutcomeRefused, err
	}
	return t.cat.judgeError(t.name, err, otherwise)
}

// Sleep implements Target.
func (icebergTarget) Sleep(ctx context.Context, least, most time.Duration) {
	_ = pause(ctx, least+rand.N(most-least+1)) // Commit looks at ctx
}

// Wait implements Target.
func (icebergTarget) Wait(ctx context.Context, called <-chan struct{}) {
	select {
	case <-called:
	case <-ctx.Done():
	}
}
