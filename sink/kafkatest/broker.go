// Package kafkatest starts a real Apache Kafka for tests: one node, KRaft, on
// loopback, about 3 s to be ready. It is for tests only.
package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/internal/part"
)

const (
	startTimeout = 90 * time.Second // 3 s on a machine that is not busy
	stopTimeout  = 60 * time.Second
	portTries    = 3
)

// Broker is a Kafka of one test. It ends with the test; Stop, Kill and Restart may
// be called meanwhile, by one goroutine at a time.
type Broker struct {
	// Admin reaches the broker through its plain listener, where everything is allowed.
	Admin *kadm.Client
	// CA is the authority of the certificates; nil without a listener that has TLS.
	CA *CA
	// OAuth gives the tokens that the broker takes; nil without a listener that has SASL.
	OAuth *TokenServer

	tb        testing.TB
	opts      Options
	dir       string
	addresses map[string]string // by name of the listener
	process   *part.Process
}

// Start starts a broker. Where Kafka is not installed the test is skipped, but fails
// where CI=true.
func Start(tb testing.TB, opts Options) *Broker {
	tb.Helper()
	_, err := os.Stat(filepath.Join(part.Dir("kafka"), "jars.list"))
	part.Need(tb, "Apache Kafka", err == nil, ".ci/parts/kafka")
	b := &Broker{tb: tb, opts: opts, dir: tb.TempDir()}
	if err := b.prepare(); err != nil {
		tb.Fatal(err)
	}
	for range portTries { // another process may take a free port first
		if err = b.create(); err == nil {
			break
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	b.Admin = kadm.NewClient(client)
	if err := b.addUsers(); err != nil {
		tb.Fatal(err)
	}
	return b
}

// prepare makes what the listeners need: certificates and keys.
func (b *Broker) prepare() (err error) {
	if slices.ContainsFunc(b.opts.Listeners, func(l Listener) bool { return l.TLS }) {
		if b.CA, err = NewCA(b.dir); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(b.opts.Listeners, func(l Listener) bool { return l.SASL }) {
		if b.OAuth, err = newTokenServer(b.tb, filepath.Join(b.dir, "jwks.json")); err != nil {
			return err
		}
	}
	return nil
}

// create formats the broker's folder and starts the broker on ports that are free.
func (b *Broker) create() error {
	b.addresses = map[string]string{}
	for _, name := range append([]string{plainListener, controllerListener}, b.opts.names()...) {
		b.addresses[name] = part.FreeAddress(b.tb)
	}
	if err := os.RemoveAll(b.file("data")); err != nil {
		return err
	}
	properties, err := b.properties()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"server.properties": properties, "log4j2.properties": logging} {
		if err := os.WriteFile(b.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	id[0] &= 0x7f        // no id that begins with "-"
	out, err := b.java("kafka.tools.StorageTool", "format", "--standalone",
		"-t", base64.RawURLEncoding.EncodeToString(id), "-c", b.file("server.properties")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format the broker's folder: %w: %s", err, out)
	}
	return b.start()
}

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

// java runs a program of Kafka's. Little memory, one collector thread and the quick
// compiler only: a test's broker lives for seconds, on a machine that has others.
func (b *Broker) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{
		"-Djava.io.tmpdir=" + b.dir, "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + b.file("log4j2.properties"),
		"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + jwksURL(b.dir),
		"-cp", filepath.Join(part.Dir("kafka"), "jars", "*"),
	}, args...)...)
}

func (b *Broker) start() (err error) {
	b.process, err = part.Start(b.tb, "Kafka", b.java("kafka.Kafka", b.file("server.properties")), startTimeout, b.ready)
	return err
}

// ready asks for a broker and for a leader of each topic partition there is: a
// connection alone is had too early.
func (b *Broker) ready() error {
	conn, err := net.DialTimeout("tcp", b.Addr(), time.Second)
	if err != nil {
		return err
	}
	_ = conn.Close() // it was only a question
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RetryTimeout(time.Second), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	meta, err := kadm.NewClient(client).Metadata(ctx)
	if err != nil {
		return err
	}
	if len(meta.Brokers) == 0 {
		return errors.New("no broker is registered yet")
	}
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			if p.Err != nil || p.Leader < 0 {
				return fmt.Errorf("%s/%d has no leader yet: %w", t.Topic, p.Partition, p.Err)
			}
		}
	}
	return nil
}

// Addr is the address of the plain listener.
func (b *Broker) Addr() string { return b.addresses[plainListener] }

// Address is the address of a listener of Options.
func (b *Broker) Address(listener string) string {
	b.tb.Helper()
	address, ok := b.addresses[listener]
	if !ok {
		b.tb.Fatalf("the broker has no listener %s", listener)
	}
	return address
}

// Stop ends the broker as an operator does (SIGTERM) and waits until it is gone.
func (b *Broker) Stop() {
	b.tb.Helper()
	if err := b.process.Signal(syscall.SIGTERM); err != nil {
		b.tb.Fatal(err)
	}
	select {
	case <-b.process.Ended():
	case <-time.After(stopTimeout):
		b.tb.Fatalf("Kafka did not end within %s of SIGTERM: %s", stopTimeout, b.process.Output())
	}
}

// Kill ends the broker at once (SIGKILL).
func (b *Broker) Kill() { b.process.Kill() }

// Signal sends the broker's process a signal, such as SIGSTOP.
func (b *Broker) Signal(s os.Signal) {
	b.tb.Helper()
	if err := b.process.Signal(s); err != nil {
		b.tb.Fatal(err)
	}
}

// Restart starts the broker again, after Stop or Kill, on the same data and ports.
func (b *Broker) Restart() {
	b.tb.Helper()
	var errs []error
	for range portTries {
		err := b.start()
		if err == nil {
			return
		}
		errs = append(errs, err)
	}
	b.tb.Fatal(errors.Join(errs...))
}

// Output is what the broker has logged since it was started last.
func (b *Broker) Output() string { return b.process.Output() }

// Topic makes a topic. config are pairs of topic configuration, such as
// "cleanup.policy", "compact".
func (b *Broker) Topic(name string, partitions int32, config ...string) {
	b.tb.Helper()
	configs := map[string]*string{}
	for pair := range slices.Chunk(config, 2) {
		configs[pair[0]] = kadm.StringPtr(pair[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := b.Admin.CreateTopic(ctx, partitions, 1, configs, name); err != nil {
		b.tb.Fatalf("create topic %s: %v", name, err)
	}
	b.await(ctx, "topic "+name+" has no leaders", func() bool {
		meta, err := b.Admin.Metadata(ctx, name)
		if err != nil || meta.Topics.Error() != nil || len(meta.Topics[name].Partitions) < int(partitions) {
			return false
		}
		return !slices.ContainsFunc(meta.Topics[name].Partitions.Sorted(), func(p kadm.PartitionDetail) bool { return p.Err != nil || p.Leader < 0 })
	})
}

// DeleteTopic deletes a topic and waits until the broker no longer knows it.
func (b *Broker) DeleteTopic(name string) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := b.Admin.DeleteTopic(ctx, name); err != nil {
		b.tb.Fatalf("delete topic %s: %v", name, err)
	}
	b.await(ctx, "topic "+name+" is still there", func() bool {
		topics, err := b.Admin.ListTopics(ctx)
		return err == nil && !topics.Has(name)
	})
}

func (b *Broker) await(ctx context.Context, what string, done func() bool) {
	b.tb.Helper()
	for !done() {
		if ctx.Err() != nil {
			b.tb.Fatal(what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Allow lets a user do something, given as it is with kafka-acls: a topic or a group,
// and operations such as kadm.OpRead.
func (b *Broker) Allow(user string, on ACLResource, operations ...kadm.ACLOperation) {
	b.tb.Helper()
	acl := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").ResourcePatternType(kadm.ACLPatternLiteral).Operations(operations...)
	switch {
	case on.Topic != "":
		acl = acl.Topics(on.Topic)
	case on.Group != "":
		acl = acl.Groups(on.Group)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	results, err := b.Admin.CreateACLs(ctx, acl)
	if err != nil {
		b.tb.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			b.tb.Fatalf("allow %s: %v", user, r.Err)
		}
	}
}

// ACLResource is what Allow is about: a topic or a group.
type ACLResource struct{ Topic, Group string }

// addUsers makes the users of Options known for SCRAM; PLAIN has them in its
// configuration.
func (b *Broker) addUsers() error {
	if b.OAuth == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // a request may name a user once
		var upserts []kadm.UpsertSCRAM
		for user, password := range b.opts.Users {
			upserts = append(upserts, kadm.UpsertSCRAM{User: user, Mechanism: mechanism, Iterations: 4096, Password: password})
		}
		altered, err := b.Admin.AlterUserSCRAMs(ctx, nil, upserts)
		if err != nil {
			return err
		}
		if err := altered.Error(); err != nil {
			return err
		}
	}
	return nil
}

// logging is the broker's log4j2.properties: warnings, to where part.Process keeps them.
var logging = strings.Join([]string{
	"status=WARN", "rootLogger.level=WARN", "rootLogger.appenderRef.console.ref=console",
	"appender.console.type=Console", "appender.console.name=console",
	"appender.console.layout.type=PatternLayout", "appender.console.layout.pattern=%d{ABSOLUTE} %p %m%n",
}, "\n")
