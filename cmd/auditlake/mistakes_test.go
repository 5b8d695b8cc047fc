package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMistakes walks what people get wrong: each ends in one line on stderr that
// says what to do, nothing on stdout, and its exit code.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("AUDITLAKE_CONFIG", "")
	good := writeConfig(t, dir, "good.yaml", "")
	noKafka := writeFile(t, dir, "nokafka.yaml", "catalog: {uri: c.db}\nwarehouse: wh\n")
	typo := writeConfig(t, dir, "typo.yaml", "sink: {target_lagg: 5s}\n")
	badTable := writeConfig(t, dir, "table.yaml", "tables: {agent_event: {partition_by: [event_class]}}\n")
	badTerm := writeConfig(t, dir, "term.yaml", "tables: {agent_events: {partition_by: [\"dya(event_time)\"]}}\n")
	badCA := writeConfig(t, dir, "ca.yaml", "sink: {workers: 1}\n", "kafka:", "kafka: {brokers: [\"127.0.0.1:1\"], topics: [t], tls: {enabled: true, ca_file: none.pem}}")
	for _, tc := range []struct {
		name string
		args string
		code int
		want string
	}{
		{"no such command", "stats", exitUsage, "unknown command \"stats\": did you mean `auditlake status`?"},
		{"no such subcommand", "dead-letters lst", exitUsage, "unknown command \"lst\": did you mean `auditlake dead-letters list`?"},
		{"subcommand missing", "dead-letters", exitUsage, "dead-letters needs one of list, show, replay"},
		{"no such query", "query compleetness", exitUsage, `there is no query "compleetness": did you mean ` + "`auditlake query completeness`?"},
		{"no such flag", "status --jsn", exitUsage, "unknown flag: --jsn: did you mean --json?"},
		{"flag without its value", "status --config", exitUsage, "flag needs an argument: --config"},
		{"word for a number", "sql --snapshot latest SELECT", exitUsage, `invalid argument "latest" for "--snapshot" flag`},
		{"argument too many", "init here", exitUsage, `auditlake init takes no argument, found "here"`},
		{"argument missing", "dead-letters show", exitUsage, "auditlake dead-letters show needs one TOPIC/PARTITION/OFFSET"},
		{"form that is none", "status -o xml", exitUsage, `-o "xml" is not known here: it is one of table, json`},
		{"forms that contradict", "version --json -o table -o csv", exitUsage, "--json and -o csv contradict each other"},
		{"log level", "status --log-level loud", exitUsage, `--log-level "loud" is not known`},
		{"no configuration", "status -c " + dir + "/none.yaml", exitUsage, "none.yaml: no such configuration file: write one"},
		{"key that is none", "status -c " + typo, exitUsage, `typo.yaml:4:8: unknown key "target_lagg" in sink: did you mean "target_lag"?`},
		{"no Kafka configured", "run -c " + noKafka, exitUsage, "nokafka.yaml: kafka.brokers is missing: name the brokers"},
		{"table that is none", "init -c " + badTable, exitUsage, "table.yaml:4:23: tables.agent_event: there is no table agent_event: did you mean agent_events?"},
		{"transform that is none", "init -c " + badTerm, exitUsage, `term.yaml:4:39: tables.agent_events.partition_by: partition term "dya(event_time)": unknown transform "dya"`},
		{"the same, to a sink", "run -c " + badTerm, exitUsage, `unknown transform "dya"`},
		{"the same, to a reader", "sql -c " + badTerm + " SELECT", exitUsage, `unknown transform "dya"`},
		{"certificate that is none", "run -c " + badCA, exitUsage, "kafka.tls.ca_file: open"},
		{"nobody listens", "run -c " + good, exitFailed, "no Kafka broker answers at 127.0.0.1:1: check kafka.brokers"},
		{"not initialized", "status -c " + good, exitUsage, "run `auditlake init`"},
		{"no SQL", "sql -c " + good, exitUsage, "sql needs one SELECT, in quotes or by -f FILE"},
		{"SQL file that is none", "sql -f none.sql -c " + good, exitUsage, "--file: open none.sql: no such file or directory"},
		{"time that is none", "sql --from yesterday SELECT -c " + good, exitUsage, `--from: "yesterday" is not a time`},
		{"dead letter that is none", "dead-letters show 17 -c " + good, exitUsage, `"17" names no dead letter: write TOPIC/PARTITION/OFFSET`},
		{"replay of nothing named", "dead-letters replay -c " + good, exitUsage, "replay needs to know which dead letters"},
		{"schema that is none", "schema agent_event", exitUsage, "did you mean `auditlake schema agent_events`?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := call(t, strings.Fields(tc.args)...)
			require.Equal(t, tc.code, r.code, r.stderr)
			require.Contains(t, r.stderr, tc.want)
			require.True(t, strings.HasPrefix(r.stderr, "auditlake: "), r.stderr)
			require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
			require.Empty(t, r.stdout)
		})
	}
}

// An init that is refused leaves nothing of a catalog that was not there.
func TestRefusedInitMakesNoCatalog(t *testing.T) {
	for name, prepare := range map[string]func(dir string){
		"a file for a folder": func(dir string) { writeFile(t, dir, "warehouse", "") },
		"stray data files": func(dir string) {
			folder := filepath.Join(dir, "warehouse/audit/agent_events/data")
			require.NoError(t, os.MkdirAll(folder, 0o755))
			writeFile(t, folder, "a.parquet", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(dir)
			config := writeFile(t, dir, "auditlake.yaml", "catalog: {uri: lake/of/catalog.db}\nwarehouse: warehouse\n")
			r := call(t, "-c", config, "init")
			require.Equal(t, exitUsage, r.code, r.stderr)
			require.NoDirExists(t, filepath.Join(dir, "lake"))

			// One that was there stays, and so does its folder.
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "lake/of"), 0o755))
			require.Equal(t, exitUsage, call(t, "-c", config, "init").code)
			require.DirExists(t, filepath.Join(dir, "lake/of"))
			writeFile(t, filepath.Join(dir, "lake/of"), "catalog.db", "")
			require.Equal(t, exitUsage, call(t, "-c", config, "init").code)
			require.FileExists(t, filepath.Join(dir, "lake/of/catalog.db"))
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "warehouse")))
			mustCall(t, "-c", config, "init")
			require.FileExists(t, filepath.Join(dir, "lake/of/catalog.db"))
		})
	}
}

// writeConfig writes a configuration in which nobody listens at the broker; a
// pair of line prefix and line replaces that line.
func writeConfig(t *testing.T, dir, name, more string, replace ...string) string {
	t.Helper()
	text := "kafka: {brokers: [\"127.0.0.1:1\"], topics: [agent-events]}\n" +
		"catalog: {uri: " + dir + "/lake/catalog.db}\nwarehouse: " + dir + "/lake/warehouse\n" + more
	lines := strings.Split(text, "\n")
	for i := range lines {
		for j := 0; j+1 < len(replace); j += 2 {
			if strings.HasPrefix(lines[i], replace[j]) {
				lines[i] = replace[j+1]
			}
		}
	}
	return writeFile(t, dir, name, strings.Join(lines, "\n"))
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestErrorsForMachines(t *testing.T) {
	r := call(t, "status", "--log-format", "json", "-c", "none.yaml")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, `"level":"ERROR"`)
	require.Contains(t, r.stderr, `"exit_code":2`)
	require.Equal(t, 1, strings.Count(r.stderr, "\n"))
}
