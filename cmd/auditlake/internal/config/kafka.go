package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kafka says where events come from.
type Kafka struct {
	Brokers         []string `yaml:"brokers"`
	Topics          []string `yaml:"topics"`
	Group           string   `yaml:"group"`
	Start           string   `yaml:"start"`
	Isolation       string   `yaml:"isolation"`
	ClientID        string   `yaml:"client_id"`
	SessionTimeout  Duration `yaml:"session_timeout"`
	DialTimeout     Duration `yaml:"dial_timeout"`
	MetadataRefresh Duration `yaml:"metadata_refresh"`
	TLS             TLS      `yaml:"tls"`
	SASL            SASL     `yaml:"sasl"`
}

// TLS encrypts the connection to the brokers.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// SASL logs in to the brokers. An empty mechanism is none.
type SASL struct {
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`
	Password  Secret `yaml:"password"`
	OAuth     OAuth  `yaml:"oauth"`
}

// OAuth says where the tokens of mechanism oauthbearer come from: an endpoint that
// gives them to a client, or a file that another program keeps fresh.
type OAuth struct {
	TokenURL     string            `yaml:"token_url"`
	ClientID     string            `yaml:"client_id"`
	ClientSecret Secret            `yaml:"client_secret"`
	Scopes       []string          `yaml:"scopes"`
	CAFile       string            `yaml:"ca_file"`
	TokenFile    string            `yaml:"token_file"`
	Extensions   map[string]string `yaml:"extensions"`
}

// The mechanisms of kafka.sasl.mechanism; the first is none.
const (
	SASLPlain       = "plain"
	SASLScram256    = "scram-sha-256"
	SASLScram512    = "scram-sha-512"
	SASLOAuthBearer = "oauthbearer"
	SASLMSKIAM      = "aws-msk-iam"
)

var saslMechanisms = []string{"", SASLPlain, SASLScram256, SASLScram512, SASLOAuthBearer, SASLMSKIAM}

// IsPattern tells a regular expression among kafka.topics from a name.
func IsPattern(topic string) bool { return strings.HasPrefix(topic, "^") }

// FirstTopic is the first of kafka.topics that is a name, "" if none is.
func (k Kafka) FirstTopic() string {
	for _, t := range k.Topics {
		if !IsPattern(t) {
			return t
		}
	}
	return ""
}

func (k *Kafka) paths() []*string {
	return []*string{&k.TLS.CAFile, &k.TLS.CertFile, &k.TLS.KeyFile, &k.SASL.OAuth.CAFile, &k.SASL.OAuth.TokenFile}
}

// RequireKafka checks what commands that talk to Kafka need besides: an analyst's
// configuration may do without it.
func (c *Config) RequireKafka() error {
	if len(c.Kafka.Brokers) == 0 {
		return c.Fault("kafka.brokers", "is missing", `name the brokers, such as ["127.0.0.1:9092"]`)
	}
	if len(c.Kafka.Topics) == 0 {
		return c.Fault("kafka.topics", "is missing", "name the topics, such as [agent-events]")
	}
	return nil
}

func (c *Config) checkKafka() error {
	for i, b := range c.Kafka.Brokers {
		host, port, err := net.SplitHostPort(b)
		n, portErr := strconv.Atoi(port)
		if err != nil || host == "" || portErr != nil || n < 1 || n > 65535 {
			return c.Fault(fmt.Sprintf("kafka.brokers[%d]", i), fmt.Sprintf("%q is no host:port", b), "write it as 127.0.0.1:9092")
		}
	}
	for i, t := range c.Kafka.Topics {
		key := fmt.Sprintf("kafka.topics[%d]", i)
		if t == "" || slices.Contains(c.Kafka.Topics[:i], t) {
			return c.Fault(key, fmt.Sprintf("%q is empty or stands twice", t), "name each topic once")
		}
		if _, err := regexp.Compile(t); IsPattern(t) && err != nil {
			return c.Fault(key, fmt.Sprintf("%q is no regular expression: %v", t, err), "mend it; what begins with ^ is a pattern, anything else a name")
		}
	}
	if c.Kafka.Group == "" {
		return c.Fault("kafka.group", "must not be empty", "remove the key to take the default")
	}
	if t := c.Kafka.TLS; (t.CertFile == "") != (t.KeyFile == "") {
		return c.Fault("kafka.tls", "cert_file and key_file belong together", "give both or neither")
	}
	if t := c.Kafka.TLS; !t.Enabled && t != (TLS{}) {
		return c.Fault("kafka.tls", "the other keys mean nothing without enabled", "write enabled: true, or remove them")
	}
	if err := c.checkSASL(); err != nil {
		return err
	}
	return c.atLeast(
		bound{"kafka.session_timeout", int64(c.Kafka.SessionTimeout), int64(Duration(100e6)), "100ms"}, // brokers have a bound of their own, 6s by default
		bound{"kafka.dial_timeout", int64(c.Kafka.DialTimeout), 1e6, "1ms"},
		bound{"kafka.metadata_refresh", int64(c.Kafka.MetadataRefresh), 1e8, "100ms"},
	)
}

// checkSASL wants the keys that the mechanism needs, and no others: a password that
// is not used is one that was meant to be.
func (c *Config) checkSASL() error {
	s := c.Kafka.SASL
	login := s.Username != "" || s.Password.IsSet()
	switch s.Mechanism {
	case SASLPlain, SASLScram256, SASLScram512:
		if s.Username == "" || !s.Password.IsSet() {
			return c.Fault("kafka.sasl", "username or password is missing", "give both, the password best as ${NAME}")
		}
	default:
		if login {
			return c.Fault("kafka.sasl", fmt.Sprintf("username and password are not for mechanism %q", s.Mechanism), "remove them, or name plain or a scram-sha mechanism")
		}
	}
	if s.Mechanism == SASLMSKIAM && !c.Kafka.TLS.Enabled {
		return c.Fault("kafka.sasl.mechanism", "aws-msk-iam needs TLS", "set kafka.tls.enabled and take the brokers' IAM port, 9098 by default")
	}
	if s.Mechanism != SASLOAuthBearer {
		if s.OAuth.any() {
			return c.Fault("kafka.sasl.oauth", fmt.Sprintf("is not for mechanism %q", s.Mechanism), "remove it, or set kafka.sasl.mechanism: oauthbearer")
		}
		return nil
	}
	return c.checkOAuth(s.OAuth)
}

func (o OAuth) any() bool {
	return o.TokenURL != "" || o.ClientID != "" || o.ClientSecret.IsSet() || len(o.Scopes) > 0 || o.CAFile != "" || o.TokenFile != "" || len(o.Extensions) > 0
}

func (c *Config) checkOAuth(o OAuth) error {
	const key = "kafka.sasl.oauth"
	switch {
	case (o.TokenURL == "") == (o.TokenFile == ""):
		return c.Fault(key, "wants one of token_url and token_file", "name the endpoint that gives tokens, or the file that holds one")
	case o.TokenFile != "":
		if o.ClientID != "" || o.ClientSecret.IsSet() || len(o.Scopes) > 0 || o.CAFile != "" {
			return c.Fault(key, "client_id, client_secret, scopes and ca_file are for token_url", "remove them, or take token_url")
		}
		return nil
	case o.ClientID == "" || !o.ClientSecret.IsSet():
		return c.Fault(key, "client_id or client_secret is missing", "give both, the secret best as ${NAME}")
	}
	if u, err := url.Parse(o.TokenURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return c.Fault(key+".token_url", fmt.Sprintf("%q is no URL", o.TokenURL), "write it as https://host/path")
	}
	return nil
}
