package catalogtest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/auditlake/auditlake/internal/part"
	"github.com/auditlake/auditlake/storage"
)

// RESTOptions choose how StartREST serves.
type RESTOptions struct {
	// Warehouse is the root location: s3://bucket/prefix, or an absolute path or
	// file:// URI.
	Warehouse string
	// S3 is how the catalog reaches a warehouse on S3.
	S3 storage.S3Config
	// JDBC is where the catalog keeps its tables, such as Postgres.JDBC; a SQLite
	// file of the test if empty. Concurrent writers need PostgreSQL.
	JDBC string
	// Auth is what the proxy in front asks for; nothing if zero.
	Auth Auth
	// Vend, when set, has each table's answer carry credentials of its own for
	// the gate.
	Vend *S3Gate
}

// REST is a REST catalog of one test: Apache's fixture behind a [Proxy].
type REST struct {
	URI    string // of the proxy; what a client is configured with
	Direct string // of the fixture itself: no authentication, no faults
	*Proxy

	tb      testing.TB
	address string
	args    []string
	process *part.Process
}

// StartREST starts a REST catalog. It ends with the test; Kill and Start may be
// called meanwhile.
func StartREST(tb testing.TB, opts RESTOptions) *REST {
	tb.Helper()
	dir := part.Dir("rest")
	_, err := os.Stat(filepath.Join(dir, "stamp"))
	part.Need(tb, "Apache's REST catalog fixture", err == nil, ".ci/parts/rest")
	properties := []string{
		"catalog-impl=org.apache.iceberg.jdbc.JdbcCatalog", "jdbc.schema-version=V1", "warehouse=" + opts.Warehouse,
	}
	if opts.JDBC == "" {
		// One connection: SQLite knows one writer only.
		properties = append(properties, "clients=1", "uri=jdbc:sqlite:"+filepath.Join(tb.TempDir(), "rest.db"))
	} else {
		properties = append(properties, "uri="+opts.JDBC)
	}
	if opts.S3.Endpoint != "" {
		properties = append(properties,
			"io-impl=org.apache.iceberg.aws.s3.S3FileIO", "s3.endpoint="+opts.S3.Endpoint, "s3.path-style-access=true",
			"s3.access-key-id="+opts.S3.AccessKeyID, "s3.secret-access-key="+opts.S3.SecretAccessKey, "client.region="+opts.S3.Region)
	} else {
		properties = append(properties, "io-impl=org.apache.iceberg.hadoop.HadoopFileIO")
	}
	r := &REST{tb: tb, args: slices.Concat([]string{
		"-Djava.io.tmpdir=" + tb.TempDir(), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		// Each "no such table" is an error with a page of stack to it; the client is told as well.
		"-Dorg.slf4j.simpleLogger.log.org.apache.iceberg.rest=off",
		"-cp", filepath.Join(dir, "classes") + ":" + filepath.Join(dir, "jars", "*"), "Launcher", "PORT",
	}, properties)}
	for range portTries { // another process may take the free port first
		r.address = part.FreeAddress(tb)
		if err = r.start(); err == nil {
			break
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	r.Direct = "http://" + r.address
	r.Proxy = newProxy(r.Direct, opts.Auth, opts.Vend)
	server := httptest.NewServer(r.Proxy)
	tb.Cleanup(func() {
		r.close()
		server.CloseClientConnections()
		server.Close()
	})
	r.URI = server.URL
	r.uri = server.URL
	return r
}

func (r *REST) start() (err error) {
	args := slices.Clone(r.args)
	args[slices.Index(args, "PORT")] = r.address[len("127.0.0.1:"):]
	r.process, err = part.Start(r.tb, "the REST catalog", exec.Command("java", args...), startTimeout, func() error { return r.answers() })
	return err
}

func (r *REST) answers() error {
	client := &http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + r.address + "/v1/config")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/v1/config: %s", response.Status)
	}
	return nil
}

// Kill ends the fixture at once (SIGKILL); the proxy answers 502 meanwhile.
func (r *REST) Kill() { r.process.Kill() }

// Start starts the fixture again at the same address. What it keeps in its
// database is there again.
func (r *REST) Start() {
	r.tb.Helper()
	var errs []error
	for range portTries {
		err := r.start()
		if err == nil {
			return
		}
		errs = append(errs, err)
	}
	r.tb.Fatal(errors.Join(errs...))
}
