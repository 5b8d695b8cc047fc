-- title: Burn rate
-- question: Should someone be paged now?
-- window: to - 3d .. to
-- note: The multiwindow, multi-burn-rate alerts of the SRE Workbook (Google, chapter 5), asked of the log at one moment. A burn
--   of 1 spends exactly the budget of the objective's period; of 14.4 over an hour, 2 % of a budget of 30 days. A pair
--   alerts where both its windows burn faster than its threshold: the long one says that it matters, the short one
--   that it is still going on. Someone should be paged if any row says page.
-- note: Indicators are those of sli_daily. success: tool calls that have ended, actions and outputs with a status, good is ok.
--   latency: outputs with a duration, good is at most latency_ms. accuracy: evaluations with a score, good is at least
--   pass_score.
-- note: no data: the long window is empty, or the long one burns too fast and the short one is empty. Events that have not
--   reached the log yet are not counted; where they lag by minutes, ask with to that much before now.
-- param: to timestamp = now: the moment that is asked about; the windows end there
-- param: sli choice(latency|success|accuracy) = success: the indicator
-- param: objective number = 0.99: share that must be good, between 0 and 1
-- param: unit text = none: only this unit of sli_daily: a class for success, an evaluation for accuracy
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: latency_ms number = 10000: an output that took longer is not good
-- param: pass_score number = 0.5: an evaluation that scored less is not good
-- column: windows VARCHAR: the pair, long / short
-- column: threshold DOUBLE: burn above which it alerts
-- column: long_n BIGINT: events that were measured in the long window
-- column: long_bad BIGINT: how many of them are not good
-- column: long_burn DOUBLE: their share, over the share that may be: 1 - objective
-- column: short_n BIGINT: events that were measured in the short window
-- column: short_bad BIGINT: how many of them are not good
-- column: short_burn DOUBLE: their share, over the share that may be
-- column: verdict VARCHAR: page, ticket, ok, or no data
-- column: at TIMESTAMP WITH TIME ZONE: the moment that was asked about
-- example: --sli latency --latency_ms 5000 --objective 0.95
WITH pairs AS (
    SELECT *
    FROM (VALUES
        (1, '1 h / 5 min', 'page', 14.4e0, 60, 5),
        (2, '6 h / 30 min', 'page', 6e0, 360, 30),
        (3, '3 d / 6 h', 'ticket', 1e0, 4320, 360)
    ) AS workbook (place, windows, alert, threshold, long_minutes, short_minutes)
),
-- By the minute before the moment, 0 the last one: the windows are whole minutes.
minutes AS (
    SELECT (date_diff('microsecond', event_time, $to) - 1) // 60000000 AS minutes_ago, count(*) AS n, count(CASE WHEN good THEN NULL ELSE 1 END) AS bad
    FROM (
        SELECT event_time, CASE $sli WHEN 'latency' THEN duration_ms <= $latency_ms WHEN 'success' THEN status = 'ok' ELSE evaluation_score >= $pass_score END AS good
        FROM agent_events
        WHERE event_time >= CAST($to AS TIMESTAMP WITH TIME ZONE) - INTERVAL 3 DAY
            AND event_time < $to
            AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
            AND ($environment IS NULL OR environment = $environment)
            AND ($tenant IS NULL OR tenant = $tenant)
            AND ($unit IS NULL OR $unit = CASE $sli WHEN 'success' THEN event_class WHEN 'accuracy' THEN evaluation_name ELSE 'ms' END)
            AND CASE $sli
                WHEN 'latency' THEN event_class = 'output' AND duration_ms IS NOT NULL
                WHEN 'success' THEN event_class IN ('tool_call', 'action', 'output') AND status IS NOT NULL AND coalesce(tool_phase, '') <> 'request'
                ELSE event_class = 'evaluation' AND evaluation_score IS NOT NULL END
    ) AS judged
    GROUP BY minutes_ago
)
,
counted AS (
    SELECT place, windows, alert, threshold,
        CAST(coalesce(sum(CASE WHEN minutes_ago < long_minutes THEN n END), 0) AS BIGINT) AS long_n,
        CAST(coalesce(sum(CASE WHEN minutes_ago < long_minutes THEN bad END), 0) AS BIGINT) AS long_bad,
        CAST(coalesce(sum(CASE WHEN minutes_ago < short_minutes THEN n END), 0) AS BIGINT) AS short_n,
        CAST(coalesce(sum(CASE WHEN minutes_ago < short_minutes THEN bad END), 0) AS BIGINT) AS short_bad
    FROM pairs
    LEFT JOIN minutes ON minutes_ago < long_minutes
    GROUP BY place, windows, alert, threshold
),
-- Rounded, so that a burn of just the threshold is not above it for a digit of floating point.
burning AS (
    SELECT *,
        round(long_bad / nullif(long_n, 0) / allowed, 9) AS long_burn,
        round(short_bad / nullif(short_n, 0) / allowed, 9) AS short_burn
    FROM counted
    CROSS JOIN (
        SELECT CASE WHEN $objective > 0 AND $objective < 1 THEN 1 - $objective
            ELSE error('usage: objective is the share that must be good, between 0 and 1: 0.999, not 99.9') END AS allowed
    ) AS budget
)
SELECT
    windows, threshold,
    long_n, long_bad, long_burn,
    short_n, short_bad, short_burn,
    CASE
        WHEN long_burn <= threshold THEN 'ok'
        WHEN long_n = 0 OR short_n = 0 THEN 'no data'
        WHEN short_burn > threshold THEN alert
        ELSE 'ok'
    END AS verdict,
    CAST($to AS TIMESTAMP WITH TIME ZONE) AS at
FROM burning
ORDER BY place
