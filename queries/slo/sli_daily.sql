-- title: Service levels by day
-- question: How did latency, success, cost and accuracy go, day by day?
-- window: from - 1d .. to + 1d
-- note: Days are UTC days of event_time; the cost of a run counts for the day on which it began, all of it, also what
--   it spent after midnight or after to. A run is followed for a day beyond from and to. A percentile p is the
--   smallest value that at least p of the values do not exceed (nearest rank, no interpolation).
-- note: latency: duration_ms of outputs; good is at most latency_ms. success: tool calls that have ended, actions and
--   outputs with a status; good is ok. cost: per run and currency; good is a run without an unpriced output, and a run
--   that has no cost at all stands without a unit. accuracy: evaluation scores by evaluation; good is at least
--   pass_score.
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
-- column: unit VARCHAR: ms, the class for success, a currency, or the name of an evaluation
-- column: n BIGINT: outputs, events, runs or evaluations that were measured
-- column: p50 DOUBLE: half of the values are at most this
-- column: p95 DOUBLE: 95 % of the values are at most this
-- column: p99 DOUBLE: 99 % of the values are at most this
-- column: good BIGINT: how many of n are good
-- column: ratio DOUBLE: good / n
WITH nearby AS NOT MATERIALIZED (
    SELECT event_time, event_class, tool_phase, run_id, tenant, status, duration_ms, cost_amount, cost_currency, evaluation_name, evaluation_score
    FROM agent_events
    WHERE ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($to IS NULL OR event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
events AS NOT MATERIALIZED (
    SELECT *
    FROM nearby
    WHERE ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
-- What runs spent, one row per run and currency (NULL: no cost, or one that names none).
spent AS MATERIALIZED (
    SELECT run_id, tenant, CASE WHEN cost_amount IS NOT NULL THEN cost_currency END AS currency,
        min(event_time) AS began,
        sum(cost_amount) AS cost,
        count(cost_amount) AS priced,
        count(CASE WHEN event_class = 'output' AND cost_amount IS NULL THEN 1 END) AS unpriced
    FROM nearby
    WHERE run_id IS NOT NULL
    GROUP BY run_id, tenant, CASE WHEN cost_amount IS NOT NULL THEN cost_currency END
),
-- With what is known of the whole run.
runs AS (
    SELECT currency, cost, priced,
        min(began) OVER run AS began,
        sum(priced) OVER run AS all_priced,
        sum(unpriced) OVER run AS all_unpriced
    FROM spent
    WINDOW run AS (PARTITION BY run_id, tenant)
),
measured AS (
    SELECT CAST(event_time AS DATE) AS day, 'latency' AS sli, 'ms' AS unit, duration_ms AS v, duration_ms <= $latency_ms AS good
    FROM events
    WHERE event_class = 'output' AND duration_ms IS NOT NULL
    UNION ALL
    SELECT CAST(event_time AS DATE), 'success', event_class, NULL, status = 'ok'
    FROM events
    WHERE event_class IN ('tool_call', 'action', 'output') AND status IS NOT NULL AND coalesce(tool_phase, '') <> 'request'
    UNION ALL
    SELECT CAST(began AS DATE), 'cost', currency, CAST(cost AS DOUBLE), all_unpriced = 0
    FROM runs
    WHERE (priced > 0 OR all_priced = 0 AND all_unpriced > 0)
        AND ($from IS NULL OR began >= $from)
        AND ($to IS NULL OR began < $to)
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
