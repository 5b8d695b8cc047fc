-- title: Blast radius of a document
-- question: What did this document influence?
-- window: from .. to
-- lists: document
-- note: A retrieval is an event of class context_retrieval whose gen_ai.retrieval.documents holds the document: a list of
--   {id, version, …}, one such object, or a list of ids; without `version` in any version. kind is retrieval for each of
--   these, run for each run that made one, and output or action for what came after.
-- note: via says how an output or action comes after. cause: its chain of causes (causation_id) leads back to a
--   retrieval, in whatever run and by whatever agent. run: no such chain, but it is later in the same run (of the same tenant)
--   than the run's first retrieval: by sequence where both have one, else by time, where the same moment counts as
--   later. The agent had the document before it then; that it made use of it is not proved by either.
-- note: Only events between from and to are seen, retrievals and what came after them.
-- param: document text = required: id of the document
-- param: version text = none: only this version
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only retrievals by this agent, by id or name
-- param: environment text = none: only retrievals in this environment
-- param: tenant text = none: only retrievals of this tenant
-- column: kind VARCHAR: retrieval, run, output or action
-- column: time TIMESTAMP WITH TIME ZONE: when; of a run its first retrieval of the document
-- column: via VARCHAR: cause or run, for outputs and actions
-- column: tenant VARCHAR: tenant
-- column: run_id VARCHAR: the agent invocation
-- column: agent VARCHAR: the agent, its id, else its name
-- column: what VARCHAR: data source of a retrieval, model of an output, action with target, resource and effect
-- column: versions VARCHAR: versions of the document that were retrieved, for retrievals and runs
-- column: retrievals BIGINT: how often the run retrieved it, for runs
-- column: outputs BIGINT: outputs of the run listed here, for runs
-- column: actions BIGINT: actions of the run listed here, for runs
-- column: event_id VARCHAR: id of the event
-- column: source VARCHAR: its producer
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
WITH RECURSIVE looked_up AS (
    SELECT event_time, sequence, tenant, run_id, coalesce(agent_id, agent_name) AS agent, coalesce(data_source_id, tool_name) AS what,
        event_id, source, kafka_topic, kafka_partition, kafka_offset, attribute(payload, 'gen_ai.retrieval.documents') AS documents
    FROM agent_events
    WHERE event_class = 'context_retrieval'
        -- A text that begins with a letter stands in JSON as it is, or escaped: without either the JSON need not be taken apart.
        AND (contains(payload, $document) OR contains(payload, chr(92)) OR NOT regexp_matches($document, '^[A-Za-z]'))
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
found AS (
    SELECT * EXCLUDE (documents),
        unnest(CASE json_type(documents) WHEN 'ARRAY' THEN CAST(json_extract(documents, '$[*]') AS JSON[]) WHEN 'OBJECT' THEN [CAST(documents AS JSON)] END) AS document
    FROM looked_up
    WHERE json_valid(documents)
),
retrieved AS MATERIALIZED (
    SELECT event_time, sequence, tenant, run_id, agent, what, event_id, source, kafka_topic, kafka_partition, kafka_offset,
        string_agg(DISTINCT (document ->> '$.version'), ', ' ORDER BY (document ->> '$.version')) AS versions
    FROM found
    WHERE CASE WHEN json_type(document) = 'OBJECT' THEN (document ->> '$.id') ELSE (document ->> '$') END = $document
        AND ($version IS NULL OR (document ->> '$.version') = $version)
    GROUP BY event_time, sequence, tenant, run_id, agent, what, event_id, source, kafka_topic, kafka_partition, kafka_offset
),
-- Millions of causes as numbers, and the few that these lead to as they are: two ids may have one number.
numbered AS MATERIALIZED (
    SELECT hash(source, event_id) AS event, hash(coalesce(causation_source, source), causation_id) AS cause
    FROM agent_events
    WHERE causation_id IS NOT NULL
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
-- UNION keeps each event once, so that a cycle of causes ends.
perhaps AS (
    -- in one list, so that DuckDB knows how few they are and keeps these in hand at every step, not the events
    SELECT unnest(list(hash(source, event_id))) AS event FROM retrieved
    UNION
    SELECT n.event
    FROM numbered n
    JOIN perhaps p ON p.event = n.cause
),
effects AS MATERIALIZED (
    SELECT source, event_id, coalesce(causation_source, source) AS cause_source, causation_id
    FROM agent_events
    WHERE causation_id IS NOT NULL
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND hash(source, event_id) IN (SELECT unnest(list(event)) FROM perhaps)
),
caused AS (
    SELECT source, event_id FROM retrieved
    UNION
    SELECT e.source, e.event_id
    FROM effects e
    JOIN caused c ON c.event_id = e.causation_id AND c.source = e.cause_source
),
affected AS MATERIALIZED (
    SELECT event.source, event.event_id
    FROM (SELECT unnest(list({'source': source, 'event_id': event_id})) AS event FROM caused) AS events
),
-- What a run retrieved first decides which of its events came after.
runs_of AS (
    SELECT tenant, run_id, min(sequence) AS first_sequence, min(event_time) AS first_moment, min(CASE WHEN sequence IS NULL THEN event_time END) AS first_unnumbered
    FROM retrieved
    WHERE run_id IS NOT NULL
    GROUP BY tenant, run_id
),
led AS MATERIALIZED (
    SELECT source, event_id, min(via) AS via -- cause before run
    FROM (
        SELECT source, event_id, 'cause' AS via FROM affected
        UNION ALL
        SELECT e.source, e.event_id, 'run'
        FROM agent_events e
        JOIN runs_of r ON r.run_id = e.run_id AND r.tenant IS NOT DISTINCT FROM e.tenant
        WHERE e.event_class IN ('output', 'action')
            AND ($from IS NULL OR e.event_time >= $from)
            AND ($to IS NULL OR e.event_time < $to)
            AND CASE WHEN e.sequence IS NULL THEN r.first_moment <= e.event_time
                ELSE coalesce(r.first_sequence < e.sequence, false) OR coalesce(r.first_unnumbered <= e.event_time, false) END
    ) AS ways
    GROUP BY source, event_id
),
after AS (
    SELECT e.event_class, e.event_time, e.tenant, e.run_id, coalesce(e.agent_id, e.agent_name) AS agent,
        CASE e.event_class WHEN 'output' THEN coalesce(e.response_model, e.request_model)
            ELSE concat_ws(' ', e.action_name, 'on ' || e.action_target, e.action_resource, '[' || e.action_effect || ']') END AS what,
        e.event_id, e.source, e.kafka_topic, e.kafka_partition, e.kafka_offset, led.via
    FROM agent_events e
    JOIN led ON led.event_id = e.event_id AND led.source = e.source
    WHERE e.event_class IN ('output', 'action')
        AND ($from IS NULL OR e.event_time >= $from)
        AND ($to IS NULL OR e.event_time < $to)
),
totals AS (
    SELECT tenant, run_id, count(CASE WHEN event_class = 'output' THEN 1 END) AS outputs, count(CASE WHEN event_class = 'action' THEN 1 END) AS actions
    FROM after
    WHERE run_id IS NOT NULL
    GROUP BY tenant, run_id
),
listed AS (
    SELECT 1 AS place, 'run' AS kind, min(f.event_time) AS time, CAST(NULL AS VARCHAR) AS via, f.tenant, f.run_id, min(f.agent) AS agent, CAST(NULL AS VARCHAR) AS what,
        string_agg(DISTINCT f.versions, ', ' ORDER BY f.versions) AS versions, count(*) AS retrievals,
        coalesce(max(t.outputs), 0) AS outputs, coalesce(max(t.actions), 0) AS actions,
        CAST(NULL AS VARCHAR) AS event_id, CAST(NULL AS VARCHAR) AS source, CAST(NULL AS VARCHAR) AS kafka_topic, CAST(NULL AS INTEGER) AS kafka_partition, CAST(NULL AS BIGINT) AS kafka_offset
    FROM retrieved f
    LEFT JOIN totals t ON t.run_id = f.run_id AND t.tenant IS NOT DISTINCT FROM f.tenant
    WHERE f.run_id IS NOT NULL
    GROUP BY f.tenant, f.run_id
    UNION ALL
    SELECT 2, 'retrieval', event_time, NULL, tenant, run_id, agent, what, versions, NULL, NULL, NULL, event_id, source, kafka_topic, kafka_partition, kafka_offset
    FROM retrieved
    UNION ALL
    SELECT CASE event_class WHEN 'output' THEN 3 ELSE 4 END, event_class, event_time, via, tenant, run_id, agent, what, NULL, NULL, NULL, NULL,
        event_id, source, kafka_topic, kafka_partition, kafka_offset
    FROM after
)
SELECT kind, time, via, tenant, run_id, agent, what, versions, retrievals, outputs, actions, event_id, source, kafka_topic, kafka_partition, kafka_offset
FROM listed
ORDER BY place, time, tenant NULLS FIRST, run_id NULLS FIRST, kafka_topic, kafka_partition, kafka_offset, event_id, source
