package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/queries"
)

// parseTime reads a flag that is a point in time; empty is no time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := queries.ParseTime(text, now)
	if err != nil {
		return t, usagef("--%s: %v", flag, err)
	}
	return t, nil
}

// scanFlags choose the snapshot and the time range that a query reads.
type scanFlags struct {
	from, to, asOf string
	snapshot       int64
	extensions     string
}

func addScanFlags(cmd *cobra.Command) *scanFlags {
	s := addSnapshotFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.from, "from", "", "only rows from this `TIME` on: 2026-03-14, RFC 3339, or 7d for seven days ago (UTC)")
	f.StringVar(&s.to, "to", "", "only rows before this `TIME`; a date is its first moment")
	for _, name := range []string{"from", "to"} {
		complete(cmd, name, "now", "24h", "7d", "30d")
	}
	return s
}

// addSnapshotFlags are those of addScanFlags but for the time range, which a
// query has as parameters.
func addSnapshotFlags(cmd *cobra.Command) *scanFlags {
	s := &scanFlags{}
	f := cmd.Flags()
	f.Int64Var(&s.snapshot, "snapshot", 0, "read snapshot `ID` of agent_events, not the current one")
	f.StringVar(&s.asOf, "as-of", "", "read the tables as they were at this `TIME`")
	f.StringVar(&s.extensions, "extension-directory", "", "`FOLDER` with DuckDB's httpfs extension: read files on S3 by ranges (else sql.extension_directory)")
	complete(cmd, "as-of", "now", "24h", "7d", "30d")
	mustNot(cmd.MarkFlagDirname("extension-directory"))
	return s
}

// scan is what scanFlags say.
type scan struct {
	from, to, asOf time.Time
	snapshot       int64
	extensions     string // folder of DuckDB's extensions; sql.extension_directory if empty
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
	out.snapshot, out.extensions = s.snapshot, s.extensions
	if !out.from.IsZero() && !out.to.IsZero() && !out.from.Before(out.to) {
		return out, usagef("--from %s is not before --to %s: nothing lies between them", s.from, s.to)
	}
	if out.snapshot != 0 && !out.asOf.IsZero() {
		return out, usagef("--snapshot and --as-of both choose a snapshot: give one of them")
	}
	return out, nil
}
