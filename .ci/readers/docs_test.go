package readers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/part"
)

var codeBlock = regexp.MustCompile("(?s)```(bash|python)\n(.*?)```\n")

// page gives the blocks of docs/real-parts.md by language, with ports that are free.
func page(t *testing.T) map[string][]string {
	text, err := os.ReadFile("../../docs/real-parts.md")
	require.NoError(t, err)
	blocks := map[string][]string{}
	ports := map[string]string{}
	for _, port := range []string{"9092", "9093", "7070", "5432", "8181"} {
		_, ports[port], _ = strings.Cut(part.FreeAddress(t), ":")
	}
	for _, m := range codeBlock.FindAllStringSubmatch(string(text), -1) {
		block := m[2]
		for port, free := range ports {
			block = strings.ReplaceAll(block, port, free)
		}
		blocks[m[1]] = append(blocks[m[1]], block)
	}
	return blocks
}

// What docs/real-parts.md tells a person to type does what it says.
func TestDocs(t *testing.T) {
	interpreter := python(t)
	blocks := page(t)
	require.Len(t, blocks["bash"], 6)
	require.Len(t, blocks["python"], 3)
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	require.NoError(t, os.Symlink(auditlake(t), filepath.Join(bin, "auditlake")))

	// The servers run until the script's input ends, with this process if not before.
	script := "set -euo pipefail\ntrap 'kill $(jobs -p); wait; rm -rf \"${database:-}\"' EXIT\n" + strings.Join(blocks["bash"], "\n") + "\ntouch ready\nread -r _ || true\n"
	shell := exec.Command("bash", "-c", script)
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")+":"+goBin(t))
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := shell.StdinPipe()
	require.NoError(t, err)
	output, err := os.Create(filepath.Join(dir, "output"))
	require.NoError(t, err)
	defer output.Close()
	shell.Stdout, shell.Stderr = output, output
	require.NoError(t, shell.Start())
	ended := make(chan struct{})
	go func() { _ = shell.Wait(); close(ended) }() // how it ended shows in what is missing
	defer func() {
		_ = input.Close()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
		}
	}()
	said := func() string { b, _ := os.ReadFile(output.Name()); return string(b) }
	for deadline := time.Now().Add(3 * time.Minute); !exists(filepath.Join(dir, "ready")) && time.Now().Before(deadline); {
		select {
		case <-ended:
			deadline = time.Now()
		case <-time.After(100 * time.Millisecond):
		}
	}
	require.FileExists(t, filepath.Join(dir, "ready"), "%s", said())
	for words, n := range map[string]int{`created +\S+\.agent_events`: 3, `created +\S+\.dead_letters`: 3, `committed 5,000 events`: 3, `verified: every record`: 3} {
		require.Len(t, regexp.MustCompile(words).FindAllString(said(), -1), n, "%s in %s", words, said())
	}

	l := &lake{t: t, config: filepath.Join(dir, "auditlake.yaml")}
	var want []struct{ Line string }
	require.NoError(t, json.Unmarshal([]byte(l.must("sql", "--json",
		`SELECT count(*) FILTER (event_class = 'tool_call') || ' of ' || count(*) AS line FROM agent_log`)), &want))
	require.True(t, strings.HasSuffix(want[0].Line, " of 5000"), want[0].Line)
	for _, program := range blocks["python"] {
		program = strings.ReplaceAll(program, "~/.cache/auditlake-parts/spark", part.Dir("spark"))
		cmd := exec.Command(interpreter, "-c", program)
		cmd.Dir = dir
		out, err := cmd.Output()
		require.NoError(t, err, "%s", program)
		require.Equal(t, want[0].Line+"\n", string(out), "%s", program)
	}
}

// goBin is where `go install` puts programs.
func goBin(t *testing.T) string {
	out, err := exec.Command("go", "env", "GOPATH").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(out)), "bin")
}
