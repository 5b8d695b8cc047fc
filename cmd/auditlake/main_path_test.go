package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The real agent runs, through the whole main path, twice: their known answers
// stay the same when a producer sends everything again.
func TestAirlineRuns(t *testing.T) {
	file := runsFile(t)
	l := newLab(t)
	for sent := 1; sent <= 2; sent++ {
		require.Contains(t, l.must("produce", file), "sent 6,484 records")
		l.catchUp()
		l.requireVerified()

		require.EqualValues(t, 6484*sent, l.value(`SELECT count(*) FROM agent_log`), "a row a record")
		require.EqualValues(t, 6484, l.value(`SELECT count(*) FROM agent_events`), "an event once")
		require.EqualValues(t, 200, l.value(`SELECT count(DISTINCT session_id) FROM agent_events`))
		require.Equal(t, []map[string]any{
			{"event_class": "action", "n": 298.0}, {"event_class": "context_retrieval", "n": 678.0}, {"event_class": "evaluation", "n": 200.0},
			{"event_class": "input", "n": 200.0}, {"event_class": "output", "n": 2454.0}, {"event_class": "prompt", "n": 1490.0},
			{"event_class": "tool_call", "n": 1164.0},
		}, l.rows(`SELECT event_class, count(*) AS n FROM agent_events GROUP BY ALL ORDER BY ALL`))
		require.Equal(t, []map[string]any{
			{"agent_version": "trial-0", "won": 21.0, "of": 50.0}, {"agent_version": "trial-1", "won": 22.0, "of": 50.0},
			{"agent_version": "trial-2", "won": 20.0, "of": 50.0}, {"agent_version": "trial-3", "won": 21.0, "of": 50.0},
		}, l.rows(`SELECT agent_version, count(*) FILTER (evaluation_score = 1.0) AS won, count(*) AS "of"
			FROM agent_events WHERE event_class = 'evaluation' GROUP BY ALL ORDER BY ALL`))
		require.EqualValues(t, 0, l.value(`SELECT count(*) FROM dead_letters`))
	}
}

// init, produce, run, status, sql: the smallest configuration, as in the README.
func TestMainPath(t *testing.T) {
	l := newLab(t)
	lines := make([]string, 100)
	for i := range lines {
		lines[i] = string(prompt(i))
	}
	file := writeFile(t, l.dir, "events.ndjson", strings.Join(lines, "\n")+"\n")
	require.Contains(t, l.must("produce", file), "sent 100 records")

	var before, after status
	require.NoError(t, json.Unmarshal([]byte(l.must("status", "--json")), &before))
	require.EqualValues(t, 100, *before.Lag)
	require.Contains(t, l.must("run", "--until-caught-up"), "committed 100 events and 0 dead letters in 1 snapshot commit")
	require.NoError(t, json.Unmarshal([]byte(l.must("status", "--json")), &after))
	require.EqualValues(t, 0, *after.Lag)
	require.Len(t, after.TopicPartitions, 3)
	require.EqualValues(t, 100, after.Tables[0].Rows)
	require.EqualValues(t, 1, after.Tables[0].SmallRatio)
	require.Less(t, *after.Tables[0].AgeSeconds, 60.0)
	l.requireVerified()

	require.Contains(t, l.must("run", "--until-caught-up"), "nothing new: the tables hold every record that can be read")
	require.Equal(t, exitNothingToDo, l.call("run", "--until-caught-up", "--detailed-exit-code").code)
	require.Equal(t, exitNothingToDo, l.call("init", "--detailed-exit-code").code)
	require.Contains(t, l.must("init"), "exists  audit.agent_events")
	require.Equal(t, exitNothingToDo, l.call("migrate", "--detailed-exit-code").code)
}

// A line that is no event is refused with its number, or sent with --raw and
// found again as a dead letter.
func TestProduceRefusesWhatIsNoEvent(t *testing.T) {
	l := newLab(t)
	file := writeFile(t, l.dir, "bad.ndjson", string(prompt(1))+"\n"+string(prompt(2))+"\n{\"specversion\":\"1.0\"}\n"+string(prompt(4))+"\n")
	r := l.call("produce", file)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "bad.ndjson:3: ")
	require.Contains(t, r.stderr, "(sent: 2 lines before it, nothing after it): mend the line, or give --raw")
	require.Equal(t, 1, strings.Count(r.stderr, "\n"))
	l.must("produce", "--raw", file)
	l.catchUp()
	require.EqualValues(t, 5, l.value(`SELECT count(*) FROM agent_log`))
	require.Equal(t, []map[string]any{{"error_class": "missing"}}, l.rows(`SELECT error_class FROM dead_letters`))
	l.requireVerified()
}

// verify finds what a bad disk or a bad hand does to the lake, and ends with 5.
func TestVerifyFindsALostFile(t *testing.T) {
	l := newLab(t)
	for i := range 30 {
		l.send(recordOf(i%3, prompt(i)))
	}
	l.catchUp()
	l.requireVerified()
	files, err := filepath.Glob(filepath.Join(l.dir, "warehouse", "audit", "agent_events", "data", "*", "*", "*.parquet"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.NoError(t, os.Rename(files[0], files[0]+".away"))
	r := l.call("verify")
	require.Equal(t, exitFindings, r.code)
	require.Contains(t, r.stdout, "WRONG: file_missing")
	require.Contains(t, r.stdout, "WRONG: gap")
	require.Contains(t, r.stderr, "verification found")
	require.NoError(t, os.Rename(files[0]+".away", files[0]))
	l.requireVerified()

	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Contains(t, l.must("verify", "--deep"), "every data file is whole")
	flipped := bytes.Clone(text)
	footer := len(text) - 8 - int(binary.LittleEndian.Uint32(text[len(text)-8:]))
	flipped[footer/2] ^= 1 // in a page: the footer has no checksum
	require.NoError(t, os.WriteFile(files[0], flipped, 0o644))
	require.Equal(t, exitFindings, l.call("verify", "--deep").code)
	require.NoError(t, os.WriteFile(files[0], text[:len(text)-1], 0o644))
	require.Contains(t, l.call("verify", "--json").stdout, `"kind": "file_size"`)
}

// init refuses what it cannot tell to be safe, with the way out.
func TestInitRefuses(t *testing.T) {
	l := newLab(t)
	l.send(recordOf(0, prompt(1)))
	l.catchUp()
	catalog := filepath.Join(l.dir, "catalog.db")

	require.NoError(t, os.Rename(catalog, catalog+".away"))
	r := l.call("init")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "holds data files of a table that this catalog does not know: restore its catalog, or use another warehouse or catalog.namespace")
	require.NoFileExists(t, catalog, "nothing is left of the new one")
	require.NoError(t, os.Rename(catalog+".away", catalog))
	l.requireVerified()

	warehouse := filepath.Join(l.dir, "warehouse")
	require.NoError(t, os.Rename(warehouse, warehouse+".away"))
	r = l.call("init")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "metadata file is gone: restore the warehouse")
}

// Several workers of one process share the topic partitions.
func TestWorkers(t *testing.T) {
	l := newLab(t, "sink: {workers: 3, max_batch_rows: 100}")
	for i := range 900 {
		l.send(recordOf(i%3, prompt(i)), recordOf(i%3, []byte("no event")))
	}
	l.catchUp()
	require.EqualValues(t, 900, l.value(`SELECT count(*) FROM agent_log`))
	require.EqualValues(t, 900, l.value(`SELECT count(*) FROM dead_letters`))
	l.requireVerified()
}

// quickstart runs whole, again without adding anything, and keeps out of a folder
// that is somebody's own.
func TestQuickstart(t *testing.T) {
	dir := t.TempDir()
	first := mustCall(t, "quickstart", "--dir", filepath.Join(dir, "qs"))
	require.Contains(t, first, "committed 12,000 events and 0 dead letters")
	config := filepath.Join(dir, "qs", "auditlake.yaml")
	require.Contains(t, first, "verify -c "+config)
	require.Contains(t, mustCall(t, "quickstart", "--dir", filepath.Join(dir, "qs")), "nothing to add")
	require.Equal(t, exitNothingToDo, call(t, "quickstart", "--dir", filepath.Join(dir, "qs"), "--detailed-exit-code").code)
	require.Contains(t, mustCall(t, "verify", "-c", config), "verified: every record")
	require.Equal(t, "n\n12000\n", mustCall(t, "sql", "-c", config, "-o", "csv", "SELECT count(*) AS n FROM agent_events"))

	writeConfig(t, dir, "auditlake.yaml", "")
	r := call(t, "quickstart", "--dir", dir)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "auditlake.yaml is not of quickstart's making: name another folder by --dir")
	require.NoDirExists(t, filepath.Join(dir, "broker"))
}
