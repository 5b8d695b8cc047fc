-- title: Pass@k and pass^k
-- question: How often does a task succeed in at least one of k trials, and how often in all of k?
-- window: from - 1d .. to + 1d
-- note: A trial is a run with a score; it succeeded if its last score of the evaluation is at least pass_score (ties of time go by place in
--   the log). The trials of one task are those of the same session, subject or whatever task names, within tenant and row. With task
--   position the n-th run of every variant, agent version and experiment is a trial of task n: for a suite that each of them ran once,
--   whole and in the same order. A run of which nothing names the task is a task of its own.
-- note: pass@k of a task with n trials of which c succeeded is 1 - C(n - c, k) / C(n, k) (Chen et al. 2021), pass^k is C(c, k) / C(n, k)
--   (Yao et al. 2024): what to expect of k trials drawn from those n. value is their mean over tasks, each task counting once; tasks
--   with fewer than k trials are left out, so values of different k may be of different tasks: see tasks.
-- note: ci_low and ci_high are the 95 % normal interval of that mean, from the variance between tasks (Miller 2024, Adding Error Bars to Evals), kept
--   within 0 and 1; too narrow below some 30 tasks, and NULL for one.
-- note: A run counts where it began, and is followed for a day beyond from and to. It is of the variant that its events name, the
--   first by name where they name several, and of each experiment that they name; by agent, agent_version or evaluation it counts once, its
--   place being that among the runs of its first experiment. The agent is that which did the work, not the judge's, the first by name, with
--   a version that stands beside it in an event, the first by name.
-- param: from timestamp = none: first moment in which a run may begin
-- param: to timestamp = none: moment before which it begins
-- param: agent text = none: only runs in which this agent does work, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: experiment text = none: only runs of this experiment
-- param: evaluation text = none: only this evaluation
-- param: pass_score number = 0.5: a score of at least this is a success
-- param: task text = session: what makes runs trials of one task: session, subject, position, or an attribute of the evaluation's data (benchmark.task)
-- param: by choice(variant|agent_version|agent|evaluation) = variant: a row for each
-- param: k integer(1..100) = 4: up to how many trials
-- column: evaluation VARCHAR: name of the evaluation
-- column: experiment VARCHAR: the experiment, by variant only
-- column: variant VARCHAR: its variant, by variant only; NULL for runs of none
-- column: agent VARCHAR: the agent, its id, else its name, by agent and agent_version only
-- column: agent_version VARCHAR: its version, by agent_version only
-- column: measure VARCHAR: pass@k or pass^k
-- column: k BIGINT: trials
-- column: tasks BIGINT: tasks with at least k trials
-- column: trials BIGINT: their trials
-- column: successes BIGINT: of which succeeded
-- column: value DOUBLE: mean over the tasks
-- column: ci_low DOUBLE: its 95 % confidence interval
-- column: ci_high DOUBLE: its upper end
-- example: --by agent --task position --k 4
-- example: --experiment prompt-rewrite --task benchmark.task
WITH events AS NOT MATERIALIZED (
    SELECT tenant, run_id, session_id, subject, event_time, event_class, evaluation_name, evaluation_score, experiment, variant, agent_version,
        kafka_topic, kafka_partition, kafka_offset, record_index,
        coalesce(agent_id, agent_name) AS agent,
        $agent IS NULL OR coalesce(agent_id = $agent, false) OR coalesce(agent_name = $agent, false) AS of_agent
    FROM agent_events
    WHERE run_id IS NOT NULL
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($to IS NULL OR event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- The variant of a run in each experiment that it is of.
marks AS (
    SELECT tenant, run_id, experiment, min(variant) AS variant,
        row_number() OVER (PARTITION BY tenant, run_id ORDER BY experiment) AS place
    FROM events
    WHERE experiment IS NOT NULL AND variant IS NOT NULL AND ($experiment IS NULL OR experiment = $experiment)
    GROUP BY tenant, run_id, experiment
),
runs AS (
    SELECT r.*, m.experiment, m.variant, r.worker.agent AS agent, r.worker.version AS agent_version,
        row_number() OVER (PARTITION BY r.tenant, m.experiment, m.variant, r.worker.agent, r.worker.version ORDER BY r.began, r.run_id) AS position
    FROM (
        SELECT tenant, run_id,
            min(event_time) AS began,
            min(session_id) AS session_id,
            min(subject) AS subject,
            -- the least of a struct goes by its fields in turn, so that they are of one event
            min({'nameless': agent IS NULL, 'judge': event_class = 'evaluation', 'agent': agent, 'version': agent_version}) AS worker,
            count(CASE WHEN of_agent AND event_class <> 'evaluation' THEN 1 END) AS of_agent
        FROM events
        GROUP BY tenant, run_id
    ) AS r
    LEFT JOIN marks AS m ON m.run_id = r.run_id AND m.tenant IS NOT DISTINCT FROM r.tenant AND ($by = 'variant' OR m.place = 1)
    WHERE ($from IS NULL OR r.began >= $from)
        AND ($to IS NULL OR r.began < $to)
        AND ($agent IS NULL OR r.of_agent > 0)
        AND ($experiment IS NULL OR m.experiment IS NOT NULL)
),
-- What an attribute of the evaluations names as the task; nobody else needs the payload.
named AS (
    SELECT tenant, run_id, min(attribute(payload, $task)) AS task
    FROM agent_events
    WHERE event_class = 'evaluation' AND run_id IS NOT NULL AND evaluation_score IS NOT NULL
        AND $task NOT IN ('session', 'subject', 'position')
        AND ($evaluation IS NULL OR evaluation_name = $evaluation)
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($to IS NULL OR event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
    GROUP BY tenant, run_id
),
outcomes AS (
    SELECT tenant, run_id, evaluation_name, evaluation_score >= $pass_score AS success
    FROM (
        SELECT *, row_number() OVER (PARTITION BY tenant, run_id, evaluation_name
            ORDER BY event_time DESC, kafka_topic DESC, kafka_partition DESC, kafka_offset DESC, record_index DESC) AS from_last
        FROM events
        WHERE event_class = 'evaluation' AND evaluation_score IS NOT NULL
            AND ($evaluation IS NULL OR evaluation_name = $evaluation)
    ) AS scored
    WHERE from_last = 1
),
tasks AS (
    SELECT evaluation, experiment, variant, agent, agent_version, count(*) AS n, count(CASE WHEN success THEN 1 END) AS c
    FROM (
        SELECT o.evaluation_name AS evaluation, o.success, r.tenant,
            CASE WHEN $by = 'variant' THEN r.experiment END AS experiment,
            CASE WHEN $by = 'variant' THEN r.variant END AS variant,
            CASE WHEN $by LIKE 'agent%' THEN r.agent END AS agent,
            CASE WHEN $by = 'agent_version' THEN r.agent_version END AS agent_version,
            CASE $task WHEN 'session' THEN r.session_id WHEN 'subject' THEN r.subject WHEN 'position' THEN CAST(r.position AS VARCHAR)
                ELSE CASE WHEN (SELECT count(task) FROM named) > 0 THEN named.task
                    ELSE error('usage: no evaluation with a score has the attribute ' || $task || ', which --task names: it is session, subject, position or an attribute') END END AS task,
            r.run_id
        FROM outcomes AS o
        JOIN runs AS r ON r.run_id = o.run_id AND r.tenant IS NOT DISTINCT FROM o.tenant
        LEFT JOIN named ON named.run_id = o.run_id AND named.tenant IS NOT DISTINCT FROM o.tenant
    ) AS trials
    GROUP BY evaluation, experiment, variant, agent, agent_version, tenant, task, CASE WHEN task IS NULL THEN run_id END
),
measured AS (
    SELECT evaluation, experiment, variant, agent, agent_version, measure, k, n, c,
        CASE measure WHEN 'pass@k' THEN pass_at_k(n, c, k) ELSE pass_hat_k(n, c, k) END AS value
    FROM tasks
    JOIN (SELECT unnest(range(1, 101)) AS k) AS trials ON k <= n AND k <= $k
    CROSS JOIN (VALUES ('pass@k'), ('pass^k')) AS measures(measure)
),
-- Sums of fractions are taken in order, so that rounding is the same each time.
means AS (
    SELECT evaluation, experiment, variant, agent, agent_version, measure, k,
        count(*) AS tasks,
        CAST(sum(n) AS BIGINT) AS trials,
        CAST(sum(c) AS BIGINT) AS successes,
        max(mean) AS value,
        1.959963984540054 * sqrt(sum(pow(value - mean, 2) ORDER BY n, c) / nullif(count(*) - 1, 0) / count(*)) AS margin
    FROM (
        SELECT *, sum(value) OVER (PARTITION BY evaluation, experiment, variant, agent, agent_version, measure, k ORDER BY n, c
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) / count(*) OVER (PARTITION BY evaluation, experiment, variant, agent, agent_version, measure, k) AS mean
        FROM measured
    ) AS with_mean
    GROUP BY evaluation, experiment, variant, agent, agent_version, measure, k
)
SELECT evaluation, experiment, variant, agent, agent_version, measure, k, tasks, trials, successes, value,
    CASE WHEN margin IS NOT NULL THEN greatest(0.0, value - margin) END AS ci_low,
    CASE WHEN margin IS NOT NULL THEN least(1.0, value + margin) END AS ci_high
FROM means
ORDER BY evaluation NULLS FIRST, experiment NULLS FIRST, variant NULLS FIRST, agent NULLS FIRST, agent_version NULLS FIRST, measure, k
