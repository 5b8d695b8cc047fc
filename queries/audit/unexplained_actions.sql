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
    SELECT source, event_id, event_class IN ('prompt', 'input') AS begins,
        -- a chain ends where things begin
        CASE WHEN event_class NOT IN ('prompt', 'input') THEN coalesce(causation_source, source) END AS cause_source,
        CASE WHEN event_class NOT IN ('prompt', 'input') THEN causation_id END AS causation_id
    FROM agent_events
),
-- One row a step: what the event there names as its cause. A chain of more than 32 steps remembers where it has been from
-- there on; at an event that it meets again the path is NULL, and the chain ends.
chain AS (
    SELECT n, cause_source, causation_id, false AS begins, CAST(0 AS BIGINT) AS depth, CAST([] AS STRUCT(source VARCHAR, id VARCHAR)[]) AS path
    FROM acts
    UNION ALL
    SELECT c.n, e.cause_source, e.causation_id, e.begins, c.depth + 1,
        CASE
            WHEN c.depth < 32 THEN c.path
            WHEN list_contains(c.path, {'source': c.cause_source, 'id': c.causation_id}) THEN NULL
            ELSE list_append(c.path, {'source': c.cause_source, 'id': c.causation_id})
        END
    FROM causes e
    JOIN chain c ON c.causation_id = e.event_id AND c.cause_source = e.source
    WHERE c.depth < $max_depth AND c.path IS NOT NULL
),
-- In one list, so that DuckDB knows how few these are.
unexplained AS MATERIALIZED (
    SELECT act.n, act.last
    FROM (
        SELECT unnest(list({'n': n, 'last': last})) AS act
        FROM (SELECT n, max(depth) AS last FROM chain GROUP BY n HAVING NOT bool_or(begins)) AS ends
    ) AS listed
),
steps AS MATERIALIZED (
    SELECT c.n, c.depth, u.last, c.cause_source, c.causation_id,
        coalesce(lag(c.cause_source) OVER way, a.source) AS source,
        coalesce(lag(c.causation_id) OVER way, a.event_id) AS event_id
    FROM chain c
    JOIN unexplained u ON u.n = c.n
    JOIN acts a ON a.n = c.n
    WINDOW way AS (PARTITION BY c.n ORDER BY c.depth)
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
-- Only an end that has a cause can be too deep.
deep AS (
    SELECT end_of.n
    FROM (SELECT unnest(list({'n': n, 'cause_source': cause_source, 'causation_id': causation_id})) AS end_of FROM steps WHERE depth = $max_depth) AS ends
    JOIN causes e ON e.event_id = end_of.causation_id AND e.source = end_of.cause_source
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
    FROM unexplained u
    JOIN acts a ON a.n = u.n
    JOIN agent_events p ON p.run_id = a.run_id AND p.tenant IS NOT DISTINCT FROM a.tenant AND p.event_time <= a.event_time
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
