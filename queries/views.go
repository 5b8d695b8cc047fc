package queries

import (
	"fmt"
	"strings"

	"github.com/auditlake/auditlake/catalog"
)

// view is one name that SQL can select from.
type view struct {
	name string
	doc  string
	// A class view shows the events of one class: columns of agent_events that
	// are natural for it, and text taken out of the payload.
	class   string
	columns []string
	texts   []textColumn
	// Any other view is its SQL.
	sql string
	of  string // table of package catalog whose columns it has all of
	has []described
}

// textColumn is a column that a class view takes out of the payload.
type textColumn struct {
	name string
	key  string // attribute of data
	line bool   // rendered for people, by message_text
	doc  string
}

// described is a column with its meaning and of what it is made.
type described struct{ Name, Doc, From string }

// Columns that every class view has, before and after its own.
var (
	commonFirst = []string{
		"event_time", "event_id", "source", "session_id", "run_id", "parent_run_id", "sequence",
		"agent_id", "agent_name", "agent_version", "tenant", "environment", "principal_type", "principal_id", "subject",
		"operation", "status", "error_type", "duration_ms",
	}
	commonLast = []string{
		"classification", "regulation", "experiment", "variant", "trace_id", "span_id", "parent_span_id",
		"causation_id", "causation_source", "kafka_topic", "kafka_partition", "kafka_offset", "record_index", "ingest_time", "payload",
	}
)

// Texts that several classes carry.
var (
	inputMessages  = textColumn{name: "input_messages", key: "gen_ai.input.messages", doc: "messages to the model, JSON"}
	inputText      = textColumn{name: "input_text", key: "gen_ai.input.messages", line: true, doc: "input_messages as plain text, a line a message"}
	outputMessages = textColumn{name: "output_messages", key: "gen_ai.output.messages", doc: "messages from the model, JSON"}
	outputText     = textColumn{name: "output_text", key: "gen_ai.output.messages", line: true, doc: "output_messages as plain text, a line a message"}
	arguments      = textColumn{name: "arguments", key: "gen_ai.tool.call.arguments", doc: "arguments of the call, as the agent gave them"}
	result         = textColumn{name: "result", key: "gen_ai.tool.call.result", doc: "result of the call, as the agent saw it"}
)

var (
	samplingColumns = []string{"provider", "request_model", "temperature", "top_p", "top_k", "seed"}
	decisionColumns = []string{"idempotency_key", "attempt", "retry_of", "approved_by", "approved_at", "approval_decision", "policy_id", "policy_decision"}
	costColumns     = []string{"cost_amount", "cost_currency", "cost_source"}
)

// views lists what SQL can select from, in the order they are made: a view
// stands after those it reads.
var views = []view{
	{name: "agent_log", of: catalog.AgentEvents, doc: "every row of the table as it is; an event that a producer sent twice stands twice"},
	{name: "agent_events", of: catalog.AgentEvents, doc: "every event once: of the rows with the same source and event_id the one at the lowest topic, topic partition, offset and record_index"},
	{name: "prompts", class: "prompt", doc: "what users asked, in natural language", texts: []textColumn{inputText, inputMessages}},
	{
		name: "inputs", class: "input", doc: "structured parameters passed to the agent: model settings, instructions, tools",
		columns: append(samplingColumns[:len(samplingColumns):len(samplingColumns)], "prompt_name", "prompt_version", "prompt_sha256", "tools_sha256"),
		texts: []textColumn{
			{name: "system_instructions", key: "gen_ai.system_instructions", doc: "system instructions, as given: text, or JSON parts"},
			{name: "tool_definitions", key: "gen_ai.tool.definitions", doc: "tools offered to the model, JSON"},
			inputMessages, arguments,
		},
	},
	{
		name: "context_retrievals", class: "context_retrieval", doc: "documents and look-ups pulled into the context",
		columns: []string{"data_source_id", "document_count", "tool_name", "tool_call_id"},
		texts: []textColumn{
			{name: "query_text", key: "gen_ai.retrieval.query.text", doc: "what was looked for"},
			{name: "documents", key: "gen_ai.retrieval.documents", doc: "documents found: JSON list of {id, score, version, sha256, uri, content}"},
		},
	},
	{
		name: "tool_calls", class: "tool_call", doc: "tool invocations, with arguments and results",
		columns: append(append([]string{"tool_name", "tool_type", "tool_call_id", "tool_phase"}, decisionColumns...), costColumns...),
		texts:   []textColumn{arguments, result},
	},
	{
		name: "outputs", class: "output", doc: "what the model produced, with tokens and cost",
		columns: append(append(samplingColumns[:len(samplingColumns):len(samplingColumns)],
			"response_model", "response_id", "finish_reasons", "input_tokens", "output_tokens", "cache_read_tokens",
			"cache_creation_tokens", "reasoning_tokens", "time_to_first_chunk_ms"), costColumns...),
		texts: []textColumn{outputText, outputMessages, inputMessages},
	},
	{
		name: "actions", class: "action", doc: "side effects visible outside: API writes, messages sent, resources made",
		columns: append([]string{
			"action_name", "action_target", "action_resource", "action_effect", "action_external_id", "tool_name", "tool_call_id",
		}, decisionColumns...),
		texts: []textColumn{arguments, result},
	},
	{
		name: "evaluations", class: "evaluation", doc: "scores and labels given to runs and answers",
		columns: []string{"evaluation_name", "evaluation_score", "evaluation_label"},
		texts:   []textColumn{{name: "explanation", key: "gen_ai.evaluation.explanation", doc: "why it was judged so"}},
	},
	{name: "runs", doc: "one row per agent invocation: per tenant and run_id", sql: runsSQL, has: append([]described{
		{"run_id", "the run", "run_id"},
		{"tenant", "tenant", "tenant"},
		{"session_id", "conversation it belongs to (the first by name where it has several)", "least session_id"},
		{"parent_run_id", "run of the agent that called this one", "least parent_run_id"},
		{"agent_id", "agent", "least agent_id"},
		{"agent_version", "version of the agent", "least agent_version beside agent_id"},
		{"environment", "environment", "least environment"},
		{"principal_id", "who is accountable", "least principal_id"},
		{"experiment", "A/B experiment", "least experiment, one with a variant first"},
		{"variant", "variant of the experiment", "least variant beside experiment"},
	}, totals...)},
	{name: "sessions", doc: "one row per conversation: per tenant and session_id", sql: sessionsSQL, has: append([]described{
		{"session_id", "the conversation", "session_id"},
		{"tenant", "tenant", "tenant"},
		{"runs", "agent invocations", "distinct run_id"},
		{"agents", "agents that took part, sorted", "distinct agent_id"},
		{"environment", "environment", "least environment"},
		{"principal_id", "who is accountable", "least principal_id"},
		{"subject", "the data subject", "least subject"},
	}, totals...)},
	{name: "dead_letters", of: catalog.DeadLetters, doc: "records that hold no valid event, byte for byte, and why"},
	{name: "maintenance_log", of: catalog.MaintenanceLog, doc: "runs of maintenance jobs and dead-letter replays"},
}

// totals are the columns that runs and sessions share.
var totals = []described{
	{"started_at", "first event", "least event_time"},
	{"ended_at", "last event", "greatest event_time"},
	{"wall_ms", "milliseconds between them", "ended_at - started_at"},
	{"events", "events, each once", "number of events"},
	{"prompts", "prompts", "number of event_class prompt"},
	{"outputs", "model outputs", "number of event_class output"},
	{"tool_calls", "tool calls, a request and its result being one", "number of event_class tool_call, tool_phase result left out"},
	{"context_retrievals", "context retrievals", "number of event_class context_retrieval"},
	{"actions", "actions", "number of event_class action"},
	{"evaluations", "evaluations", "number of event_class evaluation"},
	{"errors", "events with status error", "number of status error"},
	{"models", "models that answered, else models asked for, sorted", "distinct response_model, else request_model"},
	{"input_tokens", "tokens that outputs read", "sum of input_tokens of event_class output"},
	{"output_tokens", "tokens that outputs produced", "sum of output_tokens of event_class output"},
	{"cost_amount", "cost, NULL where it is in several currencies", "sum of cost_amount"},
	{"cost_currency", "currency of cost_amount, NULL where it is in several or names none", "the one cost_currency"},
	{"unpriced_outputs", "outputs without a cost", "number of event_class output without cost_amount"},
}

const totalsSQL = `min(event_time) AS started_at, max(event_time) AS ended_at,
	date_diff('microsecond', min(event_time), max(event_time)) / 1000 AS wall_ms,
	count(*) AS events,
	count(*) FILTER (WHERE event_class = 'prompt') AS prompts,
	count(*) FILTER (WHERE event_class = 'output') AS outputs,
	count(*) FILTER (WHERE event_class = 'tool_call' AND tool_phase IS DISTINCT FROM 'result') AS tool_calls,
	count(*) FILTER (WHERE event_class = 'context_retrieval') AS context_retrievals,
	count(*) FILTER (WHERE event_class = 'action') AS actions,
	count(*) FILTER (WHERE event_class = 'evaluation') AS evaluations,
	count(*) FILTER (WHERE status = 'error') AS errors,
	list_sort(list(DISTINCT coalesce(response_model, request_model)) FILTER (WHERE coalesce(response_model, request_model) IS NOT NULL)) AS models,
	CAST(sum(input_tokens) FILTER (WHERE event_class = 'output') AS BIGINT) AS input_tokens,
	CAST(sum(output_tokens) FILTER (WHERE event_class = 'output') AS BIGINT) AS output_tokens,
	CASE WHEN count(DISTINCT coalesce(cost_currency, '')) FILTER (WHERE cost_amount IS NOT NULL) <= 1 THEN sum(cost_amount) END AS cost_amount,
	CASE WHEN count(DISTINCT coalesce(cost_currency, '')) FILTER (WHERE cost_amount IS NOT NULL) <= 1
		THEN min(cost_currency) FILTER (WHERE cost_amount IS NOT NULL) END AS cost_currency,
	count(*) FILTER (WHERE event_class = 'output' AND cost_amount IS NULL) AS unpriced_outputs`

// runsSQL takes what belongs together from one event: the least of a struct goes
// by its fields in turn, NULL last.
const runsSQL = `SELECT run_id, tenant, min(session_id) AS session_id, min(parent_run_id) AS parent_run_id,
	(` + leastAgent + `).id AS agent_id, (` + leastAgent + `).version AS agent_version,
	min(environment) AS environment, min(principal_id) AS principal_id,
	(` + leastVariant + `).experiment AS experiment, (` + leastVariant + `).variant AS variant,
	` + totalsSQL + `
FROM agent_events WHERE run_id IS NOT NULL GROUP BY run_id, tenant`

const (
	leastAgent   = `min({'id': agent_id, 'version': agent_version})`
	leastVariant = `min({'half': experiment IS NULL OR variant IS NULL, 'experiment': experiment, 'variant': variant})`
)

const sessionsSQL = `SELECT session_id, tenant, count(DISTINCT run_id) AS runs,
	list_sort(list(DISTINCT agent_id) FILTER (WHERE agent_id IS NOT NULL)) AS agents,
	min(environment) AS environment, min(principal_id) AS principal_id, min(subject) AS subject,
	` + totalsSQL + `
FROM agent_events WHERE session_id IS NOT NULL GROUP BY session_id, tenant`

// selectList is what a class view selects.
func (v view) selectList() []string {
	out := append([]string{}, commonFirst...)
	out = append(out, v.columns...)
	for _, t := range v.texts {
		expr := "payload ->> '$.data.\"" + t.key + "\"'"
		if t.line {
			expr = "message_text(" + expr + ")"
		}
		out = append(out, expr+" AS "+t.name)
	}
	return append(out, commonLast...)
}

// viewScript makes the macros and views in schema main, over the rows of the
// lake tables; events is the SELECT of agent_events.
func viewScript(tables []planned, events string, functions []macro) []string {
	return script(functions, func(v view) string {
		if v.name == "agent_events" {
			return events
		}
		for _, p := range tables {
			if p.table == v.of {
				return "SELECT " + p.names("") + " FROM lake." + p.rows
			}
		}
		return ""
	})
}

// script makes the macros and views; of gives the SELECT of those that show a table.
func script(functions []macro, of func(view) string) []string {
	var out []string
	for _, m := range functions {
		out = append(out, fmt.Sprintf("CREATE OR REPLACE MACRO %s(%s) AS %s", m.name, m.params, m.sql))
	}
	for _, v := range views {
		text := v.sql
		switch {
		case v.of != "":
			text = of(v)
		case v.class != "":
			text = "SELECT " + strings.Join(v.selectList(), ", ") + " FROM agent_events WHERE event_class = " + literal(v.class)
		}
		out = append(out, "CREATE OR REPLACE VIEW "+v.name+" AS "+text)
	}
	return out
}
