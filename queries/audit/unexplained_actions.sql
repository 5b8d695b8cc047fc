-- title: Unexplained actions
-- question: Which actions lead back to no prompt or input?
-- window: from - 1d .. to
-- note: Of every action, whatever its effect, the chain of causes is followed (causation_id, within the event's own source
--   or in causation_source) until it reaches an event of class prompt or input: then the action is explained, and not listed.
--   Nothing else counts as a cause here: neither the order of a run nor a trace; run_begins says whether the action's run
--   would explain it.
-- note: breaks says where a chain ends. no cause: at_event names none. missing: at_event names missing_id, which is not
--   among the events read; causes are looked for up to a day before from. cycle: the chain comes back to at_event, the first
--   one that it meets twice. too deep: at_event is max_depth steps away and the chain goes on.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only actions of this agent, by id or name
-- param: environment text = none: only actions of this environment
-- param: tenant text = none: only actions of this tenant
-- param: max_depth integer = 100: most steps that a chain is followed
-- column: time TIMESTAMP WITH TIME ZONE: when the action happened
-- column: agent VARCHAR: the agent, its id, else its name
-- column: action VARCHAR: what was done
-- column: target VARCHAR: system acted upon
-- column: resource VARCHAR: object acted upon
-- column: effect VARCHAR: planned, committed, failed or compensated
-- column: breaks VARCHAR: no cause, missing, cycle or too deep
-- column: depth BIGINT: steps from the action to at_event; 0 is the action itself
-- column: at_event VARCHAR: id of the event where the chain breaks
-- column: at_source VARCHAR: its producer
-- column: missing_id VARCHAR: id that is named and not there
-- column: missing_source VARCHAR: producer it should be of
-- column: run_begins BIGINT: prompts and inputs of the action's run, not after it
-- column: tenant VARCHAR: tenant
-- column: run_id VARCHAR: the agent invocation
-- column: event_id VARCHAR: id of the action's event
-- column: source VARCHAR: its producer
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
WITH RECURSIVE acts AS MATERIALIZED (
    SELECT row_number() OVER () AS n, event_time, agent_id, agent_name, action_name, action_target, action_resource, action_effect, tenant, run_id,
        source, event_id, coalesce(causation_source, source) AS cause_source, causation_id, kafka_topic, kafka_partition, kafka_offset, record_index
    FROM agent_events
    -- said a second time as a join, which lets DuckDB know that actions are fewer than events: it then keeps those in
    -- hand at every step, and not the events
    WHERE event_class = 'action' AND event_class IN (SELECT 'action')
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
causes AS MATERIALIZED (
    SELECT source, event_id, coalesce(causation_source, source) AS cause_source, causation_id, event_class IN ('prompt', 'input') AS begins
    FROM agent_events
),
-- A chain of more than 32 steps remembers the events from there on, so that one in a cycle does not go on for ever.
chain AS (
    SELECT n, source, event_id, cause_source, causation_id, false AS begins, CAST(0 AS BIGINT) AS depth, CAST([] AS STRUCT(source VARCHAR, id VARCHAR)[]) AS path
    FROM acts
    UNION ALL
    SELECT c.n, e.source, e.event_id, e.cause_source, e.causation_id, e.begins, c.depth + 1,
        CASE WHEN c.depth < 32 THEN c.path ELSE list_append(c.path, {'source': c.source, 'id': c.event_id}) END
    FROM causes e
    JOIN chain c ON c.causation_id = e.event_id AND c.cause_source = e.source
    WHERE NOT c.begins AND c.depth < $max_depth
        AND (c.depth <= 32 OR NOT list_contains(c.path, {'source': c.source, 'id': c.event_id}))
),
unexplained AS (
    SELECT n, max(depth) AS last
    FROM chain
    GROUP BY n
    HAVING NOT bool_or(begins)
),
steps AS MATERIALIZED (
    SELECT c.n, c.source, c.event_id, c.cause_source, c.causation_id, c.depth, u.last
    FROM chain c
    JOIN unexplained u ON u.n = c.n
),
cycles AS (
    SELECT n, min(depth) AS depth
    FROM (
        SELECT n, source, event_id, min(depth) AS depth
        FROM steps
        GROUP BY n, source, event_id
        HAVING count(*) > 1
    ) AS twice
    GROUP BY n
),
-- only an end that has a cause can be too deep
deep AS (
    SELECT s.n
    FROM steps s
    JOIN causes e ON e.event_id = s.causation_id AND e.source = s.cause_source
    WHERE s.depth = $max_depth
),
broken AS (
    SELECT s.n, s.depth, s.event_id AS at_event, s.source AS at_source,
        CASE WHEN c.n IS NOT NULL THEN 'cycle' WHEN s.causation_id IS NULL THEN 'no cause' WHEN d.n IS NOT NULL THEN 'too deep' ELSE 'missing' END AS breaks,
        s.causation_id, s.cause_source
    FROM steps s
    LEFT JOIN cycles c ON c.n = s.n
    LEFT JOIN deep d ON d.n = s.n
    WHERE s.depth = coalesce(c.depth, s.last)
),
begun AS (
    SELECT a.n, count(*) AS run_begins
    FROM agent_events p
    JOIN acts a ON a.run_id = p.run_id AND a.tenant IS NOT DISTINCT FROM p.tenant AND p.event_time <= a.event_time
    JOIN unexplained u ON u.n = a.n
    WHERE p.event_class IN ('prompt', 'input')
    GROUP BY a.n
)
SELECT
    a.event_time AS time,
    coalesce(a.agent_id, a.agent_name) AS agent,
    a.action_name AS action,
    a.action_target AS target,
    a.action_resource AS resource,
    a.action_effect AS effect,
    b.breaks,
    b.depth,
    b.at_event,
    b.at_source,
    CASE WHEN b.breaks = 'missing' THEN b.causation_id END AS missing_id,
    CASE WHEN b.breaks = 'missing' THEN b.cause_source END AS missing_source,
    coalesce(r.run_begins, 0) AS run_begins,
    a.tenant,
    a.run_id,
    a.event_id,
    a.source,
    a.kafka_topic,
    a.kafka_partition,
    a.kafka_offset
FROM broken b
JOIN acts a ON a.n = b.n
LEFT JOIN begun r ON r.n = b.n
ORDER BY a.event_time, a.kafka_topic, a.kafka_partition, a.kafka_offset, a.record_index
