package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
)

// metadataMinAge keeps a cluster that is in trouble from being asked without end.
const metadataMinAge = 2500 * time.Millisecond

// kafkaOptions says how to reach the cluster, beside its brokers.
func kafkaOptions(cfg *config.Config) ([]kgo.Opt, error) {
	k := cfg.Kafka
	opts := []kgo.Opt{kgo.ClientID(k.ClientID), kgo.DialTimeout(k.DialTimeout.Std()),
		kgo.MetadataMaxAge(k.MetadataRefresh.Std()), kgo.MetadataMinAge(min(k.MetadataRefresh.Std(), metadataMinAge))}
	if k.TLS.Enabled {
		c, err := tlsConfig(k.TLS)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	login, err := kafkaLogin(k.SASL)
	if err != nil {
		return nil, err
	}
	if login != nil {
		opts = append(opts, kgo.SASL(login))
	}
	return opts, nil
}

func tlsConfig(t config.TLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	var err error
	if c.RootCAs, err = authorities("kafka.tls.ca_file", t.CAFile); err != nil {
		return nil, err
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, usagef("kafka.tls.cert_file and key_file: %v: name a PEM certificate and its key", err)
		}
		if end := pair.Leaf.NotAfter; time.Now().After(end) {
			return nil, usagef("kafka.tls.cert_file: %s has expired at %s: renew it", t.CertFile, end.UTC().Format(time.RFC3339))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// authorities are those of a PEM file, nil for none: the system's.
func authorities(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("%s: %v: name a PEM file that can be read", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usagef("%s: %s holds no PEM certificate", key, file)
	}
	return pool, nil
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
