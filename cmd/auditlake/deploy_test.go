package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/internal/part"
)

const deployed = "../../deploy"

// tool runs an installed program over files of deploy/ and wants it to be content.
func tool(t *testing.T, path, install string, args ...string) string {
	t.Helper()
	_, err := exec.LookPath(path)
	part.Need(t, filepath.Base(path), err == nil, install)
	cmd := exec.Command(path, args...)
	cmd.Dir = deployed
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v\n%s", path, args, out)
	return string(out)
}

func promtool(t *testing.T, args ...string) string {
	t.Helper()
	return tool(t, filepath.Join(part.Dir("promtool"), "promtool"), ".ci/parts/promtool", args...)
}

// toldNames are the names of series in a scrape that has everything.
func toldNames(t *testing.T) map[string]bool {
	t.Helper()
	families, err := fullMonitor().registry().Gather()
	require.NoError(t, err)
	names := map[string]bool{"up": true}
	for _, f := range families {
		names[f.GetName()] = true
		if f.GetMetric()[0].GetHistogram() != nil {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				names[f.GetName()+suffix] = true
			}
		}
	}
	return names
}

// What a query may name: our metrics, the process's, and up.
var metricName = regexp.MustCompile(`\b((?:auditlake|process|go)_[a-z_]+|up)\b`)

func requireTold(t *testing.T, names map[string]bool, used map[string]bool, query string) {
	t.Helper()
	found := metricName.FindAllString(query, -1)
	require.NotEmpty(t, found, query)
	for _, name := range found {
		require.True(t, names[name], "%s: there is no metric %s", query, name)
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); names[base] {
				name = base
			}
		}
		used[name] = true
	}
}

type dashboard struct {
	Title  string
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
}

// Every query of the dashboard is over metrics that there are, and there is none
// that neither the dashboard nor an alert looks at.
func TestDeployDashboardAndAlerts(t *testing.T) {
	var d dashboard
	require.NoError(t, json.Unmarshal([]byte(readFile(t, deployed+"/grafana/auditlake.json")), &d))
	names, used := toldNames(t), map[string]bool{}
	ids := map[int]bool{}
	type rule struct {
		Record string `yaml:"record,omitempty"`
		Alert  string `yaml:"alert,omitempty"`
		Expr   string `yaml:"expr"`
	}
	type rules struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	var queries rules
	queries.Groups = append(queries.Groups, struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}{Name: "dashboard"})
	for i, p := range d.Panels {
		require.False(t, ids[p.ID], "two panels %d", p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			require.False(t, a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H, "%s lies on %s", p.Title, q.Title)
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			requireTold(t, names, used, target.Expr)
			expr := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*").Replace(target.Expr)
			require.NotContains(t, expr, "$")
			queries.Groups[0].Rules = append(queries.Groups[0].Rules, rule{Record: fmt.Sprintf("q%d", len(queries.Groups[0].Rules)), Expr: expr})
		}
	}
	var alerts rules
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, deployed+"/prometheus/alerts.yml")), &alerts))
	tests, manual := readFile(t, deployed+"/prometheus/alerts_test.yml"), readFile(t, "../../docs/operating.md")
	require.NotEmpty(t, alerts.Groups)
	for _, r := range alerts.Groups[0].Rules {
		requireTold(t, names, used, r.Expr)
		require.Regexp(t, `alertname="`+r.Alert+`"(, alertstate="firing"|\}'?, value: [1-9])`, tests, "no test in which it fires")
		require.Contains(t, manual, "`"+r.Alert+"`", "docs/operating.md lists the alerts")
	}
	for name := range names {
		if strings.HasPrefix(name, "auditlake_") && !regexp.MustCompile(`_(bucket|sum|count)$`).MatchString(name) && !used[name] &&
			!slices.Contains([]string{"auditlake_committed_offset"}, name) { // it makes lag_records
			t.Errorf("nothing looks at %s", name)
		}
	}

	text, err := yaml.Marshal(queries)
	require.NoError(t, err)
	promtool(t, "check", "rules", writeFile(t, t.TempDir(), "queries.yml", string(text)))
	promtool(t, "check", "config", "prometheus/prometheus.yml")
	promtool(t, "test", "rules", "prometheus/alerts_test.yml")
}

// What the binary itself says at /metrics is as Prometheus wants it.
func TestScrapeIsWellFormed(t *testing.T) {
	l := newLab(t, "sink: {target_lag: 100ms}")
	address := freeAddress(t)
	configured := writeFile(t, l.dir, "daemon.yaml", readFile(t, l.config)+"metrics: {listen: \""+address+"\"}\n")
	l.send(recordOf(0, prompt(0)), recordOf(1, []byte("no event")))
	var stderr bytes.Buffer
	cmd := exec.Command(realBinary(t), "-c", configured, "run")
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may be over
	text := []byte(nil)
	require.True(t, eventually(func() bool {
		text = scrape(address, "/metrics")
		return bytes.Contains(text, []byte(`auditlake_committed_rows_total{class="prompt"} 1`))
	}, time.Minute), "%s", &stderr)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))

	check := exec.Command(filepath.Join(part.Dir("promtool"), "promtool"), "check", "metrics")
	_, err := exec.LookPath(check.Path)
	part.Need(t, "promtool", err == nil, ".ci/parts/promtool")
	check.Stdin = bytes.NewReader(text)
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}

// shutdown is what a supervisor has to wait for after SIGTERM.
func shutdown(cfg *config.Config) time.Duration {
	return cfg.Sink.ShutdownTimeout.Std() + leaveGrace
}

// deployedConfig loads a configuration as the binary would in its place.
func deployedConfig(t *testing.T, text string, env map[string]string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("auditlake.yaml", "/etc/auditlake", []byte(text), func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	require.NoError(t, err)
	require.NoError(t, cfg.RequireKafka())
	return cfg
}

func TestDeploySystemd(t *testing.T) {
	unit := readFile(t, deployed+"/systemd/auditlake.service")
	value := func(key string) string {
		m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(unit)
		require.NotNil(t, m, key)
		return m[1]
	}
	cfg := deployedConfig(t, readFile(t, deployed+"/systemd/auditlake.yaml"), nil)
	stop, err := time.ParseDuration(value("TimeoutStopSec"))
	require.NoError(t, err)
	require.Greater(t, stop, shutdown(cfg))
	require.Equal(t, "on-failure", value("Restart"))
	require.Equal(t, fmt.Sprintf("%d %d", exitUsage, exitRefused), value("RestartPreventExitStatus"))
	require.Equal(t, fmt.Sprint(exitInterrupted), value("SuccessExitStatus"))
	require.True(t, strings.HasPrefix(cfg.Warehouse, "/var/lib/auditlake/") && value("StateDirectory") == "auditlake")

	command := strings.Fields(value("ExecStart"))
	root := newRoot(&app{getenv: os.LookupEnv})
	found, _, err := root.Find(command[1:])
	require.NoError(t, err)
	require.NoError(t, root.PersistentFlags().Parse(command[1:]))
	require.Equal(t, "run", found.Name())

	_, err = exec.LookPath("systemd-analyze")
	part.Need(t, "systemd-analyze", err == nil, "apt-get install systemd")
	here := writeFile(t, t.TempDir(), "auditlake.service", replaceOne(t, unit, command[0], realBinary(t)))
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", here).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "auditlake.service", "a warning")
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", here).CombinedOutput()
	require.NoError(t, err, "exposed more than 2.0:\n%s", out)
}
