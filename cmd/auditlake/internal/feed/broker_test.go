package feed

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// identity is what must not change while a directory lives, or a sink would
// take its log for another one.
type identity struct {
	cluster    string
	topic      kadm.TopicID
	partitions int
}

func identityOf(t *testing.T, client *kgo.Client) identity {
	t.Helper()
	meta, err := kadm.NewClient(client).Metadata(context.Background(), testTopic)
	require.NoError(t, err)
	require.NoError(t, meta.Topics.Error())
	return identity{meta.Cluster, meta.Topics[testTopic].ID, len(meta.Topics[testTopic].Partitions)}
}

func TestBrokerRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	start := func(topics map[string]int32) *lab {
		b, err := StartBroker(BrokerOptions{Dir: dir, Topics: topics})
		require.NoError(t, err)
		return &lab{t: t, broker: b, client: connectTo(t, b.Addr())}
	}
	l := start(map[string]int32{testTopic: 3, "other": 1})
	require.True(t, strings.HasPrefix(l.broker.Addr(), "127.0.0.1:"), l.broker.Addr())
	first := identityOf(t, l.client)
	require.True(t, strings.HasPrefix(first.cluster, "dev-"), first.cluster)
	require.NotEqual(t, kadm.TopicID{}, first.topic)
	require.Equal(t, 3, first.partitions)
	l.mustProduce(l.options(), events(1000))
	before := l.records(testTopic)
	require.Len(t, before, 1000)
	require.NoError(t, l.broker.Close())

	l = start(map[string]int32{testTopic: 8, "third": 2}) // it has its partitions
	require.Equal(t, first, identityOf(t, l.client))
	require.Len(t, l.broker.cluster.PartitionInfos("other"), 1)
	require.Len(t, l.broker.cluster.PartitionInfos("third"), 2)
	after := l.records(testTopic)
	require.Equal(t, values(before), values(after))
	for i := range after {
		require.Equal(t, before[i].Offset, after[i].Offset)
		require.Equal(t, before[i].Timestamp, after[i].Timestamp)
		require.Equal(t, before[i].Key, after[i].Key)
	}
	l.mustProduce(l.options(), events(10))
	require.Len(t, l.records(testTopic), 1010)
	require.NoError(t, l.broker.Close())

	other, err := StartBroker(BrokerOptions{Dir: t.TempDir(), Topics: map[string]int32{testTopic: 3}})
	require.NoError(t, err)
	defer other.Close()
	second := identityOf(t, connectTo(t, other.Addr()))
	require.NotEqual(t, first.cluster, second.cluster)
	require.NotEqual(t, first.topic, second.topic)
}

// What was acknowledged outlives SIGKILL: each time the process of the broker is
// killed while records come in, and nothing that it acknowledged is missing or
// out of order when another one takes over.
func TestBrokerIsKilled(t *testing.T) {
	dir := t.TempDir()
	var acked []string
	var first identity
	for round := range 3 {
		child, addr := brokerProcess(t, dir)
		client := connectTo(t, addr)
		if round == 0 {
			first = identityOf(t, client)
		}
		require.Equal(t, first, identityOf(t, client))
		requireHeld(t, acked, readTopic(t, client, testTopic))

		died := make(chan error, 1)
		for i := 0; ; i++ {
			value := fmt.Sprintf("%d-%d", round, i)
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: testTopic, Key: []byte("k"), Value: []byte(value)}).FirstErr(); err != nil {
				require.ErrorIs(t, err, kgo.ErrClientClosed)
				break
			}
			acked = append(acked, value)
			if i == 50 {
				go func() { // while more come
					_ = child.Process.Kill()
					died <- child.Wait()
					client.Close() // gives up what has no answer
				}()
			}
		}
		requireKilled(t, <-died)
	}
	require.GreaterOrEqual(t, len(acked), 3*51)
	b, err := StartBroker(BrokerOptions{Dir: dir}) // the lock went with the process
	require.NoError(t, err)
	defer b.Close()
	client := connectTo(t, b.Addr())
	require.Equal(t, first, identityOf(t, client))
	requireHeld(t, acked, readTopic(t, client, testTopic))
}

// requireHeld wants every acknowledged value, once and in order; a value may be
// held that was not acknowledged.
func requireHeld(t *testing.T, acked []string, records []*kgo.Record) {
	t.Helper()
	wanted := map[string]bool{}
	for _, v := range acked {
		wanted[v] = true
	}
	var held []string
	for _, r := range records {
		if wanted[string(r.Value)] {
			held = append(held, string(r.Value))
		}
	}
	require.Equal(t, acked, held)
	require.LessOrEqual(t, len(records), len(acked)+3) // one a round may have been on its way
}

// brokerProcess runs a broker in a process of its own, for as long as the test.
func brokerProcess(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FEED_TEST_BROKER_DIR="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, strings.TrimSpace(line)
}

func requireKilled(t *testing.T, err error) {
	t.Helper()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
}

// One directory has one broker, whether the other is in this process or not.
func TestBrokerLock(t *testing.T) {
	dir := t.TempDir()
	want := fmt.Sprintf("dev broker: another process uses %s: stop it, or name another directory", dir)
	b, err := StartBroker(BrokerOptions{Dir: dir})
	require.NoError(t, err)
	_, err = StartBroker(BrokerOptions{Dir: dir})
	require.EqualError(t, err, want)
	_, said := brokerProcess(t, dir)
	require.Equal(t, want, said)
	require.NoError(t, b.Close())

	child, addr := brokerProcess(t, dir)
	_, err = StartBroker(BrokerOptions{Dir: dir})
	require.EqualError(t, err, want)
	connectTo(t, addr) // the one that holds the lock goes on
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	b, err = StartBroker(BrokerOptions{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

func TestBrokerCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	dir := t.TempDir()
	_, err = StartBroker(BrokerOptions{Dir: dir, Port: port})
	require.ErrorIs(t, err, syscall.EADDRINUSE) // for quickstart, which takes another
	require.ErrorContains(t, err, fmt.Sprintf("dev broker: port %d on 127.0.0.1 is taken: stop what listens there, or choose another port", port))
	require.NoError(t, taken.Close())
	b, err := StartBroker(BrokerOptions{Dir: dir, Port: port}) // and gave the directory back
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", port), b.Addr())
	require.NoError(t, b.Close())

	_, err = StartBroker(BrokerOptions{})
	require.EqualError(t, err, "dev broker: no directory for its data is named")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = StartBroker(BrokerOptions{Dir: file})
	require.ErrorContains(t, err, "dev broker: make directory "+file)
	_, err = StartBroker(BrokerOptions{Dir: t.TempDir(), Topics: map[string]int32{"t": 0}})
	require.EqualError(t, err, "dev broker: topic t: 0 is no number of topic partitions, the least is 1")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "log", "meta.json"), []byte("{"), 0o600))
	_, err = StartBroker(BrokerOptions{Dir: dir})
	require.ErrorContains(t, err, "dev broker with data in "+dir+": mend it, or name another directory: ")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "log", "meta.json"), []byte(`{"version":1,"clusterId":"x"}`), 0o600))
	b, err = StartBroker(BrokerOptions{Dir: dir})
	require.NoError(t, err, "the lock was kept")
	require.NoError(t, b.Close())
}

// A folder that cannot be written is no place for data; root can write any.
func TestBrokerFolderIsReadOnly(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	if f, err := os.Create(filepath.Join(dir, "probe")); err == nil {
		_ = f.Close()
		t.Skip("this user writes to read-only folders")
	}
	_, err := StartBroker(BrokerOptions{Dir: dir})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "dev broker: lock "+dir)
}

// Old events stay: Kafka's retention goes by their time, not by when they came.
func TestBrokerKeepsOldEvents(t *testing.T) {
	l := newLab(t)
	old := strings.ReplaceAll(events(10), "2026-01-31", "2024-01-31")
	l.mustProduce(l.options(), old)
	l.broker.cluster.ApplyRetention()
	require.Len(t, l.records(testTopic), 10)
}
