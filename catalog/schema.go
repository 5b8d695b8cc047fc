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
// columns, field ids and default partition spec. Field ids are never reused.
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

// agentEventsSchema holds the typed columns of the envelope registry (ids from
// 101), then what the sink adds. New columns take the next free id.
func agentEventsSchema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		required(101, "event_id", iceberg.PrimitiveTypes.String, "CloudEvents id: unique within its source"),
		required(102, "source", iceberg.PrimitiveTypes.String, "CloudEvents source: the producer"),
		required(103, "event_type", iceberg.PrimitiveTypes.String, "CloudEvents type as received"),
		required(104, "event_class", iceberg.PrimitiveTypes.String, "class taken from the type: prompt, input, context_retrieval, tool_call, output, action, any other agent.<class>, or other"),
		required(105, "event_time", iceberg.PrimitiveTypes.TimestampTz, "when it happened at the agent"),
		optional(106, "dataschema", iceberg.PrimitiveTypes.String, "version of the payload's schema"),
		optional(107, "datacontenttype", iceberg.PrimitiveTypes.String, "media type of data"),
		optional(108, "subject", iceberg.PrimitiveTypes.String, "the data subject, pseudonymous: erasure and subject exports match on it"),
		optional(109, "trace_id", iceberg.PrimitiveTypes.String, "W3C trace id, 32 hex digits"),
		optional(110, "span_id", iceberg.PrimitiveTypes.String, "W3C span id, 16 hex digits, of traceparent"),
		optional(111, "parent_span_id", iceberg.PrimitiveTypes.String, "span id of the caller"),
		optional(112, "sequence", iceberg.PrimitiveTypes.Int64, "producer's order within the run"),
		optional(113, "session_id", iceberg.PrimitiveTypes.String, "the conversation"),
		optional(114, "run_id", iceberg.PrimitiveTypes.String, "one agent invocation"),
		optional(115, "parent_run_id", iceberg.PrimitiveTypes.String, "run of the agent that called this one"),
		optional(116, "causation_id", iceberg.PrimitiveTypes.String, "id of the event that caused this one"),
		optional(117, "causation_source", iceberg.PrimitiveTypes.String, "source of causation_id where it is not this event's"),
		optional(118, "principal_type", iceberg.PrimitiveTypes.String, "kind of principal that is accountable"),
		optional(119, "principal_id", iceberg.PrimitiveTypes.String, "who is accountable; the agent is the actor"),
		optional(120, "agent_id", iceberg.PrimitiveTypes.String, "the agent"),
		optional(121, "agent_name", iceberg.PrimitiveTypes.String, "the agent's name for people"),
		optional(122, "agent_version", iceberg.PrimitiveTypes.String, "version of the agent"),
		optional(123, "tenant", iceberg.PrimitiveTypes.String, "tenant"),
		optional(124, "environment", iceberg.PrimitiveTypes.String, "deployment environment: prod, staging, ..."),
		optional(125, "classification", iceberg.PrimitiveTypes.String, "CloudEvents data classification"),
		optional(126, "regulation", iceberg.PrimitiveTypes.String, "CloudEvents data regulation, such as GDPR or PCI-DSS"),
		optional(127, "operation", iceberg.PrimitiveTypes.String, "GenAI operation: chat, execute_tool, invoke_agent, ..."),
		optional(128, "provider", iceberg.PrimitiveTypes.String, "model provider"),
		optional(129, "request_model", iceberg.PrimitiveTypes.String, "model asked for"),
		optional(130, "response_model", iceberg.PrimitiveTypes.String, "model that answered"),
		optional(131, "response_id", iceberg.PrimitiveTypes.String, "provider's id of the answer"),
		optional(132, "temperature", iceberg.PrimitiveTypes.Float64, "sampling temperature"),
		optional(133, "top_p", iceberg.PrimitiveTypes.Float64, "nucleus sampling"),
		optional(134, "top_k", iceberg.PrimitiveTypes.Float64, "top-k sampling"),
		optional(135, "seed", iceberg.PrimitiveTypes.Int64, "sampling seed"),
		optional(136, "prompt_name", iceberg.PrimitiveTypes.String, "name of the prompt template"),
		optional(137, "prompt_version", iceberg.PrimitiveTypes.String, "version of the prompt template"),
		optional(138, "prompt_sha256", iceberg.PrimitiveTypes.String, "SHA-256 of the prompt template, hex"),
		optional(139, "tools_sha256", iceberg.PrimitiveTypes.String, "SHA-256 of the tool definitions, hex"),
		optional(140, "input_tokens", iceberg.PrimitiveTypes.Int64, "tokens read"),
		optional(141, "output_tokens", iceberg.PrimitiveTypes.Int64, "tokens produced"),
		optional(142, "cache_read_tokens", iceberg.PrimitiveTypes.Int64, "input tokens read from the provider's cache"),
		optional(143, "cache_creation_tokens", iceberg.PrimitiveTypes.Int64, "input tokens written to the provider's cache"),
		optional(144, "reasoning_tokens", iceberg.PrimitiveTypes.Int64, "output tokens spent on reasoning"),
		list(145, "finish_reasons", 10, "why the model stopped, one per choice"),
		optional(146, "cost_amount", iceberg.DecimalTypeOf(18, 9), "cost in cost_currency"),
		optional(147, "cost_currency", iceberg.PrimitiveTypes.String, "ISO 4217 code"),
		optional(148, "cost_source", iceberg.PrimitiveTypes.String, "provider or estimated"),
		optional(149, "duration_ms", iceberg.PrimitiveTypes.Float64, "how long it took, milliseconds"),
		optional(150, "time_to_first_chunk_ms", iceberg.PrimitiveTypes.Float64, "time to the first chunk, milliseconds (seconds in the event)"),
		optional(151, "status", iceberg.PrimitiveTypes.String, "ok, error, denied or cancelled"),
		optional(152, "error_type", iceberg.PrimitiveTypes.String, "kind of error"),
		optional(153, "tool_name", iceberg.PrimitiveTypes.String, "tool"),
		optional(154, "tool_type", iceberg.PrimitiveTypes.String, "function, extension, datastore, ..."),
		optional(155, "tool_call_id", iceberg.PrimitiveTypes.String, "the model's id of the call"),
		optional(156, "tool_phase", iceberg.PrimitiveTypes.String, "request or result; NULL is both"),
		optional(157, "attempt", iceberg.PrimitiveTypes.Int64, "1 for the first try"),
		optional(158, "retry_of", iceberg.PrimitiveTypes.String, "id of the event this one retries"),
		optional(159, "data_source_id", iceberg.PrimitiveTypes.String, "where documents came from"),
		optional(160, "document_count", iceberg.PrimitiveTypes.Int64, "documents retrieved"),
		optional(161, "action_name", iceberg.PrimitiveTypes.String, "side effect, such as refund.create"),
		optional(162, "action_target", iceberg.PrimitiveTypes.String, "system acted upon"),
		optional(163, "action_resource", iceberg.PrimitiveTypes.String, "object acted upon"),
		optional(164, "action_effect", iceberg.PrimitiveTypes.String, "planned, committed, failed or compensated"),
		optional(165, "action_external_id", iceberg.PrimitiveTypes.String, "the target system's id of the effect"),
		optional(166, "idempotency_key", iceberg.PrimitiveTypes.String, "key under which the effect must happen once"),
		optional(167, "approved_by", iceberg.PrimitiveTypes.String, "who approved"),
		optional(168, "approved_at", iceberg.PrimitiveTypes.TimestampTz, "when it was approved"),
		optional(169, "approval_decision", iceberg.PrimitiveTypes.String, "approved, rejected, ..."),
		optional(170, "policy_id", iceberg.PrimitiveTypes.String, "policy that was consulted"),
		optional(171, "policy_decision", iceberg.PrimitiveTypes.String, "allow, deny, ..."),
		optional(172, "evaluation_name", iceberg.PrimitiveTypes.String, "evaluation"),
		optional(173, "evaluation_score", iceberg.PrimitiveTypes.Float64, "score"),
		optional(174, "evaluation_label", iceberg.PrimitiveTypes.String, "label"),
		optional(175, "experiment", iceberg.PrimitiveTypes.String, "A/B experiment"),
		optional(176, "variant", iceberg.PrimitiveTypes.String, "variant of the experiment"),
		list(13, "misfits", 14, "attributes whose value does not fit their column; it stands in payload"),
		required(12, "payload", iceberg.PrimitiveTypes.String, "the event verbatim, JSON"),
		required(1, "kafka_topic", iceberg.PrimitiveTypes.String, "topic the record was read from"),
		required(2, "kafka_partition", iceberg.PrimitiveTypes.Int32, "topic partition"),
		required(3, "kafka_offset", iceberg.PrimitiveTypes.Int64, "offset of the record in its topic partition"),
		required(4, "record_index", iceberg.PrimitiveTypes.Int32, "position of the event in its record, 0 where a record holds one"),
		optional(5, "kafka_timestamp", iceberg.PrimitiveTypes.TimestampTz, "Kafka's timestamp of the record"),
		optional(6, "kafka_key", iceberg.PrimitiveTypes.Binary, "key of the record"),
		headers(7, 8, 15, 16),
		required(11, "ingest_time", iceberg.PrimitiveTypes.TimestampTz, "when the sink read the record"),
	)
}

func deadLettersSchema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		required(1, "kafka_topic", iceberg.PrimitiveTypes.String, "topic the record was read from"),
		required(2, "kafka_partition", iceberg.PrimitiveTypes.Int32, "topic partition"),
		required(3, "kafka_offset", iceberg.PrimitiveTypes.Int64, "offset of the record in its topic partition"),
		optional(5, "kafka_timestamp", iceberg.PrimitiveTypes.TimestampTz, "Kafka's timestamp of the record"),
		optional(6, "kafka_key", iceberg.PrimitiveTypes.Binary, "key of the record"),
		headers(7, 8, 15, 16),
		optional(9, "value", iceberg.PrimitiveTypes.Binary, "value of the record, byte for byte; NULL is a tombstone"),
		required(10, "error_class", iceberg.PrimitiveTypes.String, "why it is no event, one word"),
		required(12, "error_text", iceberg.PrimitiveTypes.String, "why it is no event, for people"),
		required(11, "ingest_time", iceberg.PrimitiveTypes.TimestampTz, "when the sink read the record"),
		required(13, "sink_version", iceberg.PrimitiveTypes.String, "version of auditlake that judged it"),
	)
}

func maintenanceLogSchema() *iceberg.Schema {
	return iceberg.NewSchema(0,
		required(1, "run_id", iceberg.PrimitiveTypes.String, "one run of a job"),
		required(2, "job", iceberg.PrimitiveTypes.String, "dead_letter_replay, compaction, retention, ..."),
		required(3, "started_at", iceberg.PrimitiveTypes.TimestampTz, "start of the run"),
		required(4, "finished_at", iceberg.PrimitiveTypes.TimestampTz, "end of the run"),
		required(5, "actor", iceberg.PrimitiveTypes.String, "who ran it"),
		optional(6, "policy", iceberg.PrimitiveTypes.String, "policy and its hash, where one decided"),
		required(7, "target", iceberg.PrimitiveTypes.String, "table or topic it acted on"),
		required(8, "detail", iceberg.PrimitiveTypes.String, "what was done, JSON"),
		optional(9, "row_count", iceberg.PrimitiveTypes.Int64, "rows or records it touched"),
		optional(10, "snapshot_before", iceberg.PrimitiveTypes.Int64, "snapshot it started from"),
		optional(11, "snapshot_after", iceberg.PrimitiveTypes.Int64, "snapshot it made"),
	)
}

func required(id int, name string, t iceberg.Type, doc string) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t, Required: true, Doc: doc}
}

func optional(id int, name string, t iceberg.Type, doc string) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t, Doc: doc}
}

func list(id int, name string, element int, doc string) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Doc: doc, Type: &iceberg.ListType{
		ElementID: element, Element: iceberg.PrimitiveTypes.String, ElementRequired: true,
	}}
}

// headers is the record's headers in their order; a key may stand twice, so a
// map would not do.
func headers(id, element, key, value int) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: "kafka_headers", Doc: "headers of the record, in order", Type: &iceberg.ListType{
		ElementID: element, ElementRequired: true, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: key, Name: "key", Type: iceberg.PrimitiveTypes.String, Required: true},
			{ID: value, Name: "value", Type: iceberg.PrimitiveTypes.Binary},
		}},
	}}
}
