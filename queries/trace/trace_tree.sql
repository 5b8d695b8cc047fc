-- title: Trace tree
-- question: How is a trace made up, and which span itself took the time?
-- window: from .. to
-- lists: trace_id
-- note: A span is all events of the trace with one span id, of one tenant. It lasts from its first begin to its last end: an event
--   begins at its time and ends duration_ms later; a tool call's result ends at its time and began so much before. name, agent and event are
--   those of its first event (by time, then by place in the log), status is the worst of them, its parent the first that they name.
-- note: self_ms is total_ms without the time in which at least one child runs: time of several children at once counts once, and
--   what of a child lies outside of its parent does not count. Both are NULL where no event of the span tells a duration and
--   all have one time.
-- note: The tree stands as it is read, a span before its children, and these by begin. link says how a span came to
--   its place: root (it names no parent), child, orphan (its parent is not in the log, or another tenant's, and the
--   span stands at the top), cycle (its ancestors go round in a circle, which is cut above the one that began first).
-- param: trace_id text = required: id of the trace, 32 hex digits
-- param: from timestamp = none: first moment of event_time; with it fewer files are read
-- param: to timestamp = none: moment before which event_time lies
-- param: tenant text = none: only this tenant
-- column: depth INTEGER: 0 at the top
-- column: name VARCHAR: class and what it dealt with, indented by depth
-- column: start_ms DOUBLE: its begin, since that of the tenant's first span
-- column: total_ms DOUBLE: from its begin to its end
-- column: self_ms DOUBLE: of that, time in which no child runs
-- column: status VARCHAR: error, denied, cancelled or ok
-- column: error_type VARCHAR: kind of error (the first by name where it has several)
-- column: link VARCHAR: root, child, orphan or cycle
-- column: agent VARCHAR: the agent, its id, else its name
-- column: tenant VARCHAR: tenant
-- column: span_id VARCHAR: id of the span
-- column: event_id VARCHAR: its first event
-- example: --trace_id 4bf92f3577b34da6a3ce929d0e0e4736 --from 1d
WITH RECURSIVE events AS (
    SELECT span_id, parent_span_id, tenant, status, error_type, duration_ms, event_time, event_id,
        coalesce(agent_id, agent_name) AS agent,
        concat_ws(' ', event_class, CASE event_class
            WHEN 'tool_call' THEN tool_name
            WHEN 'action' THEN action_name
            WHEN 'context_retrieval' THEN data_source_id
            WHEN 'evaluation' THEN evaluation_name
            ELSE coalesce(response_model, request_model, operation) END) AS name,
        -- a tenant's number, since NULL joins nothing
        dense_rank() OVER (ORDER BY tenant NULLS FIRST) AS tenant_no,
        row_number() OVER (PARTITION BY tenant, span_id ORDER BY event_time, kafka_topic, kafka_partition, kafka_offset, record_index) AS nth,
        epoch_us(event_time) - CASE WHEN tool_phase = 'result' THEN took_us ELSE 0 END AS begins,
        epoch_us(event_time) + CASE WHEN tool_phase = 'result' THEN 0 ELSE took_us END AS ends
    FROM (
        -- no duration is longer than some centuries, or it would not fit
        SELECT *, CAST(round(coalesce(CASE WHEN duration_ms < 0 THEN 0 WHEN duration_ms > 1e13 THEN 1e13 ELSE duration_ms END, 0) * 1000) AS BIGINT) AS took_us
        FROM agent_events
        WHERE trace_id = lower($trace_id)
            AND span_id IS NOT NULL
            AND ($from IS NULL OR event_time >= $from)
            AND ($to IS NULL OR event_time < $to)
            AND ($tenant IS NULL OR tenant = $tenant)
    ) AS of_trace
),
spans AS (
    SELECT tenant_no, span_id,
        min_by(parent_span_id, CASE WHEN parent_span_id IS NOT NULL THEN nth END) AS parent_span_id,
        max(tenant) AS tenant,
        max(CASE WHEN nth = 1 THEN name END) AS name,
        max(CASE WHEN nth = 1 THEN agent END) AS agent,
        max(CASE WHEN nth = 1 THEN event_id END) AS event_id,
        CASE max(CASE status WHEN 'error' THEN 4 WHEN 'denied' THEN 3 WHEN 'cancelled' THEN 2 WHEN 'ok' THEN 1 ELSE 0 END)
            WHEN 4 THEN 'error' WHEN 3 THEN 'denied' WHEN 2 THEN 'cancelled' WHEN 1 THEN 'ok' ELSE min(status) END AS status,
        min(error_type) AS error_type,
        min(begins) AS begins,
        max(ends) AS ends,
        count(duration_ms) > 0 OR min(event_time) < max(event_time) AS timed
    FROM events
    GROUP BY tenant_no, span_id
),
linked AS (
    SELECT s.*, parent.span_id IS NOT NULL AS has_parent, parent.begins AS parent_begins, parent.ends AS parent_ends,
        row_number() OVER (PARTITION BY s.tenant_no ORDER BY s.begins, s.span_id) AS by_begin
    FROM spans AS s
    LEFT JOIN spans AS parent ON parent.tenant_no = s.tenant_no AND parent.span_id = s.parent_span_id
),
-- What the top spans lead to; what they do not lead to goes round in a circle, or hangs below one that does.
reached AS (
    SELECT tenant_no, span_id FROM linked WHERE NOT has_parent
    UNION ALL
    SELECT s.tenant_no, s.span_id
    FROM reached
    JOIN linked AS s ON s.tenant_no = reached.tenant_no AND s.parent_span_id = reached.span_id
),
ancestors AS (
    SELECT s.tenant_no, s.span_id, s.parent_span_id AS ancestor
    FROM linked AS s
    WHERE NOT EXISTS (SELECT 1 FROM reached AS r WHERE r.tenant_no = s.tenant_no AND r.span_id = s.span_id)
    UNION
    SELECT a.tenant_no, a.span_id, s.parent_span_id
    FROM ancestors AS a
    JOIN linked AS s ON s.tenant_no = a.tenant_no AND s.span_id = a.ancestor
),
-- Of each circle the span that began first: no ancestor of it is as early, and it is its own ancestor.
cuts AS (
    SELECT a.tenant_no, a.span_id
    FROM ancestors AS a
    JOIN linked AS s ON s.tenant_no = a.tenant_no AND s.span_id = a.span_id
    JOIN linked AS up ON up.tenant_no = a.tenant_no AND up.span_id = a.ancestor
    GROUP BY a.tenant_no, a.span_id
    HAVING count(CASE WHEN a.ancestor = a.span_id THEN 1 END) > 0 AND min(up.by_begin) = min(s.by_begin)
),
placed AS (
    SELECT s.*,
        CASE WHEN cuts.span_id IS NOT NULL THEN 'cycle' WHEN s.has_parent THEN 'child' WHEN s.parent_span_id IS NOT NULL THEN 'orphan' ELSE 'root' END AS link
    FROM linked AS s
    LEFT JOIN cuts ON cuts.tenant_no = s.tenant_no AND cuts.span_id = s.span_id
),
tree AS (
    SELECT tenant_no, span_id, 0 AS depth, [by_begin] AS path FROM placed WHERE link <> 'child'
    UNION ALL
    SELECT s.tenant_no, s.span_id, tree.depth + 1, list_append(tree.path, s.by_begin)
    FROM tree
    JOIN placed AS s ON s.tenant_no = tree.tenant_no AND s.parent_span_id = tree.span_id AND s.link = 'child'
),
-- The time within a span in which a child runs: of each child what no earlier one covered.
covered AS (
    SELECT tenant_no, parent_span_id, sum(CASE WHEN ends > begun_by THEN ends - begun_by ELSE 0 END) AS child_us
    FROM (
        SELECT tenant_no, parent_span_id, ends, greatest(begins, coalesce(max(ends) OVER (PARTITION BY tenant_no, parent_span_id
            ORDER BY begins, by_begin ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), begins)) AS begun_by
        FROM (
            SELECT tenant_no, parent_span_id, by_begin, greatest(begins, parent_begins) AS begins, least(ends, parent_ends) AS ends
            FROM placed
            WHERE link = 'child' AND begins < parent_ends AND ends > parent_begins
        ) AS within
    ) AS one_after_another
    GROUP BY tenant_no, parent_span_id
)
SELECT
    tree.depth,
    repeat('  ', tree.depth) || s.name AS name,
    (s.begins - min(s.begins) OVER (PARTITION BY s.tenant_no)) / 1000 AS start_ms,
    CASE WHEN s.timed THEN (s.ends - s.begins) / 1000 END AS total_ms,
    CASE WHEN s.timed THEN (s.ends - s.begins - CAST(coalesce(covered.child_us, 0) AS BIGINT)) / 1000 END AS self_ms,
    s.status, s.error_type, s.link, s.agent, s.tenant, s.span_id, s.event_id
FROM tree
JOIN placed AS s ON s.tenant_no = tree.tenant_no AND s.span_id = tree.span_id
LEFT JOIN covered ON covered.tenant_no = s.tenant_no AND covered.parent_span_id = s.span_id
ORDER BY s.tenant_no, tree.path
