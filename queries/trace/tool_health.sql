-- title: Tool health
-- question: How often are tools called, how often do they fail or need a retry, and how long do they take?
-- window: from .. to
-- note: A request and its result are one call: the events of a run that name the same call (or none) and tool
--   are as many calls as there are requests or results, whichever are more. What names a call and no tool is of the call's
--   tool (the last by name, where the run gave its id to calls of several). An attempt is a call: a tool that
--   needed three attempts was called three times, and two of them are retries (attempt above 1, or retry_of).
-- note: A call has ended where the log holds its result, or tells it in one event, with a status; one that has not is still
--   running, was cut off, or tells no status. Errors are those with status error; denied and cancelled stand apart. Percentages are of
--   the calls that ended, of retries of all calls.
-- note: Latency is duration_ms of what ended; where a result has none, the time between it and its request, if the call has one of
--   each. A percentile p is the smallest value that at least p of the values do not exceed (nearest rank, no interpolation).
-- note: Calls over the edge of the window count with the events that are in it.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: tool text = none: only this tool
-- column: tool VARCHAR: the tool, NULL where a call names none
-- column: calls BIGINT: calls
-- column: ended BIGINT: calls of which the log tells how they ended
-- column: errors BIGINT: ended with status error
-- column: error_pct DOUBLE: errors of ended, percent
-- column: refused BIGINT: ended with status denied or cancelled
-- column: retries BIGINT: calls that were retries
-- column: retry_pct DOUBLE: retries of calls, percent
-- column: p50_ms DOUBLE: half of the calls took at most this
-- column: p95_ms DOUBLE: 95 % of the calls took at most this
-- column: p99_ms DOUBLE: 99 % of the calls took at most this
-- column: error_types VARCHAR: the five most frequent error types, with their number
-- example: --from 7d --agent support
WITH events AS (
    SELECT tenant, run_id, tool_call_id, tool_name, status, error_type, duration_ms, event_time,
        CASE WHEN tool_phase IN ('request', 'result') THEN tool_phase END AS phase,
        attempt > 1 OR retry_of IS NOT NULL AS is_retry
    FROM agent_events
    WHERE event_class = 'tool_call'
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- A result often names the call only: its tool is then that of the call.
tool_of_call AS (
    SELECT e.tenant, e.run_id, e.tool_call_id, max(e.tool_name) AS tool
    FROM events AS e
    JOIN (
        SELECT DISTINCT tenant, run_id, tool_call_id
        FROM events
        WHERE phase IS NOT NULL AND tool_name IS NULL AND tool_call_id IS NOT NULL
    ) AS unnamed ON unnamed.tool_call_id = e.tool_call_id AND unnamed.run_id IS NOT DISTINCT FROM e.run_id AND unnamed.tenant IS NOT DISTINCT FROM e.tenant
    WHERE e.phase IS NOT NULL
    GROUP BY e.tenant, e.run_id, e.tool_call_id
),
-- Events of calls that stand in two.
halves AS (
    SELECT e.* EXCLUDE (tool_name), coalesce(e.tool_name, t.tool) AS tool
    FROM events AS e
    LEFT JOIN tool_of_call AS t ON e.tool_name IS NULL
        AND t.tool_call_id = e.tool_call_id AND t.run_id IS NOT DISTINCT FROM e.run_id AND t.tenant IS NOT DISTINCT FROM e.tenant
    WHERE e.phase IS NOT NULL
),
paired AS (
    SELECT
        tool,
        greatest(count(CASE WHEN phase = 'request' THEN 1 END), count(CASE WHEN phase = 'result' THEN 1 END)) AS calls,
        greatest(count(CASE WHEN phase = 'request' AND is_retry THEN 1 END), count(CASE WHEN phase = 'result' AND is_retry THEN 1 END)) AS retries,
        CASE WHEN count(*) = 2 AND count(CASE WHEN phase = 'request' THEN 1 END) = 1
            THEN date_diff('microsecond', min(CASE WHEN phase = 'request' THEN event_time END), min(CASE WHEN phase = 'result' THEN event_time END)) / 1000 END AS between_ms,
        tenant, run_id, tool_call_id
    FROM halves
    GROUP BY tenant, run_id, tool_call_id, tool
),
-- How calls ended, one row each; and what is to be counted of calls, in rows of its own.
facts AS (
    SELECT tool_name AS tool, 1 AS calls, CASE WHEN is_retry THEN 1 ELSE 0 END AS retries, status, error_type,
        CASE WHEN status IS NOT NULL THEN duration_ms END AS ms
    FROM events
    WHERE phase IS NULL
    UNION ALL
    SELECT tool, calls, retries, NULL, NULL, NULL
    FROM paired
    UNION ALL
    SELECT p.tool, 0, 0, e.status, e.error_type,
        CASE WHEN e.status IS NOT NULL THEN coalesce(e.duration_ms, CASE WHEN p.between_ms >= 0 THEN p.between_ms END) END
    FROM halves AS e
    JOIN paired AS p ON p.tenant IS NOT DISTINCT FROM e.tenant
        AND p.run_id IS NOT DISTINCT FROM e.run_id
        AND p.tool_call_id IS NOT DISTINCT FROM e.tool_call_id
        AND p.tool IS NOT DISTINCT FROM e.tool
    WHERE e.phase = 'result'
),
by_type AS (
    SELECT tool, coalesce(error_type, 'unknown') AS type, count(*) AS n
    FROM facts
    WHERE status = 'error'
    GROUP BY tool, type
),
most_frequent AS (
    SELECT tool, string_agg(type || ' ' || n, ', ' ORDER BY place) AS error_types
    FROM (SELECT *, row_number() OVER (PARTITION BY tool ORDER BY n DESC, type) AS place FROM by_type) AS placed
    WHERE place <= 5
    GROUP BY tool
),
tools AS (
    SELECT tool,
        CAST(sum(calls) AS BIGINT) AS calls,
        count(status) AS ended,
        count(CASE WHEN status = 'error' THEN 1 END) AS errors,
        count(CASE WHEN status IN ('denied', 'cancelled') THEN 1 END) AS refused,
        CAST(sum(retries) AS BIGINT) AS retries,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) AS p50_ms,
        percentile_disc(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY ms) AS p99_ms
    FROM facts
    WHERE $tool IS NULL OR tool = $tool
    GROUP BY tool
)
SELECT tools.tool, calls, ended, errors,
    100.0 * errors / nullif(ended, 0) AS error_pct,
    refused, retries,
    100.0 * retries / calls AS retry_pct,
    p50_ms, p95_ms, p99_ms, error_types
FROM tools
LEFT JOIN most_frequent ON most_frequent.tool IS NOT DISTINCT FROM tools.tool
ORDER BY calls DESC, tools.tool NULLS FIRST
