-- title: Numeric drift
-- question: Did tokens, latency, cost, lengths or scores change against a reference window?
-- window: ref_from, from .. ref_to, to
-- note: Without from, the current window begins in the middle of the time span; without ref_to, the reference
--   window ends where the current one begins.
-- note: Measures and verdict are Evidently's. psi is sum((ref - cur) * ln(ref / cur)) over shares of bins: Sturges' bins over both windows
--   together where the reference has more than 20 different values, else one bin for each value; an empty share counts as 0.0001 (a
--   millionth of the smallest share, if that is at most 0.0001): from 0.1 watch, from 0.25 drift. ks is the greatest difference of both distribution
--   functions, p that of the two-sample Kolmogorov-Smirnov test, asymptotic where a window has more than 2,000 values (SciPy: 10,000).
--   wasserstein is the earth mover's distance in standard deviations of the reference (at least 0.001). verdict: above 1,000 reference rows
--   wasserstein from 0.1 is drift; up to 1,000 p of at most 0.05 is.
-- note: p takes values for independent. Those of a session are alike, so that p cries drift more often than one time in twenty
--   where there is none. A metric of a mix (models, tools, agents) drifts with the mix: see categorical_drift.
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
-- column: method VARCHAR: what the verdict goes by: ks or wasserstein
-- column: verdict VARCHAR: stable, drift, or no data where a window is empty
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
)
SELECT metric, part, ref_rows, cur_rows, ref_mean, cur_mean, psi,
    CASE WHEN psi >= 0.25 THEN 'drift' WHEN psi >= 0.1 THEN 'watch' WHEN psi IS NOT NULL THEN 'stable' END AS psi_verdict,
    ks, p, wasserstein, method,
    CASE
        WHEN method IS NULL THEN 'no data'
        WHEN method = 'ks' AND p <= 0.05 THEN 'drift'
        WHEN method = 'wasserstein' AND wasserstein >= 0.1 THEN 'drift'
        ELSE 'stable'
    END AS verdict
FROM measured
ORDER BY metric, part NULLS FIRST
