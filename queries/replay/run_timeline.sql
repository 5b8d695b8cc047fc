-- title: Run timeline
-- question: What happened in this run, in order?
-- window: from .. to
-- lists: run
-- note: Events stand in the producer's sequence where every event of the run has one, else by time; ties go by
--   place in the log.
-- note: A run is one tenant's: where several tenants have a run of this id, each stands by itself, seq and gap_ms too, those
--   without a tenant first.
-- param: run text = required: id of the run
-- param: from timestamp = none: first moment of event_time; with it fewer files are read
-- param: to timestamp = none: moment before which event_time lies
-- param: tenant text = none: only this tenant's run
-- param: summary_chars integer = 200: longest summary, in characters
-- column: seq BIGINT: place in the run, from 1
-- column: time TIMESTAMP WITH TIME ZONE: when it happened at the agent
-- column: class VARCHAR: event class
-- column: summary VARCHAR: what it was, in a line
-- column: status VARCHAR: ok, error, denied or cancelled
-- column: duration_ms DOUBLE: how long it took
-- column: gap_ms DOUBLE: time since the event before, negative where sequence and clock disagree
-- column: agent VARCHAR: the agent, its id, else its name
-- column: tenant VARCHAR: tenant whose run it is
-- column: event_id VARCHAR: id of the event
-- column: source VARCHAR: its producer
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
WITH run AS (
    SELECT *,
        CASE WHEN count(*) OVER whole = count(sequence) OVER whole THEN sequence END AS in_order
    FROM agent_events
    WHERE run_id = $run
        AND ($tenant IS NULL OR tenant = $tenant)
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
    WINDOW whole AS (PARTITION BY tenant)
),
told AS (
    SELECT *,
        CASE event_class
            WHEN 'prompt' THEN message_text(attribute(payload, 'gen_ai.input.messages'))
            WHEN 'output' THEN message_text(attribute(payload, 'gen_ai.output.messages'))
            WHEN 'input' THEN concat_ws(' ', request_model, prompt_name, prompt_version)
            WHEN 'tool_call' THEN coalesce(tool_name, '?') || CASE tool_phase
                WHEN 'result' THEN ' -> ' || coalesce(attribute(payload, 'gen_ai.tool.call.result'), '')
                ELSE '(' || coalesce(attribute(payload, 'gen_ai.tool.call.arguments'), '') || ')' END
            WHEN 'context_retrieval' THEN concat_ws(' ', data_source_id || ':', attribute(payload, 'gen_ai.retrieval.query.text'),
                '[' || CAST(document_count AS VARCHAR) || ' documents]')
            WHEN 'action' THEN concat_ws(' ', action_name, 'on ' || action_target, action_resource, '[' || action_effect || ']')
            WHEN 'evaluation' THEN concat_ws(' ', evaluation_name, CAST(evaluation_score AS VARCHAR), evaluation_label)
            ELSE event_type
        END AS summary
    FROM run
)
SELECT
    row_number() OVER place AS seq,
    event_time AS time,
    event_class AS class,
    left(summary, $summary_chars) AS summary,
    status,
    duration_ms,
    date_diff('microsecond', lag(event_time) OVER place, event_time) / 1000 AS gap_ms,
    coalesce(agent_id, agent_name) AS agent,
    tenant,
    event_id,
    source,
    kafka_topic,
    kafka_partition,
    kafka_offset
FROM told
WINDOW place AS (PARTITION BY tenant ORDER BY in_order NULLS FIRST, event_time, kafka_topic, kafka_partition, kafka_offset, record_index)
ORDER BY tenant NULLS FIRST, seq
