-- title: Subject access
-- question: What does the log hold about this data subject, and where is it stored?
-- window: from .. to
-- lists: subject
-- note: One row per stored record, not per event: an event that its producer sent again is stored twice, and both copies are
--   the subject's data. copy numbers the copies of an event that are listed.
-- note: by says why a row is listed, the first of: subject: the event names the subject. run or session: it names none, and another
--   event of the same run or session, of the same tenant, names this one; where several subjects share a session such
--   an event is listed for each. called run: it names none, and its run was called by such a run (parent_run_id), or by
--   one that was; that comes before session. principal: the subject is accountable for it, whatever other subject it names. Any other event that
--   names another subject is not listed. dead letter: a record that is no event
--   and holds the subject in quotes, or as a header's value; what it holds in another form is not found.
-- note: from and to bound the search as well: a run is known for the subject's by its events within. For a full answer
--   leave both out. Only what the log itself holds is listed: neither Kafka nor a backup.
-- param: subject text = required: the data subject, as events name it (user:123)
-- param: from timestamp = none: first moment of event_time; of ingest_time for dead letters
-- param: to timestamp = none: moment before which it lies
-- param: agent text = none: only this agent, by id or name; leaves out dead letters
-- param: environment text = none: only this environment; leaves out dead letters
-- param: tenant text = none: only this tenant; leaves out dead letters
-- column: time TIMESTAMP WITH TIME ZONE: when it happened at the agent; for a dead letter when it was read
-- column: by VARCHAR: subject, run, called run, session, principal or dead letter
-- column: class VARCHAR: event class; for a dead letter its error class
-- column: event_id VARCHAR: id of the event
-- column: source VARCHAR: its producer
-- column: copy BIGINT: which copy of the event this is, by place in the log; NULL for a dead letter
-- column: agent VARCHAR: the agent, its id, else its name
-- column: tenant VARCHAR: tenant
-- column: session_id VARCHAR: the conversation
-- column: run_id VARCHAR: the agent invocation
-- column: classification VARCHAR: classification of the data
-- column: regulation VARCHAR: regulation of the data
-- column: stored_in VARCHAR: table that holds it
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
WITH RECURSIVE named AS (
    SELECT tenant, run_id, session_id
    FROM agent_log
    WHERE subject = $subject
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
calls AS (
    SELECT DISTINCT coalesce(tenant, '') AS tenant, tenant IS NULL AS no_tenant, parent_run_id, run_id
    FROM agent_log
    WHERE parent_run_id IS NOT NULL AND run_id IS NOT NULL
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
-- The subject's runs and those that they called, each once: so a circle of calls comes to an end.
runs_and_called AS (
    SELECT coalesce(tenant, '') AS tenant, tenant IS NULL AS no_tenant, run_id, 'run' AS reason FROM named WHERE run_id IS NOT NULL
    UNION
    SELECT c.tenant, c.no_tenant, c.run_id, 'called run'
    FROM runs_and_called r
    JOIN calls c ON c.parent_run_id = r.run_id AND c.tenant = r.tenant AND c.no_tenant = r.no_tenant
),
runs_of AS (
    SELECT tenant, no_tenant, run_id, max(reason) AS reason FROM runs_and_called GROUP BY tenant, no_tenant, run_id
),
sessions_of AS (
    SELECT DISTINCT coalesce(tenant, '') AS tenant, tenant IS NULL AS no_tenant, session_id FROM named WHERE session_id IS NOT NULL
),
records AS (
    SELECT l.event_time, l.event_class, l.event_id, l.source, coalesce(l.agent_id, l.agent_name) AS agent, l.tenant, l.session_id, l.run_id,
        l.classification, l.regulation, l.kafka_topic, l.kafka_partition, l.kafka_offset, l.record_index,
        CASE WHEN l.subject = $subject THEN 'subject' WHEN l.subject IS NOT NULL THEN 'principal'
            ELSE coalesce(r.reason, CASE WHEN s.session_id IS NOT NULL THEN 'session' ELSE 'principal' END) END AS reason
    FROM agent_log l
    LEFT JOIN runs_of r ON r.run_id = l.run_id AND r.tenant = coalesce(l.tenant, '') AND r.no_tenant = (l.tenant IS NULL)
    LEFT JOIN sessions_of s ON s.session_id = l.session_id AND s.tenant = coalesce(l.tenant, '') AND s.no_tenant = (l.tenant IS NULL)
    WHERE (l.subject = $subject OR l.principal_id = $subject OR l.subject IS NULL AND (r.run_id IS NOT NULL OR s.session_id IS NOT NULL))
        AND ($from IS NULL OR l.event_time >= $from)
        AND ($to IS NULL OR l.event_time < $to)
        AND ($agent IS NULL OR l.agent_id = $agent OR l.agent_name = $agent)
        AND ($environment IS NULL OR l.environment = $environment)
        AND ($tenant IS NULL OR l.tenant = $tenant)
),
dead AS (
    SELECT ingest_time, error_class, kafka_topic, kafka_partition, kafka_offset
    FROM dead_letters
    -- A blob's text is its bytes, one letter or one \xNN each, so bytes are compared.
    WHERE (contains(CAST(value AS VARCHAR), CAST(encode('"' || $subject || '"') AS VARCHAR))
            OR coalesce(list_contains(list_transform(kafka_headers, lambda h: h.value), encode($subject)), false))
        AND ($from IS NULL OR ingest_time >= $from)
        AND ($to IS NULL OR ingest_time < $to)
        AND $agent IS NULL AND $environment IS NULL AND $tenant IS NULL
)
SELECT
    event_time AS time,
    reason AS by,
    event_class AS class,
    event_id,
    source,
    row_number() OVER (PARTITION BY source, event_id ORDER BY kafka_topic, kafka_partition, kafka_offset, record_index) AS copy,
    agent,
    tenant,
    session_id,
    run_id,
    classification,
    regulation,
    'agent_events' AS stored_in,
    kafka_topic,
    kafka_partition,
    kafka_offset
FROM records
UNION ALL
SELECT ingest_time, 'dead letter', error_class, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'dead_letters', kafka_topic, kafka_partition, kafka_offset
FROM dead
ORDER BY time, kafka_topic, kafka_partition, kafka_offset, copy, event_id
