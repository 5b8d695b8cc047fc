-- title: Categorical drift
-- question: Did the mix of tools, models, finish reasons, statuses or event classes change against a reference window?
-- window: ref_from, from .. ref_to, to
-- note: Without from, the current window begins in the middle of the time span; without ref_to, the reference
--   window ends where the current one begins.
-- note: psi, js, chi2, p and evidently_verdict are Evidently's, but for new values. psi is sum((ref - cur) * ln(ref / cur)) over
--   shares, an empty share counted as 0.0001 (a millionth of the smallest share, if that is at most 0.0001): from 0.1 watch,
--   from 0.25 drift. js is the Jensen-Shannon distance, of natural logarithms. chi2 compares the current counts with the
--   reference's, scaled. Above 1,000 reference rows js from 0.1 is drift; up to 1,000 p below 0.05 is, p by chi-square, or by
--   the z-test of two proportions where there are two values.
-- note: A value that the reference window lacks is expected 0 times: Evidently's chi-square is infinite there, its p
--   is 0, and one such event is drift. Here chi2 is then that of the table of both windows (two-sample test of
--   homogeneity), which expects something of every value, and method is pooled chi2.
-- note: p takes events for independent. Those of a session are alike (one agent, one model, its tools), so that p cries drift
--   where there is none. p_session goes by sessions (of a tenant; an event without one counts by its run, else alone): chi2 of both windows
--   pooled, with the correction of Rao and Scott of second order (F), over the 100 values that most sessions have, but for
--   those expected in fewer than 3 sessions of a window; all others are one more value. p_holm is p_session for so many
--   dimensions at once, by Holm's rule. verdict: drift where p_holm is below 0.05 and, above 1,000 reference rows, js is
--   0.1 or more; no data where a window is empty, or has fewer than 10 sessions and no js that settles it.
--   docs/drift.md says how often it is right.
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
-- column: p DOUBLE: probability of a change at least this big by chance, if events were independent
-- column: method VARCHAR: what evidently_verdict goes by: js, chi2, pooled chi2 or z
-- column: evidently_verdict VARCHAR: stable, drift, or no data where a window is empty
-- column: p_session DOUBLE: probability of a change at least this big by chance, by session; NULL where js alone says stable
-- column: p_holm DOUBLE: p_session for all dimensions at once
-- column: verdict VARCHAR: stable, drift or no data
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
        sum(CASE WHEN r > 0 THEN 0.5 * r * ln(2 * r / (r + c)) ELSE 0.0 END
            + CASE WHEN c > 0 THEN 0.5 * c * ln(2 * c / (r + c)) ELSE 0.0 END) AS js_divergence,
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
compared AS (
    SELECT *,
        sqrt(CASE WHEN js_divergence < 0 THEN 0.0 ELSE js_divergence END) AS js,
        CASE
            WHEN ref_rows = 0 OR cur_rows = 0 THEN NULL
            WHEN categories > 2 THEN gamma_q((categories - 1) / 2, chi2 / 2)
            ELSE gamma_q(0.5, coalesce(z2, 0) / 2)
        END AS p,
        CASE WHEN ref_rows = 0 OR cur_rows = 0 THEN NULL WHEN ref_rows > 1000 THEN 'js' WHEN categories <= 2 THEN 'z' WHEN has_new THEN 'pooled chi2' ELSE 'chi2' END AS method
    FROM measured
),
-- The test by session, of dimensions that need it.
to_test AS (
    SELECT dimension FROM compared WHERE method <> 'js' OR js >= 0.1
),
by_session AS (
    SELECT dimension, side, tenant, session, value, count(*) AS n
    FROM (
        SELECT dimension, side, tenant, coalesce(session_id, run_id, kafka_topic || ' ' || kafka_partition || ' ' || kafka_offset || ' ' || record_index) AS session,
            CASE dimension
                WHEN 'tool' THEN CASE WHEN event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'result' THEN tool_name END
                WHEN 'model' THEN CASE WHEN event_class = 'output' THEN coalesce(response_model, request_model) END
                WHEN 'finish_reason' THEN CASE WHEN event_class = 'output' THEN finish_reasons[1] END
                WHEN 'status' THEN status
                WHEN 'class' THEN event_class
            END AS value
        FROM agent_events
        CROSS JOIN to_test
        CROSS JOIN (VALUES ('ref'), ('cur')) AS sides(side)
        CROSS JOIN span
        WHERE ($ref_from IS NULL OR $from IS NULL OR event_time >= least($ref_from, $from))
            AND ($ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to))
            AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
            AND ($environment IS NULL OR environment = $environment)
            AND ($tenant IS NULL OR tenant = $tenant)
            AND CASE side
                WHEN 'ref' THEN event_time < coalesce($ref_to, cur_from) AND ($ref_from IS NULL OR event_time >= $ref_from)
                ELSE event_time >= cur_from AND ($to IS NULL OR event_time < $to) END
    ) AS valued_again
    WHERE value IS NOT NULL
    GROUP BY dimension, side, tenant, session, value
),
sessions AS (
    SELECT dimension, side, tenant, session, CAST(sum(n) AS DOUBLE) AS size FROM by_session GROUP BY dimension, side, tenant, session
),
totals AS (
    SELECT dimension,
        count(CASE WHEN side = 'ref' THEN 1 END) AS ref_sessions,
        count(CASE WHEN side = 'cur' THEN 1 END) AS cur_sessions,
        sum(CASE WHEN side = 'ref' THEN size ELSE 0 END) AS ref_size,
        sum(CASE WHEN side = 'cur' THEN size ELSE 0 END) AS cur_size,
        sum(CASE WHEN side = 'ref' THEN size * size ELSE 0 END) AS ref_squares,
        sum(CASE WHEN side = 'cur' THEN size * size ELSE 0 END) AS cur_squares
    FROM sessions
    GROUP BY dimension
),
merged AS (
    SELECT dimension, value, ref_n, cur_n,
        CASE WHEN row_number() OVER (PARTITION BY dimension ORDER BY sessions DESC, value) <= 100
            AND sessions * least(ref_sessions, cur_sessions) >= 3 * (ref_sessions + cur_sessions) THEN value ELSE '(other)' END AS category
    FROM (SELECT dimension, value, count(*) AS sessions FROM by_session GROUP BY dimension, value) AS seen
    JOIN counts USING (dimension, value)
    JOIN totals USING (dimension)
),
-- How the shares of two categories vary together between the sessions of a window comes of sums over sessions: of a category's
-- count times the session's size, and of both categories' counts multiplied. Sums of fractions are taken in order, so
-- that rounding is the same each time.
categories AS (
    SELECT dimension, category, sum(ref_n) / max(ref_size) AS r, sum(cur_n) / max(cur_size) AS c, sum(ref_n + cur_n) / (max(ref_size) + max(cur_size)) AS pooled
    FROM merged
    JOIN totals USING (dimension)
    GROUP BY dimension, category
),
session_counts AS (
    SELECT dimension, side, tenant, session, category, CAST(sum(n) AS DOUBLE) AS n
    FROM by_session
    JOIN merged USING (dimension, value)
    GROUP BY dimension, side, tenant, session, category
),
with_size AS (
    SELECT dimension, side, category, sum(n * size) AS n_size
    FROM session_counts AS x
    JOIN sessions AS s USING (dimension, side, session)
    WHERE x.tenant IS NOT DISTINCT FROM s.tenant
    GROUP BY dimension, side, category
),
with_other AS (
    SELECT dimension, side, a.category AS k, b.category AS l, sum(a.n * b.n) AS n_n
    FROM session_counts AS a
    JOIN session_counts AS b USING (dimension, side, session)
    WHERE a.tenant IS NOT DISTINCT FROM b.tenant
    GROUP BY dimension, side, a.category, b.category
),
varying AS (
    SELECT dimension, side, category, pooled,
        CASE WHEN side = 'ref' THEN r ELSE c END AS share,
        CASE WHEN side = 'ref' THEN ref_squares ELSE cur_squares END AS squares,
        CASE WHEN side = 'ref' THEN ref_sessions / ((ref_sessions - 1) * ref_size * ref_size)
            ELSE cur_sessions / ((cur_sessions - 1) * cur_size * cur_size) END / (1 / ref_size + 1 / cur_size) AS scale,
        coalesce(n_size, 0) AS n_size
    FROM categories
    JOIN totals USING (dimension)
    CROSS JOIN (VALUES ('ref'), ('cur')) AS sides(side)
    LEFT JOIN with_size USING (dimension, side, category)
    WHERE ref_sessions >= 10 AND cur_sessions >= 10
),
design_effects AS (
    SELECT a.dimension, a.category AS k, b.category AS l,
        sum(a.scale * (coalesce(n_n, 0) - a.share * b.n_size - b.share * a.n_size + a.share * b.share * a.squares))
            / sqrt(max(a.pooled) * max(b.pooled)) AS effect
    FROM varying AS a
    JOIN varying AS b ON a.dimension = b.dimension AND a.side = b.side
    LEFT JOIN with_other AS o ON o.dimension = a.dimension AND o.side = a.side AND o.k = a.category AND o.l = b.category
    GROUP BY a.dimension, a.category, b.category
),
tested AS (
    SELECT dimension,
        CASE
            WHEN n_categories < 2 THEN NULL
            WHEN x2 < 1e-9 THEN 1.0
            -- sessions of a window that are all the same
            WHEN trace < 1e-9 THEN 0.0
            ELSE beta_i(df * sessions_df / 2, df / 2, 1 / (1 + x2 / trace / sessions_df))
        END AS p_session
    FROM (
        SELECT dimension, count(*) AS n_categories, max(ref_sessions + cur_sessions - 2) AS sessions_df, sum(pow(r - c, 2) / pooled ORDER BY category) / max(1 / ref_size + 1 / cur_size) AS x2
        FROM categories
        JOIN totals USING (dimension)
        GROUP BY dimension
    ) AS pooled_chi2
    JOIN (
        SELECT dimension, sum(CASE WHEN k = l THEN effect END ORDER BY k) AS trace,
            pow(sum(CASE WHEN k = l THEN effect END ORDER BY k), 2) / nullif(sum(effect * effect ORDER BY k, l), 0) AS df
        FROM design_effects
        GROUP BY dimension
    ) AS traces USING (dimension)
),
ranked AS (
    SELECT c.*, CASE WHEN categories = 1 AND method <> 'js' THEN 1.0 ELSE p_session END AS p_session,
        count(method) OVER () AS tests,
        row_number() OVER (ORDER BY CASE WHEN categories = 1 THEN 1.0 ELSE p_session END NULLS LAST, dimension) AS rank
    FROM compared AS c
    LEFT JOIN tested USING (dimension)
),
corrected AS (
    SELECT *,
        CASE WHEN p_session IS NOT NULL THEN least(1.0, max((tests - rank + 1) * p_session) OVER (ORDER BY rank)) END AS p_holm
    FROM ranked
)
SELECT dimension, ref_rows, cur_rows, categories, psi,
    CASE WHEN psi >= 0.25 THEN 'drift' WHEN psi >= 0.1 THEN 'watch' WHEN psi IS NOT NULL THEN 'stable' END AS psi_verdict,
    js, chi2, p, method,
    CASE
        WHEN method IS NULL THEN 'no data'
        WHEN method = 'js' AND js >= 0.1 THEN 'drift'
        WHEN method <> 'js' AND p < 0.05 THEN 'drift'
        ELSE 'stable'
    END AS evidently_verdict,
    p_session, p_holm,
    CASE
        WHEN method IS NULL THEN 'no data'
        WHEN method = 'js' AND js < 0.1 THEN 'stable'
        WHEN p_holm IS NULL THEN 'no data'
        WHEN p_holm < 0.05 THEN 'drift'
        ELSE 'stable'
    END AS verdict,
    top_movers
FROM corrected
ORDER BY dimension
