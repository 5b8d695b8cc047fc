package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/sink/kafkatest"
)

const (
	loginTopic    = "guarded"
	loginUser     = "alice"
	loginPassword = "alice-secret"
)

// guarded is a broker with a door of every kind, and a lake.
type guarded struct {
	*lab
	kafka *kafkatest.Broker
	mine  kafkatest.Issued // a client's certificate
	sent  int
}

func newGuarded(t *testing.T) *guarded {
	broker := kafkatest.Start(t, kafkatest.Options{
		ACLs: true,
		Listeners: []kafkatest.Listener{
			{Name: "SASL", SASL: true}, {Name: "SASLTLS", SASL: true, TLS: true}, {Name: "TLS", TLS: true},
			{Name: "MTLS", TLS: true, ClientCertificates: true},
			{Name: "EXPIRED", TLS: true, Certificate: kafkatest.Certificate{NotAfter: time.Now().Add(-time.Hour)}},
			{Name: "ELSEWHERE", TLS: true, Certificate: kafkatest.Certificate{Hosts: []string{"kafka.example"}}},
		},
		Users: map[string]string{loginUser: loginPassword, "nobody": "n", "groupless": "g"},
	})
	broker.Topic(loginTopic, 2)
	for _, user := range []string{loginUser, "me", kafkatest.ClientID, "groupless"} {
		broker.Allow(user, kafkatest.ACLResource{Topic: loginTopic}, kadm.OpRead, kadm.OpDescribe)
	}
	for _, user := range []string{loginUser, "me", kafkatest.ClientID, "nobody"} {
		broker.Allow(user, kafkatest.ACLResource{Group: "auditlake"}, kadm.OpRead)
	}
	broker.Allow("nobody", kafkatest.ACLResource{Topic: loginTopic}, kadm.OpDescribe)
	g := &guarded{kafka: broker, lab: &lab{t: t, dir: t.TempDir()}}
	var err error
	g.mine, err = broker.CA.Issue(kafkatest.Certificate{Name: "me"})
	require.NoError(t, err)
	g.client, err = kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.DefaultProduceTopic(loginTopic))
	require.NoError(t, err)
	t.Cleanup(g.client.Close)
	g.configure("PLAINTEXT", "")
	g.must("init")
	return g
}

// configure writes a configuration for one of the broker's doors; more is what else
// the section kafka says.
func (g *guarded) configure(listener, more string) {
	address := g.kafka.Addr()
	if listener != "PLAINTEXT" {
		address = g.kafka.Address(listener)
	}
	g.config = writeFile(g.t, g.dir, "auditlake.yaml", fmt.Sprintf(
		"kafka: {brokers: [%q], topics: [%s], session_timeout: 10s%s}\ncatalog: {uri: catalog.db}\nwarehouse: warehouse\n", address, loginTopic, more))
}

// requireReads wants the sink to read everything with the configuration of now.
func (g *guarded) requireReads(t *testing.T) {
	g.t = t
	g.send(&kgo.Record{Value: prompt(g.sent)}, &kgo.Record{Value: prompt(g.sent + 1)})
	g.sent += 2
	var sum runSummary
	require.NoError(t, json.Unmarshal([]byte(g.must("run", "--until-caught-up", "--json")), &sum))
	require.EqualValues(t, 2, sum.EventRows)
}

// runInBackground starts `run` in this process, with further lines of configuration.
// stop ends it as SIGTERM does and wants it to end well.
func runInBackground(t *testing.T, l *lab, more string) (stop func()) {
	t.Helper()
	path := writeFile(t, l.dir, "background.yaml", readFile(t, l.config)+more+"\nmetrics: {listen: \"off\"}\n")
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan result, 1)
	go func() { ended <- callWith(t, ctx, "", "-c", path, "run") }()
	t.Cleanup(func() { cancel(interrupted{syscall.SIGTERM}) })
	return func() {
		t.Helper()
		cancel(interrupted{syscall.SIGTERM})
		r := <-ended
		require.Equal(t, exitDone, r.code, r.stderr)
	}
}

// Each way to log in, and each way that fails, against a real Kafka.
func TestKafkaLogin(t *testing.T) {
	g := newGuarded(t)
	tlsPart := fmt.Sprintf("tls: {enabled: true, ca_file: %q}", g.kafka.CA.File)
	mtls := fmt.Sprintf("tls: {enabled: true, ca_file: %q, cert_file: %q, key_file: %q}", g.kafka.CA.File, g.mine.Cert, g.mine.Key)
	token := writeFile(t, g.dir, "token", g.kafka.OAuth.Token("me", time.Hour)+"\n")
	password := func(mechanism, user, password string) string {
		return fmt.Sprintf("sasl: {mechanism: %s, username: %s, password: %s}", mechanism, user, password)
	}
	endpoint := func(url, secret string) string {
		return fmt.Sprintf("sasl: {mechanism: oauthbearer, oauth: {token_url: %q, client_id: %s, client_secret: %s, scopes: [kafka, audit]}}", url, kafkatest.ClientID, secret)
	}
	for _, of := range []struct{ name, listener, more string }{
		{"plain", "SASL", password("plain", loginUser, loginPassword)},
		{"scram 256", "SASL", password("scram-sha-256", loginUser, loginPassword)},
		{"scram 512", "SASL", password("scram-sha-512", loginUser, loginPassword)},
		{"tokens of an endpoint", "SASL", endpoint(g.kafka.OAuth.URL, kafkatest.ClientSecret)},
		{"token of a file", "SASL", fmt.Sprintf("sasl: {mechanism: oauthbearer, oauth: {token_file: %q}}", token)},
		{"TLS", "TLS", tlsPart},
		{"certificate for another host", "ELSEWHERE", fmt.Sprintf("tls: {enabled: true, server_name: kafka.example, ca_file: %q}", g.kafka.CA.File)},
		{"mTLS", "MTLS", mtls},
		{"plain in TLS", "SASLTLS", tlsPart + ", " + password("plain", loginUser, loginPassword)},
		{"scram 256 in TLS", "SASLTLS", tlsPart + ", " + password("scram-sha-256", loginUser, loginPassword)},
		{"scram 512 in TLS", "SASLTLS", tlsPart + ", " + password("scram-sha-512", loginUser, loginPassword)},
		{"tokens in TLS", "SASLTLS", tlsPart + ", " + endpoint(g.kafka.OAuth.URL, kafkatest.ClientSecret)},
	} {
		t.Run(of.name, func(t *testing.T) {
			g.configure(of.listener, ", "+of.more)
			g.requireReads(t)
		})
	}
	require.Equal(t, "kafka audit", g.kafka.OAuth.Scope())

	ended, err := g.kafka.CA.Issue(kafkatest.Certificate{Name: "ended", NotAfter: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	otherCA, err := kafkatest.NewCA(t.TempDir())
	require.NoError(t, err)
	stranger, err := otherCA.Issue(kafkatest.Certificate{Name: "me"})
	require.NoError(t, err)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer broken.Close()
	others, err := kgo.NewClient(kgo.SeedBrokers(g.kafka.Addr()), kgo.ConsumerGroup("others"), kgo.ConsumeTopics(loginTopic), kgo.Balancers(kgo.RangeBalancer()))
	require.NoError(t, err)
	defer others.Close()
	oldToken := writeFile(t, g.dir, "old", g.kafka.OAuth.Token("me", -time.Hour))
	for _, of := range []struct {
		name, listener, more string
		code                 int
		want                 []string
	}{
		{"wrong password", "SASL", password("plain", loginUser, "wrong"), exitUsage, []string{"refuses the login: check kafka.sasl"}},
		{"wrong password, scram", "SASL", password("scram-sha-512", loginUser, "wrong"), exitUsage, []string{"refuses the login: check kafka.sasl"}},
		{"unknown user", "SASLTLS", tlsPart + ", " + password("scram-sha-256", "mallory", "x"), exitUsage, []string{"refuses the login: check kafka.sasl"}},
		{"token has ended", "SASL", fmt.Sprintf("sasl: {mechanism: oauthbearer, oauth: {token_file: %q}}", oldToken), exitUsage, []string{"refuses the token of kafka.sasl.oauth", "invalid_token"}},
		{"no token file", "SASL", "sasl: {mechanism: oauthbearer, oauth: {token_file: none}}", exitUsage, []string{"token_file: name a file that holds a token"}},
		{"token endpoint refuses", "SASL", endpoint(g.kafka.OAuth.URL, "wrong"), exitUsage, []string{"refused kafka.sasl.oauth: check client_id", "401", "invalid_client"}},
		{"token endpoint is down", "SASL", endpoint("http://127.0.0.1:1/token", "x"), exitFailed, []string{"the token endpoint http://127.0.0.1:1/token gives no token: check kafka.sasl.oauth.token_url"}},
		{"token endpoint is broken", "SASL", endpoint(broken.URL, "x"), exitFailed, []string{"gives no token: try again later", "503"}},
		{"login is missing", "SASL", "group: auditlake", exitUsage, []string{"check kafka.tls.enabled and kafka.sasl.mechanism"}},
		{"login is not wanted", "TLS", tlsPart + ", " + password("plain", loginUser, loginPassword), exitUsage, []string{"wants no login there: remove kafka.sasl"}},
		{"authority not known", "TLS", "tls: {enabled: true}", exitUsage, []string{"of an authority that is not trusted here: name the authority's file in kafka.tls.ca_file"}},
		{"another authority", "TLS", fmt.Sprintf("tls: {enabled: true, ca_file: %q}", otherCA.File), exitUsage, []string{"of an authority that is not trusted here"}},
		{"host name", "ELSEWHERE", tlsPart, exitUsage, []string{"is for another name: dial the name that it is for, or give it as kafka.tls.server_name"}},
		{"certificate has expired", "EXPIRED", tlsPart, exitFailed, []string{"is not valid: whoever runs the cluster must renew it", "expired"}},
		{"TLS spoken to a plain port", "PLAINTEXT", tlsPart, exitUsage, []string{"kafka.tls.enabled"}},
		{"TLS spoken to a plain port with login", "SASL", tlsPart + ", " + password("plain", loginUser, loginPassword), exitUsage, []string{"kafka.tls.enabled"}},
		{"plain spoken to a TLS port", "TLS", "group: auditlake", exitUsage, []string{"answers in TLS, or is no Kafka: set kafka.tls.enabled"}},
		{"certificate is missing", "MTLS", tlsPart, exitUsage, []string{"refuses this client's certificate, or misses one: check kafka.tls.cert_file"}},
		{"certificate of a stranger", "MTLS", fmt.Sprintf("tls: {enabled: true, ca_file: %q, cert_file: %q, key_file: %q}", g.kafka.CA.File, stranger.Cert, stranger.Key), exitUsage, []string{"refuses this client's certificate, or misses one: check kafka.tls.cert_file"}},
		{"own certificate has expired", "MTLS", fmt.Sprintf("tls: {enabled: true, ca_file: %q, cert_file: %q, key_file: %q}", g.kafka.CA.File, ended.Cert, ended.Key), exitUsage, []string{"has expired at", "renew it"}},
		{"topic without read access", "SASL", password("plain", "nobody", "n"), exitUsage, []string{"not allowed to read topic guarded"}},
		{"group without access", "SASL", password("plain", "groupless", "g"), exitUsage, []string{"not allowed to join group auditlake: "}},
		{"mechanism", "SASLTLS", tlsPart + ", sasl: {mechanism: aws-msk-iam}", exitUsage, []string{"does not take this kafka.sasl.mechanism: name one that it has enabled"}},
		{"session timeout", "PLAINTEXT", "group: slow", exitUsage, []string{"does not take a kafka.session_timeout of 2h0m0s"}},
		{"group of others", "PLAINTEXT", "group: others", exitUsage, []string{"group others has members that are no auditlake: give kafka.group a name of its own"}},
	} {
		t.Run(of.name, func(t *testing.T) {
			g.t = t
			g.configure(of.listener, ", "+of.more)
			if of.name == "session timeout" {
				g.config = writeFile(t, g.dir, "slow.yaml", replaceOne(t, readFile(t, g.config), "session_timeout: 10s", "session_timeout: 2h"))
			}
			began := time.Now()
			r := g.call("run", "--until-caught-up")
			require.Equal(t, of.code, r.code, r.stderr)
			for _, want := range of.want {
				require.Contains(t, r.stderr, want)
			}
			require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
			require.True(t, strings.HasPrefix(r.stderr, "auditlake: "), r.stderr)
			require.NotContains(t, r.stderr, loginPassword)
			require.Less(t, time.Since(began), 30*time.Second)
			t.Log(time.Since(began).Round(time.Millisecond), r.stderr)
		})
	}
	g.t = t
	g.configure("PLAINTEXT", "")
	g.requireReads(t)
	g.requireVerified()
	require.EqualValues(t, g.sent, g.value("SELECT count(*) FROM agent_events"))
	t.Run("tokens are renewed", func(t *testing.T) { kafkaTokensAreRenewed(t, g) })
}

// A token is asked for anew before it ends, and a sink outlives an endpoint that is
// down for a while.
func kafkaTokensAreRenewed(t *testing.T, g *guarded) {
	g.t = t
	g.configure("SASL", fmt.Sprintf(", sasl: {mechanism: oauthbearer, oauth: {token_url: %q, client_id: %s, client_secret: %s}}", g.kafka.OAuth.URL, kafkatest.ClientID, kafkatest.ClientSecret))
	g.kafka.OAuth.Answer(http.StatusOK, 4*time.Second)
	stop := runInBackground(t, g.lab, "sink: {target_lag: 200ms}")
	rows := func(want int) {
		for range want {
			g.send(&kgo.Record{Value: prompt(g.sent)})
			g.sent++
		}
		require.Eventually(t, func() bool { return g.value("SELECT count(*) FROM agent_events") == float64(g.sent) }, time.Minute, 200*time.Millisecond)
	}
	rows(5)
	first := g.kafka.OAuth.Asked()
	require.Eventually(t, func() bool { return g.kafka.OAuth.Asked() >= first+3 }, time.Minute, 100*time.Millisecond, "no token is asked for")
	rows(5)
	g.kafka.OAuth.Answer(http.StatusServiceUnavailable, 0)
	down := g.kafka.OAuth.Asked()
	require.Eventually(t, func() bool { return g.kafka.OAuth.Asked() >= down+2 }, time.Minute, 100*time.Millisecond)
	g.kafka.OAuth.Answer(http.StatusOK, time.Hour)
	rows(5)
	stop()
	g.requireVerified()
}
