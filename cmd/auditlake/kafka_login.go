package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
)

// kafkaLogin is how to log in to the brokers, nil for not at all.
func kafkaLogin(s config.SASL) (sasl.Mechanism, error) {
	user, password := s.Username, s.Password.Reveal()
	switch s.Mechanism {
	case config.SASLPlain:
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case config.SASLScram256:
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case config.SASLScram512:
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case config.SASLOAuthBearer:
		return oauthLogin(s.OAuth)
	case config.SASLMSKIAM:
		return mskLogin(), nil
	}
	return nil, nil
}

// credentialError is a login that this side has no credentials for.
type credentialError struct {
	text  string
	usage bool // a mistake of configuration, not of the world
	err   error
}

func (e *credentialError) Error() string { return fmt.Sprintf("%s: %v", e.text, e.err) }
func (e *credentialError) Unwrap() error { return e.err }

// ExitCode is 2 for a mistake of configuration, 1 for anything else.
func (e *credentialError) ExitCode() int {
	if e.usage {
		return exitUsage
	}
	return exitFailed
}

const (
	tokenTimeout = 10 * time.Second // of one request to a token endpoint, and to what AWS credentials come from
	tokenEarly   = 30 * time.Second // a token that ends sooner is asked for anew
)

func oauthLogin(o config.OAuth) (sasl.Mechanism, error) {
	source := func(context.Context) (string, error) { return readToken(o.TokenFile) }
	if o.TokenFile == "" {
		pool, err := authorities("kafka.sasl.oauth.ca_file", o.CAFile)
		if err != nil {
			return nil, err
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
		client := &http.Client{Timeout: tokenTimeout, Transport: transport}
		asked := clientcredentials.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), TokenURL: o.TokenURL, Scopes: o.Scopes}
		// One token for all connections. The source outlives every one of them.
		tokens := oauth2.ReuseTokenSourceWithExpiry(nil, endpoint{asked, client}, tokenEarly)
		source = func(context.Context) (string, error) { return endpointToken(tokens, o.TokenURL) }
	} else if _, err := readToken(o.TokenFile); err != nil {
		return nil, err
	}
	return bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := source(ctx)
		return oauth.Auth{Token: token, Extensions: o.Extensions}, err
	})}, nil
}

// bearer tells what a broker says of a token that it refuses: it answers such a
// login not by an error but by a challenge.
type bearer struct{ sasl.Mechanism }

func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := b.Mechanism.Authenticate(ctx, host)
	return bearerSession{session}, first, err
}

type bearerSession struct{ sasl.Session }

func (s bearerSession) Challenge(answer []byte) (bool, []byte, error) {
	if len(answer) > 0 {
		return false, nil, &credentialError{"the broker refuses the token of kafka.sasl.oauth: check that it has not ended and is of an issuer and for an audience that the broker takes", true, errors.New(string(answer))}
	}
	return s.Session.Challenge(answer)
}

// endpoint asks for a new token each time.
type endpoint struct {
	asked  clientcredentials.Config
	client *http.Client
}

func (e endpoint) Token() (*oauth2.Token, error) {
	return e.asked.Token(context.WithValue(context.Background(), oauth2.HTTPClient, e.client))
}

func endpointToken(tokens oauth2.TokenSource, url string) (string, error) {
	token, err := tokens.Token()
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return token.AccessToken, nil
	case errors.As(err, &refused) && refused.Response.StatusCode >= 400 && refused.Response.StatusCode < 500 && refused.Response.StatusCode != http.StatusTooManyRequests:
		return "", &credentialError{fmt.Sprintf("the token endpoint %s refused kafka.sasl.oauth: check client_id, client_secret and scopes", url), true,
			fmt.Errorf("%s %s %s", refused.Response.Status, refused.ErrorCode, refused.ErrorDescription)}
	case errors.As(err, &refused):
		return "", &credentialError{fmt.Sprintf("the token endpoint %s gives no token: try again later, or see what is wrong with it", url), false,
			fmt.Errorf("%s %s", refused.Response.Status, refused.ErrorCode)}
	}
	return "", &credentialError{fmt.Sprintf("the token endpoint %s gives no token: check kafka.sasl.oauth.token_url and that it is up", url), false, err}
}

// readToken reads the file at every login: another program keeps it fresh.
func readToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", &credentialError{"kafka.sasl.oauth.token_file: name a file that holds a token", true, err}
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n\x01") {
		return "", &credentialError{"kafka.sasl.oauth.token_file: " + file, true, errors.New("want one token and nothing else in it")}
	}
	return token, nil
}

// mskLogin takes credentials from the AWS chain, which renews those that end.
func mskLogin() sasl.Mechanism {
	return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
		ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
		defer cancel()
		cfg, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return aws.Auth{}, &credentialError{"kafka.sasl: aws-msk-iam needs AWS credentials: mend the AWS configuration", true, err}
		}
		got, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return aws.Auth{}, &credentialError{"kafka.sasl: aws-msk-iam needs AWS credentials: set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role", true, err}
		}
		return aws.Auth{AccessKey: got.AccessKeyID, SecretKey: got.SecretAccessKey, SessionToken: got.SessionToken, UserAgent: "auditlake"}, nil
	})
}
