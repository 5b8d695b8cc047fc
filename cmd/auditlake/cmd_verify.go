package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
)

func newVerify(a *app) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that every record is in the tables once",
		Long: `Reads the provenance of every row and holds it against the committed offsets, the snapshots and the
data files: for every topic partition each offset from the first to the committed one must be an
event, a dead letter or an explained hole, once. It ends with 5 when something is wrong.
Of the data files it reads what says where a row came from; with --deep all of them, against bad disks.
It needs no broker.`,
		Args: takes(0, 0, ""),
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "also check every page's checksum and decode every column of every data file")
	out := outputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		return a.withCatalog(cmd.Context(), false, func(cat *catalog.Catalog) error {
			var bar *ui.Progress
			report, err := cat.Verify(cmd.Context(), catalog.VerifyOptions{Deep: deep, Progress: func(done, total int) {
				if bar == nil {
					bar = ui.NewProgress(a.stderr, "data files", int64(total))
				}
				bar.Set(int64(done))
			}})
			bar.Done()
			if err != nil {
				return err
			}
			if form == asJSON {
				err = writeJSON(a.stdout, report)
			} else {
				err = a.sayReport(report, deep)
			}
			if err == nil && !report.OK {
				err = &errFindings{"verification found " + ui.Plural(int64(len(report.Problems)), "problem", "problems")}
			}
			return err
		})
	}
	return cmd
}

// maxProblems bounds what people are shown: a lost file is a problem for every
// gap it leaves.
const maxProblems = 20

func (a *app) sayReport(r *catalog.Report, deep bool) error {
	var rows [][]string
	for _, t := range r.Tables {
		rows = append(rows, []string{t.Table, fmt.Sprint(t.SnapshotID), fmt.Sprint(t.Snapshots), ui.Count(int64(t.Files)), ui.Bytes(t.Bytes), ui.Count(t.Rows)})
	}
	if err := ui.Table(a.stdout, []string{"table", "snapshot>", "snapshots>", "files>", "size>", "rows>"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, p := range r.Partitions {
		rows = append(rows, []string{
			fmt.Sprintf("%s/%d", p.Topic, p.Partition), ui.Count(p.First), ui.Count(p.Next), ui.Count(p.Events), ui.Count(p.DeadLetters),
			ui.Count(p.Holes), ui.Count(p.Missing), ui.Count(p.Duplicates),
		})
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := ui.Table(a.stdout, []string{"topic partition", "first>", "committed>", "events>", "dead letters>", "explained holes>", "missing>", "duplicates>"}, rows); err != nil {
		return err
	}
	if err := a.say(""); err != nil {
		return err
	}
	for _, n := range r.Notes {
		if err := a.say("note: %s", n); err != nil {
			return err
		}
	}
	for i, p := range r.Problems {
		if i == maxProblems {
			if err := a.say("... and %s more: --json lists all", ui.Count(int64(len(r.Problems)-i))); err != nil {
				return err
			}
			break
		}
		if err := a.say("WRONG: %s: %s", p.Kind, p.Text); err != nil {
			return err
		}
	}
	if !r.OK {
		return nil
	}
	if deep {
		return a.say("verified: every record from the first to the committed offset is in the tables once; every data file is whole")
	}
	return a.say("verified: every record from the first to the committed offset is in the tables once (--deep reads payloads too)")
}
