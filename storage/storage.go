package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
)

// Config says how files are reached. The zero value is enough for local disk.
type Config struct {
	S3 S3Config
	// Vended, when set, comes before S3 for the locations that it holds.
	Vended *Vended
}

// FileIO reads and writes the files of one kind of storage. Names are full
// locations: an absolute path or file:// URI on local disk, s3://bucket/key on S3.
// It is safe for concurrent use; the files it returns are as safe as *os.File:
// ReadAt may run concurrently, everything else may not.
//
// Create and WriteFile make missing folders and replace a file that is there.
// Writers that Create returns are Aborters; after a failed write they take no
// more, and Close fails. Stat of a folder succeeds on both kinds of storage.
// DeleteFiles counts missing files as deleted, Remove does not.
type FileIO interface {
	iceio.WriteFileIO
	iceio.ReadFileIO
	iceio.ListableIO
	iceio.BulkRemovableIO

	// Stat describes a file or folder. A missing one is an error that satisfies
	// errors.Is(err, fs.ErrNotExist).
	Stat(path string) (fs.FileInfo, error)
}

// Aborter is implemented by the writers that Create returns. Abort ends the
// writer and leaves nothing of the file; after Close or Abort it does nothing.
type Aborter interface {
	Abort() error
}

// New returns the FileIO for a location: a path, file:// or s3:// (s3a:// means
// the same). It opens no connection, and ctx ends with it: the methods of FileIO
// have no context, as iceberg-go wants them, so what bounds a request to S3 is
// its time limit and its attempts.
func New(ctx context.Context, location string, cfg Config) (FileIO, error) {
	switch scheme := schemeOf(location); scheme {
	case "", "file":
		return newLocal(), nil
	case "s3", "s3a":
		c, err := clientFor(ctx, cfg.For(location))
		if err != nil {
			return nil, err
		}
		return objects{c}, nil
	default:
		return nil, unsupported(location, scheme)
	}
}

// keepKey is the key of a context's value.
type keepKey struct{}

// KeepFiles returns a context in which what iceberg-go opens removes nothing:
// its SQL catalog removes the metadata file of a table whose creation failed, also
// where the answer was lost and the table is there.
func KeepFiles(ctx context.Context) context.Context { return context.WithValue(ctx, keepKey{}, true) }

// keeping is a FileIO that removes nothing.
type keeping struct{ FileIO }

func (keeping) Remove(string) error { return nil }

func (keeping) DeleteFiles(context.Context, []string) ([]string, error) { return nil, nil }

var registering sync.Mutex

// Register makes iceberg-go use this package for local disk and S3 in the whole
// process. It may be called again; what is opened later uses the latest cfg.
func Register(cfg Config) {
	registering.Lock()
	defer registering.Unlock()
	registered = cfg
	registerOnce.Do(registerSchemes)
}

var (
	registered   Config // guarded by registering
	registerOnce sync.Once
)

// registerSchemes runs once: iceberg-go has no atomic replace, so a table that
// is loaded between an Unregister and a Register would find no scheme. What
// changes between calls is only the Config that the factory looks up.
func registerSchemes() {
	factory := func(ctx context.Context, parsed *url.URL, properties map[string]string) (iceio.IO, error) {
		if caught(ctx, properties) {
			return nil, errCaught
		}
		registering.Lock()
		cfg := registered
		registering.Unlock()
		io, err := New(ctx, parsed.Scheme+"://"+parsed.Host+parsed.Path, cfg)
		if err != nil || ctx.Value(keepKey{}) == nil {
			return io, err
		}
		return keeping{io}, nil
	}
	for _, scheme := range []string{"", "file", "s3", "s3a"} {
		iceio.Unregister(scheme)
		iceio.Register(scheme, factory)
	}
}

// Normalize turns a configured location, an absolute path, file:// or s3:// (or
// s3a://) URI, into the absolute URI that table locations start with: file:///…
// or s3://bucket/prefix, without a trailing slash. Nothing is percent-encoded or
// decoded.
func Normalize(location string) (string, error) {
	var uri string
	switch scheme := schemeOf(location); scheme {
	case "", "file":
		path, err := localPath(location)
		if err != nil {
			return "", err
		}
		path = filepath.Clean(path)
		if path == "/" {
			return "", fmt.Errorf("%q is the root of the file system: name a folder in it", location)
		}
		uri = "file://" + path
	case "s3", "s3a":
		bucket, key, err := splitS3(location)
		if err != nil {
			return "", err
		}
		uri = strings.TrimRight("s3://"+bucket+"/"+key, "/")
	default:
		return "", unsupported(location, scheme)
	}
	// iceberg-go makes the names of metadata files through net/url, which encodes
	// what it finds odd: metadata would go to another folder than data.
	parsed, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("%q cannot hold tables, since Iceberg locations are URLs: use a name without %%", location)
	}
	if encoded := strings.TrimSuffix(parsed.JoinPath("x").String(), "/x"); encoded != uri {
		return "", fmt.Errorf("%q cannot hold tables, since iceberg-go would write their metadata to %s: use a name of letters, digits and . _ - =", location, encoded)
	}
	return uri, nil
}

// schemeOf returns the scheme of a location in lower case, empty for a path. A
// colon is an ordinary character of a path unless "//" follows it.
func schemeOf(location string) string {
	scheme, rest, ok := strings.Cut(location, ":")
	if !ok || strings.Contains(scheme, "/") {
		return ""
	}
	scheme = strings.ToLower(scheme)
	if scheme != "file" && !strings.HasPrefix(rest, "//") {
		return ""
	}
	return scheme
}

var errFolderName = errors.New("it is the name of a folder: add a file name")

func unsupported(location, scheme string) error {
	return fmt.Errorf("storage %q of %q is not supported: use a folder, file:///folder or s3://bucket/prefix", scheme+"://", location)
}
