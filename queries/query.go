package queries

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed */*.sql
var files embed.FS

// Query is one canned query: a .sql file <surface>/<name>.sql that starts with
//
//	-- title: Action ledger
//	-- question: Who did what to which system?
//	-- window: from .. to
//	-- lists: run
//	-- note: anything a reader must know
//	-- param: from timestamp = none: first moment of event_time
//	-- column: time TIMESTAMP WITH TIME ZONE: when it happened
//	-- example: --from 7d --principal user:42
//
// A line that is indented behind its dashes continues the one before. window
// names the parameters that bound the time range to plan: of several the
// widest counts, and one without a value leaves its side open; "from - 1d ..
// to + 1d" reads a day more on each side, "to - 3d .. to" the three days before to,
// and "to - period .. to" as many as parameter period says, a choice of 7d or the like.
// Without a window the query reads everything. lists names the parameters that say of
// which thing the rows are all that the log holds: no row is no such thing then.
// A parameter is text, integer, integer(1..100), integer(1..), number, timestamp,
// choice(a|b) or list(a|b), and its default a value, none or required. In the
// SQL it is $name, of that type. An example is what a command line says behind the
// query's name; without one it is made from the parameters.
type Query struct {
	Surface  string   `json:"surface"`
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Question string   `json:"question"`
	Notes    []string `json:"notes,omitempty"`
	Params   []Param  `json:"params"`
	Columns  []Column `json:"columns"`
	Examples []string `json:"examples"`
	File     string   `json:"file,omitempty"` // of an analyst's own folder
	SQL      string   `json:"-"`              // the file as it is

	windowFrom, windowTo bounds
	lists                []string
}

// bounds are the parameters that bound one side of the window.
type bounds struct {
	names  []string
	margin time.Duration // read beyond them
	by     string        // the parameter that says so instead
}

func (b bounds) has(name string) bool { return slices.Contains(b.names, name) }

// marginOf is what is read beyond them, where the parameters have these values.
func (b bounds) marginOf(v paramValues) time.Duration {
	if text, ok := v[b.by].(string); ok {
		return days(text)
	}
	return b.margin
}

// maxMargin is days, a century: more is a mistake, and overflows at some point.
const maxMargin = 36_500

// days reads 7d; 0 for what is none, or too many.
func days(text string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	if err != nil || n > maxMargin {
		return 0
	}
	return time.Duration(n) * 24 * time.Hour
}

// Param is a parameter of a canned query.
type Param struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Choices  []string `json:"choices,omitempty"` // of choice and list
	Default  string   `json:"default,omitempty"` // empty: none
	Required bool     `json:"required,omitempty"`
	Min      *int64   `json:"min,omitempty"` // of integer
	Max      *int64   `json:"max,omitempty"`
	Doc      string   `json:"doc"`
}

// Column is a column of a canned query's result; Type is DuckDB's name.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Doc  string `json:"doc"`
}

var (
	windowLine  = regexp.MustCompile(`^([\w, ]+?)(?: - (\d+d|[a-z]\w*))? \.\. ([\w, ]+?)(?: \+ (\d+d))?$`)
	paramLine   = regexp.MustCompile(`^(\w+) (text|integer|number|timestamp|choice|list)(?:\(([\w|]+|\d+\.\.\d*)\))? = (\S+): (.+)$`)
	exampleFlag = regexp.MustCompile(`(?:^|\s)--(\w[\w-]*)`)
	columnLine  = regexp.MustCompile(`^(\w+) ([A-Z][A-Z0-9]*(?:[ (\[][\w ,"()\[\]]*)?): (.+)$`)
)

// surfaces are the folders, in the order in which people meet them.
var surfaces = []string{"audit", "lineage", "replay", "slo", "trace", "drift", "cost", "ab"}

// parseQuery reads a file. The name is its path, <surface>/<name>.sql.
func parseQuery(name, text string) (Query, error) {
	q := Query{Surface: path.Dir(name), Name: strings.TrimSuffix(path.Base(name), ".sql"), SQL: text}
	lines, err := headerLines(text)
	if err != nil {
		return q, fmt.Errorf("%s: %w", name, err)
	}
	for _, line := range lines {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return q, fmt.Errorf("%s: header line %q has no key", name, line)
		}
		if err := q.set(key, value); err != nil {
			return q, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := q.check(); err != nil {
		return q, fmt.Errorf("%s: %w", name, err)
	}
	if len(q.Examples) == 0 {
		q.Examples = []string{q.example()}
	}
	return q, nil
}

// check looks at the header as a whole.
func (q *Query) check() error {
	switch {
	case q.Title == "" || q.Question == "" || len(q.Columns) == 0:
		return errors.New("the header needs a title, a question and columns: -- title: ..., -- question: ..., -- column: NAME TYPE: MEANING")
	case strings.TrimSpace(q.body()) == "":
		return errors.New("there is no SQL behind the header")
	}
	var used []string
	mapParams(q.body(), func(use string) string { used = append(used, use); return use })
	for i, p := range q.Params {
		switch {
		case q.param(p.Name) != &q.Params[i]:
			return fmt.Errorf("param %s stands twice", p.Name)
		case slices.Contains(reservedParams, p.Name):
			return fmt.Errorf("param %s: the command line has a flag of that name, so take another", p.Name)
		case !slices.Contains(used, "$"+p.Name):
			return fmt.Errorf("param %s: the SQL does not use $%s", p.Name, p.Name)
		}
		if p.Default != "" {
			if _, err := p.parse(p.Default, time.Now()); err != nil {
				return fmt.Errorf("param %s: its default %w", p.Name, err)
			}
		}
	}
	for i, c := range q.Columns {
		if slices.ContainsFunc(q.Columns[:i], func(have Column) bool { return have.Name == c.Name }) {
			return fmt.Errorf("column %s stands twice", c.Name)
		}
	}
	for _, name := range slices.Concat(q.windowFrom.names, q.windowTo.names) {
		if p := q.param(name); p == nil || p.Type != "timestamp" {
			return fmt.Errorf("window names %q, which is no parameter of type timestamp", name)
		}
	}
	for _, name := range q.lists {
		if q.param(name) == nil {
			return fmt.Errorf("lists names %q, which is no parameter", name)
		}
	}
	if p := q.param(q.windowFrom.by); q.windowFrom.by != "" && (p == nil || slices.ContainsFunc(p.Choices, func(c string) bool { return days(c) == 0 }) || len(p.Choices) == 0) {
		return fmt.Errorf("window reads %s before, which is no parameter whose choices are numbers of days as 7d", q.windowFrom.by)
	}
	for _, text := range q.Examples {
		for _, m := range exampleFlag.FindAllStringSubmatch(text, -1) {
			if q.param(m[1]) == nil && !slices.Contains(reservedParams, m[1]) {
				return fmt.Errorf("example %q: there is no parameter %s", text, m[1])
			}
		}
	}
	return nil
}

// reservedParams are flags that every query has, which a parameter cannot be.
var reservedParams = []string{"columns", "config", "explain", "help", "json", "limit", "output", "param", "queries", "snapshot"}

func (q *Query) param(name string) *Param {
	if i := slices.IndexFunc(q.Params, func(p Param) bool { return p.Name == name }); i >= 0 {
		return &q.Params[i]
	}
	return nil
}

// body is the SQL behind the header.
func (q *Query) body() string {
	text := q.SQL
	for strings.HasPrefix(text, "--") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// example is a command line that shows what is needed: values for the required
// parameters, and the last week where the query has a time range.
func (q *Query) example() string {
	var words []string
	for _, p := range q.Params {
		if p.Required {
			words = append(words, "--"+p.Name+" "+p.sample())
		}
	}
	if p := q.param("from"); p != nil && !p.Required && p.Type == "timestamp" {
		words = append(words, "--from 7d")
	}
	return strings.Join(words, " ")
}

// sample is a value that the parameter takes.
func (p Param) sample() string {
	switch p.Type {
	case "integer", "number":
		return "1"
	case "timestamp":
		return "7d"
	case "choice", "list":
		return p.Choices[0]
	}
	return strings.ToUpper(p.Name)
}

// headerLines gives the comment lines at the start, continuations joined. They
// come out in helps as they are, so what steers a terminal is refused.
func headerLines(text string) (out []string, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "--")
		if !ok {
			break
		}
		rest = strings.ReplaceAll(rest, "\t", " ")
		if i := strings.IndexFunc(rest, unprintable); i >= 0 {
			r, _ := utf8.DecodeRuneInString(rest[i:])
			return nil, fmt.Errorf("line %d: the header holds the character %U, which cannot be printed: take it out", n, r)
		}
		if strings.HasPrefix(rest, "  ") && len(out) > 0 {
			out[len(out)-1] += " " + strings.TrimSpace(rest)
		} else if rest = strings.TrimSpace(rest); rest != "" {
			out = append(out, rest)
		}
	}
	return out, nil
}

// boundsOf reads one side of a window; its margin is a number of days or a parameter.
func boundsOf(names, margin string) (bounds, error) {
	b := bounds{names: strings.Split(names, ", "), margin: days(margin)}
	if b.margin == 0 && margin != "" {
		if margin[0] <= '9' {
			return b, fmt.Errorf("window reads %s beyond %s: it can be 1d to %dd", margin, names, maxMargin)
		}
		b.by = margin
	}
	return b, nil
}

func (q *Query) set(key, value string) error {
	switch key {
	case "title":
		q.Title = value
	case "question":
		q.Question = value
	case "note":
		q.Notes = append(q.Notes, value)
	case "example":
		q.Examples = append(q.Examples, value)
	case "window":
		m := windowLine.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("window %q is not FROM .. TO, or FROM - 1d .. TO + 1d", value)
		}
		var errFrom, errTo error
		q.windowFrom, errFrom = boundsOf(m[1], m[2])
		q.windowTo, errTo = boundsOf(m[3], m[4])
		return cmp.Or(errFrom, errTo)
	case "lists":
		q.lists = strings.Split(value, ", ")
	case "param":
		p, err := parseParam(value)
		if err != nil {
			return err
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

// parseParam reads the header's line of a parameter.
func parseParam(value string) (Param, error) {
	m := paramLine.FindStringSubmatch(value)
	if m == nil {
		return Param{}, fmt.Errorf("param %q is not NAME TYPE = DEFAULT: MEANING", value)
	}
	p := Param{Name: m[1], Type: m[2], Default: m[4], Doc: m[5]}
	if least, most, ranged := strings.Cut(m[3], ".."); ranged {
		if p.Type != "integer" {
			return p, fmt.Errorf("param %s: only an integer has a range", p.Name)
		}
		if p.Min, p.Max = bound(least), bound(most); (least != "" && p.Min == nil) || (most != "" && p.Max == nil) {
			return p, fmt.Errorf("param %s: a bound of its range is no 64-bit integer", p.Name)
		}
	} else if m[3] != "" {
		p.Choices = strings.Split(m[3], "|")
	}
	if p.Default == "none" || p.Default == "required" {
		p.Required, p.Default = p.Default == "required", ""
	}
	if (p.Type == "choice" || p.Type == "list") != (len(p.Choices) > 0) {
		return p, fmt.Errorf("param %s: choice and list, and only these, name their values in brackets", p.Name)
	}
	return p, nil
}

// bound reads one end of a range, nil for an open one.
func bound(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// typed is the SQL with a cast around each parameter: without its type DuckDB
// cannot tell the columns of a result before the values are bound.
func (q Query) typed() string {
	return mapParams(q.SQL, func(use string) string {
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

// Query runs a query of the library. Parameters that params does not name take
// their default; from and to that of the session, if it has one.
func (s *Session) Query(ctx context.Context, name string, params map[string]string, out Output, w io.Writer) (Result, error) {
	st, win, err := s.statementOf(name, params)
	if err != nil {
		return Result{}, err
	}
	res, err := s.run(ctx, st, win, out, w)
	return res, st.query.blame(err)
}

// statementOf is a query with its parameters, and the time range that it reads.
func (s *Session) statementOf(name string, params map[string]string) (statement, window, error) {
	q, err := s.opts.Library.Find(name)
	if err != nil {
		return statement{}, window{}, err
	}
	values, err := q.values(params, s.opts)
	if err != nil {
		return statement{}, window{}, err
	}
	return statement{text: q.typed(), args: values.args(q), query: &q, values: values, given: params}, values.window(q), nil
}

// blame names the file of a query that cannot be run, where it is not ours.
func (q *Query) blame(err error) error {
	var (
		gate  *GateError
		wrong *SQLError
	)
	if q.File != "" && (errors.As(err, &gate) || errors.As(err, &wrong)) {
		return fmt.Errorf("%s: %w", q.File, err)
	}
	return err
}

// named says what a query is in errors.
func (q *Query) named() string { return cmp.Or(q.File, "query "+q.Name) }

// fits refuses a query whose SQL gives other columns than its header says.
func (q *Query) fits(sh *shape) error {
	names := make([]string, len(q.Columns))
	for i, c := range q.Columns {
		names[i] = c.Name
	}
	if !slices.Equal(names, sh.names) {
		return usagef("%s: the SQL gives the columns %s, the header says %s", q.named(), strings.Join(sh.names, ", "), strings.Join(names, ", "))
	}
	for i, c := range q.Columns {
		if have := typeText(sh.types[i]); have != "" && plainType(have) != plainType(c.Type) {
			return usagef("%s: the SQL makes column %s a %s, the header says %s", q.named(), c.Name, have, c.Type)
		}
	}
	return nil
}

// plainType is the name of a type without what DuckDB too does without.
var plainType = func() func(string) string {
	less := strings.NewReplacer(", ", ",", `"`, "")
	return func(text string) string { return strings.ToLower(less.Replace(text)) }
}()
