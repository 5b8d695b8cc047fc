-- title: Variant comparison
-- question: Which variant of an experiment is better, and is the difference more than chance?
-- window: from - 1d .. to + 1d
-- note: The unit is a run; it is of the variant that its events name. Runs of a session (of a run without one, itself) are alike, so a
--   session that met two variants, in one run or in several, is left out with all its runs: see both.
-- note: The value of a run, by metric: success, whether its last score of the evaluation is at least pass_score; score, that score; model_ms, mean
--   duration of its outputs; wall_ms, from its first event to its last; cost, the sum, by currency; tokens, read and produced by its
--   outputs; tool_calls, a request and its result being one; error, whether an event of it has status error. A run without the value
--   (not judged, no duration, no known cost) is not in n.
-- note: difference is mean less the control's. If every session has one run: method two-proportion z for success and error, p by the pooled
--   z-test, interval by Newcombe (1998) without the pooling, so that at the edge of 0.05 they may disagree; Welch t for the rest. If
--   a session has several: clustered t, the standard error of the difference being cluster-robust by session, CR1 (Liang and Zeger
--   1986; Cameron and Miller 2015; statsmodels OLS, cov_type cluster): the square root of G / (G - 1) * (N - 1) / (N - 2) times the sum over sessions of
--   (sum of the session's residuals / n of its variant) squared, with N runs and G sessions of both variants, and G - 1 degrees of freedom.
-- note: With fewer than two sessions in either variant, or without any variance, there is no interval and no p. Several variants
--   against one control, several metrics, or looking every day until p is small: each look is one more chance of a false alarm.
-- note: sample_ratio_p is the chi-square test of the numbers of sessions, judged or not, against the shares that were meant: below 0.01 the variants were not
--   handed out as meant, or events of one are lost, and the comparison is not to be trusted.
-- note: A run counts where it began, and is followed for a day beyond from and to. The agent is that which did the work, not the judge's.
-- param: from timestamp = none: first moment in which a run may begin
-- param: to timestamp = none: moment before which it begins
-- param: agent text = none: only runs in which this agent does work, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: experiment text = none: only this experiment
-- param: metric choice(success|score|model_ms|wall_ms|cost|tokens|tool_calls|error) = success: what is compared
-- param: evaluation text = none: only this evaluation, for success and score
-- param: pass_score number = 0.5: a score of at least this is a success
-- param: control text = none: the variant to compare with; else the first by name
-- param: shares text = none: the shares of the variants that are meant, as A=9,B=1; else equal ones
-- column: experiment VARCHAR: the experiment
-- column: evaluation VARCHAR: name of the evaluation, for success and score
-- column: currency VARCHAR: currency of a cost
-- column: variant VARCHAR: the variant
-- column: control VARCHAR: the variant that it is compared with
-- column: n BIGINT: runs with a value
-- column: sessions BIGINT: their sessions
-- column: mean DOUBLE: mean value; the rate, for success and error
-- column: difference DOUBLE: mean less the control's; NULL for the control itself
-- column: ci_low DOUBLE: 95 % confidence interval of the difference
-- column: ci_high DOUBLE: its upper end
-- column: p DOUBLE: probability of a difference at least this big by chance, two-sided
-- column: method VARCHAR: two-proportion z, Welch t or clustered t
-- column: assigned BIGINT: sessions of this variant, with a value or without
-- column: both BIGINT: sessions of the experiment left out because they met two variants
-- column: sample_ratio_p DOUBLE: probability of shares at least this far from those that are meant
-- example: --experiment prompt-rewrite --from 30d
-- example: --experiment prompt-rewrite --metric model_ms --control A
WITH events AS NOT MATERIALIZED (
    SELECT tenant, run_id, coalesce(session_id, run_id) AS session, session_id IS NULL AS alone, event_time, event_class, evaluation_name, evaluation_score,
        CASE WHEN variant IS NOT NULL AND ($experiment IS NULL OR experiment = $experiment) THEN experiment END AS experiment, variant,
        duration_ms, cost_amount, cost_currency, input_tokens, output_tokens, tool_phase, status,
        kafka_topic, kafka_partition, kafka_offset, record_index,
        coalesce(agent_id = $agent, false) OR coalesce(agent_name = $agent, false) AS of_agent
    FROM agent_events
    WHERE run_id IS NOT NULL
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($to IS NULL OR event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- A run is of the session that comes first by name; one without a session is a session of its own.
runs AS (
    SELECT tenant, run_id,
        coalesce(min(CASE WHEN NOT alone THEN session END), run_id) AS session,
        min(CASE WHEN NOT alone THEN session END) IS NULL AS alone,
        date_diff('microsecond', min(event_time), max(event_time)) / 1000 AS wall_ms,
        avg(CASE WHEN event_class = 'output' THEN duration_ms END) AS model_ms,
        CAST(sum(CASE WHEN event_class = 'output' AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
            THEN coalesce(input_tokens, 0) + coalesce(output_tokens, 0) END) AS DOUBLE) AS tokens,
        CAST(count(CASE WHEN event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'result' THEN 1 END) AS DOUBLE) AS tool_calls,
        max(CASE WHEN status = 'error' THEN 1.0 ELSE 0.0 END) AS error
    FROM events
    GROUP BY tenant, run_id
    HAVING ($from IS NULL OR min(event_time) >= $from)
        AND ($to IS NULL OR min(event_time) < $to)
        AND ($agent IS NULL OR max(CASE WHEN of_agent AND event_class <> 'evaluation' THEN 1 ELSE 0 END) = 1)
),
marked AS (
    SELECT m.experiment, m.variant, r.tenant, r.run_id, r.session, r.alone,
        min(m.variant) OVER w <> max(m.variant) OVER w AS met_two
    FROM (SELECT tenant, run_id, experiment, variant FROM events WHERE experiment IS NOT NULL GROUP BY tenant, run_id, experiment, variant) AS m
    JOIN runs AS r ON r.run_id = m.run_id AND r.tenant IS NOT DISTINCT FROM m.tenant
    WINDOW w AS (PARTITION BY m.experiment, r.tenant, r.session, r.alone)
),
sessions AS (
    SELECT experiment, tenant, session, alone, min(variant) AS variant, bool_or(met_two) AS met_two
    FROM marked
    GROUP BY experiment, tenant, session, alone
),
assigned AS (
    SELECT experiment, variant, count(CASE WHEN NOT met_two THEN 1 END) AS assigned
    FROM sessions
    GROUP BY experiment, variant
),
shares AS (
    SELECT trim(split_part(word, '=', 1)) AS variant, sum(CASE WHEN share > 0 AND isfinite(share) THEN share
        ELSE error('usage: --shares is a number above 0 for each variant, as A=9,B=1, and not ' || $shares) END) AS share
    FROM (SELECT word, TRY_CAST(split_part(word, '=', 2) AS DOUBLE) AS share FROM (SELECT unnest(string_split($shares, ',')) AS word) AS words) AS read
    GROUP BY 1
),
-- With shares a variant that has no session counts too.
expected AS (
    SELECT experiment, variant, assigned, 1.0 AS share
    FROM assigned
    WHERE $shares IS NULL AND assigned > 0
    UNION ALL
    SELECT a.experiment, a.variant, a.assigned, CASE WHEN s.share IS NOT NULL THEN s.share
        ELSE error('usage: --shares ' || $shares || ' has none for variant ' || a.variant || ' of experiment ' || a.experiment) END
    FROM assigned AS a
    LEFT JOIN shares AS s ON s.variant = a.variant
    WHERE $shares IS NOT NULL
    UNION ALL
    SELECT e.experiment, s.variant, 0, s.share
    FROM shares AS s
    CROSS JOIN (SELECT DISTINCT experiment FROM assigned) AS e
    WHERE NOT EXISTS (SELECT 1 FROM assigned AS a WHERE a.experiment = e.experiment AND a.variant = s.variant)
),
splits AS (
    SELECT experiment, CASE WHEN count(*) > 1 AND sum(assigned) > 0 THEN chi2(list(share ORDER BY variant), list(assigned ORDER BY variant)).p END AS sample_ratio_p
    FROM expected
    GROUP BY experiment
),
scores AS (
    SELECT tenant, run_id, evaluation_name AS evaluation, CASE WHEN $metric = 'score' THEN evaluation_score WHEN evaluation_score >= $pass_score THEN 1.0 ELSE 0.0 END AS value
    FROM (
        SELECT *, row_number() OVER (PARTITION BY tenant, run_id, evaluation_name
            ORDER BY event_time DESC, kafka_topic DESC, kafka_partition DESC, kafka_offset DESC, record_index DESC) AS from_last
        FROM events
        WHERE event_class = 'evaluation' AND evaluation_score IS NOT NULL
            AND $metric IN ('success', 'score') AND ($evaluation IS NULL OR evaluation_name = $evaluation)
    ) AS scored
    WHERE from_last = 1
),
measured AS (
    SELECT tenant, run_id, evaluation, CAST(NULL AS VARCHAR) AS currency, value FROM scores
    UNION ALL
    SELECT tenant, run_id, NULL, cost_currency, CAST(sum(cost_amount) AS DOUBLE) FROM events
    WHERE $metric = 'cost' AND cost_amount IS NOT NULL
    GROUP BY tenant, run_id, cost_currency
    UNION ALL
    SELECT tenant, run_id, NULL, NULL,
        CASE $metric WHEN 'model_ms' THEN model_ms WHEN 'wall_ms' THEN wall_ms WHEN 'tokens' THEN tokens WHEN 'tool_calls' THEN tool_calls WHEN 'error' THEN error END
    FROM runs
    WHERE $metric NOT IN ('success', 'score', 'cost')
),
units AS (
    SELECT k.experiment, m.evaluation, m.currency, k.variant, k.tenant, k.session, k.alone, m.value
    FROM measured AS m
    JOIN marked AS k ON k.run_id = m.run_id AND k.tenant IS NOT DISTINCT FROM m.tenant
    WHERE m.value IS NOT NULL AND NOT k.met_two
),
-- Sums of fractions are taken in order, so that rounding is the same each time.
means AS (
    SELECT experiment, evaluation, currency, variant, count(*) AS n, sum(value ORDER BY value) / count(*) AS mean
    FROM units
    GROUP BY experiment, evaluation, currency, variant
),
residuals AS (
    SELECT u.experiment, u.evaluation, u.currency, u.variant, count(*) AS runs, sum(u.value - m.mean ORDER BY u.value) AS residual, sum(pow(u.value - m.mean, 2) ORDER BY u.value) AS squares
    FROM units AS u
    JOIN means AS m ON m.experiment = u.experiment AND m.variant = u.variant
        AND m.evaluation IS NOT DISTINCT FROM u.evaluation AND m.currency IS NOT DISTINCT FROM u.currency
    GROUP BY u.experiment, u.evaluation, u.currency, u.variant, u.tenant, u.session, u.alone
),
variants AS (
    SELECT r.experiment, r.evaluation, r.currency, r.variant, m.n, m.mean,
        count(*) AS sessions,
        sum(r.squares ORDER BY r.squares) / nullif(m.n - 1, 0) AS variance,
        sum(pow(r.residual / m.n, 2) ORDER BY abs(r.residual)) AS between_sessions
    FROM residuals AS r
    JOIN means AS m ON m.experiment = r.experiment AND m.variant = r.variant
        AND m.evaluation IS NOT DISTINCT FROM r.evaluation AND m.currency IS NOT DISTINCT FROM r.currency
    GROUP BY r.experiment, r.evaluation, r.currency, r.variant, m.n, m.mean
),
named AS (
    SELECT *, CASE WHEN $control IS NULL THEN min(variant) OVER (PARTITION BY experiment)
        WHEN $control IN (SELECT variant FROM assigned) THEN $control
        ELSE error('usage: there is no variant ' || $control || ', which --control names: ' || (SELECT string_agg(DISTINCT variant, ', ' ORDER BY variant) FROM assigned)) END AS control
    FROM variants
),
paired AS (
    SELECT v.experiment, v.evaluation, v.currency, v.variant, v.control, v.n, v.sessions, v.mean, v.variance,
        c.n AS control_n, c.mean AS control_mean, c.variance AS control_variance,
        CASE WHEN v.variant <> v.control THEN v.mean - c.mean END AS difference,
        v.sessions + c.sessions AS g,
        sqrt((v.sessions + c.sessions) / (v.sessions + c.sessions - 1.0) * (v.n + c.n - 1.0) / (v.n + c.n - 2.0) * (v.between_sessions + c.between_sessions)) AS clustered_error,
        CASE
            WHEN v.variant = v.control OR c.n IS NULL THEN NULL
            WHEN v.n > v.sessions OR c.n > c.sessions THEN 'clustered t'
            WHEN $metric IN ('success', 'error') THEN 'two-proportion z'
            ELSE 'Welch t'
        END AS method,
        v.sessions >= 2 AND c.sessions >= 2 AND v.variance + c.variance > 1e-24 * (1 + pow(v.mean, 2) + pow(c.mean, 2)) AS varies
    FROM named AS v
    LEFT JOIN named AS c ON c.experiment = v.experiment AND c.variant = v.control
        AND c.evaluation IS NOT DISTINCT FROM v.evaluation AND c.currency IS NOT DISTINCT FROM v.currency
),
-- Wilson's intervals of both rates, of which Newcombe's is made.
tested AS (
    SELECT *,
        CASE WHEN method = 'Welch t' AND varies THEN welch_t(mean, variance, n, control_mean, control_variance, control_n) END AS welch,
        CASE WHEN method = 'two-proportion z' AND varies THEN two_proportion_z(mean * n, n, control_mean * control_n, control_n).p END AS z_p,
        CASE WHEN method = 'clustered t' AND varies AND clustered_error > 1e-12 * (abs(mean) + abs(control_mean)) THEN student_t_95(g - 1) * clustered_error END AS margin,
        CASE WHEN method = 'clustered t' AND varies AND clustered_error > 1e-12 * (abs(mean) + abs(control_mean)) THEN student_t_p(difference / clustered_error, g - 1) END AS t_p,
        (mean + 1.920729410347062 / n) / (1 + 3.841458820694124 / n) AS middle,
        1.959963984540054 * sqrt(greatest(mean * (1 - mean), 0) / n + 0.960364705173531 / (n * n)) / (1 + 3.841458820694124 / n) AS half,
        (control_mean + 1.920729410347062 / control_n) / (1 + 3.841458820694124 / control_n) AS control_middle,
        1.959963984540054 * sqrt(greatest(control_mean * (1 - control_mean), 0) / control_n + 0.960364705173531 / (control_n * control_n)) / (1 + 3.841458820694124 / control_n) AS control_half
    FROM paired
)
SELECT t.experiment, t.evaluation, t.currency, t.variant, t.control, t.n, t.sessions, t.mean, t.difference,
    CASE t.method WHEN 'Welch t' THEN t.welch.lo WHEN 'clustered t' THEN t.difference - t.margin
        WHEN 'two-proportion z' THEN CASE WHEN t.varies THEN t.difference - sqrt(pow(t.mean - t.middle + t.half, 2) + pow(t.control_middle + t.control_half - t.control_mean, 2)) END END AS ci_low,
    CASE t.method WHEN 'Welch t' THEN t.welch.hi WHEN 'clustered t' THEN t.difference + t.margin
        WHEN 'two-proportion z' THEN CASE WHEN t.varies THEN t.difference + sqrt(pow(t.middle + t.half - t.mean, 2) + pow(t.control_mean - t.control_middle + t.control_half, 2)) END END AS ci_high,
    coalesce(t.welch.p, t.z_p, t.t_p) AS p,
    t.method, a.assigned,
    (SELECT count(*) FROM sessions AS s WHERE s.met_two AND s.experiment = t.experiment) AS "both",
    splits.sample_ratio_p
FROM tested AS t
JOIN assigned AS a ON a.experiment = t.experiment AND a.variant = t.variant
LEFT JOIN splits ON splits.experiment = t.experiment
ORDER BY t.experiment, t.evaluation NULLS FIRST, t.currency NULLS FIRST, t.variant
