// Package storagetest starts what tests of storage run against. It is for tests
// only: what it reads of the environment says where to find test servers.
package storagetest

import (
	"context"
	"fmt"
	"go/build"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/storage"
)

const (
	install      = "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0" // as .ci/parts/go-tools does
	region       = "us-east-1"
	startTimeout = 20 * time.Second
	portTries    = 3
)

// StartS3 starts versitygw, an S3 server over a folder, makes the buckets in it
// and says how to reach it. The server has a folder of its own and ends with the
// test. Its binary is $VERSITYGW, or versitygw on PATH or where `go install` puts
// it; where there is none the test is skipped, but fails where CI=true.
func StartS3(tb testing.TB, buckets ...string) storage.S3Config {
	tb.Helper()
	binary, ok := find()
	part.Need(tb, "versitygw, the S3 server of these tests,", ok, install)
	var err error
	for range portTries { // another process may take the free port first
		var cfg storage.S3Config
		if cfg, err = start(tb, binary); err == nil {
			makeBuckets(tb, cfg, buckets)
			return cfg
		}
	}
	tb.Fatal(err)
	return storage.S3Config{}
}

// find looks for the binary of the server.
func find() (string, bool) {
	if binary := os.Getenv("VERSITYGW"); binary != "" {
		return binary, true
	}
	if binary, err := exec.LookPath("versitygw"); err == nil {
		return binary, true
	}
	installed := os.Getenv("GOBIN")
	if installed == "" {
		installed = filepath.Join(build.Default.GOPATH, "bin")
	}
	binary, err := exec.LookPath(filepath.Join(installed, "versitygw"))
	return binary, err == nil
}

func start(tb testing.TB, binary string) (storage.S3Config, error) {
	address := part.FreeAddress(tb)
	cfg := storage.S3Config{
		Endpoint: "http://" + address, Region: region, PathStyle: true,
		AccessKeyID: "test-access-key", SecretAccessKey: "test-secret-key",
	}
	cmd := exec.Command(binary, "--port", address, "--quiet", "--health", "/health", "--iam-dir", tb.TempDir(), "posix", tb.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+cfg.AccessKeyID, "ROOT_SECRET_KEY="+cfg.SecretAccessKey)
	_, err := part.Start(tb, "versitygw", cmd, startTimeout, func() error { return healthy(cfg.Endpoint) })
	return cfg, err
}

func healthy(endpoint string) error {
	response, err := http.Get(endpoint + "/health")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/health: %s", response.Status)
	}
	return nil
}

// Client is a plain client for what storage has no business with: making
// buckets, and looking at what is in them without storage's help.
func Client(cfg storage.S3Config) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(cfg.Endpoint), Region: cfg.Region, UsePathStyle: cfg.PathStyle,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken),
	})
}

// AddUser makes a user of the server who may nothing with the buckets that are there,
// and says how he reaches it.
func AddUser(tb testing.TB, cfg storage.S3Config, accessKeyID, secret string) storage.S3Config {
	tb.Helper()
	binary, ok := find()
	part.Need(tb, "versitygw, the S3 server of these tests,", ok, install)
	out, err := exec.Command(binary, "admin", "--access", cfg.AccessKeyID, "--secret", cfg.SecretAccessKey, "--endpoint-url", cfg.Endpoint,
		"create-user", "--access", accessKeyID, "--secret", secret, "--role", "user").CombinedOutput()
	if err != nil {
		tb.Fatalf("make user %s: %v: %s", accessKeyID, err, out)
	}
	cfg.AccessKeyID, cfg.SecretAccessKey = accessKeyID, secret
	return cfg
}

func makeBuckets(tb testing.TB, cfg storage.S3Config, buckets []string) {
	tb.Helper()
	client := Client(cfg)
	for _, bucket := range buckets {
		if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			tb.Fatalf("make bucket %s: %v", bucket, err)
		}
	}
}
