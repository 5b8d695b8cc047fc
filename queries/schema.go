package queries

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/auditlake/auditlake/catalog"
)

// View is a name that SQL can select from.
type View struct {
	Name    string       `json:"name"`
	Doc     string       `json:"doc"`
	Class   string       `json:"class,omitempty"` // of a view of one event class
	Table   string       `json:"table,omitempty"` // whose columns it has all of
	Columns []ViewColumn `json:"columns"`
}

// ViewColumn is a column of a view. Type is DuckDB's name.
type ViewColumn struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Unit   string `json:"unit"` // empty where the values have none
	Source string `json:"source"`
	Doc    string `json:"doc"`
}

// Macro is a function that SQL can call.
type Macro struct {
	Name   string `json:"name"`
	Params string `json:"params"`
	Doc    string `json:"doc"`
}

// Macros lists the functions that SQL can call beside DuckDB's own.
func Macros() (out []Macro) {
	for _, m := range macros {
		out = append(out, Macro{m.name, m.params, m.doc})
	}
	return out
}

// ViewList lists the views without their columns, in the order in which they are
// made.
func ViewList() (out []View) {
	for _, v := range views {
		out = append(out, View{Name: v.name, Doc: v.doc, Class: v.class, Table: v.of})
	}
	return out
}

// Views describes the views, in the order in which they are made. The types are
// what DuckDB says of them. Origin says from what of an event a column of
// agent_events is taken, which this package does not know; empty is: from none.
func Views(ctx context.Context, origin func(column string) string) (out []View, err error) {
	e, remove, err := schemaEngine(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.close(), remove()) }()
	out = ViewList()
	for i, v := range views {
		rows, err := queryText(ctx, e, "SELECT column_name, column_type FROM (DESCRIBE "+v.name+")", nil)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", v.name, err)
		}
		for _, row := range rows {
			c := v.describe(row[0].String, origin)
			c.Type = row[1].String
			if c.Unit = units[c.Name]; c.Unit == "" && strings.HasPrefix(c.Type, "TIMESTAMP") {
				c.Unit = "UTC, µs"
			}
			out[i].Columns = append(out[i].Columns, c)
		}
	}
	return out, nil
}

// schemaEngine has the views of this release over no data.
func schemaEngine(ctx context.Context) (e *engine, remove func() error, err error) {
	dir, remove, err := makeRunDir("")
	if err != nil {
		return nil, nil, err
	}
	var tables []planned
	for _, src := range sources {
		plan := &catalog.Plan{Table: src.table}
		for _, def := range catalog.Definitions() {
			if def.Name == src.table {
				plan.Columns = def.Columns()
			}
		}
		cols, err := columnsOf(plan)
		if err != nil {
			return nil, nil, errors.Join(err, remove())
		}
		tables = append(tables, planned{source: src, plan: plan, columns: cols})
	}
	if e, err = openProbe(ctx, tables, dir, macros); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return e, remove, nil
}

// describe says what a column of the view means and where it comes from.
func (v view) describe(name string, origin func(string) string) ViewColumn {
	for _, t := range v.texts {
		if t.name == name {
			source := "data " + t.key
			if t.line {
				source += ", by message_text"
			}
			return ViewColumn{Name: name, Source: source, Doc: t.doc}
		}
	}
	for _, d := range v.has {
		if d.Name == name {
			return ViewColumn{Name: name, Source: d.From, Doc: d.Doc}
		}
	}
	table := cmp.Or(v.of, catalog.AgentEvents)
	source := writtenBy[table+"."+name]
	if source == "" && table == catalog.AgentEvents {
		source = origin(name)
	}
	return ViewColumn{Name: name, Source: source, Doc: columnDoc(table, name)}
}

func columnDoc(table, name string) string {
	for _, def := range catalog.Definitions() {
		if def.Name != table {
			continue
		}
		if i := slices.IndexFunc(def.Columns(), func(c catalog.PlannedColumn) bool { return c.Name == name }); i >= 0 {
			return def.Columns()[i].Doc
		}
	}
	return ""
}

// units are those of columns by name; all columns of a name have the same.
// Numbers without one stand here too, so that none is forgotten.
var units = map[string]string{
	"duration_ms": "ms", "time_to_first_chunk_ms": "ms", "wall_ms": "ms",
	"input_tokens": "tokens", "output_tokens": "tokens", "cache_read_tokens": "tokens", "cache_creation_tokens": "tokens", "reasoning_tokens": "tokens",
	"cost_amount": "cost_currency", "document_count": "documents", "attempt": "tries", "runs": "runs",
	"events": "events", "prompts": "events", "outputs": "events", "tool_calls": "calls", "context_retrievals": "events", "actions": "events", "evaluations": "events",
	"errors": "events", "unpriced_outputs": "events", "row_count": "rows",
	"temperature": "", "top_p": "", "top_k": "", "seed": "", "sequence": "", "evaluation_score": "", "kafka_partition": "", "kafka_offset": "", "record_index": "",
	"snapshot_before": "", "snapshot_after": "",
}

// writtenBy says where the columns come from that no event fills.
var writtenBy = func() map[string]string {
	const record, sink, job = "the Kafka record", "the sink", "the job"
	out := map[string]string{
		"agent_events.payload": record, "agent_events.kafka_topic": record, "agent_events.kafka_partition": record, "agent_events.kafka_offset": record,
		"agent_events.record_index": record, "agent_events.kafka_timestamp": record, "agent_events.kafka_key": record, "agent_events.kafka_headers": record,
		"agent_events.ingest_time": sink, "agent_events.misfits": sink,
		"dead_letters.error_class": sink, "dead_letters.error_text": sink, "dead_letters.ingest_time": sink, "dead_letters.sink_version": sink,
	}
	for _, def := range catalog.Definitions() {
		for _, c := range def.Columns() {
			key := def.Name + "." + c.Name
			switch {
			case out[key] != "":
			case def.Name == catalog.DeadLetters:
				out[key] = record
			case def.Name == catalog.MaintenanceLog:
				out[key] = job
			}
		}
	}
	return out
}()
