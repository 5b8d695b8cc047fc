package catalog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/apache/iceberg-go"
	icerest "github.com/apache/iceberg-go/catalog/rest"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// RESTConfig says how a REST catalog is talked to. At most one of Credential,
// Token and SigV4 is set.
type RESTConfig struct {
	Warehouse string // which of the server's warehouses, by its name there
	Prefix    string // of the paths; what the server says if empty

	// OAuth2 client credentials.
	Credential      string `json:"-"` // "id:secret"
	OAuth2ServerURI string // the token endpoint; URI/v1/oauth/tokens if empty
	Scope           string // "catalog" if empty
	Audience        string
	Resource        string

	Token string `json:"-"` // a bearer token that stays

	// SigV4 signs requests with the credentials that the AWS SDK finds.
	SigV4         bool
	SigningRegion string // what the AWS SDK finds if empty
	SigningName   string // "execute-api" if empty

	// NoVendedCredentials has the tables' files reached by our own credentials,
	// also where the server would give some.
	NoVendedCredentials bool
	CAPEM               []byte // authorities to trust instead of the system's
}

func openREST(ctx context.Context, cfg Config) (*Catalog, error) {
	base, err := url.Parse(cfg.URI)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") || base.User != nil {
		return nil, &ConfigError{Text: "catalog.uri is no address of a REST catalog: write https://host/path, without /v1 and without a password"}
	}
	if cfg.REST.Credential != "" && !strings.Contains(cfg.REST.Credential, ":") {
		return nil, &ConfigError{Text: "catalog.rest.credential holds no colon: write client-id:client-secret"}
	}
	transport, err := newRESTTransport(cfg)
	if err != nil {
		return nil, err
	}
	options := []icerest.Option{
		icerest.WithCustomTransport(transport), icerest.WithWarehouseLocation(cfg.REST.Warehouse), icerest.WithPrefix(cfg.REST.Prefix),
	}
	if cfg.REST.NoVendedCredentials {
		options = append(options, icerest.WithHeaders(map[string]string{delegationHeader: ""}))
	}
	if cfg.REST.SigV4 {
		loaded, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, &ConfigError{Text: "the AWS configuration for catalog.rest.sigv4 cannot be read", Err: err}
		}
		if cfg.REST.SigningRegion != "" {
			loaded.Region = cfg.REST.SigningRegion
		}
		if loaded.Region == "" {
			return nil, &ConfigError{Text: "catalog.rest.signing_region is not set, and the AWS configuration has no region: set it"}
		}
		if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
			return nil, &ConfigError{Text: "no AWS credentials are found for catalog.rest.sigv4: set what the AWS SDK reads (environment, ~/.aws, role of the machine)", Err: err}
		}
		options = append(options, icerest.WithSigV4RegionSvc(loaded.Region, cfg.REST.SigningName), icerest.WithAwsConfig(loaded))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ice, err := icerest.NewCatalog(ctx, cfg.Name, cfg.URI, options...)
	if err != nil {
		transport.CloseIdleConnections()
		if strings.Contains(err.Error(), "malformed HTTP ") { // net/http has no type for it
			return nil, misplaced(cfg, err)
		}
		outcome, explained, ok := judgeREST(cfg, err)
		if ok && outcome == OutcomeRefused {
			return nil, explained
		}
		return nil, fmt.Errorf("open catalog %s: %w", cfg.URI, explained)
	}
	c := &Catalog{cfg: cfg, ice: ice}
	c.vended = newVendor(c)
	c.judge = func(err error) (Outcome, error, bool) { return judgeREST(cfg, err) }
	c.close = func() error {
		transport.CloseIdleConnections()
		cfg.Storage.Vended.Close()
		return ice.Close()
	}
	return c, nil
}

func tlsConfig(pem []byte) (*tls.Config, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &ConfigError{Text: "catalog.rest.ca_file holds no certificate in PEM form"}
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// judgeREST tells what the answers of a REST catalog mean. 409 is a conflict;
// what a server may say after it has acted (500, 502, 503, 504, no answer at all)
// says nothing; every other refusal is definite.
func judgeREST(cfg Config, err error) (Outcome, error, bool) {
	var answer *answerError
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return OutcomeRefused, &ConfigError{Text: fmt.Sprintf("catalog %s refuses access (HTTP %d): correct %s, what it allows there, or catalog.uri",
				cfg.URI, answer.Status, credentialKey(cfg.REST)), Err: answer, Access: true}, true
		case http.StatusTooManyRequests:
			return OutcomeRetry, err, true
		}
		return OutcomeRefused, fmt.Errorf("catalog %s: %w", cfg.URI, err), true // it sends elsewhere
	}
	var stray *strayError
	var token *tokenError
	var certificate *tls.CertificateVerificationError
	var handshake tls.RecordHeaderError
	switch {
	case errors.As(err, &stray):
		return OutcomeRefused, misplaced(cfg, stray), true
	case errors.Is(err, http.ErrSchemeMismatch):
		return OutcomeRefused, &ConfigError{Text: fmt.Sprintf("what answers at %s speaks plain HTTP: write http:// in catalog.uri, or name the port that speaks TLS", cfg.URI), Access: true}, true
	case errors.As(err, &handshake):
		return OutcomeRefused, &ConfigError{Text: fmt.Sprintf("what answers at %s speaks no TLS: correct catalog.uri", cfg.URI), Access: true}, true
	case errors.As(err, &token) && token.definite:
		return OutcomeRefused, &ConfigError{Text: fmt.Sprintf("the token endpoint %s refuses catalog.rest.credential: correct it, or catalog.rest.scope", token.uri), Err: token, Access: true}, true
	case errors.As(err, &token):
		// The request itself was not sent.
		return OutcomeRetry, err, true
	case errors.As(err, &certificate):
		return OutcomeRefused, &ConfigError{Text: fmt.Sprintf(
			"the certificate of catalog %s is not trusted: name its authority's file in catalog.rest.ca_file, or correct catalog.uri", cfg.URI), Err: certificate.Err, Access: true}, true
	case neverSent(err):
		return OutcomeRetry, fmt.Errorf("nothing answers at %s: start the catalog, or correct catalog.uri: %w", cfg.URI, err), true
	case errors.Is(err, icerest.ErrCommitStateUnknown), errors.Is(err, icerest.ErrServerError), errors.Is(err, icerest.ErrServiceUnavailable):
		return 0, err, false
	case errors.Is(err, icerest.ErrBadRequest), errors.Is(err, iceberg.ErrNotImplemented):
		return OutcomeRefused, fmt.Errorf("catalog %s refuses the request: check catalog.uri and catalog.rest.prefix, and that it is an Iceberg REST catalog: %w", cfg.URI, err), true
	}
	return 0, err, false
}

// misplaced says that there is no catalog where the configuration says.
func misplaced(cfg Config, err error) error {
	return &ConfigError{Text: fmt.Sprintf("there is no Iceberg REST catalog at %s: correct catalog.uri, the address before /v1, catalog.rest.warehouse or catalog.rest.prefix", cfg.URI), Err: err, Access: true}
}

// credentialKey is the part of the configuration that logs in.
func credentialKey(cfg RESTConfig) string {
	switch {
	case cfg.Credential != "":
		return "catalog.rest.credential or catalog.rest.scope"
	case cfg.Token != "":
		return "catalog.rest.token"
	case cfg.SigV4:
		return "the AWS credentials, catalog.rest.signing_region or catalog.rest.signing_name"
	}
	return "the configuration (it names none of catalog.rest.credential, token and sigv4)"
}
