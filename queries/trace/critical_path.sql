-- title: Critical path
-- question: Where does the time of traces go, by class and tool?
-- window: from .. to
-- note: Each moment of a trace counts for one span: the deepest that runs then and, of spans beside one another that run at once, the
--   one that ends last, since the others did not hold up the end. That is the critical path as tracing tools walk it
--   back from the end (Jaeger; CRISP, Zhang et al., USENIX ATC 2022), but for this: where the span that ends last began
--   while another was running, the path goes on in that one, where CRISP drops it. So the shares add up to 1, and speeding up what
--   has a share of 0.3 by a tenth speeds up the whole by about 0.03.
-- note: Spans, their begin and end are those of trace_tree; parent, class, what and agent are the first by name where the events of a span differ; where one
--   of them tells that agent's id and name, the span is found by both. A span without length (no event tells its duration) has no time: its children count as its parent's. What of a child lies
--   outside of its parent does not count. Time in which no span of a trace runs does not count. Traces count with the
--   events of the window. Spans whose ancestors go round in a circle, and what is deeper than 64 levels, are left out. Tools, models
--   and agents of one name at several tenants are one row: ask with tenant.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only time of spans of this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: trace_id text = none: only this trace
-- column: class VARCHAR: event class
-- column: what VARCHAR: the tool of a tool call or action, the model of an output or input, the data source of a retrieval
-- column: spans BIGINT: spans on the path
-- column: path_ms DOUBLE: time on the path that was spent in them, not in their children
-- column: share DOUBLE: of all time on the paths, other agents' too
-- column: mean_ms DOUBLE: path_ms / spans
-- example: --from 1d --tenant acme
WITH RECURSIVE events AS NOT MATERIALIZED (
    -- ids as the numbers that they write in hex, a trace id in two halves: a third of the memory
    SELECT tenant, event_time, tool_phase, event_class AS class,
        TRY_CAST('0x' || left(trace_id, 16) AS UBIGINT) AS trace_a,
        TRY_CAST('0x' || right(trace_id, 16) AS UBIGINT) AS trace_b,
        TRY_CAST('0x' || span_id AS UBIGINT) AS span,
        CASE WHEN regexp_full_match(parent_span_id, '[0-9a-f]{16}') THEN TRY_CAST('0x' || parent_span_id AS UBIGINT) END AS parent_span,
        CASE event_class
            WHEN 'tool_call' THEN tool_name
            WHEN 'action' THEN coalesce(tool_name, action_name)
            WHEN 'context_retrieval' THEN data_source_id
            ELSE coalesce(response_model, request_model) END AS what,
        coalesce(agent_id, agent_name) AS agent,
        $agent IS NULL OR coalesce(agent_id = $agent, false) OR coalesce(agent_name = $agent, false) AS of_agent,
        CAST(round(coalesce(CASE WHEN duration_ms < 0 THEN 0 WHEN duration_ms > 1e13 THEN 1e13 ELSE duration_ms END, 0) * 1000) AS BIGINT) AS took_us
    FROM agent_events
    WHERE trace_id IS NOT NULL AND span_id IS NOT NULL
        AND ($trace_id IS NULL OR trace_id = lower($trace_id))
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- Numbers for tenants and for what to group by, in order of name: millions of spans are sorted, and numbers are short.
labels AS MATERIALIZED (
    SELECT tenant, class, what, agent, of_agent,
        CAST(dense_rank() OVER (ORDER BY tenant NULLS FIRST) AS INTEGER) AS tenant_no,
        -- of_agent first: a span is the agent's where one of its events says so, and takes the lowest number of its events
        CAST(row_number() OVER (ORDER BY class, what NULLS FIRST, agent NULLS FIRST, of_agent DESC, tenant NULLS FIRST) AS INTEGER) AS label
    FROM (SELECT DISTINCT tenant, class, what, agent, of_agent FROM events) AS kinds
),
spans AS MATERIALIZED (
    SELECT tenant_no, trace_a, trace_b, span,
        row_number() OVER () AS span_no,
        min(parent_span) AS parent_span,
        min(label) AS label,
        min(epoch_us(event_time) - CASE WHEN tool_phase = 'result' THEN took_us ELSE 0 END) AS begins,
        max(epoch_us(event_time) + CASE WHEN tool_phase = 'result' THEN 0 ELSE took_us END) AS ends
    FROM events AS e
    JOIN labels AS l ON l.class = e.class AND l.what IS NOT DISTINCT FROM e.what AND l.agent IS NOT DISTINCT FROM e.agent AND l.of_agent = e.of_agent AND l.tenant IS NOT DISTINCT FROM e.tenant
    GROUP BY tenant_no, trace_a, trace_b, span
),
linked AS (
    SELECT s.span_no, s.span, s.label, s.begins, s.ends,
        s.begins = s.ends AS has_no_length, parent.span_no AS parent_no, coalesce(parent.begins = parent.ends, false) AS parent_has_no_length
    FROM spans AS s
    LEFT JOIN spans AS parent ON parent.trace_a = s.trace_a AND parent.trace_b = s.trace_b AND parent.span = s.parent_span AND parent.tenant_no = s.tenant_no
),
-- Children of spans without length, handed up.
handed_up AS (
    SELECT span_no, parent_no, true AS again, 0 AS steps
    FROM linked
    WHERE parent_has_no_length AND NOT has_no_length
    UNION ALL
    SELECT h.span_no, up.parent_no, up.parent_has_no_length, h.steps + 1
    FROM handed_up AS h
    JOIN linked AS up ON up.span_no = h.parent_no
    WHERE h.again AND h.steps < 64
),
-- Spans with the parent in whose time they count.
counted AS (
    SELECT span_no, parent_no, span, label, begins, ends
    FROM linked
    WHERE NOT has_no_length AND NOT parent_has_no_length
    UNION ALL
    SELECT l.span_no, h.parent_no, l.span, l.label, l.begins, l.ends
    FROM linked AS l
    JOIN handed_up AS h ON h.span_no = l.span_no AND NOT h.again
),
-- Down the tree, level by level: of each span the part that is on the path, which reaches from its begin to where a
-- span beside it takes over that ends later.
path AS (
    SELECT span_no, label, CAST(NULL AS INTEGER) AS parent_label, begins, until AS ends, 0 AS depth
    FROM (
        SELECT c.*, least(c.ends, coalesce(min(c.begins) OVER (PARTITION BY s.tenant_no, s.trace_a, s.trace_b
            ORDER BY c.ends DESC, c.begins, c.span ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), c.ends)) AS until
        FROM counted AS c
        JOIN spans AS s ON s.span_no = c.span_no
        WHERE c.parent_no IS NULL
    ) AS top
    WHERE until > begins
    UNION ALL
    SELECT span_no, label, parent_label, begins, until, depth
    FROM (
        SELECT *, least(ends, coalesce(min(begins) OVER (PARTITION BY parent_no
            ORDER BY ends DESC, begins, span ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), ends)) AS until
        FROM (
            SELECT c.span_no, c.parent_no, c.span, c.label, p.label AS parent_label,
                greatest(c.begins, p.begins) AS begins, least(c.ends, p.ends) AS ends, p.depth + 1 AS depth
            FROM path AS p
            JOIN counted AS c ON c.parent_no = p.span_no
            WHERE c.begins < p.ends AND c.ends > p.begins AND p.depth < 64
        ) AS within
    ) AS level
    WHERE until > begins
),
-- A child's part is no longer its parent's own.
own AS (
    SELECT label, ends - begins AS us, 1 AS spans FROM path
    UNION ALL
    SELECT parent_label, begins - ends, 0 FROM path WHERE depth > 0
),
by_label AS (
    SELECT label, CAST(sum(us) AS BIGINT) AS us, CAST(sum(spans) AS BIGINT) AS spans
    FROM own
    GROUP BY label
)
SELECT class, what,
    CAST(sum(spans) AS BIGINT) AS spans,
    CAST(sum(us) AS BIGINT) / 1000 AS path_ms,
    CAST(sum(us) AS BIGINT) / CAST(max(all_us) AS BIGINT) AS share,
    CAST(sum(us) AS BIGINT) / 1000 / CAST(nullif(sum(spans), 0) AS BIGINT) AS mean_ms
FROM by_label
JOIN labels ON labels.label = by_label.label
CROSS JOIN (SELECT sum(us) AS all_us FROM by_label) AS whole
WHERE of_agent
GROUP BY class, what
ORDER BY path_ms DESC, class, what NULLS FIRST
