package queries

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/auditlake/auditlake/internal/nearest"
)

// paramValues are the values of a query's parameters by name: string, int64,
// float64, time.Time, or nil for none.
type paramValues map[string]any

// values reads params against the query's parameters. An empty text is none
// given, except for a list: that is then empty.
func (q Query) values(params map[string]string, opts Options) (paramValues, error) {
	names := make([]string, len(q.Params))
	for i, p := range q.Params {
		names[i] = p.Name
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(names, name) {
			return nil, usagef("query %s has no parameter %q%s: it takes %s", q.Name, name, didYouMean(name, names), strings.Join(names, ", "))
		}
	}
	out := paramValues{}
	for _, p := range q.Params {
		text, given := params[p.Name]
		if given && text == "" && p.Type == "list" {
			out[p.Name] = "" // a list of nothing
			continue
		}
		if text == "" {
			text = p.Default
		}
		if text == "" {
			if p.Required {
				return nil, usagef("query %s needs the parameter %s (%s)", q.Name, p.Name, p.Doc)
			}
			out[p.Name] = sessionDefault(p, opts)
			continue
		}
		v, err := p.parse(text, opts.Now)
		if err != nil {
			return nil, usagef("parameter %s of query %s: %v", p.Name, q.Name, err)
		}
		out[p.Name] = v
	}
	return out, out.ordered(q)
}

// sessionDefault lets a session's time range stand for from and to.
func sessionDefault(p Param, opts Options) any {
	switch {
	case p.Name == "from" && p.Type == "timestamp" && !opts.From.IsZero():
		return opts.From
	case p.Name == "to" && p.Type == "timestamp" && !opts.To.IsZero():
		return opts.To
	}
	return nil
}

// ordered refuses ranges in which nothing can lie.
func (v paramValues) ordered(q Query) error {
	for _, pair := range [][2]string{{"from", "to"}, {"ref_from", "ref_to"}} {
		from, ok := v[pair[0]].(time.Time)
		to, ok2 := v[pair[1]].(time.Time)
		if ok && ok2 && !from.Before(to) {
			return usagef("query %s: %s %s is not before %s %s, so nothing lies between them", q.Name, pair[0], stamp(from), pair[1], stamp(to))
		}
	}
	return nil
}

// parse reads a value as its type wants it.
func (p Param) parse(text string, now time.Time) (any, error) {
	switch p.Type {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		if (p.Min != nil && n < *p.Min) || (p.Max != nil && n > *p.Max) {
			return nil, fmt.Errorf("%d is not %s", n, p.span())
		}
		return n, nil
	case "number":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f != f || f-f != 0 {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		return f, nil
	case "timestamp":
		return ParseTime(text, now)
	case "choice":
		if !slices.Contains(p.Choices, text) {
			return nil, fmt.Errorf("%q is not one of %s%s", text, strings.Join(p.Choices, ", "), didYouMean(text, p.Choices))
		}
	case "list":
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			item = strings.TrimSpace(item)
			if !slices.Contains(p.Choices, item) {
				return nil, fmt.Errorf("%q is not one of %s%s", item, strings.Join(p.Choices, ", "), didYouMean(item, p.Choices))
			}
			items = append(items, item)
		}
		return strings.Join(items, ","), nil
	}
	return text, nil
}

// span is the range of an integer as people read it.
func (p Param) span() string {
	switch {
	case p.Max == nil:
		return fmt.Sprintf("%d or more", *p.Min)
	case p.Min == nil:
		return fmt.Sprintf("at most %d", *p.Max)
	}
	return fmt.Sprintf("from %d to %d", *p.Min, *p.Max)
}

var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly}

// ParseTime reads a point in time: RFC 3339, a date or a date and time (UTC),
// now, or a duration before now, 7d or -7d.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now.UTC(), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if d, err := model.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-time.Duration(d)).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 2026-03-14, 2026-03-14T09:26:53Z, now, or -7d for seven days ago", text)
}

// args are the values as arguments of the statement.
func (v paramValues) args(q Query) []any {
	var out []any
	for _, p := range q.Params {
		out = append(out, sql.Named(p.Name, v[p.Name]))
	}
	return out
}

// window is the time range that the query reads.
func (v paramValues) window(q Query) (w window) {
	if t := v.widest(q.windowFrom.names, time.Time.Before); !t.IsZero() {
		w.from = t.Add(-q.windowFrom.marginOf(v))
	}
	if t := v.widest(q.windowTo.names, time.Time.After); !t.IsZero() {
		w.to = t.Add(q.windowTo.marginOf(v))
	}
	return w
}

// widest is the widest of the named times, or zero, open, if one has no value.
func (v paramValues) widest(names []string, wider func(a, b time.Time) bool) (out time.Time) {
	for _, name := range names {
		t, ok := v[name].(time.Time)
		if !ok {
			return time.Time{}
		}
		if out.IsZero() || wider(t, out) {
			out = t
		}
	}
	return out
}

// didYouMean is the hint at the candidate that is nearest, if any is near.
func didYouMean(word string, candidates []string) string {
	if best := nearest.Word(word, candidates); best != "" {
		return fmt.Sprintf(" (did you mean %s?)", best)
	}
	return ""
}
