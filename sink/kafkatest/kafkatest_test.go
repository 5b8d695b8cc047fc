package kafkatest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Every door of the broker opens for who has the key, and records outlive the
// broker, however it ended.
func TestBroker(t *testing.T) {
	const user, password = "alice", "alice-secret"
	b := Start(t, Options{
		Listeners: []Listener{
			{Name: "SASL", SASL: true}, {Name: "SASLTLS", SASL: true, TLS: true}, {Name: "TLS", TLS: true},
			{Name: "MTLS", TLS: true, ClientCertificates: true},
		},
		Users: map[string]string{user: password},
	})
	b.Topic("t", 1)
	pem, err := os.ReadFile(b.CA.File)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	issued, err := b.CA.Issue(Certificate{Name: "client"})
	require.NoError(t, err)
	own, err := tls.LoadX509KeyPair(issued.Cert, issued.Key)
	require.NoError(t, err)

	sent := 0
	send := func(listener string, opts ...kgo.Opt) {
		client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Address(listener)), kgo.DefaultProduceTopic("t"))...)
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, client.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(), listener)
		sent++
	}
	for _, mechanism := range []sasl.Mechanism{
		plain.Auth{User: user, Pass: password}.AsMechanism(),
		scram.Auth{User: user, Pass: password}.AsSha256Mechanism(),
		scram.Auth{User: user, Pass: password}.AsSha512Mechanism(),
		oauth.Auth{Token: b.OAuth.Token(user, time.Hour)}.AsMechanism(),
	} {
		send("SASL", kgo.SASL(mechanism))
		send("SASLTLS", kgo.SASL(mechanism), kgo.DialTLSConfig(&tls.Config{RootCAs: pool}))
	}
	send("TLS", kgo.DialTLSConfig(&tls.Config{RootCAs: pool}))
	send("MTLS", kgo.DialTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}}))

	b.Kill()
	b.Restart()
	b.Stop()
	b.Restart()
	send("PLAINTEXT")
	ends, err := b.Admin.ListEndOffsets(context.Background(), "t")
	require.NoError(t, err)
	end, ok := ends.Lookup("t", 0)
	require.True(t, ok)
	require.EqualValues(t, sent, end.Offset)
}
