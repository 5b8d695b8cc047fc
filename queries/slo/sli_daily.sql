-- title: Service levels by day
-- question: How did latency, success, cost and accuracy go, day by day?
-- window: from .. to
-- note: Days are UTC days of event_time; cost and steps count for the day on which their run began. A percentile
--   p is the smallest value that at least p of the values do not exceed (nearest rank, no interpolation).
-- note: latency: duration_ms of outputs; good is at most latency_ms. success: tool calls, actions and outputs
--   with a status; good is ok. cost: per run and currency; good is a run without an unpriced output.
--   accuracy: evaluation scores by evaluation; good is at least pass_score.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: sli choice(latency|success|cost|accuracy) = none: only this indicator
-- param: latency_ms number = 10000: an output that took longer is not good
-- param: pass_score number = 0.5: an evaluation that scored less is not good
-- column: day DATE: day, UTC
-- column: sli VARCHAR: latency, success, cost or accuracy
-- column: unit VARCHAR: ms, a currency, the name of an evaluation, or class for success
-- column: n BIGINT: values
-- column: p50 DOUBLE: half of the values are at most this
-- column: p95 DOUBLE: 95 % of the values are at most this
-- column: p99 DOUBLE: 99 % of the values are at most this
-- column: good BIGINT: values that are good
-- column: ratio DOUBLE: good / n
WITH events AS (
    SELECT *
    FROM agent_events
    WHERE ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
priced_runs AS (
    SELECT CAST(min(event_time) OVER (PARTITION BY run_id, tenant) AS DATE) AS day, run_id, tenant, cost_currency, cost_amount,
        max(CASE WHEN event_class = 'output' AND cost_amount IS NULL THEN 1 ELSE 0 END) OVER (PARTITION BY run_id, tenant) AS unpriced
    FROM events
    WHERE run_id IS NOT NULL
),
measured AS (
    SELECT CAST(event_time AS DATE) AS day, 'latency' AS sli, 'ms' AS unit, duration_ms AS v, duration_ms <= $latency_ms AS good
    FROM events
    WHERE event_class = 'output' AND duration_ms IS NOT NULL
    UNION ALL
    SELECT CAST(event_time AS DATE), 'success', event_class, NULL, status = 'ok'
    FROM events
    WHERE event_class IN ('tool_call', 'action', 'output') AND status IS NOT NULL
    UNION ALL
    SELECT day, 'cost', cost_currency, CAST(sum(cost_amount) AS DOUBLE), max(unpriced) = 0
    FROM priced_runs
    WHERE cost_amount IS NOT NULL
    GROUP BY day, run_id, tenant, cost_currency
    UNION ALL
    SELECT CAST(event_time AS DATE), 'accuracy', evaluation_name, evaluation_score, evaluation_score >= $pass_score
    FROM events
    WHERE event_class = 'evaluation' AND evaluation_score IS NOT NULL
)
SELECT
    day,
    sli,
    unit,
    count(*) AS n,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS p50,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY v) AS p95,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY v) AS p99,
    count(CASE WHEN good THEN 1 END) AS good,
    count(CASE WHEN good THEN 1 END) / count(*) AS ratio
FROM measured
WHERE $sli IS NULL OR sli = $sli
GROUP BY day, sli, unit
ORDER BY day, sli, unit NULLS FIRST
