// Package config reads auditlake's one configuration file. docs/config.md is its
// reference for people; a test holds the two together.
package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is one configuration file with every default filled in. Paths in it are
// absolute: a relative path is relative to the folder of the file that says it.
type Config struct {
	Kafka     Kafka            `yaml:"kafka"`
	Catalog   Catalog          `yaml:"catalog"`
	Warehouse string           `yaml:"warehouse"`
	S3        S3               `yaml:"s3"`
	Tables    map[string]Table `yaml:"tables"`
	Sink      Sink             `yaml:"sink"`
	SQL       SQL              `yaml:"sql"`
	Metrics   Metrics          `yaml:"metrics"`
	Log       Log              `yaml:"log"`

	// Path is the file this was read from, as the user named it.
	Path string `yaml:"-"`

	where map[string]position // of each key that the file has, by its dotted name
}

// Catalog says which Iceberg catalog knows the tables.
type Catalog struct {
	Type      string `yaml:"type"`
	URI       string `yaml:"uri"`
	Password  Secret `yaml:"password"`
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace"`
	REST      REST   `yaml:"rest"`
	Glue      Glue   `yaml:"glue"`
}

// REST says how a REST catalog is talked to.
type REST struct {
	Warehouse         string `yaml:"warehouse"`
	Prefix            string `yaml:"prefix"`
	Credential        Secret `yaml:"credential"`
	OAuth2ServerURI   string `yaml:"oauth2_server_uri"`
	Scope             string `yaml:"scope"`
	Audience          string `yaml:"audience"`
	Resource          string `yaml:"resource"`
	Token             Secret `yaml:"token"`
	SigV4             bool   `yaml:"sigv4"`
	SigningRegion     string `yaml:"signing_region"`
	SigningName       string `yaml:"signing_name"`
	VendedCredentials bool   `yaml:"vended_credentials"`
	CAFile            string `yaml:"ca_file"`
}

// Glue says which AWS Glue Data Catalog it is.
type Glue struct {
	Region   string `yaml:"region"`
	Endpoint string `yaml:"endpoint"`
	ID       string `yaml:"id"`
}

// S3 is needed where the warehouse is on S3 and the AWS defaults do not do.
type S3 struct {
	Endpoint        string `yaml:"endpoint"`
	Region          string `yaml:"region"`
	PathStyle       bool   `yaml:"path_style"`
	AccessKeyID     string `yaml:"access_key_id"`
	SecretAccessKey Secret `yaml:"secret_access_key"`
}

// Table says how a table is made; it means nothing for a table that exists.
type Table struct {
	PartitionBy []string `yaml:"partition_by"`
}

// Sink tunes the way from Kafka to the tables.
type Sink struct {
	TargetLag        Duration `yaml:"target_lag"`
	TargetFileSize   Size     `yaml:"target_file_size"`
	Memory           Size     `yaml:"memory"`
	MaxBatchRows     int64    `yaml:"max_batch_rows"`
	ShutdownTimeout  Duration `yaml:"shutdown_timeout"`
	MaxEventBytes    Size     `yaml:"max_event_bytes"`
	MaxEventAge      Duration `yaml:"max_event_age"`
	MaxClockSkew     Duration `yaml:"max_clock_skew"`
	CompressionLevel int64    `yaml:"compression_level"`
	Workers          int64    `yaml:"workers"`
}

// SQL bounds what one query may take.
type SQL struct {
	MemoryLimit Size     `yaml:"memory_limit"`
	Threads     int64    `yaml:"threads"`
	Timeout     Duration `yaml:"timeout"`
	CacheDir    string   `yaml:"cache_dir"`
	CacheSize   Size     `yaml:"cache_size"`
	MaxRows     int64    `yaml:"max_rows"`
	QueriesDir  string   `yaml:"queries_dir"`

	ExtensionDirectory string `yaml:"extension_directory"`
}

// Metrics says where `run` can be watched.
type Metrics struct {
	Listen       string   `yaml:"listen"` // host:port, or Off
	ReadyLag     Duration `yaml:"ready_lag"`
	StalledAfter Duration `yaml:"stalled_after"`
}

// Off is metrics.listen for nowhere.
const Off = "off"

// ReadyLag is metrics.ready_lag, or three times sink.target_lag and 30 s at least.
func (c *Config) ReadyLag() time.Duration {
	if d := c.Metrics.ReadyLag.Std(); d > 0 {
		return d
	}
	return max(3*c.Sink.TargetLag.Std(), 30*time.Second)
}

// StalledAfter is metrics.stalled_after, or ten times sink.target_lag and 10 min
// at least: a snapshot commit is tried for half of that.
func (c *Config) StalledAfter() time.Duration {
	if d := c.Metrics.StalledAfter.Std(); d > 0 {
		return d
	}
	return max(10*c.Sink.TargetLag.Std(), 10*time.Minute)
}

// IsSet reports whether the file itself has the key, by its dotted name.
func (c *Config) IsSet(key string) bool {
	_, ok := c.where[key]
	return ok
}

// Log says what is written to stderr.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

const (
	day = Duration(24 * time.Hour)
	mib = Size(1 << 20)
)

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		Kafka: Kafka{
			Group: "auditlake", Start: "earliest", Isolation: "read_committed", ClientID: "auditlake",
			SessionTimeout: Duration(45 * time.Second), DialTimeout: Duration(10 * time.Second), MetadataRefresh: Duration(30 * time.Second),
		},
		Catalog: Catalog{
			Type: "sqlite", Name: "auditlake", Namespace: "audit",
			REST: REST{Scope: "catalog", SigningName: "execute-api", VendedCredentials: true},
		},
		S3: S3{Region: "us-east-1"},
		Sink: Sink{
			TargetLag: Duration(time.Minute), TargetFileSize: 128 * mib, Memory: 240 * mib, MaxBatchRows: 5_000_000,
			ShutdownTimeout: Duration(30 * time.Second), MaxEventBytes: 16 * mib, MaxEventAge: 1825 * day,
			MaxClockSkew: day, CompressionLevel: 1, Workers: 1,
		},
		SQL: SQL{
			MemoryLimit: 1024 * mib, Timeout: Duration(5 * time.Minute), CacheDir: defaultCacheDir(),
			CacheSize: 10 * 1024 * mib, MaxRows: 1000,
		},
		Metrics: Metrics{Listen: "127.0.0.1:9464"},
		Log:     Log{Level: "info", Format: "text"},
		where:   map[string]position{},
	}
}

func defaultCacheDir() string {
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "auditlake")
	}
	return filepath.Join(os.TempDir(), "auditlake-cache")
}

// Resolve says which file is read: the one asked for, else $AUDITLAKE_CONFIG,
// else ./auditlake.yaml.
func Resolve(flag string, getenv func(string) (string, bool)) string {
	if flag != "" {
		return flag
	}
	if path, ok := getenv("AUDITLAKE_CONFIG"); ok && path != "" {
		return path
	}
	return "auditlake.yaml"
}

// Load reads and checks the file at path. getenv serves ${NAME} in its values.
// Whatever the user has to mend is an [*Error].
func Load(path string, getenv func(string) (string, bool)) (*Config, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, &Error{File: path, Text: "no such configuration file",
			Hint: "write one (docs/config.md has the smallest), or name it by -c FILE or $AUDITLAKE_CONFIG; `auditlake quickstart` makes one to try"}
	}
	if err != nil {
		return nil, &Error{File: path, Text: plainPathError(err), Hint: "name a readable file by -c FILE"}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, filepath.Dir(abs), text, getenv)
}

// Parse is [Load] of a text; base is the folder that relative paths start from.
func Parse(path, base string, text []byte, getenv func(string) (string, bool)) (*Config, error) {
	c := Default()
	c.Path = path
	d := decoder{file: path, getenv: getenv, where: c.where}
	if err := d.decode(text, c); err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.resolvePaths(base)
	return c, nil
}

func (c *Config) resolvePaths(base string) {
	for _, p := range append([]*string{&c.Warehouse, &c.Catalog.URI, &c.Catalog.REST.CAFile, &c.SQL.CacheDir, &c.SQL.QueriesDir, &c.SQL.ExtensionDirectory}, c.Kafka.paths()...) {
		if *p == "" || filepath.IsAbs(*p) || isURL(*p) {
			continue
		}
		*p = filepath.Join(base, *p)
	}
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(u.Scheme) > 1 && strings.HasPrefix(s, u.Scheme+":")
}
