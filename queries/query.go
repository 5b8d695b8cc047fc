package queries

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed */*.sql
var files embed.FS

// Query is one canned query: a .sql file <surface>/<name>.sql that starts with
//
//	-- title: Action ledger
//	-- question: Who did what to which system?
//	-- window: from .. to
//	-- note: anything a reader must know
//	-- param: from timestamp = none: first moment of event_time
//	-- column: time TIMESTAMP WITH TIME ZONE: when it happened
//
// A line that is indented behind its dashes continues the one before. window
// names the parameters that bound the time range to plan: of several the
// widest counts, and one without a value leaves its side open; "from - 1d ..
// to + 1d" reads a day more on each side. Without a window the query reads
// everything. A parameter is text, integer, number, timestamp,
// choice(a|b) or list(a|b), and its default a value, none or required. In the
// SQL it is $name, of that type.
type Query struct {
	Surface  string   `json:"surface"`
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Question string   `json:"question"`
	Notes    []string `json:"notes,omitempty"`
	Params   []Param  `json:"params"`
	Columns  []Column `json:"columns"`
	SQL      string   `json:"-"` // the file as it is

	windowFrom, windowTo bounds
}

// bounds are the parameters that bound one side of the window.
type bounds struct {
	names  []string
	margin time.Duration // read beyond them
}

// Param is a parameter of a canned query.
type Param struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Choices  []string `json:"choices,omitempty"` // of choice and list
	Default  string   `json:"default,omitempty"` // empty: none
	Required bool     `json:"required,omitempty"`
	Doc      string   `json:"doc"`
}

// Column is a column of a canned query's result; Type is DuckDB's name.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Doc  string `json:"doc"`
}

var (
	windowLine = regexp.MustCompile(`^([\w, ]+?)(?: - (\d+)d)? \.\. ([\w, ]+?)(?: \+ (\d+)d)?$`)
	paramLine  = regexp.MustCompile(`^(\w+) (text|integer|number|timestamp|choice|list)(?:\(([\w|]+)\))? = (\S+): (.+)$`)
	columnLine = regexp.MustCompile(`^(\w+) ([A-Z][A-Z0-9 ,()\[\]]*): (.+)$`)
)

// surfaces are the folders, in the order in which people meet them.
var surfaces = []string{"audit", "lineage", "replay", "slo", "trace", "drift", "cost", "ab"}

// List returns the canned queries, by surface and name.
func List() []Query { return slices.Clone(all()) }

// all parses the files, which are part of the program: a mistake in them is one
// of ours, and a test finds it first.
var all = sync.OnceValue(func() []Query {
	var out []Query
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
			out = append(out, q)
		}
	}
	return out
})

// Find returns the canned query of that name: action_ledger, or
// audit/action_ledger.
func Find(name string) (Query, error) {
	var names []string
	for _, q := range all() {
		if name == q.Name || name == q.Surface+"/"+q.Name {
			return q, nil
		}
		names = append(names, q.Name)
	}
	return Query{}, usagef("there is no canned query %q%s: there are %s", name, didYouMean(name, names), strings.Join(names, ", "))
}

// parseQuery reads a file. The name is its path, <surface>/<name>.sql.
func parseQuery(name, text string) (Query, error) {
	q := Query{Surface: path.Dir(name), Name: strings.TrimSuffix(path.Base(name), ".sql"), SQL: text}
	for _, line := range headerLines(text) {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return q, fmt.Errorf("%s: header line %q has no key", name, line)
		}
		if err := q.set(key, value); err != nil {
			return q, fmt.Errorf("%s: %w", name, err)
		}
	}
	if q.Title == "" || q.Question == "" || len(q.Columns) == 0 {
		return q, fmt.Errorf("%s: the header needs a title, a question and columns", name)
	}
	for _, p := range slices.Concat(q.windowFrom.names, q.windowTo.names) {
		if i := slices.IndexFunc(q.Params, func(have Param) bool { return have.Name == p }); i < 0 || q.Params[i].Type != "timestamp" {
			return q, fmt.Errorf("%s: window names %q, which is no parameter of type timestamp", name, p)
		}
	}
	return q, nil
}

// headerLines gives the comment lines at the start, continuations joined.
func headerLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		rest, ok := strings.CutPrefix(line, "--")
		if !ok {
			break
		}
		if strings.HasPrefix(rest, "  ") && len(out) > 0 {
			out[len(out)-1] += " " + strings.TrimSpace(rest)
		} else if rest = strings.TrimSpace(rest); rest != "" {
			out = append(out, rest)
		}
	}
	return out
}

func boundsOf(names, days string) bounds {
	n, _ := strconv.Atoi(days) // digits or nothing
	return bounds{strings.Split(names, ", "), time.Duration(n) * 24 * time.Hour}
}

func (q *Query) set(key, value string) error {
	switch key {
	case "title":
		q.Title = value
	case "question":
		q.Question = value
	case "note":
		q.Notes = append(q.Notes, value)
	case "window":
		m := windowLine.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("window %q is not FROM .. TO, or FROM - 1d .. TO + 1d", value)
		}
		q.windowFrom, q.windowTo = boundsOf(m[1], m[2]), boundsOf(m[3], m[4])
	case "param":
		m := paramLine.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("param %q is not NAME TYPE = DEFAULT: MEANING", value)
		}
		p := Param{Name: m[1], Type: m[2], Default: m[4], Doc: m[5]}
		if m[3] != "" {
			p.Choices = strings.Split(m[3], "|")
		}
		if p.Default == "none" || p.Default == "required" {
			p.Required, p.Default = p.Default == "required", ""
		}
		if (p.Type == "choice" || p.Type == "list") != (len(p.Choices) > 0) {
			return fmt.Errorf("param %s: choice and list, and only these, name their values in brackets", p.Name)
		}
		q.Params = append(q.Params, p)
	case "column":
		m := columnLine.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("column %q is not NAME TYPE: MEANING", value)
		}
		q.Columns = append(q.Columns, Column{m[1], m[2], m[3]})
	default:
		return fmt.Errorf("header key %q is not known", key)
	}
	return nil
}

var paramUse = regexp.MustCompile(`\$[a-z_]\w*`)

// typed is the SQL with a cast around each parameter: without its type DuckDB
// cannot tell the columns of a result before the values are bound.
func (q Query) typed() string {
	return paramUse.ReplaceAllStringFunc(q.SQL, func(use string) string {
		for _, p := range q.Params {
			if use == "$"+p.Name {
				return "CAST(" + use + " AS " + paramTypes[p.Type] + ")"
			}
		}
		return use
	})
}

var paramTypes = map[string]string{
	"text": "VARCHAR", "choice": "VARCHAR", "list": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "timestamp": "TIMESTAMPTZ",
}

// Query runs a canned query. Parameters that params does not name take their
// default; from and to that of the session, if it has one.
func (s *Session) Query(ctx context.Context, name string, params map[string]string, out Output, w io.Writer) (Result, error) {
	q, err := Find(name)
	if err != nil {
		return Result{}, err
	}
	values, err := q.values(params, s.opts)
	if err != nil {
		return Result{}, err
	}
	return s.run(ctx, statement{text: q.typed(), args: values.args(q)}, values.window(q), out, w)
}
