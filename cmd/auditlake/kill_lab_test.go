package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/internal/part"
)

// killLab is servers, the real binary, and one lake after another: a topic, a
// namespace and a consumer group of its own each.
type killLab struct {
	t      *testing.T
	parts  killParts
	binary string
	plain  *kgo.Client
	tx     *kgo.Client // transactional
	lakes  int

	// Of the current lake.
	name    string // of topic, namespace and group
	config  string // path
	made    int    // records, aborted ones included
	sent    map[place]string
	workers []*worker // that have not been seen to end
	past    []*worker // the last ones that ended
	count   tallyOfKills
}

// place is where Kafka put a record.
type place struct {
	partition int32
	offset    int64
}

// killPartitions is more than there are ever sinks: each is given one.
const killPartitions = 6

// deadLetter stands in killLab.sent, and in what is read back, for an event's id.
const deadLetter = "(dead letter)"

// newKillLab starts a lab with its first lake.
func newKillLab(t *testing.T, parts killParts) *killLab {
	l := &killLab{t: t, parts: parts, binary: realBinary(t)}
	client := func(more ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(more, kgo.SeedBrokers(l.parts.broker), kgo.MetadataMinAge(100*time.Millisecond))...)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	l.plain, l.tx = client(), client(kgo.TransactionalID("kill"))
	t.Cleanup(func() {
		for _, w := range l.workers {
			w.Kill()
		}
		if t.Failed() {
			for _, w := range append(l.past, l.workers...) {
				t.Logf("%s ended with %v and had said:\n%s", w.name, w.cmd.ProcessState, lastLines(w.Output(), 12))
			}
		}
	})
	l.newLake()
	return l
}

// newLake begins a lake. Small batches and a short session make a sink commit often
// and its death known quickly.
func (l *killLab) newLake() {
	l.lakes++
	*l.parts.lakes++
	l.name = fmt.Sprintf("kill_%d", *l.parts.lakes)
	l.sent, l.made, l.past = map[place]string{}, 0, nil
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := kadm.NewClient(l.plain).CreateTopic(ctx, killPartitions, 1, nil, l.name)
	require.NoError(l.t, err)
	l.config = writeFile(l.t, l.t.TempDir(), "auditlake.yaml", fmt.Sprintf(`kafka: {brokers: [%q], topics: [%s], group: %s, session_timeout: %s}
sink: {target_lag: 150ms, max_batch_rows: 400}
metrics: {listen: "off"}
%s
`, l.parts.broker, l.name, l.name, l.parts.session, strings.ReplaceAll(l.parts.lines, "NAMESPACE", l.name)))
	l.run("init")
}

// produce sends n records, one in twenty of them no event.
func (l *killLab) produce(n int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	results := l.plain.ProduceSync(ctx, l.records(n)...)
	require.NoError(l.t, results.FirstErr())
	l.note(results)
}

// transact sends n records in a transaction, which it commits or aborts.
func (l *killLab) transact(n int, commit bool) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	require.NoError(l.t, l.tx.BeginTransaction())
	results := l.tx.ProduceSync(ctx, l.records(n)...)
	require.NoError(l.t, results.FirstErr())
	require.NoError(l.t, l.tx.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
	if commit {
		l.note(results)
	}
}

func (l *killLab) records(n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for k := range records {
		i := l.made
		l.made++
		id := fmt.Sprintf("e%d", i)
		value := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/kill","type":"agent.prompt","time":%q,"sessionid":"s%d"}`,
			id, time.Now().UTC().Format(time.RFC3339Nano), i%50)
		if i%20 == 7 {
			id, value = deadLetter, "no event "+id
		}
		records[k] = &kgo.Record{Topic: l.name, Key: fmt.Appendf(nil, "s%d", i%50), Value: []byte(value), Context: context.WithValue(context.Background(), idKey{}, id)}
	}
	return records
}

type idKey struct{}

// note remembers what must come out, and where from.
func (l *killLab) note(results kgo.ProduceResults) {
	for _, r := range results {
		at := place{r.Record.Partition, r.Record.Offset}
		if id, twice := l.sent[at]; twice {
			l.t.Fatalf("Kafka put a record at %v, where %s is", at, id)
		}
		l.sent[at] = r.Record.Context.Value(idKey{}).(string)
	}
}

// run runs the binary to its end.
func (l *killLab) run(args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, l.binary, append([]string{"-c", l.config}, args...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.NoError(l.t, err, "%v\n%s\n%s", args, out, exit.Stderr)
	}
	require.NoError(l.t, err)
	return string(out)
}

// worker is a sink that runs until something ends it.
type worker struct {
	*part.Process
	name    string
	cmd     *exec.Cmd
	doomed  string // the step at which it kills itself
	excused bool   // a server was away while it ran: it may have ended with 1
	retired bool   // it was told to end
}

// start starts `auditlake run` with more of environment.
func (l *killLab) start(env ...string) *worker {
	l.t.Helper()
	cmd := exec.Command(l.binary, "-c", l.config, "run")
	cmd.Env = append(cmd.Environ(), env...)
	name := strings.Join(append([]string{"sink"}, env...), " ")
	process, err := part.Spawn(name, cmd)
	require.NoError(l.t, err)
	w := &worker{Process: process, name: name, cmd: cmd}
	l.workers = append(l.workers, w)
	return w
}

// await waits until the worker has ended.
func (l *killLab) await(w *worker) {
	l.t.Helper()
	select {
	case <-w.Ended():
	case <-time.After(90 * time.Second):
		l.t.Fatalf("%s does not end:\n%s", w.name, lastLines(w.Output(), 40))
	}
}

// reap takes the workers that have ended off the list, and wants that of each there
// was a reason to.
func (l *killLab) reap() {
	l.t.Helper()
	l.workers = slices.DeleteFunc(l.workers, func(w *worker) bool {
		select {
		case <-w.Ended():
		default:
			return false
		}
		l.past = append(l.past[max(0, len(l.past)-5):], w)
		l.count.fenced += strings.Count(w.Output(), "batch dropped")
		state := w.cmd.ProcessState
		switch signal := state.Sys().(syscall.WaitStatus).Signal(); {
		case signal == syscall.SIGKILL:
			l.count.killed(w)
		case w.retired && (signal == syscall.SIGTERM || state.ExitCode() == exitInterrupted): // before it had started
		case w.retired && state.ExitCode() == exitDone:
		case state.ExitCode() == exitFailed && w.excused:
			l.count.gave(lastLines(w.Output(), 1))
		default:
			l.t.Fatalf("%s ended by itself with %v:\n%s", w.name, state, lastLines(w.Output(), 40))
		}
		return true
	})
}

// retireWait is sink.shutdown_timeout, which is 30 s, short of the moment at which a
// sink leaves whatever hangs.
const retireWait = 32 * time.Second

// retire ends a worker as an operator does.
func (l *killLab) retire(w *worker) {
	l.t.Helper()
	w.retired = true
	_ = w.Signal(syscall.SIGTERM) // it may have killed itself
	select {
	case <-w.Ended():
	case <-time.After(retireWait):
		_ = w.Signal(syscall.SIGQUIT) // for the stacks of its goroutines
		l.await(w)
		l.t.Fatalf("%s does not end within %s of SIGTERM:\n%s", w.name, retireWait, w.Output())
	}
}

// finish ends the workers, lets a sink catch up and then counts, by verify, by SQL
// against what was sent, and by what the warehouse holds.
func (l *killLab) finish() {
	l.t.Helper()
	for _, w := range l.workers {
		l.retire(w)
	}
	l.reap()
	l.run("run", "--until-caught-up")
	l.requireVerified()
	l.requireRows()
	missing, orphans := l.compareFiles()
	require.Empty(l.t, missing, "files that a snapshot refers to")
	l.count.orphans += len(orphans)
	l.count.records += len(l.sent)
}

func (l *killLab) requireVerified() {
	l.t.Helper()
	var report struct {
		OK       bool              `json:"ok"`
		Problems []json.RawMessage `json:"problems"`
	}
	require.NoError(l.t, json.Unmarshal([]byte(l.run("verify", "--json")), &report))
	require.True(l.t, report.OK, "%s", report.Problems)
}

// requireRows wants one row for each record that was sent and not aborted, at its
// topic partition and offset, and no other.
func (l *killLab) requireRows() {
	l.t.Helper()
	text := l.run("sql", "-o", "csv", fmt.Sprintf(`
		SELECT kafka_topic, kafka_partition, kafka_offset, event_id FROM agent_log
		UNION ALL SELECT kafka_topic, kafka_partition, kafka_offset, '%s' FROM dead_letters`, deadLetter))
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(l.t, err)
	seen := map[place]int{}
	var wrong []string
	for _, row := range rows[1:] {
		partition, err := strconv.ParseInt(row[1], 10, 32)
		require.NoError(l.t, err)
		offset, err := strconv.ParseInt(row[2], 10, 64)
		require.NoError(l.t, err)
		at := place{int32(partition), offset}
		if seen[at]++; row[0] != l.name || l.sent[at] != row[3] || seen[at] > 1 {
			wrong = append(wrong, fmt.Sprintf("%v is not %q for the first time", row, l.sent[at]))
		}
	}
	for at, id := range l.sent {
		if seen[at] == 0 {
			wrong = append(wrong, fmt.Sprintf("%v, %s: not there", at, id))
		}
	}
	require.Empty(l.t, wrong[:min(20, len(wrong))], "%d rows of %d are wrong, %d are missing", len(wrong), len(rows)-1, len(l.sent)-len(seen))
}

// metadataFiles are the current metadata files of both tables.
func (l *killLab) metadataFiles() []string {
	var out []string
	for piece := range strings.SplitSeq(l.run("sql", "--setup"), "iceberg_scan('") {
		if path, _, ok := strings.Cut(piece, "'"); ok && strings.HasSuffix(path, ".metadata.json") && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	require.Len(l.t, out, 2)
	return out
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
