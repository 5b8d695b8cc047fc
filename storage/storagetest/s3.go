// Package storagetest starts what tests of storage run against. It is for tests
// only: what it reads of the environment says where to find test servers.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/build"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/auditlake/auditlake/storage"
)

const (
	install      = "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0"
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
	if !ok {
		missing := "versitygw, the S3 server of these tests, is not installed: run `" + install + "`"
		if os.Getenv("CI") == "true" {
			tb.Fatal(missing)
		}
		// go test shows the reason of a skip only with -v, and this line also
		// without, in a package that fails or is tested in its own folder.
		leftOut.Do(func() { fmt.Fprintln(os.Stderr, "LEFT OUT: what needs an S3 server:", missing) })
		tb.Skip("left out: " + missing)
	}
	var err error
	for range portTries { // another process may take the free port first
		var cfg storage.S3Config
		if cfg, err = start(tb, binary); err == nil {
			makeBuckets(tb, cfg, buckets)
			return cfg
		}
	}
	tb.Fatalf("start versitygw: %v", err)
	return storage.S3Config{}
}

var leftOut sync.Once

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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return storage.S3Config{}, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return storage.S3Config{}, err
	}

	cfg := storage.S3Config{
		Endpoint: "http://" + address, Region: region, PathStyle: true,
		AccessKeyID: "test-access-key", SecretAccessKey: "test-secret-key",
	}
	output := &lockedBuffer{}
	cmd := exec.Command(binary, "--port", address, "--quiet", "--health", "/health", "posix", tb.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+cfg.AccessKeyID, "ROOT_SECRET_KEY="+cfg.SecretAccessKey)
	cmd.Stdout, cmd.Stderr = output, output
	ended, err := run(cmd)
	if err != nil {
		return cfg, err
	}
	stop := func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
	}
	if err := awaitHealth(cfg.Endpoint, ended); err != nil {
		stop()
		return cfg, fmt.Errorf("%w: %s", err, strings.TrimSpace(output.String()))
	}
	tb.Cleanup(func() {
		stop()
		if tb.Failed() {
			tb.Logf("versitygw said: %s", output.String())
		}
	})
	return cfg, nil
}

// run starts cmd so that it ends with this process, however that ends, and closes
// ended once it has.
func run(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	endWithParent(cmd)
	started, end := make(chan error), make(chan struct{})
	go func() {
		// To the kernel the parent is the thread, which must not end before.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its output says why
		}
		close(end)
	}()
	return end, <-started
}

func awaitHealth(endpoint string, ended <-chan struct{}) error {
	deadline := time.After(startTimeout)
	for {
		response, err := http.Get(endpoint + "/health")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-deadline:
			return fmt.Errorf("it is not healthy after %s", startTimeout)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Client is a plain client for what storage has no business with: making
// buckets, and looking at what is in them without storage's help.
func Client(cfg storage.S3Config) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(cfg.Endpoint), Region: cfg.Region, UsePathStyle: cfg.PathStyle,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken),
	})
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

// lockedBuffer takes the output of a process while a test may read it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
