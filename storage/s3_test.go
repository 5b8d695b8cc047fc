package storage_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

// TestS3OneClient opens 18 files as iceberg-go does, each time with a new FileIO:
// one connection, and two requests a file.
func TestS3OneClient(t *testing.T) {
	const files, size = 18, 100 << 10
	l := newLab(t)
	content := noise(size)
	for i := range files {
		require.NoError(t, l.direct.WriteFile(fmt.Sprintf("s3://one/f%d", i), content))
	}
	for i := range files {
		fs := l.through(t, nil)
		require.Equal(t, l.through(t, nil), fs)
		f, err := fs.Open(fmt.Sprintf("s3://one/f%d", i))
		require.NoError(t, err)
		end, err := f.Seek(0, io.SeekEnd) // as a Parquet reader: the size, the footer, the columns
		require.NoError(t, err)
		require.EqualValues(t, size, end)
		for _, r := range []struct{ off, n int64 }{{size - 8, 8}, {size - 5000, 4992}, {4, 30_000}, {30_004, 20_000}} {
			buf := make([]byte, r.n)
			_, err = f.ReadAt(buf, r.off)
			require.NoError(t, err)
			require.Equal(t, content[r.off:r.off+r.n], buf)
		}
		require.NoError(t, f.Close())
	}
	require.Equal(t, files, l.Count("head", ""))
	require.Equal(t, files, l.Count("get", ""))
	require.Equal(t, 1, l.Connections())
}

// TestS3ReadsAhead: who reads on gets more at a time, who jumps does not.
func TestS3ReadsAhead(t *testing.T) {
	l := newLab(t)
	content := noise(20 << 20)
	require.NoError(t, l.direct.WriteFile("s3://one/f", content))
	f, err := l.through(t, nil).Open("s3://one/f")
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.True(t, string(content) == string(got))
	// 256 KiB, doubled to 8 MiB, makes 20 MiB in 8 requests, and one more may find the end.
	require.LessOrEqual(t, l.Count("get", "one/f"), 9)

	require.NoError(t, l.direct.WriteFile("s3://one/g", content))
	g, err := l.through(t, nil).Open("s3://one/g")
	require.NoError(t, err)
	defer g.Close()
	for i := range 10 {
		_, err = g.ReadAt(make([]byte, 10), int64(19-2*i)<<20)
		require.NoError(t, err)
	}
	require.Equal(t, 10, l.Count("get", "one/g"))
}

func TestS3Requests(t *testing.T) {
	l := newLab(t)
	p := l.through(t, nil)
	require.NoError(t, p.WriteFile("s3a://one/f", small))
	require.NoError(t, sameFile(p, "s3://one/f", small))
	require.Equal(t, []string{"put", "get"}, l.Kinds("one/f"))
	require.NoError(t, p.WriteFile("s3://two/f", noise(partSize+1)))
	require.Equal(t, []string{"create upload", "part", "part", "complete"}, l.Kinds("two/f"))
	require.NoError(t, p.WriteFile("s3://two/g", noise(partSize)))
	require.Equal(t, []string{"put"}, l.Kinds("two/g"))
}

// TestS3Mistakes: what users get wrong is one line that says what to do.
func TestS3Mistakes(t *testing.T) {
	server := storagetest.StartS3(t, "one")
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + closed.Addr().String()
	closed.Close()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, c := range []struct {
		name, location, want string
		change               func(*storage.S3Config)
	}{
		{"no bucket of that name", "s3://nowhere/f", `bucket "nowhere" does not exist at ` + server.Endpoint + ": make it, or correct the location", func(*storage.S3Config) {}},
		{"wrong key id", "s3://one/f", server.Endpoint + " does not know the access key id: correct it (s3.access_key_id, or the AWS defaults)",
			func(c *storage.S3Config) { c.AccessKeyID = "other" }},
		{"wrong secret", "s3://one/f", "the secret access key does not belong to the access key id: correct it (s3.secret_access_key, or the AWS defaults)",
			func(c *storage.S3Config) { c.SecretAccessKey = "hunter2" }},
		{"no credentials", "s3://one/f", "no credentials are found: set s3.access_key_id and s3.secret_access_key, or what the AWS SDK reads (environment, ~/.aws, role of the machine): ",
			func(c *storage.S3Config) { c.AccessKeyID, c.SecretAccessKey = "", "" }},
		{"nobody there", "s3://one/f", "nothing answers at " + nobody + ": start the object store, or correct s3.endpoint",
			func(c *storage.S3Config) { c.Endpoint = nobody }},
		{"unknown host", "s3://one/f", `host "nowhere.invalid" is not known: correct s3.endpoint`,
			func(c *storage.S3Config) { c.Endpoint = "http://nowhere.invalid" }},
		{"bucket in the host name", "s3://one/f", `s3.path_style: true`,
			func(c *storage.S3Config) { c.Endpoint, c.PathStyle = "http://store.invalid", false }},
		{"TLS to one without", "s3://one/f", " does not speak TLS: write http:// in s3.endpoint",
			func(c *storage.S3Config) { c.Endpoint = "https" + c.Endpoint[len("http"):] }},
		{"no TLS to one with", "s3://one/f", " answered HTTP 400, and not as S3 does: correct s3.endpoint",
			func(c *storage.S3Config) { c.Endpoint = "http" + tls.URL[len("https"):] }},
		{"untrusted certificate", "s3://one/f", "the certificate of " + tls.URL + " is not trusted: name its authority's file in AWS_CA_BUNDLE, or correct s3.endpoint: x509",
			func(c *storage.S3Config) { c.Endpoint = tls.URL }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := server
			cfg.MaxAttempts = 2
			c.change(&cfg)
			p, err := storage.New(context.Background(), c.location, storage.Config{S3: cfg})
			require.NoError(t, err)
			_, read := p.ReadFile(c.location)
			for _, err := range []error{read, p.WriteFile(c.location, small), p.WriteFile(c.location, noise(9<<20))} {
				require.ErrorContains(t, err, c.want)
				require.Contains(t, err.Error(), c.location)
				require.NotContains(t, err.Error(), "\n")
				require.NotContains(t, err.Error(), "hunter2")
				var knows interface{ ExitCode() int }
				require.ErrorAs(t, err, &knows)
				code := 2
				if slices.Contains([]string{"no credentials", "nobody there", "unknown host", "bucket in the host name"}, c.name) {
					code = 1 // it may be the world's fault
				}
				require.Equal(t, code, knows.ExitCode())
			}
		})
	}
}

// TestS3CertificateHasExpired: trusted once, which is not the configuration's fault.
func TestS3CertificateHasExpired(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	t.Setenv("AWS_CA_BUNDLE", bundle)
	p, err := storage.New(context.Background(), "s3://b/f", storage.Config{S3: storage.S3Config{
		Endpoint: server.URL, PathStyle: true, AccessKeyID: "k", SecretAccessKey: "s", MaxAttempts: 2}})
	require.NoError(t, err)
	err = p.WriteFile("s3://b/f", small)
	require.ErrorContains(t, err, "write s3://b/f: the certificate of "+server.URL+" is not valid: whoever runs the store must renew it")
	require.NotContains(t, err.Error(), "\n")
	var knows interface{ ExitCode() int }
	require.ErrorAs(t, err, &knows)
	require.Equal(t, 1, knows.ExitCode())
}

// TestS3TellsOfRetries: whoever waits for a store that fails can see why.
func TestS3TellsOfRetries(t *testing.T) {
	l := newLab(t)
	var lines bytes.Buffer
	l.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
	l.Break("put", "f", 2, faultproxy.Answers(503, "SlowDown"))
	require.NoError(t, l.through(t, nil).WriteFile("s3://one/f", small))
	require.Equal(t, 1, strings.Count(lines.String(), "\n"), "one line, not one for each: %s", &lines)
	require.Contains(t, lines.String(), "a request to the object store failed, trying again")
	require.Contains(t, lines.String(), "SlowDown")
}

func TestS3ConfigMistakes(t *testing.T) {
	for _, c := range []struct {
		cfg  storage.S3Config
		want string
	}{
		{storage.S3Config{Endpoint: "127.0.0.1:7070"}, "s3.endpoint is no URL: write http://host:port or https://host"},
		{storage.S3Config{Endpoint: "localhost:7070"}, "s3.endpoint is no URL: write http://host:port or https://host"},
		{storage.S3Config{Endpoint: "ftp://host"}, "s3.endpoint is no URL: write http://host:port or https://host"},
		{storage.S3Config{Endpoint: "http://k:hunter2@host"}, "s3.endpoint holds a user name: use s3.access_key_id and s3.secret_access_key"},
		{storage.S3Config{AccessKeyID: "k"}, "s3.access_key_id and s3.secret_access_key belong together: set both, or neither to use what the AWS SDK finds"},
		{storage.S3Config{SecretAccessKey: "hunter2"}, "s3.access_key_id and s3.secret_access_key belong together: set both, or neither to use what the AWS SDK finds"},
		{storage.S3Config{PartSize: 1000}, "parts of 1000 bytes are smaller than S3 takes: use 5242880 or more"},
		{storage.S3Config{MaxAttempts: -1}, "-1 attempts of 0s are none: use more, or 0 for the default"},
	} {
		_, err := storage.New(context.Background(), "s3://b/f", storage.Config{S3: c.cfg})
		require.EqualError(t, err, c.want)
	}
}

func TestS3ConfigHidesSecrets(t *testing.T) {
	cfg := storage.Config{S3: storage.S3Config{AccessKeyID: "key id", SecretAccessKey: "hunter2", SessionToken: "hunter3"}}
	asJSON, err := json.Marshal(cfg)
	require.NoError(t, err)
	for _, text := range []string{
		string(asJSON), fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), fmt.Sprintf("%v", &cfg),
		fmt.Sprint(cfg.S3), fmt.Sprintf("%+v", cfg.S3), fmt.Sprintf("%#v", cfg.S3), fmt.Sprintf("%s %q", cfg.S3, cfg.S3),
	} {
		require.NotContains(t, text, "hunter")
		require.Contains(t, text, "key id")
	}
}

// TestS3Buffered: what a writer holds counts for whoever keeps a memory budget.
func TestS3Buffered(t *testing.T) {
	l := newLab(t)
	w, err := l.direct.Create("s3://one/f")
	require.NoError(t, err)
	held := w.(interface{ Buffered() int64 }).Buffered
	require.Zero(t, held())
	_, err = w.Write(noise(1000))
	require.NoError(t, err)
	require.GreaterOrEqual(t, held(), int64(1000))
	for range 4 {
		_, err = w.Write(noise(partSize))
		require.NoError(t, err)
		require.LessOrEqual(t, held(), int64(3*partSize), "two parts, and what a slice grows by")
		require.GreaterOrEqual(t, held(), int64(partSize))
	}
	require.NoError(t, w.Close())
	require.Zero(t, held())
}
