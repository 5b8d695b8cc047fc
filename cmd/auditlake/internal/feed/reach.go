package feed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReachError says why no broker lets the client in, and what to do.
type ReachError struct {
	Text  string
	Usage bool // to be mended in the configuration
	Err   error
}

func (e *ReachError) Error() string { return fmt.Sprintf("%s: %v", e.Text, e.Err) }
func (e *ReachError) Unwrap() error { return e.Err }

// ExitCode is 2 for what the configuration can mend, 1 for anything else.
func (e *ReachError) ExitCode() int {
	if e.Usage {
		return 2
	}
	return 1
}

// explain tells why a connection to one of the brokers failed.
func explain(brokers []string, err error) error {
	at := strings.Join(brokers, ", ")
	var known interface{ ExitCode() int }
	if errors.As(err, &known) {
		return fmt.Errorf("cannot log in to Kafka at %s: %w", at, err) // no credentials; it says why
	}
	for _, of := range []func(string, error) *ReachError{explainLogin, explainTLS, explainClosed} {
		if e := of(at, err); e != nil {
			e.Err = err
			return e
		}
	}
	return &ReachError{Err: err, Text: fmt.Sprintf("no Kafka broker answers at %s: check kafka.brokers and that the cluster is up, "+
		"or start one to try with `auditlake dev-broker`", at)}
}

func explainLogin(at string, err error) *ReachError {
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s refuses the login: check kafka.sasl", at)}
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s does not take this kafka.sasl.mechanism: name one that it has enabled", at)}
	case errors.Is(err, kerr.IllegalSaslState):
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s wants no login there: remove kafka.sasl, or take the port that wants one", at)}
	}
	return nil
}

func explainTLS(at string, err error) *ReachError {
	var (
		unknown *x509.UnknownAuthorityError
		host    *x509.HostnameError
		invalid *x509.CertificateInvalidError
	)
	unknownAs, hostAs, invalidAs := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	noTLS := tls.RecordHeaderError{}
	var op *net.OpError
	switch {
	case errors.As(err, &unknown), errors.As(err, &unknownAs):
		return &ReachError{Usage: true, Text: fmt.Sprintf("the certificate of Kafka at %s is of an authority that is not trusted here: name the authority's file in kafka.tls.ca_file", at)}
	case errors.As(err, &host), errors.As(err, &hostAs):
		return &ReachError{Usage: true, Text: fmt.Sprintf("the certificate of Kafka at %s is for another name: dial the name that it is for, or give it as kafka.tls.server_name", at)}
	case errors.As(err, &invalid), errors.As(err, &invalidAs):
		return &ReachError{Text: fmt.Sprintf("the certificate of Kafka at %s is not valid: whoever runs the cluster must renew it, or see to this machine's clock", at)}
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s refuses this client's certificate, or misses one: check kafka.tls.cert_file and key_file", at)}
	case errors.As(err, &noTLS):
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s speaks no TLS there: set kafka.tls.enabled: false, or take the port that does", at)}
	}
	return nil
}

func explainClosed(at string, err error) *ReachError {
	var closed *kgo.ErrFirstReadEOF
	switch {
	case strings.Contains(err.Error(), "tls alert record"): // the client has no type for it
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s answers in TLS, or is no Kafka: set kafka.tls.enabled, or take the port without TLS", at)}
	case errors.As(err, &closed):
		return &ReachError{Usage: true, Text: fmt.Sprintf("Kafka at %s hangs up at once, as it does where TLS or a login is wanted or is not: check kafka.tls.enabled and kafka.sasl.mechanism against the port", at)}
	}
	return nil
}
