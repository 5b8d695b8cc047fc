-- title: Error budget
-- question: How much of the error budget is left?
-- window: to - period .. to
-- note: Of the events measured in the period before to, 1 - objective may be bad: that is the budget. consumed is the share of
--   it that bad events used up; where it is above 1 the objective is missed, and remaining is below 0.
-- note: Indicators are those of sli_daily. success: tool calls that have ended, actions and outputs with a status, good is ok.
--   latency: outputs with a duration, good is at most latency_ms. accuracy: evaluations with a score, good is at least
--   pass_score.
-- note: The first row is the whole. After it each agent stands as if the objective held for it alone; bad_share says how
--   much of the whole's badness is its own. An agent of NULL is that of events that name none, and agents of the same id at several
--   tenants are one row: ask with tenant. Without an event there is no row.
-- param: to timestamp = now: the moment at which the period ends
-- param: period choice(1d|7d|14d|28d|30d|90d) = 30d: length of the period, in days of 24 hours
-- param: sli choice(latency|success|accuracy) = success: the indicator
-- param: objective number = 0.99: share that must be good, between 0 and 1
-- param: unit text = none: only this unit of sli_daily: a class for success, an evaluation for accuracy
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: latency_ms number = 10000: an output that took longer is not good
-- param: pass_score number = 0.5: an evaluation that scored less is not good
-- column: scope VARCHAR: all or agent
-- column: agent VARCHAR: the agent, its id, else its name
-- column: total BIGINT: events that were measured
-- column: good BIGINT: how many of them are good
-- column: bad BIGINT: how many of them are not
-- column: allowed DOUBLE: how many may be bad: total * (1 - objective)
-- column: consumed DOUBLE: bad / allowed
-- column: remaining DOUBLE: 1 - consumed
-- column: bad_share DOUBLE: share of the whole's bad events
-- example: --period 7d --objective 0.995
WITH judged AS (
    SELECT coalesce(agent_id, agent_name) AS agent,
        CASE $sli WHEN 'latency' THEN duration_ms <= $latency_ms WHEN 'success' THEN status = 'ok' ELSE evaluation_score >= $pass_score END AS good
    FROM agent_events
    WHERE event_time >= CAST($to AS TIMESTAMP WITH TIME ZONE) - to_days(CAST(replace($period, 'd', '') AS INTEGER))
        AND event_time < $to
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
        AND ($unit IS NULL OR $unit = CASE $sli WHEN 'success' THEN event_class WHEN 'accuracy' THEN evaluation_name ELSE 'ms' END)
        AND CASE $sli
            WHEN 'latency' THEN event_class = 'output' AND duration_ms IS NOT NULL
            WHEN 'success' THEN event_class IN ('tool_call', 'action', 'output') AND status IS NOT NULL AND coalesce(tool_phase, '') <> 'request'
            ELSE event_class = 'evaluation' AND evaluation_score IS NOT NULL END
),
by_agent AS (
    SELECT agent, count(*) AS total, count(CASE WHEN good THEN 1 END) AS good
    FROM judged
    GROUP BY agent
),
scopes AS (
    SELECT 'all' AS scope, NULL AS agent, CAST(sum(total) AS BIGINT) AS total, CAST(sum(good) AS BIGINT) AS good
    FROM by_agent
    HAVING count(*) > 0
    UNION ALL
    SELECT 'agent', agent, total, good
    FROM by_agent
),
budgets AS (
    SELECT *, total - good AS bad, max(total - good) OVER () AS all_bad,
        -- rounded: 0.99 is no binary fraction
        round(total * CASE WHEN $objective > 0 AND $objective < 1 THEN 1 - $objective
            ELSE error('usage: objective is the share that must be good, between 0 and 1: 0.999, not 99.9') END, 9) AS allowed
    FROM scopes
)
SELECT scope, agent, total, good, bad, allowed,
    bad / nullif(allowed, 0) AS consumed,
    1 - bad / nullif(allowed, 0) AS remaining,
    bad / nullif(all_bad, 0) AS bad_share
FROM budgets
ORDER BY scope DESC, agent NULLS FIRST
