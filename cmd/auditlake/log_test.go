package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// jsonLines wants every line to be a JSON object with time, level and msg.
func jsonLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(text) {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &v), line)
		for _, key := range []string{"time", "level", "msg"} {
			require.NotEmpty(t, v[key], line)
		}
		lines = append(lines, v)
	}
	return lines
}

// Whatever `run` says on stderr is JSON when that is asked for: at work, when it
// is told to stop, when it fails.
func TestRunLogsJSON(t *testing.T) {
	l := newLab(t, "sink: {target_lag: 100ms}", "log: {format: json}")
	address := freeAddress(t)
	configured := writeFile(t, l.dir, "daemon.yaml", readFile(t, l.config)+"metrics: {listen: \""+address+"\"}\n")
	for i := range 9 {
		l.send(recordOf(i%3, prompt(i)))
	}
	var stderr bytes.Buffer
	cmd := exec.Command(realBinary(t), "-c", configured, "run")
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may be over
	require.True(t, eventually(func() bool {
		return bytes.Contains(scrape(address, "/metrics"), []byte(`committed_rows_total{class="prompt"} 9`))
	}, time.Minute), "%s", &stderr)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	said := map[string]map[string]any{}
	for _, line := range jsonLines(t, stderr.String()) {
		said[line["msg"].(string)] = line
	}
	require.Contains(t, said, "watched")
	require.EqualValues(t, labTopic, said["assigned"]["topic"])
	require.NotZero(t, said["snapshot commit"]["rows"])

	for name, text := range map[string]string{
		"a job that is caught up":  readFile(t, l.config),
		"a broker that is not":     strings.Replace(readFile(t, l.config), l.broker, freeAddress(t), 1),
		"a topic that is not":      strings.Replace(readFile(t, l.config), labTopic, "no-such-topic", 1),
		"an address that is taken": readFile(t, l.config) + "metrics: {listen: \"" + l.broker + "\"}\n",
	} {
		path := writeFile(t, l.dir, "other.yaml", text)
		r := call(t, "-c", path, "run", "--until-caught-up")
		lines := jsonLines(t, r.stderr)
		if r.code == exitDone {
			continue
		}
		require.NotEmpty(t, lines, name)
		last := lines[len(lines)-1]
		require.EqualValues(t, "ERROR", last["level"], name)
		require.EqualValues(t, r.code, last["exit_code"], name)
	}
	// A configuration that cannot be read has no log.format: the flag has.
	r := call(t, "--log-format", "json", "-c", writeFile(t, l.dir, "bad.yaml", "no: key\n"), "run")
	require.Equal(t, exitUsage, r.code)
	require.EqualValues(t, exitUsage, jsonLines(t, r.stderr)[0]["exit_code"])
}
