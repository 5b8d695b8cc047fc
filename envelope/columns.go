package envelope

import "strings"

// Kind is how a value meets its column: which JSON values it takes and what the
// column holds. The rules are those of "How a value meets its column" in
// docs/envelope.md.
type Kind uint8

const (
	// Text is a string, or a number or boolean as its JSON text; [Value.Text].
	Text Kind = iota
	// Integer is a signed 64-bit integer; [Value.Int].
	Integer
	// Count is an integer that is not negative; [Value.Int].
	Count
	// Sequence is an integer that as a string may have leading zeros; [Value.Int].
	Sequence
	// Double is a finite IEEE 754 double; [Value.Float].
	Double
	// Seconds is a double of seconds, held in milliseconds; [Value.Float].
	Seconds
	// Decimal9 is a decimal(18,9), half-even; [Value.Int] is its unscaled value.
	Decimal9
	// Timestamp is RFC 3339; [Value.Int] is microseconds since the Unix epoch, UTC.
	Timestamp
	// TextList is a list of strings, or one string; [Value.List].
	TextList
)

// ColumnID names a typed column of agent_events. It is an index into [Columns]
// and means nothing outside one build: tables are bound by column name.
type ColumnID uint8

// The typed columns, in the order of [Columns].
const (
	ColEventID ColumnID = iota
	ColSource
	ColEventType
	ColEventClass
	ColEventTime
	ColDataSchema
	ColDataContentType
	ColSubject
	ColTraceID
	ColSpanID
	ColParentSpanID
	ColSequence
	ColSessionID
	ColRunID
	ColParentRunID
	ColCausationID
	ColCausationSource
	ColPrincipalType
	ColPrincipalID
	ColAgentID
	ColAgentName
	ColAgentVersion
	ColTenant
	ColEnvironment
	ColClassification
	ColRegulation
	ColOperation
	ColProvider
	ColRequestModel
	ColResponseModel
	ColResponseID
	ColTemperature
	ColTopP
	ColTopK
	ColSeed
	ColPromptName
	ColPromptVersion
	ColPromptSHA256
	ColToolsSHA256
	ColInputTokens
	ColOutputTokens
	ColCacheReadTokens
	ColCacheCreationTokens
	ColReasoningTokens
	ColFinishReasons
	ColCostAmount
	ColCostCurrency
	ColCostSource
	ColDurationMS
	ColTimeToFirstChunkMS
	ColStatus
	ColErrorType
	ColToolName
	ColToolType
	ColToolCallID
	ColToolPhase
	ColAttempt
	ColRetryOf
	ColDataSourceID
	ColDocumentCount
	ColActionName
	ColActionTarget
	ColActionResource
	ColActionEffect
	ColActionExternalID
	ColIdempotencyKey
	ColApprovedBy
	ColApprovedAt
	ColApprovalDecision
	ColPolicyID
	ColPolicyDecision
	ColEvaluationName
	ColEvaluationScore
	ColEvaluationLabel
	ColExperiment
	ColVariant
	// NumColumns is how many typed columns there are.
	NumColumns int = iota
)

// Column is one typed column of agent_events and the attribute it is filled
// from. A column with both Context and Data takes Context where it is present.
type Column struct {
	Name     string // column of agent_events
	Kind     Kind
	Required bool   // every event has a value
	Context  string // CloudEvents context attribute, "" if none
	Data     string // key of the data object, "" if none
	Doc      string // one line for people, also the Iceberg column's doc
}

// Columns is the registry of typed columns. Everything that knows an attribute
// or a column of an event is generated from it or checked against it: the JSON
// Schemas, the decoder, the table schema, the documentation.
var Columns = [NumColumns]Column{
	ColEventID:             {Name: "event_id", Kind: Text, Required: true, Context: "id", Doc: "CloudEvents id: unique within its source"},
	ColSource:              {Name: "source", Kind: Text, Required: true, Context: "source", Doc: "CloudEvents source: the producer"},
	ColEventType:           {Name: "event_type", Kind: Text, Required: true, Context: "type", Doc: "CloudEvents type as received"},
	ColEventClass:          {Name: "event_class", Kind: Text, Required: true, Doc: "class taken from the type: prompt, input, context_retrieval, tool_call, output, action, any other agent.<class>, or other"},
	ColEventTime:           {Name: "event_time", Kind: Timestamp, Required: true, Context: "time", Doc: "when it happened at the agent"},
	ColDataSchema:          {Name: "dataschema", Kind: Text, Context: "dataschema", Doc: "version of the payload's schema"},
	ColDataContentType:     {Name: "datacontenttype", Kind: Text, Context: "datacontenttype", Doc: "media type of data"},
	ColSubject:             {Name: "subject", Kind: Text, Context: "subject", Doc: "the data subject, pseudonymous: erasure and subject exports match on it"},
	ColTraceID:             {Name: "trace_id", Kind: Text, Context: "traceparent", Doc: "W3C trace id, 32 hex digits"},
	ColSpanID:              {Name: "span_id", Kind: Text, Doc: "W3C span id, 16 hex digits, of traceparent"},
	ColParentSpanID:        {Name: "parent_span_id", Kind: Text, Context: "parentspanid", Doc: "span id of the caller"},
	ColSequence:            {Name: "sequence", Kind: Sequence, Context: "sequence", Doc: "producer's order within the run"},
	ColSessionID:           {Name: "session_id", Kind: Text, Context: "sessionid", Data: "gen_ai.conversation.id", Doc: "the conversation"},
	ColRunID:               {Name: "run_id", Kind: Text, Context: "runid", Doc: "one agent invocation"},
	ColParentRunID:         {Name: "parent_run_id", Kind: Text, Context: "parentrunid", Doc: "run of the agent that called this one"},
	ColCausationID:         {Name: "causation_id", Kind: Text, Context: "causationid", Doc: "id of the event that caused this one"},
	ColCausationSource:     {Name: "causation_source", Kind: Text, Context: "causationsource", Doc: "source of causation_id where it is not this event's"},
	ColPrincipalType:       {Name: "principal_type", Kind: Text, Context: "authtype", Doc: "kind of principal that is accountable"},
	ColPrincipalID:         {Name: "principal_id", Kind: Text, Context: "authid", Doc: "who is accountable; the agent is the actor"},
	ColAgentID:             {Name: "agent_id", Kind: Text, Context: "agentid", Data: "gen_ai.agent.id", Doc: "the agent"},
	ColAgentName:           {Name: "agent_name", Kind: Text, Context: "agentname", Data: "gen_ai.agent.name", Doc: "the agent's name for people"},
	ColAgentVersion:        {Name: "agent_version", Kind: Text, Context: "agentversion", Data: "gen_ai.agent.version", Doc: "version of the agent"},
	ColTenant:              {Name: "tenant", Kind: Text, Context: "tenant", Doc: "tenant"},
	ColEnvironment:         {Name: "environment", Kind: Text, Context: "environment", Doc: "deployment environment: prod, staging, ..."},
	ColClassification:      {Name: "classification", Kind: Text, Context: "dataclassification", Doc: "CloudEvents data classification"},
	ColRegulation:          {Name: "regulation", Kind: Text, Context: "dataregulation", Doc: "CloudEvents data regulation, such as GDPR or PCI-DSS"},
	ColOperation:           {Name: "operation", Kind: Text, Data: "gen_ai.operation.name", Doc: "GenAI operation: chat, execute_tool, invoke_agent, ..."},
	ColProvider:            {Name: "provider", Kind: Text, Data: "gen_ai.provider.name", Doc: "model provider"},
	ColRequestModel:        {Name: "request_model", Kind: Text, Data: "gen_ai.request.model", Doc: "model asked for"},
	ColResponseModel:       {Name: "response_model", Kind: Text, Data: "gen_ai.response.model", Doc: "model that answered"},
	ColResponseID:          {Name: "response_id", Kind: Text, Data: "gen_ai.response.id", Doc: "provider's id of the answer"},
	ColTemperature:         {Name: "temperature", Kind: Double, Data: "gen_ai.request.temperature", Doc: "sampling temperature"},
	ColTopP:                {Name: "top_p", Kind: Double, Data: "gen_ai.request.top_p", Doc: "nucleus sampling"},
	ColTopK:                {Name: "top_k", Kind: Double, Data: "gen_ai.request.top_k", Doc: "top-k sampling"},
	ColSeed:                {Name: "seed", Kind: Integer, Data: "gen_ai.request.seed", Doc: "sampling seed"},
	ColPromptName:          {Name: "prompt_name", Kind: Text, Data: "gen_ai.prompt.name", Doc: "name of the prompt template"},
	ColPromptVersion:       {Name: "prompt_version", Kind: Text, Data: "audit.prompt.version", Doc: "version of the prompt template"},
	ColPromptSHA256:        {Name: "prompt_sha256", Kind: Text, Data: "audit.prompt.sha256", Doc: "SHA-256 of the prompt template, hex"},
	ColToolsSHA256:         {Name: "tools_sha256", Kind: Text, Data: "audit.tools.sha256", Doc: "SHA-256 of the tool definitions, hex"},
	ColInputTokens:         {Name: "input_tokens", Kind: Count, Data: "gen_ai.usage.input_tokens", Doc: "tokens read"},
	ColOutputTokens:        {Name: "output_tokens", Kind: Count, Data: "gen_ai.usage.output_tokens", Doc: "tokens produced"},
	ColCacheReadTokens:     {Name: "cache_read_tokens", Kind: Count, Data: "gen_ai.usage.cache_read.input_tokens", Doc: "input tokens read from the provider's cache"},
	ColCacheCreationTokens: {Name: "cache_creation_tokens", Kind: Count, Data: "gen_ai.usage.cache_creation.input_tokens", Doc: "input tokens written to the provider's cache"},
	ColReasoningTokens:     {Name: "reasoning_tokens", Kind: Count, Data: "gen_ai.usage.reasoning.output_tokens", Doc: "output tokens spent on reasoning"},
	ColFinishReasons:       {Name: "finish_reasons", Kind: TextList, Data: "gen_ai.response.finish_reasons", Doc: "why the model stopped, one per choice"},
	ColCostAmount:          {Name: "cost_amount", Kind: Decimal9, Data: "audit.cost.amount", Doc: "cost in cost_currency"},
	ColCostCurrency:        {Name: "cost_currency", Kind: Text, Data: "audit.cost.currency", Doc: "ISO 4217 code"},
	ColCostSource:          {Name: "cost_source", Kind: Text, Data: "audit.cost.source", Doc: "provider or estimated"},
	ColDurationMS:          {Name: "duration_ms", Kind: Double, Data: "audit.duration_ms", Doc: "how long it took, milliseconds"},
	ColTimeToFirstChunkMS:  {Name: "time_to_first_chunk_ms", Kind: Seconds, Data: "gen_ai.response.time_to_first_chunk", Doc: "time to the first chunk, milliseconds (seconds in the event)"},
	ColStatus:              {Name: "status", Kind: Text, Data: "audit.status", Doc: "ok, error, denied or cancelled"},
	ColErrorType:           {Name: "error_type", Kind: Text, Data: "error.type", Doc: "kind of error"},
	ColToolName:            {Name: "tool_name", Kind: Text, Data: "gen_ai.tool.name", Doc: "tool"},
	ColToolType:            {Name: "tool_type", Kind: Text, Data: "gen_ai.tool.type", Doc: "function, extension, datastore, ..."},
	ColToolCallID:          {Name: "tool_call_id", Kind: Text, Data: "gen_ai.tool.call.id", Doc: "the model's id of the call"},
	ColToolPhase:           {Name: "tool_phase", Kind: Text, Data: "audit.tool.phase", Doc: "request or result; NULL is both"},
	ColAttempt:             {Name: "attempt", Kind: Count, Data: "audit.attempt", Doc: "1 for the first try"},
	ColRetryOf:             {Name: "retry_of", Kind: Text, Data: "audit.retry_of", Doc: "id of the event this one retries"},
	ColDataSourceID:        {Name: "data_source_id", Kind: Text, Data: "gen_ai.data_source.id", Doc: "where documents came from"},
	ColDocumentCount:       {Name: "document_count", Kind: Count, Data: "audit.retrieval.document_count", Doc: "documents retrieved"},
	ColActionName:          {Name: "action_name", Kind: Text, Data: "audit.action.name", Doc: "side effect, such as refund.create"},
	ColActionTarget:        {Name: "action_target", Kind: Text, Data: "audit.action.target", Doc: "system acted upon"},
	ColActionResource:      {Name: "action_resource", Kind: Text, Data: "audit.action.resource", Doc: "object acted upon"},
	ColActionEffect:        {Name: "action_effect", Kind: Text, Data: "audit.action.effect", Doc: "planned, committed, failed or compensated"},
	ColActionExternalID:    {Name: "action_external_id", Kind: Text, Data: "audit.action.external_id", Doc: "the target system's id of the effect"},
	ColIdempotencyKey:      {Name: "idempotency_key", Kind: Text, Data: "audit.idempotency_key", Doc: "key under which the effect must happen once"},
	ColApprovedBy:          {Name: "approved_by", Kind: Text, Data: "audit.approval.by", Doc: "who approved"},
	ColApprovedAt:          {Name: "approved_at", Kind: Timestamp, Data: "audit.approval.at", Doc: "when it was approved"},
	ColApprovalDecision:    {Name: "approval_decision", Kind: Text, Data: "audit.approval.decision", Doc: "approved, rejected, ..."},
	ColPolicyID:            {Name: "policy_id", Kind: Text, Data: "audit.policy.id", Doc: "policy that was consulted"},
	ColPolicyDecision:      {Name: "policy_decision", Kind: Text, Data: "audit.policy.decision", Doc: "allow, deny, ..."},
	ColEvaluationName:      {Name: "evaluation_name", Kind: Text, Data: "gen_ai.evaluation.name", Doc: "evaluation"},
	ColEvaluationScore:     {Name: "evaluation_score", Kind: Double, Data: "gen_ai.evaluation.score.value", Doc: "score"},
	ColEvaluationLabel:     {Name: "evaluation_label", Kind: Text, Data: "gen_ai.evaluation.score.label", Doc: "label"},
	ColExperiment:          {Name: "experiment", Kind: Text, Data: "audit.experiment", Doc: "A/B experiment"},
	ColVariant:             {Name: "variant", Kind: Text, Data: "audit.variant", Doc: "variant of the experiment"},
}

// Origin says from what of an event a typed column is filled, "" where there is
// no such column: "attribute sessionid, else data gen_ai.conversation.id".
func Origin(column string) string {
	for id, c := range Columns {
		if c.Name != column {
			continue
		}
		var from []string
		switch ColumnID(id) {
		case ColEventClass:
			return "attribute type"
		case ColSpanID:
			return "attribute traceparent"
		}
		if c.Context != "" {
			from = append(from, "attribute "+c.Context)
		}
		if c.Data != "" {
			from = append(from, "data "+c.Data)
		}
		text := strings.Join(from, ", else ")
		if c.Kind == Seconds {
			text += ", times 1000"
		}
		return text
	}
	return ""
}
