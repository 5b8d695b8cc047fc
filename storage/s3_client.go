package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

// S3Config says how an object store is reached. It is comparable: equal configs
// share one client, and so its connections, for the life of the process.
type S3Config struct {
	Endpoint        string // URL of the object store; empty: AWS
	Region          string // empty: what the AWS SDK finds, else us-east-1
	PathStyle       bool   // the bucket goes into the path of URLs, not into the host name
	AccessKeyID     string // empty: the credentials the AWS SDK finds
	SecretAccessKey string `json:"-"`
	SessionToken    string `json:"-"` // only with temporary credentials
	PartSize        int64  // bytes of a part of a multipart upload, at least 5 MiB; 0: 8 MiB
	MaxAttempts     int    // tries of one request, the first included; 0: 5
	// AttemptTimeout bounds one try with its body, which is at most a part or a
	// read-ahead of 8 MiB; 0: a minute for each 8 MiB of a part.
	AttemptTimeout time.Duration
	Keys           *Keys `json:"-"` // instead of the keys above, where a catalog vends them
	// Log, when set, hears of requests that have to be sent again, a line every few
	// seconds at most.
	Log *slog.Logger `json:"-"`
}

// String leaves out what is secret.
func (c S3Config) String() string {
	return fmt.Sprintf("S3 at %q, region %q, path style %t, access key id %q", c.Endpoint, c.Region, c.PathStyle, c.AccessKeyID)
}

// GoString is String: %#v must not print secrets either.
func (c S3Config) GoString() string { return c.String() }

// validate finds what the SDK would only find with each request, in its words.
func (c S3Config) validate() error {
	endpoint, err := url.Parse(c.Endpoint)
	switch {
	case c.Endpoint == "":
	case err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https"):
		return errors.New("s3.endpoint is no URL: write http://host:port or https://host")
	case endpoint.User != nil:
		return errors.New("s3.endpoint holds a user name: use s3.access_key_id and s3.secret_access_key")
	}
	switch {
	case (c.AccessKeyID == "") != (c.SecretAccessKey == ""):
		return errors.New("s3.access_key_id and s3.secret_access_key belong together: set both, or neither to use what the AWS SDK finds")
	case c.PartSize != 0 && c.PartSize < minPartSize:
		return fmt.Errorf("parts of %d bytes are smaller than S3 takes: use %d or more", c.PartSize, minPartSize)
	case c.MaxAttempts < 0 || c.AttemptTimeout < 0:
		return fmt.Errorf("%d attempts of %s are none: use more, or 0 for the default", c.MaxAttempts, c.AttemptTimeout)
	}
	return nil
}

const (
	minPartSize        = 5 << 20
	defaultPartSize    = 8 << 20
	defaultMaxAttempts = 5
	dialTimeout        = 10 * time.Second
	attemptTimeout     = time.Minute // for 8 MiB: 140 KB/s
	maxBackoff         = 20 * time.Second
	idleConns          = 64
)

// firstBackoff doubles with each attempt, up to maxBackoff, and is jittered down:
// five attempts sit out some 4 s, a restart of the object store. Tests shorten it.
var firstBackoff = 500 * time.Millisecond

// client is what the files of one S3Config share.
type client struct {
	*s3.Client
	endpoint string // for error text
	partSize int64
	retryer  *retryer
	vended   bool // keys come from a catalog
}

var clients = struct {
	sync.Mutex
	byConfig map[S3Config]*client
}{byConfig: map[S3Config]*client{}}

// clientFor returns the process's client for cfg.
func clientFor(ctx context.Context, cfg S3Config) (*client, error) {
	clients.Lock()
	defer clients.Unlock()
	if c, ok := clients.byConfig[cfg]; ok {
		return c, nil
	}
	c, err := newClient(ctx, cfg)
	if err != nil {
		return nil, err
	}
	clients.byConfig[cfg] = c
	return c, nil
}

func newClient(ctx context.Context, cfg S3Config) (*client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.PartSize == 0 {
		cfg.PartSize = defaultPartSize
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = defaultMaxAttempts
	}
	if cfg.AttemptTimeout == 0 {
		cfg.AttemptTimeout = time.Duration(max(1, cfg.PartSize/defaultPartSize)) * attemptTimeout
	}
	retryer := newRetryer(cfg)
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(httpClient(cfg.AttemptTimeout)),
		awsconfig.WithLogger(logging.Nop{}), // what matters comes as an error
		awsconfig.WithRetryer(func() aws.Retryer { return retryer }),
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if cfg.Region != "" {
		options = append(options, awsconfig.WithRegion(cfg.Region))
	}
	switch {
	case cfg.Keys != nil:
		options = append(options, awsconfig.WithCredentialsProvider(cfg.Keys))
	case cfg.AccessKeyID != "":
		options = append(options, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken)))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if loaded.Region == "" {
		loaded.Region = "us-east-1"
	}
	c := &client{endpoint: "AWS", partSize: cfg.PartSize, retryer: retryer, vended: cfg.Keys != nil}
	c.Client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(strings.TrimSuffix(cfg.Endpoint, "/"))
		}
		if o.BaseEndpoint != nil {
			c.endpoint = *o.BaseEndpoint
		}
		if cfg.Keys != nil {
			o.Credentials = cfg.Keys // without the SDK's cache, which knows nothing of expire
		}
		o.Credentials = namedCredentials{o.Credentials}
	})
	return c, nil
}

// damaged are the answers to a body that came other than it was sent. Sending it
// again can help, but the SDK does not.
var damaged = map[string]struct{}{"IncompleteBody": {}, "BadDigest": {}, "XAmzContentSHA256Mismatch": {}}

// retryer is the SDK's, and tells of what it retries.
type retryer struct {
	*retry.Standard
	log *slog.Logger

	mu   sync.Mutex
	told time.Time
}

// tellEvery bounds the lines of an outage, in which every request is sent again.
const tellEvery = 5 * time.Second

// RetryDelay is called before each attempt but the first.
func (r *retryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, failed := r.Standard.RetryDelay(attempt, err)
	if r.log == nil || failed != nil {
		return delay, failed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.told) >= tellEvery {
		r.told = now
		r.log.Warn("a request to the object store failed, trying again", "attempt", attempt, "in", delay.Round(time.Millisecond), "err", oneLine(err.Error()))
	}
	return delay, nil
}

func newRetryer(cfg S3Config) *retryer {
	standard := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cfg.MaxAttempts
		o.BaseDelay = firstBackoff
		o.MaxBackoff = maxBackoff
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: damaged}, retryExpired{cfg.Keys})
		// The SDK's budget of retries is for the whole client: in an outage the
		// files of one flush would use it up, and the rest fail at once.
		o.RateLimiter = ratelimit.None
	})
	return &retryer{Standard: standard, log: cfg.Log}
}

// namedCredentials gives errors of finding credentials a type.
type namedCredentials struct{ aws.CredentialsProvider }

func (p namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := p.CredentialsProvider.Retrieve(ctx)
	var named *credentialsError
	if err != nil && !errors.As(err, &named) {
		err = &credentialsError{err}
	}
	return found, err
}

// credentialsError is not retried: the SDK has asked each place as often as it
// should.
type credentialsError struct{ cause error }

func (e *credentialsError) Error() string        { return e.cause.Error() }
func (e *credentialsError) Unwrap() error        { return e.cause }
func (e *credentialsError) RetryableError() bool { return false }

// httpClient keeps as many connections as files are open at once, and gives up
// on an attempt that does not end.
func httpClient(attemptTimeout time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTimeout(attemptTimeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 2 * idleConns
			t.MaxIdleConnsPerHost = idleConns
		})
}

// pause waits before attempt+1, as long as the SDK would. It reports false when
// there are no attempts left or err is not one a retry can mend.
func (c *client) pause(attempt int, err error) bool {
	if attempt >= c.retryer.MaxAttempts() || !c.retryer.IsErrorRetryable(err) {
		return false
	}
	delay, derr := c.retryer.RetryDelay(attempt, err)
	if derr != nil {
		return false
	}
	time.Sleep(delay)
	return true
}
