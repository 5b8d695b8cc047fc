package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
)

// kafkaOptions says how to reach the cluster, beside its brokers.
func kafkaOptions(cfg *config.Config) ([]kgo.Opt, error) {
	k := cfg.Kafka
	opts := []kgo.Opt{kgo.ClientID(k.ClientID), kgo.DialTimeout(k.DialTimeout.Std())}
	if k.TLS.Enabled {
		c, err := tlsConfig(k.TLS)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	user, password := k.SASL.Username, k.SASL.Password.Reveal()
	switch k.SASL.Mechanism {
	case "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case "scram-sha-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
	case "scram-sha-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	}
	return opts, nil
}

func tlsConfig(t config.TLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, usagef("kafka.tls.ca_file: %v: name a PEM file that can be read", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("kafka.tls.ca_file: %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, usagef("kafka.tls.cert_file and key_file: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// kafkaClient opens a client and sees that a broker answers.
func kafkaClient(ctx context.Context, cfg *config.Config) (*kgo.Client, error) {
	opts, err := kafkaOptions(cfg)
	if err != nil {
		return nil, err
	}
	return feed.Connect(ctx, cfg.Kafka.Brokers, opts...)
}

// pingKafka fails at once where nobody listens; other requests are retried.
func pingKafka(ctx context.Context, cfg *config.Config) error {
	client, err := kafkaClient(ctx, cfg)
	if err == nil {
		client.Close()
	}
	return err
}
