package catalog

import (
	"github.com/apache/iceberg-go"
)

// Names of the tables, in namespace "audit" by default.
const (
	AgentEvents    = "agent_events"
	DeadLetters    = "dead_letters"
	MaintenanceLog = "maintenance_log"
)

// Format version of the tables: Iceberg v2, readable by every engine.
const formatVersion = "2"

// Definition is one table as this release makes it: the one truth about its
// columns and default partition spec. A table's field ids are its catalog's: a
// column added later has another id in a table that was migrated than in one
// made anew, so nothing of ours finds a column by an id written down.
type Definition struct {
	Name   string
	Schema *iceberg.Schema
	// PartitionBy is the default partition spec, see [ParsePartitionBy].
	PartitionBy []string
	Doc         string
}

// Definitions lists the tables this release knows, in the order init makes them.
func Definitions() []Definition {
	return []Definition{
		{AgentEvents, agentEventsSchema(), []string{"day(event_time)", "event_class"}, "one row per audit event"},
		{DeadLetters, deadLettersSchema(), []string{"day(ingest_time)"}, "one row per record that holds no valid event"},
		{MaintenanceLog, maintenanceLogSchema(), nil, "one row per maintenance job and dead-letter replay"},
	}
}

// Columns lists the definition's columns for people and other rooms.
func (d Definition) Columns() []PlannedColumn { return plannedColumns(d.Schema) }

// agentEventsSchema holds the typed columns of the envelope registry, then what
// the sink adds. A new column goes to the end, nullable.
func agentEventsSchema() *iceberg.Schema { //nolint:funlen // a list
	return freshSchema(
		required("event_id", iceberg.PrimitiveTypes.String, "CloudEvents id: unique within its source"),
		required("source", iceberg.PrimitiveTypes.String, "CloudEvents source: the producer"),
		required("event_type", iceberg.PrimitiveTypes.String, "CloudEvents type as received"),
		required("event_class", iceberg.PrimitiveTypes.String, "class taken from the type: prompt, input, context_retrieval, tool_call, output, action, any other agent.<class>, or other"),
		required("event_time", iceberg.PrimitiveTypes.TimestampTz, "when it happened at the agent"),
		optional("dataschema", iceberg.PrimitiveTypes.String, "version of the payload's schema"),
		optional("datacontenttype", iceberg.PrimitiveTypes.String, "media type of data"),
		optional("subject", iceberg.PrimitiveTypes.String, "the data subject, pseudonymous: erasure and subject exports match on it"),
		optional("trace_id", iceberg.PrimitiveTypes.String, "W3C trace id, 32 hex digits"),
		optional("span_id", iceberg.PrimitiveTypes.String, "W3C span id, 16 hex digits, of traceparent"),
		optional("parent_span_id", iceberg.PrimitiveTypes.String, "span id of the caller"),
		optional("sequence", iceberg.PrimitiveTypes.Int64, "producer's order within the run"),
		optional("session_id", iceberg.PrimitiveTypes.String, "the conversation"),
		optional("run_id", iceberg.PrimitiveTypes.String, "one agent invocation"),
		optional("parent_run_id", iceberg.PrimitiveTypes.String, "run of the agent that called this one"),
		optional("causation_id", iceberg.PrimitiveTypes.String, "id of the event that caused this one"),
		optional("causation_source", iceberg.PrimitiveTypes.String, "source of causation_id where it is not this event's"),
		optional("principal_type", iceberg.PrimitiveTypes.String, "kind of principal that is accountable"),
		optional("principal_id", iceberg.PrimitiveTypes.String, "who is accountable; the agent is the actor"),
		optional("agent_id", iceberg.PrimitiveTypes.String, "the agent"),
		optional("agent_name", iceberg.PrimitiveTypes.String, "the agent's name for people"),
		optional("agent_version", iceberg.PrimitiveTypes.String, "version of the agent"),
		optional("tenant", iceberg.PrimitiveTypes.String, "tenant"),
		optional("environment", iceberg.PrimitiveTypes.String, "deployment environment: prod, staging, ..."),
		optional("classification", iceberg.PrimitiveTypes.String, "CloudEvents data classification"),
		optional("regulation", iceberg.PrimitiveTypes.String, "CloudEvents data regulation, such as GDPR or PCI-DSS"),
		optional("operation", iceberg.PrimitiveTypes.String, "GenAI operation: chat, execute_tool, invoke_agent, ..."),
		optional("provider", iceberg.PrimitiveTypes.String, "model provider"),
		optional("request_model", iceberg.PrimitiveTypes.String, "model asked for"),
		optional("response_model", iceberg.PrimitiveTypes.String, "model that answered"),
		optional("response_id", iceberg.PrimitiveTypes.String, "provider's id of the answer"),
		optional("temperature", iceberg.PrimitiveTypes.Float64, "sampling temperature"),
		optional("top_p", iceberg.PrimitiveTypes.Float64, "nucleus sampling"),
		optional("top_k", iceberg.PrimitiveTypes.Float64, "top-k sampling"),
		optional("seed", iceberg.PrimitiveTypes.Int64, "sampling seed"),
		optional("prompt_name", iceberg.PrimitiveTypes.String, "name of the prompt template"),
		optional("prompt_version", iceberg.PrimitiveTypes.String, "version of the prompt template"),
		optional("prompt_sha256", iceberg.PrimitiveTypes.String, "SHA-256 of the prompt template, hex"),
		optional("tools_sha256", iceberg.PrimitiveTypes.String, "SHA-256 of the tool definitions, hex"),
		optional("input_tokens", iceberg.PrimitiveTypes.Int64, "tokens read"),
		optional("output_tokens", iceberg.PrimitiveTypes.Int64, "tokens produced"),
		optional("cache_read_tokens", iceberg.PrimitiveTypes.Int64, "input tokens read from the provider's cache"),
		optional("cache_creation_tokens", iceberg.PrimitiveTypes.Int64, "input tokens written to the provider's cache"),
		optional("reasoning_tokens", iceberg.PrimitiveTypes.Int64, "output tokens spent on reasoning"),
		list("finish_reasons", "why the model stopped, one per choice"),
		optional("cost_amount", iceberg.DecimalTypeOf(18, 9), "cost in cost_currency"),
		optional("cost_currency", iceberg.PrimitiveTypes.String, "ISO 4217 code"),
		optional("cost_source", iceberg.PrimitiveTypes.String, "provider or estimated"),
		optional("duration_ms", iceberg.PrimitiveTypes.Float64, "how long it took, milliseconds"),
		optional("time_to_first_chunk_ms", iceberg.PrimitiveTypes.Float64, "time to the first chunk, milliseconds (seconds in the event)"),
		optional("status", iceberg.PrimitiveTypes.String, "ok, error, denied or cancelled"),
		optional("error_type", iceberg.PrimitiveTypes.String, "kind of error"),
		optional("tool_name", iceberg.PrimitiveTypes.String, "tool"),
		optional("tool_type", iceberg.PrimitiveTypes.String, "function, extension, datastore, ..."),
		optional("tool_call_id", iceberg.PrimitiveTypes.String, "the model's id of the call"),
		optional("tool_phase", iceberg.PrimitiveTypes.String, "request or result; NULL is both"),
		optional("attempt", iceberg.PrimitiveTypes.Int64, "1 for the first try"),
		optional("retry_of", iceberg.PrimitiveTypes.String, "id of the event this one retries"),
		optional("data_source_id", iceberg.PrimitiveTypes.String, "where documents came from"),
		optional("document_count", iceberg.PrimitiveTypes.Int64, "documents retrieved"),
		optional("action_name", iceberg.PrimitiveTypes.String, "side effect, such as refund.create"),
		optional("action_target", iceberg.PrimitiveTypes.String, "system acted upon"),
		optional("action_resource", iceberg.PrimitiveTypes.String, "object acted upon"),
		optional("action_effect", iceberg.PrimitiveTypes.String, "planned, committed, failed or compensated"),
		optional("action_external_id", iceberg.PrimitiveTypes.String, "the target system's id of the effect"),
		optional("idempotency_key", iceberg.PrimitiveTypes.String, "key under which the effect must happen once"),
		optional("approved_by", iceberg.PrimitiveTypes.String, "who approved"),
		optional("approved_at", iceberg.PrimitiveTypes.TimestampTz, "when it was approved"),
		optional("approval_decision", iceberg.PrimitiveTypes.String, "approved, rejected, ..."),
		optional("policy_id", iceberg.PrimitiveTypes.String, "policy that was consulted"),
		optional("policy_decision", iceberg.PrimitiveTypes.String, "allow, deny, ..."),
		optional("evaluation_name", iceberg.PrimitiveTypes.String, "evaluation"),
		optional("evaluation_score", iceberg.PrimitiveTypes.Float64, "score"),
		optional("evaluation_label", iceberg.PrimitiveTypes.String, "label"),
		optional("experiment", iceberg.PrimitiveTypes.String, "A/B experiment"),
		optional("variant", iceberg.PrimitiveTypes.String, "variant of the experiment"),
		list("misfits", "attributes whose value does not fit their column; it stands in payload"),
		required("payload", iceberg.PrimitiveTypes.String, "the event verbatim, JSON"),
		required("kafka_topic", iceberg.PrimitiveTypes.String, "topic the record was read from"),
		required("kafka_partition", iceberg.PrimitiveTypes.Int32, "topic partition"),
		required("kafka_offset", iceberg.PrimitiveTypes.Int64, "offset of the record in its topic partition"),
		required("record_index", iceberg.PrimitiveTypes.Int32, "position of the event in its record, 0 where a record holds one"),
		optional("kafka_timestamp", iceberg.PrimitiveTypes.TimestampTz, "Kafka's timestamp of the record"),
		optional("kafka_key", iceberg.PrimitiveTypes.Binary, "key of the record"),
		headers(),
		required("ingest_time", iceberg.PrimitiveTypes.TimestampTz, "when the sink read the record"),
	)
}

func deadLettersSchema() *iceberg.Schema {
	return freshSchema(
		required("kafka_topic", iceberg.PrimitiveTypes.String, "topic the record was read from"),
		required("kafka_partition", iceberg.PrimitiveTypes.Int32, "topic partition"),
		required("kafka_offset", iceberg.PrimitiveTypes.Int64, "offset of the record in its topic partition"),
		optional("kafka_timestamp", iceberg.PrimitiveTypes.TimestampTz, "Kafka's timestamp of the record"),
		optional("kafka_key", iceberg.PrimitiveTypes.Binary, "key of the record"),
		headers(),
		optional("value", iceberg.PrimitiveTypes.Binary, "value of the record, byte for byte; NULL is a tombstone"),
		required("error_class", iceberg.PrimitiveTypes.String, "why it is no event, one word"),
		required("error_text", iceberg.PrimitiveTypes.String, "why it is no event, for people"),
		required("ingest_time", iceberg.PrimitiveTypes.TimestampTz, "when the sink read the record"),
		required("sink_version", iceberg.PrimitiveTypes.String, "version of auditlake that judged it"),
	)
}

func maintenanceLogSchema() *iceberg.Schema {
	return freshSchema(
		required("run_id", iceberg.PrimitiveTypes.String, "one run of a job"),
		required("job", iceberg.PrimitiveTypes.String, "dead_letter_replay, compaction, retention, ..."),
		required("started_at", iceberg.PrimitiveTypes.TimestampTz, "start of the run"),
		required("finished_at", iceberg.PrimitiveTypes.TimestampTz, "end of the run"),
		required("actor", iceberg.PrimitiveTypes.String, "who ran it"),
		optional("policy", iceberg.PrimitiveTypes.String, "policy and its hash, where one decided"),
		required("target", iceberg.PrimitiveTypes.String, "table or topic it acted on"),
		required("detail", iceberg.PrimitiveTypes.String, "what was done, JSON"),
		optional("row_count", iceberg.PrimitiveTypes.Int64, "rows or records it touched"),
		optional("snapshot_before", iceberg.PrimitiveTypes.Int64, "snapshot it started from"),
		optional("snapshot_after", iceberg.PrimitiveTypes.Int64, "snapshot it made"),
	)
}

func required(name string, t iceberg.Type, doc string) iceberg.NestedField {
	return iceberg.NestedField{Name: name, Type: t, Required: true, Doc: doc}
}

func optional(name string, t iceberg.Type, doc string) iceberg.NestedField {
	return iceberg.NestedField{Name: name, Type: t, Doc: doc}
}

func list(name, doc string) iceberg.NestedField {
	return iceberg.NestedField{Name: name, Doc: doc, Type: &iceberg.ListType{
		Element: iceberg.PrimitiveTypes.String, ElementRequired: true,
	}}
}

// headers is the record's headers in their order; a key may stand twice, so a
// map would not do.
func headers() iceberg.NestedField {
	return iceberg.NestedField{Name: "kafka_headers", Doc: "headers of the record, in order", Type: &iceberg.ListType{
		ElementRequired: true, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{Name: "key", Type: iceberg.PrimitiveTypes.String, Required: true},
			{Name: "value", Type: iceberg.PrimitiveTypes.Binary},
		}},
	}}
}

// freshSchema numbers fields as every catalog does when it makes a table:
// columns first, 1 to n, then what is nested, in order.
func freshSchema(fields ...iceberg.NestedField) *iceberg.Schema {
	for i := range fields {
		fields[i].ID = i + 1
	}
	next := len(fields)
	id := func() int { next++; return next }
	for i := range fields {
		l, ok := fields[i].Type.(*iceberg.ListType)
		if !ok {
			continue
		}
		l.ElementID = id()
		if st, ok := l.Element.(*iceberg.StructType); ok {
			for j := range st.FieldList {
				st.FieldList[j].ID = id()
			}
		}
	}
	return iceberg.NewSchema(0, fields...)
}

// definition finds a table this release knows.
func definition(name string) (Definition, bool) {
	for _, d := range Definitions() {
		if d.Name == name {
			return d, true
		}
	}
	return Definition{}, false
}

func (t *Table) missingColumns(def Definition) []iceberg.NestedField {
	var out []iceberg.NestedField
	for _, f := range def.Schema.Fields() {
		if _, ok := t.ice.Schema().FindFieldByName(f.Name); !ok {
			out = append(out, f)
		}
	}
	return out
}
