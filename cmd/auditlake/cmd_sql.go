package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/queries"
)

func newSQL(a *app) *cobra.Command {
	var (
		file                    string
		setup, explain, analyze bool
	)
	cmd := &cobra.Command{
		Use:   `sql "SELECT ..."`,
		Short: "Ask the tables a question in SQL",
		Long: `Runs one SELECT of DuckDB's SQL over the tables and views of the lake; "SHOW TABLES" lists them. It can read
nothing else and change nothing. --from and --to keep rows by event_time and save reading the other files.

--setup prints the script that gives a plain DuckDB the same tables and views.`,
		Example: `  auditlake sql "SELECT event_class, count(*) FROM agent_events GROUP BY ALL ORDER BY 2 DESC"
  auditlake sql --from 7d -o csv "FROM tool_calls WHERE status = 'error'" > errors.csv
  auditlake sql --as-of 2026-03-14 -f question.sql
  auditlake sql --setup > setup.sql && duckdb -init setup.sql`,
		Args: takes(0, 1, "one SELECT, in quotes"),
	}
	scan := addScanFlags(cmd)
	out := addRowsFlags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the SQL from `FILE` (- is stdin)")
	cmd.Flags().BoolVar(&setup, "setup", false, "print the script for a plain DuckDB and run nothing")
	cmd.Flags().BoolVar(&explain, "explain", false, "say which files it reads, and DuckDB's plan; fetch and run nothing")
	cmd.Flags().BoolVar(&analyze, "analyze", false, "run it and print what each step took")
	mustNot(cmd.MarkFlagFilename("file", "sql"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (setup && explain) || (setup && analyze) || (explain && analyze) {
			return usagef("--setup, --explain and --analyze do different things: give one of them")
		}
		text, err := a.sqlText(args, file, setup)
		if err != nil {
			return err
		}
		s, err := scan.parse(time.Now())
		if err != nil {
			return err
		}
		return a.withSession(cmd.Context(), s, func(_ *catalog.Catalog, session *queries.Session) error {
			form, err := a.rows(out)
			if err != nil {
				return err
			}
			if setup {
				script, err := session.SetupScript(cmd.Context())
				if err != nil {
					return err
				}
				return a.say("%s", strings.TrimSuffix(script, "\n"))
			}
			return a.watched(cmd.Context(), func(w io.Writer) error {
				switch {
				case explain:
					return a.explain(form.Format, func() (queries.Reading, error) { return session.Explain(cmd.Context(), text) })
				case analyze:
					return session.Analyze(cmd.Context(), text, w)
				}
				_, err := session.SQL(cmd.Context(), text, form, w)
				return err
			})
		})
	}
	return cmd
}

// sqlText is the SQL of the command line, of a file or of stdin.
func (a *app) sqlText(args []string, file string, setup bool) (string, error) {
	given := len(args)
	if file != "" {
		given++
	}
	if setup {
		if given > 0 {
			return "", usagef("--setup prints a script and runs no SQL: leave the SQL out")
		}
		return "", nil
	}
	if given != 1 {
		return "", usagef("sql needs one SELECT, in quotes or by -f FILE: `auditlake sql --help` shows how")
	}
	text := []byte(strings.Join(args, ""))
	var err error
	switch file {
	case "":
	case "-":
		text, err = readSQL(a.stdin)
	default:
		var f *os.File
		if f, err = os.Open(file); err == nil {
			text, err = readSQL(f)
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return "", usagef("--file: %v", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return "", usagef("the SQL is empty: write a SELECT")
	}
	return string(text), nil
}

// maxSQL is far more than a question needs.
const maxSQL = 1 << 20

func readSQL(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSQL+1))
	if err == nil && len(text) > maxSQL {
		err = errors.New("it is larger than 1 MiB: is it SQL?")
	}
	return text, err
}
