-- title: Sequence drift
-- question: Did the order in which agents use tools change against a reference window?
-- window: ref_from, from - 1d .. ref_to, to + 1d
-- note: A run's calls, in order, make bigrams: (start) -> search, search -> refund, refund -> (end). A call's request and
--   its result are one call, an attempt after a failed one is another, a call that names no tool is ?. The order is the
--   producer's sequence where every call of the run has one, else time; ties go by place in the log. A run is a run_id of
--   one tenant; runs without a tool call have no bigrams.
-- note: A run belongs to the window in which its first call lies, with all its calls up to a day after the windows: none is
--   cut at their edge. One that began up to a day before a window is not in it. With an agent or another filter, only
--   calls that pass it are there.
-- note: Without from, the current window begins in the middle of the calls' time span; without ref_to, the reference
--   window ends where the current one begins.
-- note: js, the Jensen-Shannon distance (of natural logarithms), is of all bigrams; of many bigrams and few calls it is large by chance alone,
--   js_by_chance says how large. chi2 is the two-sample test of homogeneity of the 100 bigrams that most sessions have, but
--   for those expected in fewer than 3 sessions of a window; all others are one more. p is not of chi2 as it is, which takes
--   calls for independent: those of a session are alike, and chance would look like drift. It goes by sessions (of a tenant;
--   a run without one is its own), with the correction of Rao and Scott of second order: chi2 over the sum of its design
--   effects is an F of Satterthwaite's degrees of freedom, and that times the sessions less 2. verdict: drift where p is below 0.05 and, above 1,000
--   reference bigrams, js is 0.1 or more; no data where there is no p: a window with fewer than 10 sessions, or bigrams
--   of which none is common enough. docs/drift.md says how often it is right.
-- param: from timestamp = none: first moment of the current window
-- param: to timestamp = none: moment before which the current window lies
-- param: ref_from timestamp = none: first moment of the reference window
-- param: ref_to timestamp = none: moment before which the reference window lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- example: --agent support --ref_from 14d --ref_to 7d --from 7d
-- example: --from 2026-11-02 --ref_from 2026-10-26 --ref_to 2026-11-02 --tenant acme
-- column: bigram VARCHAR: a call and the one after it, the most telling first
-- column: ref_n BIGINT: how often in the reference window
-- column: cur_n BIGINT: how often in the current window
-- column: p_ref DOUBLE: share of the reference window's bigrams
-- column: p_cur DOUBLE: share of the current window's bigrams
-- column: js_share DOUBLE: part of the change that is this bigram's, of js squared
-- column: js DOUBLE: over all: Jensen-Shannon distance
-- column: js_by_chance DOUBLE: over all: the js to expect where nothing changed
-- column: chi2 DOUBLE: over all: chi-square statistic
-- column: p DOUBLE: over all: probability of a change at least this big by chance, NULL where too little is there
-- column: ref_runs BIGINT: over all: runs in the reference window
-- column: cur_runs BIGINT: over all: runs in the current window
-- column: verdict VARCHAR: over all: stable, drift or no data
WITH calls AS (
    SELECT tenant, run_id, coalesce(session_id, run_id) AS session, coalesce(tool_name, '?') AS tool, event_time, sequence,
        kafka_topic, kafka_partition, kafka_offset, record_index
    FROM agent_events
    WHERE event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'result' AND run_id IS NOT NULL
        AND ($ref_from IS NULL OR $from IS NULL OR event_time >= CAST(least($ref_from, $from) AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($ref_to IS NULL OR $to IS NULL OR event_time < CAST(greatest($ref_to, $to) AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
span AS (
    SELECT coalesce($from,
        min(event_time) + to_microseconds(date_diff('microsecond', min(event_time), max(event_time)) // 2)) AS cur_from
    FROM calls
    WHERE $ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to)
),
runs_of_calls AS (
    SELECT *,
        min(session) OVER run AS run_session,
        min(event_time) OVER run AS began,
        CASE WHEN count(*) OVER run = count(sequence) OVER run THEN sequence END AS in_order
    FROM calls
    WINDOW run AS (PARTITION BY tenant, run_id)
),
steps AS (
    SELECT tenant, run_session, began, tool,
        lag(tool) OVER place AS tool_before,
        lead(tool) OVER place AS tool_after
    FROM runs_of_calls
    WINDOW place AS (PARTITION BY tenant, run_id ORDER BY in_order, event_time, kafka_topic, kafka_partition, kafka_offset, record_index)
),
bigrams AS (
    SELECT tenant, run_session, began, coalesce(tool_before, '(start)') || ' -> ' || tool AS bigram, tool_before IS NULL AS first FROM steps
    UNION ALL
    SELECT tenant, run_session, began, tool || ' -> (end)', false FROM steps WHERE tool_after IS NULL
),
placed AS (
    SELECT tenant, run_session, bigram, first,
        began < coalesce($ref_to, cur_from) AND ($ref_from IS NULL OR began >= $ref_from) AS in_ref,
        began >= cur_from AND ($to IS NULL OR began < $to) AS in_cur
    FROM bigrams
    CROSS JOIN span
),
-- From here on a bigram counts once for each window that it is in.
by_session AS (
    SELECT 'ref' AS side, tenant, run_session, bigram, count(*) AS n FROM placed WHERE in_ref GROUP BY tenant, run_session, bigram
    UNION ALL
    SELECT 'cur', tenant, run_session, bigram, count(*) FROM placed WHERE in_cur GROUP BY tenant, run_session, bigram
),
counts AS (
    SELECT bigram,
        CAST(coalesce(sum(CASE WHEN side = 'ref' THEN n END), 0) AS DOUBLE) AS ref_n,
        CAST(coalesce(sum(CASE WHEN side = 'cur' THEN n END), 0) AS DOUBLE) AS cur_n,
        count(*) AS sessions
    FROM by_session
    GROUP BY bigram
),
sessions AS (
    SELECT side, tenant, run_session, CAST(sum(n) AS DOUBLE) AS size FROM by_session GROUP BY side, tenant, run_session
),
totals AS (
    SELECT
        count(CASE WHEN side = 'ref' THEN 1 END) AS ref_sessions,
        count(CASE WHEN side = 'cur' THEN 1 END) AS cur_sessions,
        nullif(sum(CASE WHEN side = 'ref' THEN size ELSE 0 END), 0) AS ref_rows,
        nullif(sum(CASE WHEN side = 'cur' THEN size ELSE 0 END), 0) AS cur_rows,
        sum(CASE WHEN side = 'ref' THEN size * size ELSE 0 END) AS ref_squares,
        sum(CASE WHEN side = 'cur' THEN size * size ELSE 0 END) AS cur_squares
    FROM sessions
),
shares AS (
    SELECT bigram, ref_n, cur_n, ref_n / ref_rows AS r, cur_n / cur_rows AS c,
        CASE WHEN row_number() OVER (ORDER BY sessions DESC, bigram) <= 100
            AND sessions * least(ref_sessions, cur_sessions) >= 3 * (ref_sessions + cur_sessions) THEN bigram ELSE '(other)' END AS category
    FROM counts
    CROSS JOIN totals
),
diverging AS (
    SELECT *,
        CASE WHEN r > 0 THEN 0.5 * r * ln(2 * r / (r + c)) ELSE 0.0 END
            + CASE WHEN c > 0 THEN 0.5 * c * ln(2 * c / (r + c)) ELSE 0.0 END AS divergence
    FROM shares
),
-- The test. Sums of fractions are taken in order, so that rounding is the same each time. How the shares of two categories vary together between the sessions of a window comes of sums over sessions:
-- of a category's count times the session's size, and of both categories' counts multiplied.
categories AS (
    SELECT category, sum(ref_n) / max(ref_rows) AS r, sum(cur_n) / max(cur_rows) AS c, sum(ref_n + cur_n) / (max(ref_rows) + max(cur_rows)) AS pooled
    FROM shares
    CROSS JOIN totals
    GROUP BY category
),
session_counts AS (
    SELECT side, tenant, run_session, category, CAST(sum(n) AS DOUBLE) AS n
    FROM by_session
    JOIN shares USING (bigram)
    GROUP BY side, tenant, run_session, category
),
with_size AS (
    SELECT side, category, sum(n * size) AS n_size
    FROM session_counts AS x
    JOIN sessions AS s USING (side, run_session)
    WHERE x.tenant IS NOT DISTINCT FROM s.tenant
    GROUP BY side, category
),
with_other AS (
    SELECT side, a.category AS k, b.category AS l, sum(a.n * b.n) AS n_n
    FROM session_counts AS a
    JOIN session_counts AS b USING (side, run_session)
    WHERE a.tenant IS NOT DISTINCT FROM b.tenant
    GROUP BY side, a.category, b.category
),
varying AS (
    SELECT side, category, pooled,
        CASE WHEN side = 'ref' THEN r ELSE c END AS share,
        CASE WHEN side = 'ref' THEN ref_squares ELSE cur_squares END AS squares,
        CASE WHEN side = 'ref' THEN ref_sessions / ((ref_sessions - 1) * ref_rows * ref_rows)
            ELSE cur_sessions / ((cur_sessions - 1) * cur_rows * cur_rows) END / (1 / ref_rows + 1 / cur_rows) AS scale,
        coalesce(n_size, 0) AS n_size
    FROM categories
    CROSS JOIN totals
    CROSS JOIN (VALUES ('ref'), ('cur')) AS both_sides(side)
    LEFT JOIN with_size USING (side, category)
    WHERE ref_sessions >= 10 AND cur_sessions >= 10
),
design_effects AS (
    SELECT a.category AS k, b.category AS l,
        sum(a.scale * (coalesce(n_n, 0) - a.share * b.n_size - b.share * a.n_size + a.share * b.share * a.squares))
            / sqrt(max(a.pooled) * max(b.pooled)) AS effect
    FROM varying AS a
    JOIN varying AS b ON a.side = b.side
    LEFT JOIN with_other AS o ON o.side = a.side AND o.k = a.category AND o.l = b.category
    GROUP BY a.category, b.category
),
traces AS (
    SELECT sum(CASE WHEN k = l THEN effect END ORDER BY k) AS trace, sum(effect * effect ORDER BY k, l) AS squared_trace FROM design_effects
),
over_all AS (
    SELECT ref_rows, cur_rows, js, chi2, trace,
        sqrt((1 / ref_rows + 1 / cur_rows) * trace / 8) AS js_by_chance,
        trace * trace / nullif(squared_trace, 0) AS df,
        ref_sessions + cur_sessions - 2 AS sessions_df,
        n_categories
    FROM (
        SELECT sum(pow(r - c, 2) / pooled ORDER BY category) / max(1 / ref_rows + 1 / cur_rows) AS chi2, count(*) AS n_categories
        FROM categories
        CROSS JOIN totals
    ) AS tested
    CROSS JOIN (SELECT sqrt(CASE WHEN total < 0 THEN 0.0 ELSE total END) AS js FROM (SELECT sum(divergence ORDER BY bigram) AS total FROM diverging) AS summed) AS whole
    CROSS JOIN traces
    CROSS JOIN totals
),
judged AS (
    SELECT *,
        CASE
            WHEN trace IS NULL OR n_categories < 2 THEN NULL
            WHEN chi2 < 1e-9 THEN 1.0
            -- sessions of a window that are all the same
            WHEN trace < 1e-9 THEN 0.0
            ELSE beta_i(df * sessions_df / 2, df / 2, 1 / (1 + chi2 / trace / sessions_df))
        END AS p
    FROM over_all
),
run_counts AS (
    SELECT
        count(CASE WHEN first AND in_ref THEN 1 END) AS ref_runs,
        count(CASE WHEN first AND in_cur THEN 1 END) AS cur_runs
    FROM placed
)
SELECT bigram,
    CAST(ref_n AS BIGINT) AS ref_n,
    CAST(cur_n AS BIGINT) AS cur_n,
    r AS p_ref,
    c AS p_cur,
    CASE WHEN js > 0 THEN divergence / (js * js) END AS js_share,
    js, js_by_chance, chi2, p, ref_runs, cur_runs,
    CASE
        WHEN p IS NULL THEN 'no data'
        WHEN p < 0.05 AND (ref_rows <= 1000 OR js >= 0.1) THEN 'drift'
        ELSE 'stable'
    END AS verdict
FROM diverging
CROSS JOIN judged
CROSS JOIN run_counts
ORDER BY divergence DESC NULLS LAST, ref_n + cur_n DESC, bigram
