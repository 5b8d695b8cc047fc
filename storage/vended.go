package storage

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Vended holds what a catalog says of how tables are reached, by location: keys
// for one table only, and where the table's object store is. What lies below no
// location in it is reached as Config.S3 says. It is safe for concurrent use.
type Vended struct {
	mu         sync.RWMutex
	byLocation map[string]S3Config
}

// NewVended returns an empty one.
func NewVended() *Vended { return &Vended{byLocation: map[string]S3Config{}} }

// Set says how a location and all below it are reached, from now on.
func (v *Vended) Set(location string, cfg S3Config) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byLocation[asFolder(location)] = cfg
}

// find returns the settings of the longest location that holds name.
func (v *Vended) find(name string) (found S3Config, ok bool) {
	if v == nil {
		return S3Config{}, false
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	name, longest := asFolder(name), -1
	for location, cfg := range v.byLocation {
		if len(location) > longest && strings.HasPrefix(name, location) {
			found, ok, longest = cfg, true, len(location)
		}
	}
	return found, ok
}

// For returns how a location on S3 is reached.
func (c Config) For(location string) S3Config {
	if vended, ok := c.Vended.find(location); ok {
		return vended
	}
	return c.S3
}

// Close forgets the clients that were made for vended keys.
func (v *Vended) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clients.Lock()
	defer clients.Unlock()
	for _, cfg := range v.byLocation {
		if cfg.Keys != nil {
			delete(clients.byConfig, cfg)
		}
	}
	clear(v.byLocation)
}

// asFolder ends a location with a slash: s3://b/t is not above s3://b/t2.
func asFolder(location string) string {
	location = strings.TrimSuffix(location, "/")
	if rest, ok := strings.CutPrefix(location, "s3a://"); ok {
		location = "s3://" + rest
	}
	return location + "/"
}

// Key is an access key that may be temporary.
type Key struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time // zero: not known
}

// Keys hands out the key of one table, and asks for another before it expires or
// once the object store says that it has. It is safe for concurrent use.
type Keys struct {
	renew func(ctx context.Context) (Key, error)

	mu      sync.Mutex
	key     Key
	issued  time.Time
	expired bool // the object store says so
}

// NewKeys starts with a key; renew gives the next one.
func NewKeys(key Key, renew func(ctx context.Context) (Key, error)) *Keys {
	return &Keys{renew: renew, key: key, issued: time.Now()}
}

// Put replaces the key: a newer one came by without asking.
func (k *Keys) Put(key Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key, k.issued, k.expired = key, time.Now(), false
}

const (
	renewBefore  = 5 * time.Minute // or half of a key's life, if that is less
	renewTimeout = time.Minute
)

// Retrieve implements aws.CredentialsProvider.
func (k *Keys) Retrieve(ctx context.Context) (aws.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due() {
		ctx, cancel := context.WithTimeout(ctx, renewTimeout)
		defer cancel()
		key, err := k.renew(ctx)
		switch {
		case err == nil:
			k.key, k.issued, k.expired = key, time.Now(), false
		case k.expired || time.Now().After(k.key.Expires):
			return aws.Credentials{}, &credentialsError{err}
		}
		// Else the key is good for a while, and the catalog may be back by then.
	}
	return aws.Credentials{
		AccessKeyID: k.key.AccessKeyID, SecretAccessKey: k.key.SecretAccessKey, SessionToken: k.key.SessionToken, Source: "catalog",
	}, nil
}

func (k *Keys) due() bool {
	if k.expired {
		return true
	}
	if k.key.Expires.IsZero() {
		return false
	}
	ahead := min(renewBefore, max(0, k.key.Expires.Sub(k.issued)/2))
	return time.Now().Add(ahead).After(k.key.Expires)
}

// expire has the next request ask for another key.
func (k *Keys) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expired = true
}

// isExpired reports what object stores say of keys that were good once.
func isExpired(err error) bool {
	for _, code := range []string{"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "ExpiredTokenException", "RequestExpired"} {
		if hasCode(err, code) {
			return true
		}
	}
	return false
}

// retryExpired is a retry rule: with another key the request may pass. Keys is
// nil where they are not vended.
type retryExpired struct{ keys *Keys }

// IsErrorRetryable implements retry.IsErrorRetryable.
func (r retryExpired) IsErrorRetryable(err error) aws.Ternary {
	if r.keys == nil || !isExpired(err) {
		return aws.UnknownTernary
	}
	r.keys.expire()
	return aws.TrueTernary
}

// propertiesKey is the key of a context's value.
type propertiesKey struct{}

// errCaught ends an opening that was made to see its properties only.
var errCaught = errors.New("properties caught")

// CatchProperties returns a context that makes the opening of a FileIO by
// iceberg-go hand over the properties that it would have been opened with, and
// fail. They are what a catalog said of a table.
func CatchProperties(ctx context.Context, into *map[string]string) context.Context {
	return context.WithValue(ctx, propertiesKey{}, into)
}

func caught(ctx context.Context, properties map[string]string) bool {
	into, ok := ctx.Value(propertiesKey{}).(*map[string]string)
	if ok {
		*into = properties
	}
	return ok
}
