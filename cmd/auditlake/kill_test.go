package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/sink"
)

var killCount = flag.Int("kills", 3, "how often TestKillRandom kills the sink")

const killTopic = "agent-events"

// killLab is a broker in this process and the real binary beside it.
type killLab struct {
	t      *testing.T
	binary string
	config string
	client *kgo.Client
	sent   int // records in the topic
}

// newKillLab starts a broker and makes the tables. Small
// batches and a short session make a sink commit often and die quickly.
func newKillLab(t *testing.T) *killLab {
	dir := t.TempDir()
	lab := &killLab{t: t, binary: realBinary(t), config: filepath.Join(dir, "auditlake.yaml")}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, killTopic), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	config := fmt.Sprintf(`kafka: {brokers: [%q], topics: [%s], session_timeout: 600ms}
catalog: {type: sqlite, uri: catalog.db}
warehouse: warehouse
sink: {target_lag: 150ms, max_batch_rows: 400}
`, broker.ListenAddrs()[0], killTopic)
	require.NoError(t, os.WriteFile(lab.config, []byte(config), 0o644))
	lab.client, err = kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.DefaultProduceTopic(killTopic))
	require.NoError(t, err)
	t.Cleanup(lab.client.Close)
	lab.run("init")
	return lab
}

// produce sends n records, one in twenty of them no event.
func (l *killLab) produce(n int) {
	var records []*kgo.Record
	for range n {
		i := l.sent
		l.sent++
		value := fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"/kill","type":"agent.prompt","time":%q,"sessionid":"s%d"}`,
			i, time.Now().UTC().Format(time.RFC3339Nano), i%50)
		if i%20 == 7 {
			value = fmt.Sprintf("no event %d", i)
		}
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "s%d", i%50), Value: []byte(value)})
	}
	require.NoError(l.t, l.client.ProduceSync(context.Background(), records...).FirstErr())
}

// run runs the binary to its end.
func (l *killLab) run(args ...string) string {
	out, err := exec.Command(l.binary, append([]string{"-c", l.config}, args...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.NoError(l.t, err, "%v\n%s\n%s", args, out, exit.Stderr)
	}
	require.NoError(l.t, err)
	return string(out)
}

// start starts a sink that runs until it is killed, or caught up.
func (l *killLab) start(env ...string) *exec.Cmd {
	cmd := exec.Command(l.binary, "-c", l.config, "run", "--until-caught-up")
	cmd.Env = append(os.Environ(), env...)
	require.NoError(l.t, cmd.Start())
	return cmd
}

// requireKilled wants the child to have died of SIGKILL.
func requireKilled(t *testing.T, cmd *exec.Cmd, what string) {
	err := cmd.Wait()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s: the sink was to be killed, it ended with %v", what, err)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), what)
}

// finish lets a sink catch up and then counts, by verify and by SQL.
func (l *killLab) finish() {
	l.run("run", "--until-caught-up")
	var report struct {
		OK       bool              `json:"ok"`
		Problems []json.RawMessage `json:"problems"`
	}
	require.NoError(l.t, json.Unmarshal([]byte(l.run("verify", "--json")), &report))
	require.True(l.t, report.OK, "%s", report.Problems)
	got := l.run("sql", "-o", "csv", `SELECT count(*) AS n, count(DISTINCT (kafka_topic, kafka_partition, kafka_offset)) AS d
		FROM (SELECT kafka_topic, kafka_partition, kafka_offset FROM agent_log
		      UNION ALL SELECT kafka_topic, kafka_partition, kafka_offset FROM dead_letters)`)
	lines := strings.Split(strings.TrimSpace(got), "\n")
	require.Equal(l.t, fmt.Sprintf("%d,%d", l.sent, l.sent), lines[len(lines)-1])
}

// The sink dies once at each named step of the snapshot commit.
func TestKillAtEveryStep(t *testing.T) {
	lab := newKillLab(t)
	for _, step := range sink.Steps {
		lab.produce(300)
		requireKilled(t, lab.start("AUDITLAKE_TEST_KILL_AT="+step), step)
	}
	lab.finish()
}

// The sink dies at random moments while records keep coming.
func TestKillRandom(t *testing.T) {
	lab := newKillLab(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range *killCount {
		lab.produce(1500)
		cmd := lab.start()
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
		_ = cmd.Process.Kill() // it may have caught up already
		_ = cmd.Wait()
	}
	lab.finish()
}

// Two sinks share the topic; one is killed, then both go on.
func TestKillOneOfTwo(t *testing.T) {
	lab := newKillLab(t)
	lab.produce(2000)
	killed, steps := 0, []string{sink.StepAfterUpload, sink.StepBetweenTables, sink.StepAfterSnapshotCommit}
	for round := 0; round < len(steps) || killed == 0 && round < 20; round++ {
		step := steps[round%len(steps)]
		lab.produce(500)
		victim, survivor := lab.start("AUDITLAKE_TEST_KILL_AT="+step), lab.start()
		if victim.Wait() != nil { // else the survivor was faster
			killed++
		}
		require.NoError(t, survivor.Wait())
	}
	require.NotZero(t, killed, "no sink died")
	lab.finish()
}
