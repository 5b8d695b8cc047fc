package storage

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3Config says how an object store is reached. It is comparable: equal configs
// share one client, and so its connections, for the life of the process.
type S3Config struct {
	Endpoint        string // URL of the object store; empty: AWS
	Region          string // empty: what the AWS SDK finds, else us-east-1
	PathStyle       bool   // the bucket goes into the path of URLs, not into the host name
	AccessKeyID     string // empty: the credentials the AWS SDK finds
	SecretAccessKey string
	SessionToken    string // only with temporary credentials
	PartSize        int64  // bytes of a part of a multipart upload; 0: 8 MiB. S3 wants 5 MiB or more
	MaxAttempts     int    // tries of one request, the first included; 0: 5
}

const (
	defaultPartSize    = 8 << 20
	defaultMaxAttempts = 5
	dialTimeout        = 10 * time.Second
	// attemptTimeout bounds one attempt of a request with its body, which is at
	// most a part or a read-ahead: 8 MiB in it are 140 KB/s.
	attemptTimeout = time.Minute
	maxBackoff     = 20 * time.Second
	idleConns      = 64
)

// client is what the files of one S3Config share.
type client struct {
	*s3.Client
	endpoint string // for error text
	partSize int64
	retryer  *retry.Standard
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
	if cfg.PartSize == 0 {
		cfg.PartSize = defaultPartSize
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = defaultMaxAttempts
	}
	retryer := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cfg.MaxAttempts
		o.MaxBackoff = maxBackoff
	})
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(httpClient(cfg.PartSize)),
		awsconfig.WithRetryer(func() aws.Retryer { return retryer }),
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if cfg.Region != "" {
		options = append(options, awsconfig.WithRegion(cfg.Region))
	}
	if cfg.AccessKeyID != "" {
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
	c := &client{endpoint: "AWS", partSize: cfg.PartSize, retryer: retryer}
	c.Client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(strings.TrimSuffix(cfg.Endpoint, "/"))
		}
		if o.BaseEndpoint != nil {
			c.endpoint = *o.BaseEndpoint
		}
	})
	return c, nil
}

// httpClient keeps as many connections as files are open at once, and gives up
// on an attempt that does not end.
func httpClient(partSize int64) *awshttp.BuildableClient {
	parts := max(1, time.Duration(partSize/defaultPartSize))
	return awshttp.NewBuildableClient().
		WithTimeout(parts * attemptTimeout).
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
