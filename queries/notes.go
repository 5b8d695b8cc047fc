package queries

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// rangeTaken says which time range a query took that was not given all of one.
func (st statement) rangeTaken(j judgement) string {
	if st.query == nil {
		return ""
	}
	var why []string
	for _, p := range st.query.rangeParams() {
		switch {
		case st.values[p.Name] == nil:
			why = append(why, "no --"+p.Name)
		case st.given[p.Name] == "" && p.Default != "":
			why = append(why, "--"+p.Name+" is "+p.Default+" unless given")
		}
	}
	if len(why) == 0 {
		return ""
	}
	text := st.span(j)
	if st.openRange() {
		text = strings.TrimSuffix("all of it, "+text, ", ")
	}
	return fmt.Sprintf("time range: %s (%s)", text, joinFlags(why))
}

// joinFlags writes "no --from, no --to" as "no --from, --to".
func joinFlags(why []string) string {
	for i := len(why) - 1; i > 0; i-- {
		if strings.HasPrefix(why[i-1], "no ") {
			why[i] = strings.TrimPrefix(why[i], "no ")
		}
	}
	return strings.Join(why, ", ")
}

// rangeParams are the parameters that bound time.
func (q *Query) rangeParams() (out []Param) {
	names := slices.Concat([]string{"from", "to"}, q.windowFrom.names, q.windowTo.names)
	for _, p := range q.Params {
		if p.Type == "timestamp" && slices.Contains(names, p.Name) {
			out = append(out, p)
		}
	}
	return out
}

// openRange reports whether nothing bounds the time range.
func (st statement) openRange() bool {
	for _, p := range st.query.rangeParams() {
		if st.values[p.Name] != nil {
			return false
		}
	}
	return true
}

// span is the time range of a query as people read it: what it was given, and
// where it was given nothing what the planned files hold. The latter is known
// only where from and to mean the time by which files are planned, which a
// query with a window says.
func (st statement) span(j judgement) string {
	q := st.query
	var from, to time.Time
	if len(q.windowFrom.names) == 0 {
		from, _ = st.values["from"].(time.Time)
		to, _ = st.values["to"].(time.Time)
	} else {
		from = st.values.widest(q.windowFrom.names, time.Time.Before)
		if !from.IsZero() && slices.ContainsFunc(q.windowFrom.names, q.windowTo.has) {
			from = from.Add(-q.windowFrom.marginOf(st.values)) // a span before to, not more room beyond from
		}
		to = st.values.widest(q.windowTo.names, time.Time.After)
		first, last := j.held()
		if from.IsZero() {
			from = first
		}
		if to.IsZero() {
			to = last
		}
	}
	switch {
	case from.IsZero() && to.IsZero():
		return ""
	case from.IsZero():
		return "before " + stamp(to)
	case to.IsZero():
		return "from " + stamp(from) + " on"
	}
	return stamp(from) + " to " + stamp(to)
}

// held is the range of times in the files planned for the first table that the
// statement reads, zero where one of them does not say.
func (j judgement) held() (first, last time.Time) {
	i := slices.IndexFunc(j.tables, func(p planned) bool { return j.shape.reads[p.rows] })
	if i < 0 {
		return first, last
	}
	for n, f := range j.tables[i].plan.Files {
		if n == 0 || f.First.Before(first) {
			first = f.First
		}
		if n == 0 || f.Last.IsZero() || (f.Last.After(last) && !last.IsZero()) {
			last = f.Last
		}
	}
	return first, last
}

// foundNothing says of what there are no rows. That the log holds nothing of it
// is said only by a query that lists all events of a thing: of any other, no row
// may be good news about a tenant or agent that is there.
func (st statement) foundNothing(j judgement) string {
	if st.query == nil {
		return ""
	}
	var of []string
	for _, p := range st.query.Params {
		if text, ok := st.values[p.Name].(string); ok && p.Type == "text" && text != p.Default {
			of = append(of, fmt.Sprintf("%s %q", strings.ReplaceAll(p.Name, "_", " "), text))
		}
	}
	if len(of) == 0 {
		return ""
	}
	text := strings.Join(of, ", ")
	if span := st.span(j); len(st.query.lists) > 0 && strings.Contains(span, " to ") {
		text += " in " + span
	} else if strings.Contains(span, " to ") {
		text += ", in " + span
	} else if span != "" {
		text += ", " + span
	}
	if len(st.query.lists) > 0 {
		return "no rows: nothing of " + text
	}
	return "no rows (asked for " + text + ")"
}
