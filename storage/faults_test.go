package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

var small = []byte("a small file")

// operation is what a user of FileIO does, and the request of it that breaks.
type operation struct {
	name, kind string
	prepare    []byte // the file that is there before
	do         func(p storage.FileIO, name string) error
	after      []byte // the file that is there after; nil: none
}

func operations() []operation {
	large := noise(partSize + 10)
	write := func(content []byte) func(storage.FileIO, string) error {
		return func(p storage.FileIO, name string) error { return p.WriteFile(name, content) }
	}
	return []operation{
		{"write", "put", nil, write(small), small},
		{"begin a large file", "create upload", nil, write(large), large},
		{"send a large file", "part", nil, write(large), large},
		{"finish a large file", "complete", nil, write(large), large},
		{"abort a large file", "abort", nil, abortLarge, nil},
		{"read", "get", large, func(p storage.FileIO, name string) error { return sameFile(p, name, large) }, large},
		{"read a piece", "get", large, func(p storage.FileIO, name string) error { return samePiece(p, name, large) }, large},
		{"stat", "head", small, statSmall, small},
		{"walk", "list", small, walkSmall, small},
		{"remove", "delete", small, func(p storage.FileIO, name string) error { return p.Remove(name) }, nil},
		{"delete files", "delete many", small, deleteOne, nil},
	}
}

func abortLarge(p storage.FileIO, name string) error {
	w, err := p.Create(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(noise(2*partSize + 10)); err != nil {
		return err
	}
	return w.(storage.Aborter).Abort()
}

func sameFile(p storage.FileIO, name string, want []byte) error {
	got, err := p.ReadFile(name)
	if err == nil && !bytes.Equal(want, got) {
		err = fmt.Errorf("%d other bytes", len(got))
	}
	return err
}

func samePiece(p storage.FileIO, name string, whole []byte) error {
	f, err := p.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	const off, n = 1000, 1 << 20
	got := make([]byte, n)
	if _, err := f.ReadAt(got, off); err != nil {
		return err
	}
	if !bytes.Equal(whole[off:off+n], got) {
		return errors.New("other bytes")
	}
	return nil
}

func statSmall(p storage.FileIO, name string) error {
	info, err := p.Stat(name)
	if err == nil && info.Size() != int64(len(small)) {
		err = fmt.Errorf("size %d", info.Size())
	}
	return err
}

func walkSmall(p storage.FileIO, name string) error {
	files := 0
	folder := name[:strings.LastIndex(name, "/")]
	err := p.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if path == name {
			files++
		}
		return err
	})
	if err == nil && files != 1 {
		err = fmt.Errorf("saw it %d times", files)
	}
	return err
}

func deleteOne(p storage.FileIO, name string) error {
	deleted, err := p.DeleteFiles(context.Background(), []string{name})
	if err == nil && len(deleted) != 1 {
		err = fmt.Errorf("deleted %q", deleted)
	}
	return err
}

// lab is an S3 server, seen directly and through a proxy that breaks things.
type lab struct {
	*proxy
	direct place
}

func newLab(t *testing.T) lab {
	server := storagetest.StartS3(t, "one", "two")
	server.PartSize = partSize
	return lab{newProxy(t, server), s3Place(t, storage.Config{S3: server}, "s3://one", "s3://two")}
}

// through is the FileIO that goes through the proxy.
func (l lab) through(t *testing.T, change func(*storage.S3Config)) storage.FileIO {
	cfg := l.cfg
	if change != nil {
		change(&cfg)
	}
	io, err := storage.New(context.Background(), "s3://one", storage.Config{S3: cfg})
	require.NoError(t, err)
	return io
}

// requireState checks, past the proxy, that the file is there whole, or not at
// all, and that nothing else is.
func (l lab) requireState(t *testing.T, name string, want []byte) {
	t.Helper()
	if want == nil {
		l.direct.requireMissing(t, name)
	} else {
		require.NoError(t, sameFile(l.direct, name, want))
	}
}

func (l lab) uploads(t *testing.T, name string) (left int) {
	t.Helper()
	for _, upload := range l.direct.leftovers(t) {
		if "s3://"+upload == name {
			left++
		}
	}
	return left
}

// TestS3FaultOnce breaks one request of each operation in each way: the
// operation succeeds all the same, and once.
func TestS3FaultOnce(t *testing.T) {
	l := newLab(t)
	faults := []struct {
		name   string
		broken faultproxy.Fault
		only   string // kinds of requests it is about; "" for all
	}{
		{"500", faultproxy.Answers(500, "InternalError"), ""},
		{"503", faultproxy.Answers(503, "ServiceUnavailable"), ""},
		{"slow down", faultproxy.Answers(503, "SlowDown"), ""},
		{"500 landed", faultproxy.LandsThen(faultproxy.Answers(500, "InternalError")), ""},
		{"502 of something between", faultproxy.AnswersHTML(502), ""},
		{"reset", faultproxy.Resets, ""},
		{"reset landed", faultproxy.LandsThen(faultproxy.Resets), ""},
		{"upload cut", faultproxy.CutsUpload, "put part"},
		{"upload spoilt", faultproxy.SpoilsUpload, "put part"},
		{"answer cut at once", faultproxy.CutsAnswer(0), "get"},
		{"answer cut", faultproxy.CutsAnswer(300_000), "get"},
	}
	for i, f := range faults {
		for j, op := range operations() {
			if f.only != "" && !strings.Contains(f.only, op.kind) {
				continue
			}
			t.Run(op.name+", "+f.name, func(t *testing.T) {
				t.Parallel()
				folder := fmt.Sprintf("once-%d-%d/", i, j)
				name := "s3://one/" + folder + "f"
				if op.prepare != nil {
					require.NoError(t, l.direct.WriteFile(name, op.prepare))
				}
				l.Break(op.kind, folder, 1, f.broken)
				require.NoError(t, op.do(l.through(t, nil), name))
				require.GreaterOrEqual(t, l.Count(op.kind, folder), 2)
				l.requireState(t, name, op.after)
				lost := 0
				if op.kind == "create upload" && strings.HasSuffix(f.name, "landed") {
					lost = 1 // nobody knows its id; a lifecycle rule ends it
				}
				require.Equal(t, lost, l.uploads(t, name))
			})
		}
	}
}

// TestS3FaultStays breaks every attempt: one clear line, and what is left behind
// is nothing, or the whole file where it landed unanswered.
func TestS3FaultStays(t *testing.T) {
	const twice, once = 2, 1 // attempts
	const expired = "the temporary credentials have expired: renew them"
	l := newLab(t)
	store := l.cfg.Endpoint
	broken := func(status int) string {
		return fmt.Sprintf("%s is overloaded or broken (HTTP %d each time): try again later", store, status)
	}
	dropped := store + " broke the connection each time: check the network, or try again later"
	denied := store + " denies access: allow these credentials s3:GetObject, "
	bad := store + " refuses the request: renew the credentials if they have expired, else correct s3.region"
	for i, c := range []struct {
		name       string
		broken     faultproxy.Fault
		attempts   int
		want, head string // head: of a HEAD, whose answer has no body
		lands      bool
	}{
		{"500", faultproxy.Answers(500, "InternalError"), twice, broken(500), broken(500), false},
		{"503", faultproxy.Answers(503, "ServiceUnavailable"), twice, broken(503), broken(503), false},
		{"slow down", faultproxy.Answers(503, "SlowDown"), twice, broken(503), broken(503), false},
		{"502 of something between", faultproxy.AnswersHTML(502), twice, broken(502), broken(502), false},
		{"500, landed", faultproxy.LandsThen(faultproxy.Answers(500, "InternalError")), twice, broken(500), broken(500), true},
		{"reset", faultproxy.Resets, twice, dropped, dropped, false},
		{"reset, landed", faultproxy.LandsThen(faultproxy.Resets), twice, dropped, dropped, true},
		{"stall", faultproxy.Stalls, twice, store + " did not answer in time: check the network, or try again later", "did not answer in time", false},
		{"expired", faultproxy.Answers(400, "ExpiredToken"), once, expired, bad, false},
		{"denied", faultproxy.Answers(403, "AccessDenied"), once, denied, denied, false},
		{"403 of something between", faultproxy.AnswersHTML(403), once, store + " answered HTTP 403, and not as S3 does: correct s3.endpoint", denied, false},
		{"400 unknown", faultproxy.Answers(400, "Strange"), once, store + " answered Strange (HTTP 400): of the proxy", bad, false},
	} {
		for j, op := range operations() {
			if op.kind == "abort" { // below
				continue
			}
			t.Run(op.name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				folder := fmt.Sprintf("stays-%d-%d/", i, j)
				name := "s3://one/" + folder + "f"
				if op.prepare != nil {
					require.NoError(t, l.direct.WriteFile(name, op.prepare))
				}
				l.Break(op.kind, folder, -1, c.broken)
				err := op.do(l.through(t, func(cfg *storage.S3Config) {
					cfg.MaxAttempts = twice
					if c.name == "stall" {
						cfg.AttemptTimeout = 300 * time.Millisecond
					}
				}), name)
				want := c.want
				if op.kind == "head" {
					want = c.head
				}
				require.ErrorContains(t, err, want)
				require.Contains(t, err.Error(), " s3://one/")
				require.NotContains(t, err.Error(), "\n")
				require.NotErrorIs(t, err, fs.ErrNotExist)
				require.NotErrorIs(t, err, io.EOF)
				if c.want == dropped {
					// net/http repeats some by itself, where a connection was used before.
					require.GreaterOrEqual(t, l.Count(op.kind, folder), c.attempts)
				} else {
					require.Equal(t, c.attempts, l.Count(op.kind, folder))
				}
				unfinished := op.kind == "create upload" || op.kind == "part"
				if c.lands && !unfinished {
					l.requireState(t, name, op.after)
				} else {
					l.requireState(t, name, op.prepare)
				}
				lost := 0
				if c.lands && op.kind == "create upload" {
					lost = twice
				}
				require.Equal(t, lost, l.uploads(t, name))
			})
		}
	}
}

// TestS3AbortFails: the line says that something was left behind.
func TestS3AbortFails(t *testing.T) {
	l := newLab(t)
	l.Break("part", "f", -1, faultproxy.Answers(500, "InternalError"))
	l.Break("abort", "f", -1, faultproxy.Resets)
	err := l.through(t, func(cfg *storage.S3Config) { cfg.MaxAttempts = 1 }).WriteFile("s3://one/f", noise(partSize+10))
	require.EqualError(t, err, "write s3://one/f: "+l.cfg.Endpoint+" is overloaded or broken (HTTP 500 each time): try again later "+
		"(and cleaning up: abort s3://one/f: "+l.cfg.Endpoint+" broke the connection each time: check the network, or try again later)")
	require.Equal(t, 1, l.uploads(t, "s3://one/f"))
	l.direct.requireMissing(t, "s3://one/f")
}

// TestS3UploadEnded: somebody else ends the upload while it is under way.
func TestS3UploadEnded(t *testing.T) {
	l := newLab(t)
	p := l.through(t, nil)
	require.NoError(t, p.WriteFile("s3://one/f", []byte("older")))
	l.Break("complete", "f", -1, faultproxy.Answers(404, "NoSuchUpload"))
	err := p.WriteFile("s3://one/f", noise(partSize+10))
	require.EqualError(t, err, "write s3://one/f: somebody else ended the upload, perhaps a lifecycle rule: write the file again")
	l.requireState(t, "s3://one/f", []byte("older"))

	// Or it was the writer itself, in an attempt whose answer was lost.
	l.Break("complete", "g", -1, faultproxy.LandsThen(faultproxy.Answers(404, "NoSuchUpload")))
	require.NoError(t, p.WriteFile("s3://one/g", noise(partSize+10)))
	l.requireState(t, "s3://one/g", noise(partSize+10))
}

// TestS3DeleteSomeFail: an answer to a bulk delete that names what it kept.
func TestS3DeleteSomeFail(t *testing.T) {
	l := newLab(t)
	l.Break("delete many", "kept", -1, func(_ *faultproxy.HTTP, w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<DeleteResult><Error><Key>kept</Key><Code>AccessDenied</Code><Message>locked</Message></Error>`+
			`<Error><Key>busy</Key><Code>InternalError</Code></Error><Error><Key>gone</Key><Code>NoSuchKey</Code></Error></DeleteResult>`)
	})
	deleted, err := l.through(t, nil).DeleteFiles(context.Background(), []string{"s3://one/a", "s3://one/kept", "s3://one/gone", "s3://one/busy"})
	require.Equal(t, []string{"s3://one/a", "s3://one/gone"}, deleted)
	require.ErrorContains(t, err, "remove s3://one/kept: "+l.cfg.Endpoint+" denies access")
	require.ErrorContains(t, err, "remove s3://one/busy: "+l.cfg.Endpoint+" is overloaded or broken")
}

// TestS3ReadEndsEarly: bodies that break go on where they broke, for as many
// attempts as there are, and never pass for the end of the file.
func TestS3ReadEndsEarly(t *testing.T) {
	l := newLab(t)
	content := noise(3 << 20)
	require.NoError(t, l.direct.WriteFile("s3://one/f", content))
	l.Break("get", "f", -1, faultproxy.CutsAnswer(1<<20))

	p := l.through(t, func(cfg *storage.S3Config) { cfg.MaxAttempts = 3 })
	require.NoError(t, sameFile(p, "s3://one/f", content))
	require.Equal(t, 3, l.Count("get", "f"), "each goes on with the next MiB")

	l.Break("get", "g", -1, faultproxy.CutsAnswer(100_000))
	require.NoError(t, l.direct.WriteFile("s3://one/g", content))
	want := "read s3://one/g: " + l.cfg.Endpoint + " broke the connection each time: check the network, or try again later"
	_, err := p.ReadFile("s3://one/g")
	require.EqualError(t, err, want)
	f, err := p.Open("s3://one/g")
	require.NoError(t, err)
	defer f.Close()
	n, err := f.ReadAt(make([]byte, len(content)), 0)
	require.Less(t, n, len(content))
	require.EqualError(t, err, want)
	_, err = io.ReadAll(f)
	require.EqualError(t, err, want)
}

// TestS3ReplacedWhileRead: a reader never mixes two versions of an object.
func TestS3ReplacedWhileRead(t *testing.T) {
	l := newLab(t)
	old, replaced := noise(3<<20), bytes.Repeat([]byte("n"), 3<<20)
	require.NoError(t, l.direct.WriteFile("s3://one/f", old))
	f, err := l.through(t, nil).Open("s3://one/f")
	require.NoError(t, err)
	defer f.Close()
	buf := make([]byte, 1<<20)
	_, err = f.ReadAt(buf, 0)
	require.NoError(t, err)
	require.Equal(t, old[:1<<20], buf)
	require.NoError(t, l.direct.WriteFile("s3://one/f", replaced))
	_, err = f.ReadAt(buf, 2<<20)
	require.EqualError(t, err, "read s3://one/f: the object was replaced while it was read: read it again")
}

func TestS3StrangeStores(t *testing.T) {
	l := newLab(t)
	content := noise(1 << 20)
	l.Break("get", "f", -1, ignoresRange(content))
	f, err := l.through(t, nil).Open("s3://one/f")
	require.NoError(t, err)
	defer f.Close()
	buf := make([]byte, 1000)
	_, err = f.ReadAt(buf, 0)
	require.NoError(t, err)
	require.Equal(t, content[:1000], buf)
	_, err = f.ReadAt(buf, 900_000)
	require.EqualError(t, err, "read s3://one/f: the object store does not know ranged reads: use another one")

	l.Break("get", "h", -1, otherRange)
	h, err := l.through(t, nil).Open("s3://one/h")
	require.NoError(t, err)
	defer h.Close()
	_, err = h.ReadAt(buf, 500)
	require.EqualError(t, err, `read s3://one/h: the answer to a read from byte 500 is of "bytes 0-3/1000": use no proxy that changes answers`)

	l.Break("get", "g", -1, dropsLength(content))
	_, err = l.through(t, nil).ReadFile("s3://one/g")
	require.EqualError(t, err, "read s3://one/g: the answer does not say how long the object is: use no proxy that changes answers")
}
