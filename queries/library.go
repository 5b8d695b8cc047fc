package queries

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/auditlake/auditlake/internal/nearest"
)

// Library is what a session can be asked by name: the canned queries, and
// beside them those of an analyst's own folder.
type Library struct{ list []Query }

// ownSurface is the surface of files that stand in the folder itself.
const ownSurface = "own"

// maxQueryFile is far more than a question needs.
const maxQueryFile = 1 << 20

var (
	canned      = sync.OnceValue(loadCanned)
	wordOfQuery = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
)

// Canned is the library without a folder of one's own.
func Canned() *Library { return canned() }

// List returns the canned queries, by surface and name.
func List() []Query { return Canned().List() }

// Find returns the canned query of that name: action_ledger, or
// audit/action_ledger.
func Find(name string) (Query, error) { return Canned().Find(name) }

// loadCanned parses the files that are part of the program: a mistake in them is
// one of ours, and a test finds it first.
func loadCanned() *Library {
	l := &Library{}
	for _, surface := range surfaces {
		names, err := fs.Glob(files, surface+"/*.sql")
		if err != nil {
			panic(err)
		}
		for _, name := range names {
			text, err := files.ReadFile(name)
			if err != nil {
				panic(err)
			}
			q, err := parseQuery(name, string(text))
			if err != nil {
				panic(err)
			}
			l.list = append(l.list, q)
		}
	}
	return l
}

// OpenLibrary adds the queries of a folder to the canned ones:
// DIR/<surface>/<name>.sql, and DIR/<name>.sql as surface own. They are read as
// they are now, and run behind the same gate. Other files, names that begin with
// a dot and deeper folders are left alone. What is wrong is a [UsageError] that
// names the file.
func OpenLibrary(dir string) (*Library, error) {
	l := &Library{list: slices.Clone(Canned().list)}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, usagef("the folder of queries %s: %s", dir, cmp.Or(whyNot(err), "it is no folder"))
	}
	if err := l.addFolder(dir, ownSurface, true); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Library) addFolder(dir, surface string, top bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return usagef("the folder of queries %s: %s", dir, whyNot(err))
	}
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(dir, name)
		isQuery := strings.HasSuffix(name, ".sql")
		if strings.HasPrefix(name, ".") || (!isQuery && !top) {
			continue
		}
		// Links count as what they lead to: that is how Kubernetes mounts files.
		info, err := os.Stat(path)
		switch {
		case err != nil && isQuery:
			return usagef("%s: %s", path, whyNot(err))
		case err != nil:
			continue
		case info.IsDir() && top:
			err = l.addFolder(path, name, false)
		case isQuery:
			err = l.addFile(path, surface, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Library) addFile(path, surface string, info fs.FileInfo) error {
	name := strings.TrimSuffix(filepath.Base(path), ".sql")
	for _, word := range []string{name, surface} {
		if !wordOfQuery.MatchString(word) {
			return usagef("%s: %q cannot name a query: letters, digits, _ and - can", path, word)
		}
	}
	if !info.Mode().IsRegular() {
		return usagef("%s: it is no file", path)
	}
	if info.Size() > maxQueryFile {
		return usagef("%s: it is larger than 1 MiB: is it a query?", path)
	}
	text, err := readQuery(path)
	if err != nil {
		return err
	}
	q, err := parseQuery(surface+"/"+name+".sql", text)
	if err != nil {
		return usagef("%s: %s", path, strings.TrimPrefix(err.Error(), surface+"/"+name+".sql: "))
	}
	q.File = path
	for _, other := range l.list {
		switch {
		case other.Name == q.Name && other.File == "":
			return usagef("%s: there is a canned query %s: give the file another name", path, q.Name)
		case other.Name == q.Name:
			return usagef("%s: %s is a query %s too: give one of them another name", path, other.File, q.Name)
		}
	}
	l.list = append(l.list, q)
	return nil
}

func readQuery(path string) (string, error) {
	text, err := os.ReadFile(path)
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	switch {
	case err != nil:
		return "", usagef("%s: %s", path, whyNot(err))
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		return "", usagef("%s: it is no UTF-8 text", path)
	}
	return string(text), nil
}

// whyNot is the error of a file without its name, which stands before it.
func whyNot(err error) string {
	var pathErr *fs.PathError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "there is none"
	case errors.As(err, &pathErr):
		return pathErr.Err.Error()
	}
	return err.Error()
}

// List returns the queries: the canned ones by surface and name, then the others.
func (l *Library) List() []Query { return slices.Clone(l.list) }

// Find returns the query of that name: action_ledger, or audit/action_ledger.
func (l *Library) Find(name string) (Query, error) {
	var names []string
	for _, q := range l.list {
		if name == q.Name || name == q.Surface+"/"+q.Name {
			return q, nil
		}
		names = append(names, q.Name)
	}
	hint := "`auditlake query` lists them"
	if near := nearest.Word(name, names); near != "" {
		hint = fmt.Sprintf("did you mean `auditlake query %s`?", near)
	}
	return Query{}, usagef("there is no query %q: %s", name, hint)
}
