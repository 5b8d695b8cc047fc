package catalog

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	icerest "github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
	sqlite3 "modernc.org/sqlite/lib"
)

// judgeError tells what an error of an attempt says of its outcome, otherwise
// if it says nothing. The error it returns says what to do where that is known.
func (c *Catalog) judgeError(name string, err error, otherwise Outcome) (Outcome, error) {
	if isConflict(err) {
		return OutcomeRetry, err
	}
	if behind, ok := clockBehind(err); ok {
		return OutcomeRetry, fmt.Errorf("the clock of this machine is %v behind the last snapshot of %s: set the clock of this machine, "+
			"or of the one that wrote the snapshot, and wait until it has passed: %w", behind, name, err)
	}
	if c.judge != nil {
		if outcome, err, ok := c.judge(err); ok {
			return outcome, err
		}
	}
	if neverSent(err) {
		return OutcomeRetry, err
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_READONLY:
		return OutcomeRefused, &ConfigError{Text: fmt.Sprintf("catalog %s is read-only: make the file and its folder writable for this user", c.cfg.URI), Err: err, Access: true}
	case sqlite3.SQLITE_CANTOPEN:
		return OutcomeRefused, &ConfigError{Text: fmt.Sprintf(
			"catalog %s cannot be opened: check that the file and its folder are there and writable for this user", c.cfg.URI), Err: err, Access: true}
	case sqlite3.SQLITE_FULL:
		otherwise = OutcomeRetry
	}
	if fails := diskFails(c.cfg, err); fails != nil {
		err = fails
	}
	return otherwise, err
}

// neverSent reports an attempt that found nobody to talk to, at the catalog or at
// the object store: what it wanted to say was not heard.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return (errors.As(err, &op) && op.Op == "dial") || errors.As(err, &dns)
}

// isConflict reports a definite "not landed": the catalog refused the commit's
// requirements. iceberg-go's SQL catalog says so in text only.
func isConflict(err error) bool {
	if errors.Is(err, icerest.ErrCommitStateUnknown) {
		return false // whatever its text
	}
	return errors.Is(err, table.ErrCommitFailed) || strings.Contains(strings.ToLower(err.Error()), "requirement failed")
}

// iceberg-go refuses metadata that is more than a minute older than the table's
// logs before it sends anything; it says so in text only, in milliseconds.
var outOfOrder = regexp.MustCompile(`invalid update timestamp (\d+): before last (?:snapshot|metadata) log entry at (\d+)`)

// clockBehind tells how far this machine's clock is behind the table.
func clockBehind(err error) (time.Duration, bool) {
	m := outOfOrder.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, false
	}
	now, err1 := strconv.ParseInt(m[1], 10, 64)
	last, err2 := strconv.ParseInt(m[2], 10, 64)
	return time.Duration(last-now) * time.Millisecond, err1 == nil && err2 == nil
}
