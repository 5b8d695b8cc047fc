package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/internal/nearest"
	"github.com/auditlake/auditlake/queries"
)

// app is what the commands share: the process around them and the global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	exit           func(int) // ends the process; nil where that is not the program's own

	configPath   string
	logLevel     string
	logFormat    string
	detailedExit bool

	cfg *config.Config // of loadConfig
	log *slog.Logger   // of logger

	library    *queries.Library // of openLibrary; the canned queries if nil
	libraryErr error            // the configuration, which may name a folder of queries, cannot be read

	tells bool // of requests that are sent again
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "auditlake",
		Short: "The lakehouse end of an audit log of AI agents",
		Long: `auditlake writes audit events of AI agents from Kafka to Iceberg tables, each exactly
once, and answers questions about them in SQL.

Start here, without a Kafka of your own:   auditlake quickstart

` + exitHelp,
		Args:              a.knownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.globalFlags(root.PersistentFlags())
	complete(root, "log-level", "debug", "info", "warn", "error")
	complete(root, "log-format", "text", "json")
	mustNot(root.MarkPersistentFlagFilename("config", "yaml", "yml"))
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.checkLogFlags() }
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupTry, Title: "To try it:"},
		&cobra.Group{ID: groupLake, Title: "The lake:"},
		&cobra.Group{ID: groupAsk, Title: "Questions:"},
	)
	a.addCommands(root)
	return root
}

func (a *app) globalFlags(f *pflag.FlagSet) {
	f.StringVarP(&a.configPath, "config", "c", "", "configuration `FILE` (else $AUDITLAKE_CONFIG, else ./auditlake.yaml)")
	f.StringVar(&a.logLevel, "log-level", "", "least `LEVEL` logged: debug, info, warn or error (else log.level of the configuration)")
	f.StringVar(&a.logFormat, "log-format", "", "`FORM` of log lines: text or json (else log.format of the configuration)")
	f.BoolVar(&a.detailedExit, "detailed-exit-code", false, "end with 10, not 0, where there was nothing to do")
}

// Groups of commands in the help.
const (
	groupTry  = "try"
	groupLake = "lake"
	groupAsk  = "ask"
)

func (a *app) addCommands(root *cobra.Command) {
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupTry, newQuickstart(a), newDevBroker(a), newProduce(a), newGen(a))
	add(groupLake, newInit(a), newRun(a), newStatus(a), newVerify(a), newMigrate(a), newDeadLetters(a))
	add(groupAsk, newSQL(a), newQuery(a))
	add("", newSchema(a), newVersion(a))
}

// knownCommand refuses words that are no command, for the root itself takes none.
func (a *app) knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, word string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := fmt.Sprintf("`%s --help` lists them", cmd.CommandPath())
	if near := nearest.Word(word, names); near != "" {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near)
	}
	return &usageError{fmt.Sprintf("unknown command %q", word), hint}
}

// flagError turns pflag's errors into one line that helps.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	hint := fmt.Sprintf("`%s --help` lists the flags", cmd.CommandPath())
	if word, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var names []string
		visit := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(visit)
		cmd.InheritedFlags().VisitAll(visit)
		word, _, _ = strings.Cut(word, "=")
		if near := nearest.Word(word, names); near != "" {
			hint = fmt.Sprintf("did you mean --%s?", near)
		}
	}
	return &usageError{text, hint}
}

// takes checks the number of arguments and says what they are.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %s: `%s --help` shows how", cmd.CommandPath(), what, cmd.CommandPath())
		case most == 0 && len(args) > 0:
			return usagef("%s takes no argument, found %q", cmd.CommandPath(), args[0])
		case most >= 0 && len(args) > most:
			return usagef("%s takes %s and no more, found %q", cmd.CommandPath(), what, args[most])
		}
		return nil
	}
}

func (a *app) checkLogFlags() error {
	if a.logLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, a.logLevel) {
		return usagef("--log-level %q is not known: it is one of debug, info, warn, error", a.logLevel)
	}
	if a.logFormat != "" && a.logFormat != "text" && a.logFormat != "json" {
		return usagef("--log-format %q is not known: it is one of text, json", a.logFormat)
	}
	return nil
}

// loadConfig reads the configuration file, once.
func (a *app) loadConfig() (*config.Config, error) {
	if a.cfg != nil {
		return a.cfg, nil
	}
	cfg, err := config.Load(config.Resolve(a.configPath, a.getenv), a.getenv)
	if err != nil {
		return nil, err
	}
	if _, err := partitionSpecs(cfg); err != nil { // config does not know the columns
		return nil, err
	}
	a.cfg = cfg
	return cfg, nil
}

// loadKafkaConfig is loadConfig for commands that talk to Kafka.
func (a *app) loadKafkaConfig() (*config.Config, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	return cfg, cfg.RequireKafka()
}

// logger logs to stderr as flags and configuration say.
func (a *app) logger() *slog.Logger {
	if a.log != nil {
		return a.log
	}
	settings := config.Default().Log
	if a.cfg != nil {
		settings = a.cfg.Log
	}
	if a.logLevel != "" {
		settings.Level = a.logLevel
	}
	var level slog.Level
	mustNot(level.UnmarshalText([]byte(settings.Level)))
	opts := &slog.HandlerOptions{Level: level}
	if a.logsJSON() {
		a.log = slog.New(slog.NewJSONHandler(a.stderr, opts))
	} else {
		a.log = slog.New(slog.NewTextHandler(a.stderr, opts))
	}
	return a.log
}

func (a *app) logsJSON() bool {
	if a.logFormat != "" {
		return a.logFormat == "json"
	}
	return a.cfg != nil && a.cfg.Log.Format == "json"
}

// note tells the user something on stderr: results alone go to stdout.
func (a *app) note(format string, args ...any) {
	text := queries.Visible(fmt.Sprintf(format, args...))
	if a.logsJSON() {
		slog.New(slog.NewJSONHandler(a.stderr, nil)).Info(text)
		return
	}
	_, _ = fmt.Fprintln(a.stderr, text)
}

// say writes a line of the result.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", args...)
	return err
}

// complete offers words for a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	mustNot(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// mustNot is for errors that only a mistake in this program can cause.
func mustNot(err error) {
	if err != nil {
		panic(err)
	}
}
