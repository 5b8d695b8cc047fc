-- title: Numeric drift
-- question: Did tokens, latency, cost, lengths or scores change against a reference window?
-- window: ref_from, from .. ref_to, to
-- note: Without from, the current window begins in the middle of the time span; without ref_to, the reference
--   window ends where the current one begins.
-- note: psi, ks, p, wasserstein and evidently_verdict are Evidently's. psi is sum((ref - cur) * ln(ref / cur)) over shares of bins: Sturges' bins over both windows
--   together where the reference has more than 20 different values, else one bin for each value; an empty share counts as 0.0001 (a
--   millionth of the smallest share, if that is at most 0.0001): from 0.1 watch, from 0.25 drift. ks is the greatest difference of both distribution
--   functions, p that of the two-sample Kolmogorov-Smirnov test, asymptotic where a window has more than 2,000 values (SciPy: 10,000).
--   wasserstein is the earth mover's distance in standard deviations of the reference (at least 0.001). evidently_verdict: above 1,000 reference rows
--   wasserstein from 0.1 is drift; up to 1,000 p of at most 0.05 is. Not so Evidently where there are at most 5 different values: it then
--   takes chi-square or z, above 1,000 rows Jensen-Shannon, as for categories.
-- note: p takes values for independent. Those of a session are alike, so that p cries drift where there is none. p_session goes by sessions
--   (of a tenant; an event without one counts by its run, else alone): it is that of a chi-square over the tenths of both windows' values
--   together, with the correction of Rao and Scott of second order (F), as in categorical_drift; tenths expected in fewer than 3 sessions of a
--   window are one. p_holm is p_session for so many metrics at once, by Holm's rule. verdict: drift where p_holm is below 0.05 and, above 1,000
--   reference rows, wasserstein is 0.1 or more; no data where a window is empty, or has fewer than 10 sessions and no wasserstein that
--   settles it. docs/drift.md says how often it is right.
-- note: A metric of a mix (models, tools, agents) drifts with the mix: see categorical_drift.
-- note: Values that are not finite numbers are left out. A score is told by evaluation, a cost by currency.
-- param: from timestamp = none: first moment of the current window
-- param: to timestamp = none: moment before which the current window lies
-- param: ref_from timestamp = none: first moment of the reference window
-- param: ref_to timestamp = none: moment before which the reference window lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: metric choice(input_tokens|output_tokens|output_ms|first_chunk_ms|tool_ms|cost|score|output_chars) = none: only this metric; output_chars only when asked for, since it reads the payloads
-- column: metric VARCHAR: input_tokens, output_tokens, output_ms (duration), first_chunk_ms and cost of outputs, tool_ms (duration of tool calls; a request's does not count), score (of evaluations), output_chars (characters of the output messages as plain text)
-- column: part VARCHAR: evaluation of a score, currency of a cost
-- column: ref_rows BIGINT: events with a value in the reference window
-- column: cur_rows BIGINT: events with a value in the current window
-- column: ref_mean DOUBLE: mean in the reference window
-- column: cur_mean DOUBLE: mean in the current window
-- column: psi DOUBLE: population stability index
-- column: psi_verdict VARCHAR: stable, watch or drift
-- column: ks DOUBLE: Kolmogorov-Smirnov statistic
-- column: p DOUBLE: its probability by chance, if events were independent
-- column: wasserstein DOUBLE: Wasserstein distance, in standard deviations of the reference
-- column: method VARCHAR: what evidently_verdict goes by: ks or wasserstein
-- column: evidently_verdict VARCHAR: stable, drift, or no data where a window is empty
-- column: p_session DOUBLE: probability of a change at least this big by chance, by session; NULL where wasserstein alone says stable
-- column: p_holm DOUBLE: p_session for all metrics at once
-- column: verdict VARCHAR: stable, drift or no data
-- example: --ref_from 14d --ref_to 7d --from 7d
-- example: --metric output_chars --agent support --from 1d
WITH events AS (
    SELECT event_time, event_class, input_tokens, output_tokens, duration_ms, time_to_first_chunk_ms, cost_amount, cost_currency, tool_phase, evaluation_name, evaluation_score
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
    SELECT 'input_tokens' AS metric, NULL AS part, CAST(input_tokens AS DOUBLE) AS value, event_time FROM events WHERE event_class = 'output' AND coalesce($metric, 'input_tokens') = 'input_tokens'
    UNION ALL
    SELECT 'output_tokens', NULL, output_tokens, event_time FROM events WHERE event_class = 'output' AND coalesce($metric, 'output_tokens') = 'output_tokens'
    UNION ALL
    SELECT 'output_ms', NULL, duration_ms, event_time FROM events WHERE event_class = 'output' AND coalesce($metric, 'output_ms') = 'output_ms'
    UNION ALL
    SELECT 'first_chunk_ms', NULL, time_to_first_chunk_ms, event_time FROM events WHERE event_class = 'output' AND coalesce($metric, 'first_chunk_ms') = 'first_chunk_ms'
    UNION ALL
    SELECT 'tool_ms', NULL, duration_ms, event_time FROM events
    WHERE event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'request' AND coalesce($metric, 'tool_ms') = 'tool_ms'
    UNION ALL
    SELECT 'cost', cost_currency, CAST(cost_amount AS DOUBLE), event_time FROM events WHERE event_class = 'output' AND coalesce($metric, 'cost') = 'cost'
    UNION ALL
    SELECT 'score', evaluation_name, evaluation_score, event_time FROM events WHERE event_class = 'evaluation' AND coalesce($metric, 'score') = 'score'
    UNION ALL
    SELECT 'output_chars', NULL, length(message_text(attribute(payload, 'gen_ai.output.messages'))), event_time
    FROM agent_events
    WHERE event_class = 'output' AND $metric = 'output_chars'
        AND ($ref_from IS NULL OR $from IS NULL OR event_time >= least($ref_from, $from))
        AND ($ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to))
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- One row for each value, with how often each window has it: everything else is of these.
counts AS (
    SELECT metric, part, value,
        count(CASE WHEN in_ref THEN 1 END) AS ref_n,
        count(CASE WHEN in_cur THEN 1 END) AS cur_n
    FROM (
        SELECT metric, part, value,
            event_time < coalesce($ref_to, cur_from)
                AND ($ref_from IS NULL OR event_time >= $ref_from) AS in_ref,
            event_time >= cur_from AND ($to IS NULL OR event_time < $to) AS in_cur
        FROM valued
        CROSS JOIN span
        WHERE value IS NOT NULL AND isfinite(value)
    ) AS placed
    WHERE in_ref OR in_cur
    GROUP BY metric, part, value
),
-- Sums of fractions are taken in order, so that rounding is the same each time.
totals AS (
    SELECT metric, part,
        CAST(sum(ref_n) AS BIGINT) AS ref_rows,
        CAST(sum(cur_n) AS BIGINT) AS cur_rows,
        sum(ref_n * value ORDER BY value) / nullif(sum(ref_n), 0) AS ref_mean,
        sum(cur_n * value ORDER BY value) / nullif(sum(cur_n), 0) AS cur_mean,
        count(CASE WHEN ref_n > 0 THEN 1 END) AS ref_values,
        min(value) AS low,
        max(value) AS high
    FROM counts
    GROUP BY metric, part
),
ordered AS (
    SELECT c.metric, c.part, c.value, c.ref_n, c.cur_n, t.ref_rows, t.cur_rows, t.ref_mean, t.ref_values > 20 AS binned, t.low, t.high,
        sum(c.ref_n) OVER w / nullif(t.ref_rows, 0) - sum(c.cur_n) OVER w / nullif(t.cur_rows, 0) AS gap,
        lead(c.value) OVER w - c.value AS step,
        -- numpy's width of Sturges' bins, in its steps of rounding; integers have none below 1
        ceil((t.high - t.low) / greatest((t.high - t.low) / (log2(t.ref_rows + t.cur_rows) + 1),
            CASE WHEN c.metric IN ('input_tokens', 'output_tokens', 'output_chars') THEN 1 ELSE 0 END)) AS bins
    FROM counts AS c
    JOIN totals AS t ON t.metric = c.metric AND t.part IS NOT DISTINCT FROM c.part
    WINDOW w AS (PARTITION BY c.metric, c.part ORDER BY c.value)
),
distances AS (
    SELECT metric, part, max(abs(gap)) AS ks,
        sum(abs(gap) * step ORDER BY value) AS distance,
        sqrt(sum(ref_n * pow(value - ref_mean, 2) ORDER BY value) / max(ref_rows)) AS deviation
    FROM ordered
    GROUP BY metric, part
),
-- The bin that a division says, or its neighbour if the value is beyond that one's edge.
bins AS (
    SELECT metric, part, bin, sum(ref_n) AS ref_n, sum(cur_n) AS cur_n,
        CASE WHEN bool_and(binned) THEN CAST(max(bins) AS BIGINT) - count(*) OVER (PARTITION BY metric, part) ELSE 0 END AS empty
    FROM (
        SELECT metric, part, ref_n, cur_n, binned, bins,
            CASE WHEN NOT binned THEN value
                WHEN guess + 1 < bins AND value >= (guess + 1) * ((high - low) / bins) + low THEN guess + 1
                WHEN value < guess * ((high - low) / bins) + low THEN guess - 1
                ELSE guess END AS bin
        FROM (SELECT *, CASE WHEN binned THEN least(bins - 1, floor((value - low) / ((high - low) / bins))) END AS guess FROM ordered) AS guessed
    ) AS placed
    GROUP BY metric, part, bin
),
stability AS (
    SELECT metric, part,
        -- with the bins that nobody is in
        psi(list_concat(list(ref_n ORDER BY bin), list_transform(range(max(empty)), lambda i: CAST(0 AS HUGEINT))), list(cur_n ORDER BY bin)) AS psi
    FROM bins
    GROUP BY metric, part
),
measured AS (
    SELECT t.metric, t.part, t.ref_rows, t.cur_rows, t.ref_mean, t.cur_mean, s.psi,
        CASE WHEN t.ref_rows > 0 AND t.cur_rows > 0 THEN d.ks END AS ks,
        CASE WHEN greatest(t.ref_rows, t.cur_rows) <= 2000 THEN ks_p(d.ks, t.ref_rows, t.cur_rows)
            ELSE kolmogorov_p(round_even(CAST(t.ref_rows AS DOUBLE) * t.cur_rows / (t.ref_rows + t.cur_rows), 0), d.ks) END AS p,
        CASE WHEN t.ref_rows > 0 AND t.cur_rows > 0 THEN coalesce(d.distance, 0) / greatest(d.deviation, 0.001) END AS wasserstein,
        CASE WHEN t.ref_rows = 0 OR t.cur_rows = 0 THEN NULL WHEN t.ref_rows > 1000 THEN 'wasserstein' ELSE 'ks' END AS method
    FROM totals AS t
    JOIN distances AS d ON d.metric = t.metric AND d.part IS NOT DISTINCT FROM t.part
    JOIN stability AS s ON s.metric = t.metric AND s.part IS NOT DISTINCT FROM t.part
),
-- The test by session, of metrics that need it.
to_test AS (
    SELECT metric, part FROM measured WHERE method = 'ks' OR wasserstein >= 0.1
),
tenths AS (
    SELECT metric, part, value,
        CAST(least(9, floor(10 * (sum(ref_n + cur_n) OVER w - (ref_n + cur_n) / 2) / sum(ref_n + cur_n) OVER (PARTITION BY metric, part))) AS VARCHAR) AS tenth
    FROM counts
    WINDOW w AS (PARTITION BY metric, part ORDER BY value)
),
valued_again AS (
    SELECT metric, part, tenant, coalesce(session_id, run_id, kafka_topic || ' ' || kafka_partition || ' ' || kafka_offset || ' ' || record_index) AS session, event_time,
        CASE metric
            WHEN 'input_tokens' THEN CAST(input_tokens AS DOUBLE)
            WHEN 'output_tokens' THEN CAST(output_tokens AS DOUBLE)
            WHEN 'output_ms' THEN duration_ms
            WHEN 'first_chunk_ms' THEN time_to_first_chunk_ms
            WHEN 'tool_ms' THEN duration_ms
            WHEN 'cost' THEN CAST(cost_amount AS DOUBLE)
            WHEN 'score' THEN evaluation_score
        END AS value
    FROM agent_events
    CROSS JOIN to_test
    WHERE CASE metric
            WHEN 'tool_ms' THEN event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'request'
            WHEN 'score' THEN event_class = 'evaluation' AND part IS NOT DISTINCT FROM evaluation_name
            WHEN 'cost' THEN event_class = 'output' AND part IS NOT DISTINCT FROM cost_currency
            ELSE event_class = 'output' AND metric <> 'output_chars' END
        AND event_class IN ('output', 'tool_call', 'evaluation')
        AND ($ref_from IS NULL OR $from IS NULL OR event_time >= least($ref_from, $from))
        AND ($ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to))
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
    UNION ALL
    SELECT 'output_chars', NULL, tenant, coalesce(session_id, run_id, kafka_topic || ' ' || kafka_partition || ' ' || kafka_offset || ' ' || record_index), event_time,
        length(message_text(attribute(payload, 'gen_ai.output.messages')))
    FROM agent_events
    WHERE event_class = 'output' AND $metric = 'output_chars'
        AND ($ref_from IS NULL OR $from IS NULL OR event_time >= least($ref_from, $from))
        AND ($ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to))
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
by_session AS (
    SELECT v.metric || coalesce(' ' || v.part, '') AS dimension, side, tenant, session, tenth AS value, count(*) AS n
    FROM valued_again AS v
    CROSS JOIN span
    CROSS JOIN (VALUES ('ref'), ('cur')) AS sides(side)
    JOIN tenths AS t USING (metric, value)
    WHERE v.part IS NOT DISTINCT FROM t.part
        AND CASE side
            WHEN 'ref' THEN event_time < coalesce($ref_to, cur_from) AND ($ref_from IS NULL OR event_time >= $ref_from)
            ELSE event_time >= cur_from AND ($to IS NULL OR event_time < $to) END
    GROUP BY v.metric, v.part, side, tenant, session, tenth
),
sessions AS (
    SELECT dimension, side, tenant, session, CAST(sum(n) AS DOUBLE) AS size FROM by_session GROUP BY dimension, side, tenant, session
),
session_totals AS (
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
        CASE WHEN sessions * least(ref_sessions, cur_sessions) >= 3 * (ref_sessions + cur_sessions) THEN value ELSE '(other)' END AS category
    FROM (
        SELECT dimension, value, count(*) AS sessions,
            sum(CASE WHEN side = 'ref' THEN n ELSE 0 END) AS ref_n,
            sum(CASE WHEN side = 'cur' THEN n ELSE 0 END) AS cur_n
        FROM by_session
        GROUP BY dimension, value
    ) AS seen
    JOIN session_totals USING (dimension)
),
-- How the shares of two tenths vary together between the sessions of a window comes of sums over sessions: of a tenth's
-- count times the session's size, and of both tenths' counts multiplied. Sums of fractions are taken in order, so
-- that rounding is the same each time.
categories AS (
    SELECT dimension, category, sum(ref_n) / max(ref_size) AS r, sum(cur_n) / max(cur_size) AS c, sum(ref_n + cur_n) / (max(ref_size) + max(cur_size)) AS pooled
    FROM merged
    JOIN session_totals USING (dimension)
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
    JOIN session_totals USING (dimension)
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
        JOIN session_totals USING (dimension)
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
    SELECT *,
        count(method) OVER () AS tests,
        row_number() OVER (ORDER BY p_session NULLS LAST, metric, part NULLS FIRST) AS rank
    FROM (
        SELECT m.*, CASE WHEN method = 'ks' AND ks = 0 THEN 1.0 ELSE p_session END AS p_session
        FROM measured AS m
        LEFT JOIN tested AS t ON t.dimension = m.metric || coalesce(' ' || m.part, '')
    ) AS with_p
),
corrected AS (
    SELECT *,
        CASE WHEN p_session IS NOT NULL THEN least(1.0, max((tests - rank + 1) * p_session) OVER (ORDER BY rank)) END AS p_holm
    FROM ranked
)
SELECT metric, part, ref_rows, cur_rows, ref_mean, cur_mean, psi,
    CASE WHEN psi >= 0.25 THEN 'drift' WHEN psi >= 0.1 THEN 'watch' WHEN psi IS NOT NULL THEN 'stable' END AS psi_verdict,
    ks, p, wasserstein, method,
    CASE
        WHEN method IS NULL THEN 'no data'
        WHEN method = 'ks' AND p <= 0.05 THEN 'drift'
        WHEN method = 'wasserstein' AND wasserstein >= 0.1 THEN 'drift'
        ELSE 'stable'
    END AS evidently_verdict,
    p_session, p_holm,
    CASE
        WHEN method IS NULL THEN 'no data'
        WHEN method = 'wasserstein' AND wasserstein < 0.1 THEN 'stable'
        WHEN p_holm IS NULL THEN 'no data'
        WHEN p_holm < 0.05 THEN 'drift'
        ELSE 'stable'
    END AS verdict
FROM corrected
ORDER BY metric, part NULLS FIRST
