package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

const smallest = `kafka:     {brokers: ["127.0.0.1:9092"], topics: [agent-events]}
catalog:   {type: sqlite, uri: ./lake/catalog.db}      # sqlite | postgres | rest | glue
warehouse: ./lake/warehouse                            # a directory, file:// or s3://bucket/prefix
s3:        {endpoint: "http://127.0.0.1:7070", region: us-east-1, path_style: true}   # only where needed
`

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestSmallestHasADefaultForTheRest(t *testing.T) {
	c, err := Parse("a.yaml", "/base", []byte(smallest), env())
	require.NoError(t, err)
	require.NoError(t, c.RequireKafka())
	require.Equal(t, "/base/lake/catalog.db", c.Catalog.URI)
	require.Equal(t, "/base/lake/warehouse", c.Warehouse)
	require.True(t, c.S3.PathStyle)
	require.Equal(t, Default().Sink, c.Sink)
	require.Equal(t, 24*time.Hour, c.Sink.MaxClockSkew.Std())
}

func TestLocationsThatAreNoRelativePathStay(t *testing.T) {
	for _, w := range []string{"/abs/wh", "file:///abs/wh", "s3://bucket/prefix"} {
		c, err := Parse("a.yaml", "/base", []byte("catalog: {uri: c.db}\nwarehouse: "+w+"\n"), env())
		require.NoError(t, err)
		require.Equal(t, w, c.Warehouse)
		require.ErrorContains(t, c.RequireKafka(), "kafka.brokers is missing")
	}
}

func TestMistakes(t *testing.T) {
	const base = "catalog: {uri: c.db}\nwarehouse: wh\n"
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", base + "sink:\n  target_lagg: 5s\n", `a.yaml:4:3: unknown key "target_lagg" in sink: did you mean "target_lag"?`},
		{"unknown key, nothing near", base + "log:\n  colour: red\n", `a.yaml:4:3: unknown key "colour" in log: the keys are level, format`},
		{"unknown section", base + "kafak: {}\n", `a.yaml:3:1: unknown key "kafak": did you mean "kafka"?`},
		{"duration without a unit", base + "sink: {target_lag: 60}\n", `a.yaml:3:20: sink.target_lag: want a duration with a unit, such as 90s, 15m or 183d, found "60"`},
		{"size without a unit", base + "sink: {memory: 256}\n", `a.yaml:3:16: sink.memory: want a size with a unit, such as 64KiB or 128MiB, found "256"`},
		{"size that is none", base + "sink: {memory: lots}\n", `a.yaml:3:16: sink.memory: want a size with a unit, such as 64KiB or 128MiB, found "lots"`},
		{"size beyond 64 bits", base + "sink: {memory: 99999EiB}\n", `a.yaml:3:16: sink.memory: want a size with a unit, such as 64KiB or 128MiB, found "99999EiB"`},
		{"word for a number", base + "sink:\n  workers: two\n", `a.yaml:4:12: sink.workers: want a whole number, found "two"`},
		{"fraction for a whole", base + "sink:\n  workers: 1.5\n", `a.yaml:4:12: sink.workers: want a whole number, found "1.5"`},
		{"yes is no bool", base + "s3: {path_style: yes}\n", `a.yaml:3:18: s3.path_style: want true or false, found "yes"`},
		{"text for a list", base + "kafka:\n  topics: agent-events\n", `a.yaml:4:11: kafka.topics: want a list, found one value: write [agent-events]`},
		{"list for a text", base + "kafka: {group: [a]}\n", `a.yaml:3:16: kafka.group: want one value, found a list`},
		{"text for a section", base + "kafka: localhost:9092\n", `a.yaml:3:8: kafka: want keys and values below it, found one value`},
		{"no value", base + "kafka:\n  group:\n", `a.yaml:4:10: kafka.group: has no value: give it one or remove the key`},
		{"unset variable", base + "kafka: {group: \"${GROUP}\"}\n", `a.yaml:3:16: kafka.group: environment variable GROUP is not set: set it, or write ${GROUP:-default}`},
		{"broken reference", base + "kafka: {group: \"${GR OUP}\"}\n", `a.yaml:3:16: kafka.group: a ${ that is no ${NAME} and no ${NAME:-default}: write $${ for a plain ${`},
		{"no YAML", "catalog: {uri: c.db\n", `a.yaml:1:10: not YAML: could not find flow mapping end token '}': mend the file there`},
		{"key twice", base + "warehouse: b\n", `a.yaml:3:1: not YAML: mapping key "warehouse" already defined at [2:1]: mend the file there`},
		{"two documents", base + "---\nwarehouse: b\n", `a.yaml:4:1: a second YAML document: keep one document in the file`},
		{"anchor", "catalog: &c {uri: c.db}\nwarehouse: wh\n", `a.yaml:1:10: catalog: YAML anchors, aliases and tags are not read here: write the value out`},
		{"empty file", "", `a.yaml: catalog.uri is missing: name the catalog's file, such as ./lake/catalog.db`},
		{"only comments", "# nothing\n", `a.yaml: catalog.uri is missing: name the catalog's file, such as ./lake/catalog.db`},
		{"no warehouse", "catalog:\n  uri: c.db\n", `a.yaml: warehouse is missing: name a folder such as ./lake/warehouse, or s3://bucket/prefix`},
		{"catalog unknown", "catalog: {type: sqllite}\n", `a.yaml:1:17: catalog.type: "sqllite" is not known: did you mean "sqlite"?`},
		{"catalog by URL", "catalog: {uri: \"postgres://x\"}\nwarehouse: w\n", `a.yaml:1:16: catalog.uri: is a URL: a sqlite catalog is a plain file, such as ./lake/catalog.db; for a server name its kind in catalog.type`},
		{"warehouse on another store", "catalog: {uri: c.db}\nwarehouse: gs://b/p\n", `a.yaml:2:12: warehouse: cannot write to "gs://b/p": it is a folder, file:///folder or s3://bucket/prefix`},
		{"half a key pair", base + "s3: {access_key_id: k}\n", `a.yaml:3:5: s3: access_key_id and secret_access_key belong together: give both, or neither to take the AWS defaults`},
		{"broker without port", base + "kafka: {brokers: [localhost]}\n", `a.yaml:3:19: kafka.brokers[0]: "localhost" is no host:port: write it as 127.0.0.1:9092`},
		{"topic twice", base + "kafka: {topics: [a, a]}\n", `a.yaml:3:21: kafka.topics[1]: "a" is empty or stands twice: name each topic once`},
		{"start", base + "kafka: {start: earlyest}\n", `a.yaml:3:16: kafka.start: "earlyest" is not known: did you mean "earliest"?`},
		{"pattern that is none", base + "kafka: {topics: [\"^a(\"]}\n", "a.yaml:3:18: kafka.topics[0]: \"^a(\" is no regular expression: error parsing regexp: missing closing ): `^a(`: mend it; what begins with ^ is a pattern, anything else a name"},
		{"password without a login", base + "kafka: {sasl: {password: x}}\n", `a.yaml:3:15: kafka.sasl: username and password are not for mechanism "": remove them, or name plain or a scram-sha mechanism`},
		{"login without a password", base + "kafka: {sasl: {mechanism: plain, username: u}}\n", "a.yaml:3:15: kafka.sasl: username or password is missing: give both, the password best as ${NAME}"},
		{"mechanism", base + "kafka: {sasl: {mechanism: oauth}}\n", `a.yaml:3:27: kafka.sasl.mechanism: "oauth" is not known: did you mean "oauthbearer"?`},
		{"tokens from nowhere", base + "kafka: {sasl: {mechanism: oauthbearer}}\n", `a.yaml:3:15: kafka.sasl.oauth: wants one of token_url and token_file: name the endpoint that gives tokens, or the file that holds one`},
		{"tokens for nobody", base + "kafka: {sasl: {mechanism: oauthbearer, oauth: {token_url: \"http://h/t\", client_id: c}}}\n", "a.yaml:3:47: kafka.sasl.oauth: client_id or client_secret is missing: give both, the secret best as ${NAME}"},
		{"token endpoint that is none", base + "kafka: {sasl: {mechanism: oauthbearer, oauth: {token_url: here, client_id: c, client_secret: s}}}\n", `a.yaml:3:59: kafka.sasl.oauth.token_url: "here" is no URL: write it as https://host/path`},
		{"token file and client", base + "kafka: {sasl: {mechanism: oauthbearer, oauth: {token_file: f, client_id: c}}}\n", `a.yaml:3:47: kafka.sasl.oauth: client_id, client_secret, scopes and ca_file are for token_url: remove them, or take token_url`},
		{"tokens for another mechanism", base + "kafka: {sasl: {mechanism: aws-msk-iam, oauth: {token_file: f}}, tls: {enabled: true}}\n", `a.yaml:3:47: kafka.sasl.oauth: is not for mechanism "aws-msk-iam": remove it, or set kafka.sasl.mechanism: oauthbearer`},
		{"MSK in the clear", base + "kafka: {sasl: {mechanism: aws-msk-iam}}\n", `a.yaml:3:27: kafka.sasl.mechanism: aws-msk-iam needs TLS: set kafka.tls.enabled and take the brokers' IAM port, 9098 by default`},
		{"authority without TLS", base + "kafka: {tls: {ca_file: c.pem}}\n", `a.yaml:3:14: kafka.tls: the other keys mean nothing without enabled: write enabled: true, or remove them`},
		{"no workers", base + "sink: {workers: 0}\n", `a.yaml:3:17: sink.workers: is too small: give at least 1`},
		{"level", base + "sink: {compression_level: 30}\n", `a.yaml:3:27: sink.compression_level: 30 is too high: zstd has the levels 1 to 22`},
		{"event against memory", base + "sink: {max_event_bytes: 100MiB}\n", `a.yaml:3:7: sink.memory: a worker's share of 240MiB cannot hold three events of sink.max_event_bytes (100MiB): raise the one or lower the other`},
		{"workers against memory", base + "sink: {workers: 1000000}\n", `a.yaml:3:17: sink.workers: each of 1000000 has less than 32MiB of sink.memory (240MiB): take fewer, one a core, or raise sink.memory`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("a.yaml", "/base", []byte(tc.text), env())
			require.Error(t, err)
			require.NotContains(t, err.Error(), "\n")
			var mistake *Error
			require.ErrorAs(t, err, &mistake)
			require.Equal(t, tc.want, err.Error())
		})
	}
}

func TestMissingAndUnreadableFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), env())
	require.ErrorContains(t, err, "no such configuration file: write one")
	_, err = Load(t.TempDir(), env())
	require.ErrorContains(t, err, "cannot read it: is a directory")
}

func TestEnvironment(t *testing.T) {
	text := `# ${NOT_LOOKED_AT}
kafka:
  brokers: ${BROKERS}
  topics: [agent-events, "${TOPIC:-other}"]
  group: pre-${GROUP}-post
  sasl: {mechanism: plain, username: u, password: "${PASSWORD}"}
  client_id: $${literal} $5
catalog: {uri: "${DIR}/c.db"} # ${NOT_HERE}
warehouse: ${WAREHOUSE:-wh}
sink: {workers: "${WORKERS}", target_lag: "${LAG:-90s}"}
`
	c, err := Parse("a.yaml", "/base", []byte(text), env("BROKERS", "a:1, b:2", "GROUP", "g", "PASSWORD", `a: "b" #c'}`, "DIR", "/d", "WAREHOUSE", "", "WORKERS", "3"))
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2"}, c.Kafka.Brokers)
	require.Equal(t, []string{"agent-events", "other"}, c.Kafka.Topics)
	require.Equal(t, "pre-g-post", c.Kafka.Group)
	require.Equal(t, `a: "b" #c'}`, c.Kafka.SASL.Password.Reveal())
	require.Equal(t, "${literal} $5", c.Kafka.ClientID)
	require.Equal(t, "/d/c.db", c.Catalog.URI)
	require.Equal(t, "/base/wh", c.Warehouse)
	require.EqualValues(t, 3, c.Sink.Workers)
	require.Equal(t, 90*time.Second, c.Sink.TargetLag.Std())

	_, err = Parse("a.yaml", "/base", []byte("sink: {workers: \"${PASSWORD}\"}\n"), env("PASSWORD", "hunter2"))
	require.ErrorContains(t, err, "want a whole number")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := Default()
	c.S3.SecretAccessKey = NewSecret("hunter2")
	c.Kafka.SASL.Password = NewSecret("hunter2")
	asJSON, err := json.Marshal(c)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(c)
	require.NoError(t, err)
	for _, s := range []string{
		fmt.Sprint(c.S3), fmt.Sprintf("%v %+v %#v", c.S3, c.S3, c.S3), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c),
		fmt.Sprintf("%s %q %x", c.S3.SecretAccessKey, c.S3.SecretAccessKey, c.S3.SecretAccessKey), string(asJSON), string(asYAML),
	} {
		require.NotContains(t, s, "hunter2")
		require.NotContains(t, s, fmt.Sprintf("%x", "hunter2"))
	}
	require.Contains(t, string(asJSON), `"***"`)
	require.Contains(t, string(asYAML), `***`)
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]int64{"1B": 1, "64KiB": 65536, "128MiB": 134217728, "128 MiB": 134217728, "1.5GiB": 1610612736, "128MB": 128000000, "0B": 0} {
		var s Size
		require.NoError(t, s.setText(text), text)
		require.Equal(t, want, s.Bytes(), text)
		var again Size
		require.NoError(t, again.setText(s.String()))
		require.Equal(t, s, again)
	}
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "183d": 183 * 24 * time.Hour, "5y": 1825 * 24 * time.Hour, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond} {
		var d Duration
		require.NoError(t, d.setText(text), text)
		require.Equal(t, want, d.Std(), text)
		var again Duration
		require.NoError(t, again.setText(d.String()))
		require.Equal(t, d, again)
	}
}

func TestResolve(t *testing.T) {
	require.Equal(t, "f", Resolve("f", env("AUDITLAKE_CONFIG", "e")))
	require.Equal(t, "e", Resolve("", env("AUDITLAKE_CONFIG", "e")))
	require.Equal(t, "auditlake.yaml", Resolve("", env()))
}

// TestReference holds docs/config.md to the structs: a row for every key, with
// its default, and no other.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/config.md")
	require.NoError(t, err)
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9_.]+)` \\| ([^|]*) \\| ([^|]+) \\|").FindAllStringSubmatch(string(text), -1) {
		require.NotContains(t, documented, m[1], "documented twice")
		require.Greater(t, len(m[3]), 4, "%s has no meaning", m[1])
		documented[m[1]] = m[2]
	}
	want := map[string]string{}
	defaultsOf(reflect.ValueOf(*Default()), "", want)
	require.Equal(t, want, documented)
	require.Contains(t, string(text), strings.SplitN(smallest, "\n", 2)[0], "the smallest configuration")
}

func defaultsOf(v reflect.Value, key string, out map[string]string) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		k, f := join(key, name), v.Field(i)
		switch _, isSecret := f.Interface().(Secret); {
		case f.Kind() == reflect.Struct && !isSecret:
			defaultsOf(f, k, out)
		case k == "tables":
			out["tables.NAME.partition_by"] = "see below"
		case k == "sql.cache_dir":
			out[k] = "user's cache folder"
		case k == "kafka.brokers" || k == "kafka.topics" || k == "catalog.uri" || k == "warehouse":
			out[k] = "required"
		case f.IsZero() && (f.Kind() == reflect.String || f.Kind() == reflect.Slice || f.Kind() == reflect.Map || isSecret):
			out[k] = "none"
		default:
			out[k] = fmt.Sprintf("`%v`", f.Interface())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(smallest)
	f.Add("a: [1, {b: ${X}}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse("a.yaml", "/base", []byte(text), env())
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
