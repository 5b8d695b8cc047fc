package main

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
)

// timeLayouts are the forms of a point in time, each UTC unless it says otherwise.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly}

// parseTime reads a point in time: RFC 3339, a date (its first moment, UTC), now,
// or a duration such as 7d, that long before now. Empty is no time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now.UTC(), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if d, err := model.ParseDuration(text); err == nil {
		return now.Add(-time.Duration(d)).UTC(), nil
	}
	return time.Time{}, usagef("--%s %q is no time: write 2026-03-14, 2026-03-14T09:26:53Z, now, or 7d for seven days ago", flag, text)
}

// scanFlags choose the snapshot and the time range that a query reads.
type scanFlags struct {
	from, to, asOf string
	snapshot       int64
}

func addScanFlags(cmd *cobra.Command) *scanFlags {
	s := &scanFlags{}
	f := cmd.Flags()
	f.StringVar(&s.from, "from", "", "only rows from this `TIME` on: 2026-03-14, RFC 3339, or 7d for seven days ago (UTC)")
	f.StringVar(&s.to, "to", "", "only rows before this `TIME`")
	f.Int64Var(&s.snapshot, "snapshot", 0, "read snapshot `ID` of agent_events, not the current one")
	f.StringVar(&s.asOf, "as-of", "", "read the tables as they were at this `TIME`")
	for _, name := range []string{"from", "to", "as-of"} {
		complete(cmd, name, "now", "24h", "7d", "30d")
	}
	return s
}

// scan is what scanFlags say.
type scan struct {
	from, to, asOf time.Time
	snapshot       int64
}

func (s *scanFlags) parse(now time.Time) (out scan, err error) {
	if out.from, err = parseTime("from", s.from, now); err != nil {
		return out, err
	}
	if out.to, err = parseTime("to", s.to, now); err != nil {
		return out, err
	}
	if out.asOf, err = parseTime("as-of", s.asOf, now); err != nil {
		return out, err
	}
	out.snapshot = s.snapshot
	if !out.from.IsZero() && !out.to.IsZero() && !out.from.Before(out.to) {
		return out, usagef("--from %s is not before --to %s: nothing lies between them", s.from, s.to)
	}
	if out.snapshot != 0 && !out.asOf.IsZero() {
		return out, usagef("--snapshot and --as-of both choose a snapshot: give one of them")
	}
	return out, nil
}
