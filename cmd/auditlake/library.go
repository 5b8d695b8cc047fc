package main

import (
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/queries"
)

// queriesFlag is the folder of an analyst's own queries.
func queriesFlag(f *pflag.FlagSet, dir *string) {
	f.StringVar(dir, "queries", "", "list and run the .sql files of this `FOLDER` too (else sql.queries_dir of the configuration)")
}

// openLibrary finds the queries that the arguments can name. Each is a command of
// its own, made before the flags are parsed, so this reads ahead of the parser
// the flags that decide what there is. Only `query` needs it.
func (a *app) openLibrary(args []string) error {
	ahead := &app{getenv: a.getenv}
	var dir string
	f := pflag.NewFlagSet("ahead", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.Usage = func() {}
	f.BoolP("help", "h", false, "") // else it would end the parsing
	ahead.globalFlags(f)
	queriesFlag(f, &dir)
	if err := f.Parse(args); err != nil {
		return nil // the parser proper says so too
	}
	words, completing := f.Args(), false
	if len(words) > 0 && slices.Contains([]string{"help", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, words[0]) {
		words, completing = words[1:], words[0] != "help"
	}
	if len(words) == 0 || words[0] != "query" {
		return nil
	}
	if dir == "" {
		if dir = a.configuredQueries(ahead.configPath); dir == "" {
			return nil
		}
	}
	library, err := queries.OpenLibrary(dir)
	if err == nil {
		a.library = library
	}
	if completing {
		return nil // the folder's name may be what is being completed
	}
	return err
}

// configuredQueries is sql.queries_dir. The list and the help do without a
// configuration; what is wrong with it is told where it matters.
func (a *app) configuredQueries(flag string) string {
	path := config.Resolve(flag, a.getenv)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	cfg, err := config.Load(path, a.getenv)
	if err != nil {
		a.libraryErr = err
		return ""
	}
	return cfg.SQL.QueriesDir
}

// queryLibrary is what [app.openLibrary] found.
func (a *app) queryLibrary() *queries.Library {
	if a.library == nil {
		return queries.Canned()
	}
	return a.library
}
