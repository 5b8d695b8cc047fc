// Package catalogtest starts the catalogs that tests run against: PostgreSQL, and
// Apache's REST catalog fixture behind a proxy that checks credentials and fails
// on request. It is for tests only. `.ci/parts/postgres` and `.ci/parts/rest`
// install what it starts.
package catalogtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver

	"github.com/auditlake/auditlake/internal/part"
)

const (
	startTimeout = 60 * time.Second // of any server here, on a loaded machine
	portTries    = 3
	pgUser       = "auditlake" // superuser of the cluster
	pgPassword   = "pg-test-password"
	pgDatabase   = "lake"
)

// Postgres is a PostgreSQL cluster of one test. Its address stays the same
// through Kill, Stop and Start.
type Postgres struct {
	URI  string // postgres://user:password@host:port/lake, of a superuser
	JDBC string // the same for Java's driver

	tb      testing.TB
	bin     string // folder of the binaries
	dir     string // data directory
	address string // host:port
	process *part.Process
}

// StartPostgres starts a PostgreSQL cluster with the empty database "lake". It
// has a folder of its own and ends with the test. Passwords are checked.
func StartPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	bin, ok := findPostgres()
	part.Need(tb, "PostgreSQL, the catalog of these tests,", ok, ".ci/parts/postgres")
	parent, err := os.MkdirTemp("", "auditlake-pg-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(parent); err != nil {
			tb.Errorf("remove the cluster: %v", err)
		}
	})
	p := &Postgres{tb: tb, bin: bin, dir: filepath.Join(parent, "data")}
	p.initialize(parent)
	for range portTries { // another process may take the free port first
		p.address = part.FreeAddress(tb)
		if err = p.start(); err == nil {
			break
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	p.URI = p.uri(pgUser, pgPassword, "postgres")
	p.Exec("CREATE DATABASE " + pgDatabase)
	p.URI = p.uri(pgUser, pgPassword, pgDatabase)
	p.JDBC = fmt.Sprintf("jdbc:postgresql://%s/%s?user=%s&password=%s", p.address, pgDatabase, pgUser, pgPassword)
	return p
}

// findPostgres looks for the newest version that Debian's packages installed.
func findPostgres() (string, bool) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	if len(found) == 0 {
		return "", false
	}
	slices.SortFunc(found, func(a, b string) int { // 9 before 15
		if c := len(a) - len(b); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return filepath.Dir(found[len(found)-1]), true
}

func (p *Postgres) initialize(parent string) {
	p.tb.Helper()
	if uid, gid, ok := postgresUser(p.tb); ok {
		if err := os.Chown(parent, uid, gid); err != nil {
			p.tb.Fatal(err)
		}
	}
	secret := filepath.Join(parent, "password")
	if err := os.WriteFile(secret, []byte(pgPassword), 0o644); err != nil {
		p.tb.Fatal(err)
	}
	cmd := p.command("initdb", "-D", p.dir, "-A", "scram-sha-256", "-U", pgUser, "--pwfile="+secret, "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.tb.Fatalf("initdb: %v: %s", err, out)
	}
}

// postgresUser is who the server runs as where the test is root, whom PostgreSQL
// refuses to run as.
func postgresUser(tb testing.TB) (uid, gid int, ok bool) {
	tb.Helper()
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	info, err := os.ReadFile("/etc/passwd")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if _, err := fmt.Sscanf(line, "postgres:x:%d:%d:", &uid, &gid); err == nil {
			return uid, gid, true
		}
	}
	tb.Fatal("there is no user postgres: run .ci/parts/postgres")
	return 0, 0, false
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = filepath.Dir(p.dir)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	if uid, gid, ok := postgresUser(p.tb); ok {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

func (p *Postgres) start() (err error) {
	host, port, _ := strings.Cut(p.address, ":")
	cmd := p.command("postgres", "-D", p.dir, "-h", host, "-p", port, "-k", filepath.Dir(p.dir),
		// The folder does not outlive the test: there is nothing to make durable.
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
	p.process, err = part.Start(p.tb, "postgres", cmd, startTimeout, p.ping)
	return err
}

func (p *Postgres) ping() error {
	db, err := sql.Open("pgx", p.uri(pgUser, pgPassword, "postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

// Kill ends the server at once (SIGKILL), as a crash would.
func (p *Postgres) Kill() {
	p.process.Kill()
}

// Stop ends the server; connections are closed (SIGINT, a "fast shutdown").
func (p *Postgres) Stop() {
	p.tb.Helper()
	if err := p.process.Signal(os.Interrupt); err != nil {
		p.tb.Fatal(err)
	}
	select {
	case <-p.process.Ended():
	case <-time.After(startTimeout):
		p.tb.Fatal("postgres does not stop")
	}
}

// Start starts the server again, with all its data, after Kill or Stop. Until
// what a killed server left behind is gone, PostgreSQL refuses to: it tries again.
func (p *Postgres) Start() {
	p.tb.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		err := p.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.tb.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Exec runs statements as the superuser, in the database of URI.
func (p *Postgres) Exec(statements ...string) {
	p.tb.Helper()
	db, err := sql.Open("pgx", p.URI)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer db.Close()
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			p.tb.Fatalf("%s: %v", text, err)
		}
	}
}

// URIFor is URI for another user.
func (p *Postgres) URIFor(user, password string) string { return p.uri(user, password, pgDatabase) }

// Address is host:port of the server.
func (p *Postgres) Address() string { return p.address }

func (p *Postgres) uri(user, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: p.address, Path: "/" + database}
	return u.String()
}
