-- title: Retrieval drift
-- question: Which data sources return other documents, or other scores, than in a reference window?
-- window: ref_from, from .. ref_to, to
-- note: Without from, the current window begins in the middle of the retrievals' time span; without ref_to, the reference
--   window ends where the current one begins.
-- note: A document is an entry of gen_ai.retrieval.documents with an id, else a uri; one that stands twice in a retrieval, or
--   in several versions, is one document and two hits. A data source is that of one tenant. New documents are those of the
--   current window that the reference window has not, lost ones the reverse: in small windows many are, by chance. How much
--   that matters say new_hits and lost_hits. Changed documents are in both windows, and in the current one with a
--   version or hash that the reference window has not.
-- note: score_psi is the population stability index of scores that are numbers, by Evidently's rule: Sturges bins over both
--   windows where the reference window has more than 20 different scores, else a bin for each score; an empty bin's share
--   is 0.0001 (a millionth of the smallest share, if that is at most 0.0001). Few scores give a psi by chance: about
--   psi_by_chance, (bins - 1) (1 / ref_scores + 1 / cur_scores). verdict: drift where score_psi is 0.25 or more above
--   that, watch from 0.1 above it.
-- param: from timestamp = none: first moment of the current window
-- param: to timestamp = none: moment before which the current window lies
-- param: ref_from timestamp = none: first moment of the reference window
-- param: ref_to timestamp = none: moment before which the reference window lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: data_source text = none: only this data source
-- example: --ref_from 14d --ref_to 7d --from 7d
-- example: --data_source kb --from 1d
-- column: tenant VARCHAR: tenant
-- column: data_source VARCHAR: the data source, NULL where retrievals name none
-- column: ref_retrievals BIGINT: retrievals in the reference window
-- column: cur_retrievals BIGINT: retrievals in the current window
-- column: ref_documents BIGINT: different documents in the reference window
-- column: cur_documents BIGINT: different documents in the current window
-- column: new_documents BIGINT: documents of the current window alone
-- column: new_pct DOUBLE: of cur_documents
-- column: new_hits_pct DOUBLE: of the hits of the current window, those on new documents
-- column: lost_documents BIGINT: documents of the reference window alone
-- column: lost_pct DOUBLE: of ref_documents
-- column: lost_hits_pct DOUBLE: of the hits of the reference window, those on lost documents
-- column: changed_documents BIGINT: documents of both windows with a new version or hash
-- column: ref_scores BIGINT: scores in the reference window
-- column: cur_scores BIGINT: scores in the current window
-- column: ref_score DOUBLE: mean score in the reference window
-- column: cur_score DOUBLE: mean score in the current window
-- column: score_psi DOUBLE: population stability index of the scores
-- column: psi_by_chance DOUBLE: the score_psi to expect where nothing changed
-- column: verdict VARCHAR: of the scores: stable, watch, drift, or no data where a window has none
WITH retrievals AS (
    SELECT tenant, data_source_id, event_time, attribute(payload, 'gen_ai.retrieval.documents') AS documents
    FROM agent_events
    WHERE event_class = 'context_retrieval'
        AND ($ref_from IS NULL OR $from IS NULL OR event_time >= least($ref_from, $from))
        AND ($ref_to IS NULL OR $to IS NULL OR event_time < greatest($ref_to, $to))
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
        AND ($data_source IS NULL OR data_source_id = $data_source)
),
span AS (
    SELECT coalesce($from,
        min(event_time) + to_microseconds(date_diff('microsecond', min(event_time), max(event_time)) // 2)) AS cur_from
    FROM retrievals
),
placed AS (
    SELECT tenant, data_source_id, documents,
        event_time < coalesce($ref_to, cur_from) AND ($ref_from IS NULL OR event_time >= $ref_from) AS in_ref,
        event_time >= cur_from AND ($to IS NULL OR event_time < $to) AS in_cur
    FROM retrievals
    CROSS JOIN span
),
sources AS (
    SELECT tenant, data_source_id, count(CASE WHEN in_ref THEN 1 END) AS ref_retrievals, count(CASE WHEN in_cur THEN 1 END) AS cur_retrievals
    FROM placed
    WHERE in_ref OR in_cur
    GROUP BY tenant, data_source_id
),
entries AS (
    SELECT tenant, data_source_id, in_ref, in_cur,
        unnest(CAST(json_extract(CASE WHEN json_valid(documents) AND json_type(documents) = 'ARRAY' THEN documents ELSE '[]' END, '$[*]') AS JSON[])) AS document
    FROM placed
    WHERE in_ref OR in_cur
),
hits AS (
    SELECT tenant, data_source_id, in_ref, in_cur,
        coalesce(document ->> '$.id', document ->> '$.uri') AS id,
        concat_ws(' ', document ->> '$.version', document ->> '$.sha256') AS content,
        CASE WHEN json_type(document, '$.score') IN ('DOUBLE', 'BIGINT', 'UBIGINT')
            AND abs(TRY_CAST(document ->> '$.score' AS DOUBLE)) < 1e300 THEN CAST(document ->> '$.score' AS DOUBLE) END AS score
    FROM entries
),
contents AS (
    SELECT tenant, data_source_id, id, content, count(CASE WHEN in_ref THEN 1 END) AS ref_n, count(CASE WHEN in_cur THEN 1 END) AS cur_n
    FROM hits
    WHERE id IS NOT NULL
    GROUP BY tenant, data_source_id, id, content
),
documents AS (
    SELECT tenant, data_source_id, id, sum(ref_n) AS ref_n, sum(cur_n) AS cur_n, max(CASE WHEN ref_n = 0 AND content <> '' THEN 1 ELSE 0 END) AS has_new_content
    FROM contents
    GROUP BY tenant, data_source_id, id
),
by_document AS (
    SELECT tenant, data_source_id,
        count(CASE WHEN ref_n > 0 THEN 1 END) AS ref_documents,
        count(CASE WHEN cur_n > 0 THEN 1 END) AS cur_documents,
        count(CASE WHEN ref_n = 0 THEN 1 END) AS new_documents,
        count(CASE WHEN cur_n = 0 THEN 1 END) AS lost_documents,
        count(CASE WHEN ref_n > 0 AND cur_n > 0 AND has_new_content = 1 THEN 1 END) AS changed_documents,
        CAST(sum(ref_n) AS DOUBLE) AS ref_hits,
        CAST(sum(cur_n) AS DOUBLE) AS cur_hits,
        CAST(sum(CASE WHEN ref_n = 0 THEN cur_n ELSE 0 END) AS DOUBLE) AS new_hits,
        CAST(sum(CASE WHEN cur_n = 0 THEN ref_n ELSE 0 END) AS DOUBLE) AS lost_hits
    FROM documents
    GROUP BY tenant, data_source_id
),
scores AS (
    SELECT tenant, data_source_id, score, count(CASE WHEN in_ref THEN 1 END) AS ref_n, count(CASE WHEN in_cur THEN 1 END) AS cur_n
    FROM hits
    WHERE score IS NOT NULL
    GROUP BY tenant, data_source_id, score
),
score_spans AS (
    SELECT *,
        sum(ref_n) OVER source AS ref_scores,
        sum(cur_n) OVER source AS cur_scores,
        count(CASE WHEN ref_n > 0 THEN 1 END) OVER source AS different,
        min(score) OVER source AS least_score,
        max(score) OVER source AS greatest_score,
        sum(ref_n + cur_n) OVER source AS all_scores
    FROM scores
    WINDOW source AS (PARTITION BY tenant, data_source_id)
),
-- The bin that a division says, or its neighbour if the score is beyond that one's edge: as numpy's, rounded in its steps.
guessed AS (
    SELECT *, CASE WHEN different > 20 THEN least(bins - 1, floor((score - least_score) / ((greatest_score - least_score) / bins))) END AS guess
    FROM (
        SELECT *, ceil((greatest_score - least_score) / ((greatest_score - least_score) / (log2(all_scores) + 1))) AS bins
        FROM score_spans
    ) AS with_bins
),
binned AS (
    SELECT tenant, data_source_id,
        CASE
            WHEN guess IS NULL THEN score
            WHEN guess + 1 < bins AND score >= (guess + 1) * ((greatest_score - least_score) / bins) + least_score THEN guess + 1
            WHEN score < guess * ((greatest_score - least_score) / bins) + least_score THEN guess - 1
            ELSE guess
        END AS bin,
        sum(ref_n) AS ref_n, sum(cur_n) AS cur_n,
        CASE WHEN max(different) > 20 THEN max(bins) END AS bins,
        sum(score * ref_n ORDER BY score) AS ref_sum, sum(score * cur_n ORDER BY score) AS cur_sum
    FROM guessed
    GROUP BY tenant, data_source_id, bin
),
-- Sums of fractions are taken in order, so that rounding is the same each time.
by_score AS (
    SELECT tenant, data_source_id,
        CAST(sum(ref_n) AS BIGINT) AS ref_scores,
        CAST(sum(cur_n) AS BIGINT) AS cur_scores,
        sum(ref_sum ORDER BY bin) / nullif(sum(ref_n), 0) AS ref_score,
        sum(cur_sum ORDER BY bin) / nullif(sum(cur_n), 0) AS cur_score,
        -- with the bins that no score is in
        psi(list_concat(list(ref_n ORDER BY bin), list_transform(range(CAST(coalesce(max(bins) - count(*), 0) AS BIGINT)), lambda i: CAST(0 AS HUGEINT))), list(cur_n ORDER BY bin)) AS score_psi,
        (coalesce(max(bins), count(*)) - 1) * (1 / nullif(sum(ref_n), 0) + 1 / nullif(sum(cur_n), 0)) AS psi_by_chance
    FROM binned
    GROUP BY tenant, data_source_id
)
SELECT s.tenant, s.data_source_id AS data_source, ref_retrievals, cur_retrievals,
    coalesce(ref_documents, 0) AS ref_documents,
    coalesce(cur_documents, 0) AS cur_documents,
    coalesce(new_documents, 0) AS new_documents,
    100.0 * new_documents / nullif(cur_documents, 0) AS new_pct,
    100 * new_hits / nullif(cur_hits, 0) AS new_hits_pct,
    coalesce(lost_documents, 0) AS lost_documents,
    100.0 * lost_documents / nullif(ref_documents, 0) AS lost_pct,
    100 * lost_hits / nullif(ref_hits, 0) AS lost_hits_pct,
    coalesce(changed_documents, 0) AS changed_documents,
    coalesce(ref_scores, 0) AS ref_scores,
    coalesce(cur_scores, 0) AS cur_scores,
    ref_score, cur_score, score_psi, psi_by_chance,
    CASE
        WHEN score_psi IS NULL THEN 'no data'
        WHEN score_psi >= 0.25 + psi_by_chance THEN 'drift'
        WHEN score_psi >= 0.1 + psi_by_chance THEN 'watch'
        ELSE 'stable'
    END AS verdict
FROM sources AS s
LEFT JOIN by_document AS d ON d.tenant IS NOT DISTINCT FROM s.tenant AND d.data_source_id IS NOT DISTINCT FROM s.data_source_id
LEFT JOIN by_score AS p ON p.tenant IS NOT DISTINCT FROM s.tenant AND p.data_source_id IS NOT DISTINCT FROM s.data_source_id
ORDER BY s.tenant, data_source
