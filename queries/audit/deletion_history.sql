-- title: Deletion history
-- question: What was deleted, when, under which rule?
-- window: from .. to
-- note: One row per run in maintenance_log of a job other than dead_letter_replay and compaction, which delete no event; with
--   `job` that job's runs, whatever it is. files and held_back are the numbers of that name in the run's detail, and
--   rule its text of that name: NULL where detail does not tell. The jobs of this release are dead_letter_replay alone; other
--   rows are of other programs or later releases, so a log that was never tended gives no row, and neither does what
--   another engine deleted without writing to maintenance_log: `auditlake verify` finds that.
-- param: from timestamp = none: first moment of started_at
-- param: to timestamp = none: moment before which started_at lies
-- param: job text = none: only this job
-- param: target text = none: only what acted on this table or topic
-- column: time TIMESTAMP WITH TIME ZONE: start of the run
-- column: run VARCHAR: id of the run
-- column: job VARCHAR: which job
-- column: actor VARCHAR: who ran it
-- column: policy VARCHAR: policy and its hash, where one decided
-- column: rule VARCHAR: rule of the policy
-- column: target VARCHAR: table or topic it acted on
-- column: rows BIGINT: rows or records it touched
-- column: files BIGINT: files it deleted
-- column: held_back BIGINT: rows that a hold kept
-- column: took_ms DOUBLE: how long it ran, milliseconds
-- column: snapshot_before BIGINT: snapshot it started from
-- column: snapshot_after BIGINT: snapshot it made
-- column: detail VARCHAR: what was done, as the job wrote it
WITH chosen AS (
    SELECT *, CASE WHEN json_valid(detail) THEN detail END AS told
    FROM maintenance_log
    WHERE ($from IS NULL OR started_at >= $from)
        AND ($to IS NULL OR started_at < $to)
        AND CASE WHEN $job IS NULL THEN job NOT IN ('dead_letter_replay', 'compaction') ELSE job = $job END
        AND ($target IS NULL OR target = $target)
)
SELECT
    started_at AS time,
    run_id AS run,
    job,
    actor,
    policy,
    told ->> '$.rule' AS rule,
    target,
    row_count AS rows,
    TRY_CAST(told ->> '$.files' AS BIGINT) AS files,
    TRY_CAST(told ->> '$.held_back' AS BIGINT) AS held_back,
    date_diff('microsecond', started_at, finished_at) / 1000 AS took_ms,
    snapshot_before,
    snapshot_after,
    detail
FROM chosen
ORDER BY started_at, run_id, job, target, detail
