package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
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
func kafkaClient(ctx context.Context, cfg *config.Config, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := kafkaOptions(cfg)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(append(opts, kgo.SeedBrokers(cfg.Kafka.Brokers...)), more...)...)
	if err != nil {
		return nil, usagef("kafka configuration: %v", err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, cfg.Kafka.DialTimeout.Std())
	defer cancel()
	if err := client.Ping(pingCtx); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &unreachableError{cfg.Kafka.Brokers, err}
	}
	return client, nil
}

// pingKafka fails at once where nobody listens; other requests are retried.
func pingKafka(ctx context.Context, cfg *config.Config) error {
	client, err := kafkaClient(ctx, cfg)
	if err == nil {
		client.Close()
	}
	return err
}

// unreachableError says that no broker answers.
type unreachableError struct {
	brokers []string
	err     error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("no Kafka broker answers at %s: check kafka.brokers and that the cluster is up, "+
		"or start one to try with `auditlake dev-broker`: %v", strings.Join(e.brokers, ", "), e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// requireTopic refuses a topic that is not there: a producer would else retry
// for minutes.
func requireTopic(ctx context.Context, client *kgo.Client, topic string) error {
	meta, err := kadm.NewClient(client).Metadata(ctx, topic)
	if err != nil {
		return err
	}
	d, ok := meta.Topics[topic]
	if !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		return usagef("topic %s does not exist: create it with your Kafka's tools, or give --create-topic", topic)
	}
	return d.Err
}
