-- title: Categorical drift
-- question: Did the mix of tools, models, finish reasons, statuses or event classes change against a reference window?
-- window: ref_from, from .. ref_to, to
-- note: Without from, the current window begins in the middle of the time span; without ref_to, the reference
--   window ends where the current one begins.
-- note: Measures and verdict are Evidently's, but for new values. psi is sum((ref - cur) * ln(ref / cur)) over shares,
--   an empty share counted as 0.0001 (a millionth of the smallest share, if that is at most 0.0001): from 0.1 watch,
--   from 0.25 drift. js is the Jensen-Shannon distance, base 2. chi2 compares the current counts with the reference's,
--   scaled. verdict: above 1,000 reference rows js from 0.1 is drift; up to 1,000 p below 0.05 is, p by chi-square,
--   or by the z-test of two proportions where there are two values.
-- note: A value that the reference window lacks is expected 0 times: Evidently's chi-square is infinite there, its p
--   is 0, and one such event is drift. Here chi2 is then that of the table of both windows (two-sample test of
--   homogeneity), which expects something of every value, and method is pooled chi2.
-- param: from timestamp = none: first moment of the current window
-- param: to timestamp = none: moment before which the current window lies
-- param: ref_from timestamp = none: first moment of the reference window
-- param: ref_to timestamp = none: moment before which the reference window lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: dimension choice(tool|model|finish_reason|status|class) = none: only this mix
-- column: dimension VARCHAR: tool (of tool calls; a request and its result are one), model and finish_reason (the first choice's, of outputs), status, class
-- column: ref_rows BIGINT: events with a value in the reference window
-- column: cur_rows BIGINT: events with a value in the current window
-- column: categories BIGINT: values seen in either
-- column: psi DOUBLE: population stability index
-- column: psi_verdict VARCHAR: stable, watch or drift
-- column: js DOUBLE: Jensen-Shannon distance
-- column: chi2 DOUBLE: chi-square statistic, of categories - 1 degrees of freedom; that of both windows pooled where a value is new
-- column: p DOUBLE: probability of a change at least this big by chance
-- column: method VARCHAR: what the verdict goes by: js, chi2, pooled chi2 or z
-- column: verdict VARCHAR: stable, drift, or no data where a window is empty
-- column: top_movers VARCHAR: the three values whose share changed most
WITH events AS (
    SELECT event_time, event_class, tool_name, tool_phase, coalesce(response_model, request_model) AS model, finish_reasons[1] AS finish_reason, status
    FROM agent_events
    WHERE ($ref_from IS NULL OR $from IS NULL OR event_time >= least($ref_from, $from))
        AND ($ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to))
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
span AS (
    SELECT coalesce($from,
        min(event_time) + to_microseconds(date_diff('microsecond', min(event_time), max(event_time)) // 2)) AS cur_from
    FROM events
),
valued AS (
    SELECT dimension, value, event_time
    FROM (
        SELECT 'tool' AS dimension, tool_name AS value, event_time FROM events
        WHERE event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'result'
        UNION ALL
        SELECT 'model', model, event_time FROM events WHERE event_class = 'output'
        UNION ALL
        SELECT 'finish_reason', finish_reason, event_time FROM events WHERE event_class = 'output'
        UNION ALL
        SELECT 'status', status, event_time FROM events
        UNION ALL
        SELECT 'class', event_class, event_time FROM events
    ) AS dimensions
    WHERE value IS NOT NULL AND ($dimension IS NULL OR dimension = $dimension)
),
counts AS (
    SELECT dimension, value,
        count(CASE WHEN in_ref THEN 1 END) AS ref_n,
        count(CASE WHEN in_cur THEN 1 END) AS cur_n
    FROM (
        SELECT dimension, value,
            event_time < coalesce($ref_to, cur_from)
                AND ($ref_from IS NULL OR event_time >= $ref_from) AS in_ref,
            event_time >= cur_from AND ($to IS NULL OR event_time < $to) AS in_cur
        FROM valued
        CROSS JOIN span
    ) AS placed
    WHERE in_ref OR in_cur
    GROUP BY dimension, value
),
shares AS (
    SELECT *,
        ref_n / nullif(sum(ref_n) OVER w, 0) AS r,
        cur_n / nullif(sum(cur_n) OVER w, 0) AS c,
        sum(ref_n) OVER w AS ref_rows,
        sum(cur_n) OVER w AS cur_rows
    FROM counts
    WINDOW w AS (PARTITION BY dimension)
),
floored AS (
    SELECT *,
        CASE WHEN r > 0 OR r IS NULL THEN r WHEN min(nullif(r, 0)) OVER w <= 0.0001 THEN min(nullif(r, 0)) OVER w / 1e6 ELSE 0.0001 END AS rf,
        CASE WHEN c > 0 OR c IS NULL THEN c WHEN min(nullif(c, 0)) OVER w <= 0.0001 THEN min(nullif(c, 0)) OVER w / 1e6 ELSE 0.0001 END AS cf,
        row_number() OVER (PARTITION BY dimension ORDER BY abs(c - r) DESC, value) AS mover
    FROM shares
    WINDOW w AS (PARTITION BY dimension)
),
measured AS (
    SELECT dimension,
        CAST(max(ref_rows) AS BIGINT) AS ref_rows,
        CAST(max(cur_rows) AS BIGINT) AS cur_rows,
        count(*) AS categories,
        sum((rf - cf) * ln(rf / cf)) AS psi,
        sum(CASE WHEN r > 0 THEN 0.5 * r * log2(2 * r / (r + c)) ELSE 0.0 END
            + CASE WHEN c > 0 THEN 0.5 * c * log2(2 * c / (r + c)) ELSE 0.0 END) AS js_divergence,
        min(ref_n) = 0 AS has_new,
        CASE WHEN min(ref_n) = 0 THEN sum(pow(r - c, 2) * ref_rows * cur_rows / (ref_n + cur_n))
            ELSE sum(pow(cur_n - ref_n * cur_rows / ref_rows, 2) / nullif(ref_n * cur_rows / ref_rows, 0)) END AS chi2,
        -- z of two proportions, squared; NULL where both windows hold one and the same value
        max(pow(r - c, 2) / nullif((ref_n + cur_n) / (ref_rows + cur_rows) * (1 - (ref_n + cur_n) / (ref_rows + cur_rows))
            * (1 / ref_rows + 1 / cur_rows), 0)) AS z2,
        string_agg(CASE WHEN mover <= 3 THEN value || ' ' || CAST(round(100 * r, 1) AS VARCHAR) || '% -> ' || CAST(round(100 * c, 1) AS VARCHAR) || '%' END,
            '; ' ORDER BY mover) AS top_movers
    FROM floored
    GROUP BY dimension
),
-- Both tests end in the upper incomplete gamma function Q(a, x).
tested AS (
    SELECT *,
        sqrt(CASE WHEN js_divergence < 0 THEN 0.0 ELSE js_divergence END) AS js,
        CASE WHEN categories > 2 THEN (categories - 1) / 2 ELSE 0.5 END AS a,
        CASE WHEN categories > 2 THEN chi2 / 2 ELSE coalesce(z2, 0) / 2 END AS x
    FROM measured
),
judged AS (
    SELECT *,
        CASE
            WHEN ref_rows = 0 OR cur_rows = 0 THEN NULL
            WHEN x = 0 THEN 1.0
            -- by its series below a + 1, by its continued fraction above
            WHEN x < a + 1 THEN 1 - exp(a * ln(x) - x) * list_sum(list_transform(range(0, 1000), lambda n: exp(n * ln(x) - lgamma(a + n + 1))))
            ELSE exp(a * ln(x) - x - lgamma(a))
                / list_reduce(range(499, -1, -1), lambda t, k: x + 2 * k + 1 - a - (k + 1) * (k + 1 - a) / t, CAST(x + 1001 - a AS DOUBLE))
        END AS p,
        CASE WHEN ref_rows = 0 OR cur_rows = 0 THEN NULL WHEN ref_rows > 1000 THEN 'js' WHEN categories <= 2 THEN 'z' WHEN has_new THEN 'pooled chi2' ELSE 'chi2' END AS method
    FROM tested
)
SELECT dimension, ref_rows, cur_rows, categories, psi,
    CASE WHEN psi >= 0.25 THEN 'drift' WHEN psi >= 0.1 THEN 'watch' WHEN psi IS NOT NULL THEN 'stable' END AS psi_verdict,
    js, chi2, p, method,
    CASE
        WHEN ref_rows = 0 OR cur_rows = 0 THEN 'no data'
        WHEN method = 'js' AND js >= 0.1 THEN 'drift'
        WHEN method <> 'js' AND p < 0.05 THEN 'drift'
        ELSE 'stable'
    END AS verdict,
    top_movers
FROM judged
ORDER BY dimension
