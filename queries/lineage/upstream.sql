-- title: Upstream
-- question: What led to this output or action?
-- window: from .. to
-- lists: event_id
-- note: From the event back, a step at a time, along these edges, the strongest first. causation: the event that
--   causation_id names. retry_of: the attempt before. tool_call: the request of a result, and the call of an action with the same
--   tool_call_id. parent_run: from the first event of a run to what its parent run did last before it. sequence: the event before
--   in the same run. The first three are what producers say; parent_run and sequence say only what came before, and are followed
--   where an event has none of the three that are followed (an id that is not in the log leads nowhere, and stands as a row without a class).
-- note: A prompt or an input begins things: no sequence edge leaves it. The order of a run is that of sequence where
--   each of its events has one, else of time; ties go by place in the log. Runs are told apart by tenant. An event that is reached on
--   several ways stands once, at its least depth, with the strongest edge of that depth; a cycle of causes therefore ends.
-- note: Only events between from and to are seen; with them fewer files are read.
-- param: event_id text = required: id of the output or action, or of any other event
-- param: source text = none: its producer, where ids are unique within one only; without it every event of that id is a start
-- param: edges list(causation|retry_of|tool_call|parent_run|sequence) = causation,retry_of,tool_call,parent_run,sequence: edges to follow
-- param: max_depth integer = 50: most steps back
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: summary_chars integer = 120: longest summary, in characters
-- column: depth BIGINT: steps from the event that was asked for, which is 0
-- column: edge VARCHAR: what led from led_to to this event
-- column: led_to VARCHAR: id of the event, a step nearer, that this one led to
-- column: event_id VARCHAR: id of the event
-- column: source VARCHAR: its producer
-- column: class VARCHAR: event class; NULL where the log (or the range) does not hold the event
-- column: time TIMESTAMP WITH TIME ZONE: when it happened at the agent
-- column: summary VARCHAR: what it was, in a line
-- column: agent VARCHAR: the agent, its id, else its name
-- column: tenant VARCHAR: tenant
-- column: run_id VARCHAR: the agent invocation
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
WITH RECURSIVE starts AS MATERIALIZED (
    SELECT source, event_id
    FROM agent_events
    WHERE event_id = $event_id AND ($source IS NULL OR source = $source)
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
-- Which runs, and events without a run, can be reached at all, by hashes: of a whole table these fit into memory. Two
-- things with one hash would only make this wider; what follows compares the ids themselves.
keys AS MATERIALIZED (
    SELECT hash(source, event_id) AS event,
        CASE WHEN run_id IS NULL THEN hash(source, event_id) ELSE hash(coalesce(tenant, ''), run_id) END AS node,
        CASE WHEN causation_id IS NOT NULL THEN hash(coalesce(causation_source, source), causation_id) END AS cause,
        CASE WHEN retry_of IS NOT NULL THEN hash(source, retry_of) END AS retried,
        CASE WHEN run_id IS NOT NULL AND parent_run_id IS NOT NULL THEN hash(coalesce(tenant, ''), parent_run_id) END AS parent,
        event_time
    FROM agent_events
    WHERE ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
reachable AS (
    SELECT hash(source, event_id) AS h
    FROM starts
    UNION
    (
        SELECT k.node
        FROM keys k
        JOIN reachable r ON r.h = k.event
        UNION ALL
        SELECT unnest([k.cause, k.retried, k.parent])
        FROM keys k
        JOIN reachable r ON r.h = k.node
    )
),
-- One list, so that DuckDB knows how short it is and reads no more of the files than where these moments are.
moments AS MATERIALIZED (
    SELECT unnest(list(DISTINCT event_time)) AS event_time
    FROM keys
    WHERE node IN (SELECT h FROM reachable)
),
near AS MATERIALIZED (
    SELECT e.source, e.event_id, e.event_class, e.event_time, e.sequence, e.tenant, e.run_id, e.parent_run_id, e.causation_id,
        coalesce(e.causation_source, e.source) AS cause_source, e.retry_of, e.tool_call_id, e.tool_phase, coalesce(e.agent_id, e.agent_name) AS agent,
        e.kafka_topic, e.kafka_partition, e.kafka_offset, e.record_index,
        CASE e.event_class
            WHEN 'prompt' THEN message_text(attribute(e.payload, 'gen_ai.input.messages'))
            WHEN 'output' THEN message_text(attribute(e.payload, 'gen_ai.output.messages'))
            WHEN 'input' THEN concat_ws(' ', e.request_model, e.prompt_name, e.prompt_version)
            WHEN 'tool_call' THEN coalesce(e.tool_name, '?') || CASE e.tool_phase
                WHEN 'result' THEN ' -> ' || coalesce(attribute(e.payload, 'gen_ai.tool.call.result'), '')
                ELSE '(' || coalesce(attribute(e.payload, 'gen_ai.tool.call.arguments'), '') || ')' END
            WHEN 'context_retrieval' THEN concat_ws(' ', e.data_source_id || ':', attribute(e.payload, 'gen_ai.retrieval.query.text'),
                '[' || CAST(e.document_count AS VARCHAR) || ' documents]')
            WHEN 'action' THEN concat_ws(' ', e.action_name, 'on ' || e.action_target, e.action_resource, '[' || e.action_effect || ']')
            WHEN 'evaluation' THEN concat_ws(' ', e.evaluation_name, CAST(e.evaluation_score AS VARCHAR), e.evaluation_label)
            ELSE e.event_type
        END AS summary
    FROM agent_events e
    JOIN moments m ON m.event_time = e.event_time
    WHERE CASE WHEN e.run_id IS NULL THEN hash(e.source, e.event_id) ELSE hash(coalesce(e.tenant, ''), e.run_id) END IN (SELECT h FROM reachable)
),
numbered AS (
    SELECT *, CASE WHEN run_id IS NOT NULL AND count(*) OVER run = count(sequence) OVER run THEN sequence END AS in_order
    FROM near
    WINDOW run AS (PARTITION BY tenant, run_id)
),
placed AS MATERIALIZED (
    SELECT *,
        row_number() OVER w AS nth,
        lag(source) OVER w AS before_source,
        lag(event_id) OVER w AS before_id
    FROM numbered
    WHERE run_id IS NOT NULL
    WINDOW w AS (PARTITION BY tenant, run_id ORDER BY in_order NULLS FIRST, event_time, kafka_topic, kafka_partition, kafka_offset, record_index)
),
said AS (
    SELECT n.source, n.event_id, 1 AS strength, 'causation' AS edge, c.source AS to_source, c.event_id AS to_id
    FROM near n
    JOIN near c ON c.event_id = n.causation_id AND c.source = n.cause_source
    WHERE list_contains(string_split($edges, ','), 'causation')
    UNION ALL
    SELECT n.source, n.event_id, 2, 'retry_of', c.source, c.event_id
    FROM near n
    JOIN near c ON c.event_id = n.retry_of AND c.source = n.source
    WHERE list_contains(string_split($edges, ','), 'retry_of')
    UNION ALL
    SELECT n.source, n.event_id, 3, 'tool_call', c.source, c.event_id
    FROM near n
    JOIN near c ON c.run_id = n.run_id AND c.tenant IS NOT DISTINCT FROM n.tenant AND c.tool_call_id = n.tool_call_id
    WHERE c.event_class = 'tool_call'
        AND (n.event_class = 'action' OR n.event_class = 'tool_call' AND n.tool_phase = 'result' AND c.tool_phase = 'request')
        AND list_contains(string_split($edges, ','), 'tool_call')
),
untold AS (
    SELECT p.*
    FROM placed p
    LEFT JOIN said s ON s.source = p.source AND s.event_id = p.event_id
    WHERE s.event_id IS NULL
),
parents AS (
    SELECT u.source, u.event_id, c.source AS to_source, c.event_id AS to_id,
        row_number() OVER (PARTITION BY u.source, u.event_id
            ORDER BY c.event_time DESC, c.kafka_topic DESC, c.kafka_partition DESC, c.kafka_offset DESC, c.record_index DESC) AS nth
    FROM untold u
    JOIN near c ON c.run_id = u.parent_run_id AND c.tenant IS NOT DISTINCT FROM u.tenant AND c.event_time <= u.event_time AND c.run_id <> u.run_id
    WHERE u.nth = 1
),
edges AS MATERIALIZED (
    SELECT source, event_id, strength, edge, to_source, to_id
    FROM said
    UNION ALL
    SELECT source, event_id, 4, 'parent_run', to_source, to_id
    FROM parents
    WHERE nth = 1 AND list_contains(string_split($edges, ','), 'parent_run')
    UNION ALL
    SELECT source, event_id, 5, 'sequence', before_source, before_id
    FROM untold
    WHERE nth > 1 AND event_class NOT IN ('prompt', 'input') AND list_contains(string_split($edges, ','), 'sequence')
    UNION ALL
    -- what is named and not there
    SELECT n.source, n.event_id, 1, 'causation', n.cause_source, n.causation_id
    FROM near n
    LEFT JOIN near c ON c.event_id = n.causation_id AND c.source = n.cause_source
    WHERE n.causation_id IS NOT NULL AND c.event_id IS NULL AND list_contains(string_split($edges, ','), 'causation')
    UNION ALL
    SELECT n.source, n.event_id, 2, 'retry_of', n.source, n.retry_of
    FROM near n
    LEFT JOIN near c ON c.event_id = n.retry_of AND c.source = n.source
    WHERE n.retry_of IS NOT NULL AND c.event_id IS NULL AND list_contains(string_split($edges, ','), 'retry_of')
),
reached AS (
    SELECT source, event_id, CAST(0 AS BIGINT) AS depth, CAST(NULL AS INTEGER) AS strength, CAST(NULL AS VARCHAR) AS edge, CAST(NULL AS VARCHAR) AS led_to
    FROM starts
    UNION
    SELECT e.to_source, e.to_id, r.depth + 1, e.strength, e.edge, e.event_id
    FROM edges e
    JOIN reached r ON r.event_id = e.event_id AND r.source = e.source
    WHERE r.depth < $max_depth
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY source, event_id ORDER BY depth, strength NULLS FIRST, led_to) AS way
    FROM reached
)
SELECT
    r.depth,
    r.edge,
    r.led_to,
    r.event_id,
    r.source,
    n.event_class AS class,
    n.event_time AS time,
    left(n.summary, $summary_chars) AS summary,
    n.agent,
    n.tenant,
    n.run_id,
    n.kafka_topic,
    n.kafka_partition,
    n.kafka_offset
FROM ranked r
LEFT JOIN near n ON n.event_id = r.event_id AND n.source = r.source
WHERE r.way = 1
ORDER BY r.depth, n.event_time NULLS LAST, n.kafka_topic, n.kafka_partition, n.kafka_offset, n.record_index, r.source, r.event_id
