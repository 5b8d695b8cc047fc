-- title: Cost per outcome
-- question: What does a success cost, and what was wasted on failures?
-- window: from - 1d .. to + 1d
-- note: A run (or, per session, a conversation) is a success if its last score of an evaluation is at least pass_score, else a failure;
--   ties of time go by place in the log. Evaluations without a score do not count. Each evaluation is told for itself, so a run
--   that was judged by two stands under both.
-- note: The cost of a run is that of its events and of the events of all runs that it called, and they called (parent_run_id, within the
--   tenant); of a conversation, that of its events. A run that was judged and called by a run that was judged too costs both. What was
--   never judged is not counted here: cost_rollup has all costs.
-- note: Currencies are never added up: a run that cost in two stands in both rows, and one that cost nothing known in the row
--   without a currency. So do costs that name none.
-- note: cost_per_success is the cost of all runs, failures too, for each success. A run counts where it began, all of it, and is
--   followed for a day beyond from and to: an evaluation that comes later is not seen. The agent is that which did the work, not the
--   judge's.
-- param: from timestamp = none: first moment in which a run may begin
-- param: to timestamp = none: moment before which it begins
-- param: agent text = none: only runs in which this agent does work, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: evaluation text = none: only this evaluation
-- param: pass_score number = 0.5: a score of at least this is a success
-- param: per choice(run|session) = run: what is judged
-- column: tenant VARCHAR: tenant; agents of the same id at two tenants are two
-- column: evaluation VARCHAR: name of the evaluation
-- column: agent VARCHAR: the agent, its id, else its name (the first by name where there are several)
-- column: agent_version VARCHAR: its version (the first by name that stands beside it in an event)
-- column: currency VARCHAR: ISO 4217 code, NULL for what has no cost or names no currency
-- column: judged BIGINT: runs (or sessions) with a score
-- column: successes BIGINT: those that passed
-- column: failures BIGINT: those that did not
-- column: unpriced BIGINT: those with an output without a cost: they cost more than the log knows
-- column: cost DECIMAL(38,9): cost of all, exact
-- column: success_cost DECIMAL(38,9): cost of the successes
-- column: wasted DECIMAL(38,9): cost of the failures
-- column: wasted_pct DOUBLE: wasted of cost, percent
-- column: cost_per_success DOUBLE: cost / successes
-- example: --from 7d --evaluation task_success --per session
WITH RECURSIVE events AS NOT MATERIALIZED (
    SELECT tenant, event_time, event_class, cost_amount, evaluation_name, evaluation_score, agent_version, parent_run_id,
        kafka_topic, kafka_partition, kafka_offset, record_index,
        CASE $per WHEN 'run' THEN run_id ELSE session_id END AS unit,
        coalesce(agent_id, agent_name) AS agent,
        CASE WHEN cost_amount IS NOT NULL THEN cost_currency END AS currency,
        $agent IS NULL OR coalesce(agent_id = $agent, false) OR coalesce(agent_name = $agent, false) AS of_agent,
        event_class = 'output' AND cost_amount IS NULL AS unpriced
    FROM agent_events
    WHERE CASE $per WHEN 'run' THEN run_id ELSE session_id END IS NOT NULL
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($to IS NULL OR event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- The events in one pass, by unit and currency (NULL: no cost, or one that names none), of which there are few each.
by_currency AS MATERIALIZED (
    SELECT tenant, unit, currency,
        min(event_time) AS began,
        count(CASE WHEN of_agent AND event_class <> 'evaluation' THEN 1 END) AS of_agent,
        -- the least of a struct goes by its fields in turn, so that they are of one event
        min({'nameless': agent IS NULL, 'judge': event_class = 'evaluation', 'agent': agent, 'version': agent_version}) AS worker,
        sum(cost_amount) AS cost,
        max(CASE WHEN unpriced THEN 1 ELSE 0 END) AS unpriced
    FROM events
    GROUP BY tenant, unit, currency
),
units AS (
    SELECT tenant, unit,
        min(began) AS began,
        sum(of_agent) AS of_agent,
        min(worker) AS worker
    FROM by_currency
    GROUP BY tenant, unit
),
-- The last score of each evaluation of a unit.
outcomes AS (
    SELECT tenant, unit, evaluation_name, evaluation_score >= $pass_score AS success
    FROM (
        SELECT *, row_number() OVER (PARTITION BY tenant, unit, evaluation_name
            ORDER BY event_time DESC, kafka_topic DESC, kafka_partition DESC, kafka_offset DESC, record_index DESC) AS from_last
        FROM events
        WHERE event_class = 'evaluation' AND evaluation_score IS NOT NULL
    ) AS scored
    WHERE from_last = 1
),
calls AS (
    SELECT tenant, unit, parent_run_id AS caller
    FROM events
    WHERE $per = 'run' AND parent_run_id <> unit
    GROUP BY tenant, unit, parent_run_id
),
-- Each run with all that called it, near or far; UNION ends where calls go round in a circle.
above AS (
    SELECT tenant, unit, caller FROM calls
    UNION
    SELECT above.tenant, above.unit, calls.caller
    FROM above
    JOIN calls ON calls.unit = above.caller AND calls.tenant IS NOT DISTINCT FROM above.tenant
    WHERE calls.caller <> above.unit
),
own AS (
    SELECT tenant, unit, currency, cost, unpriced
    FROM by_currency
    WHERE cost IS NOT NULL OR unpriced = 1
),
spent AS (
    SELECT tenant, unit, currency, sum(cost) AS cost, max(unpriced) AS unpriced
    FROM (
        SELECT tenant, unit, currency, cost, unpriced FROM own
        UNION ALL
        SELECT own.tenant, above.caller, own.currency, own.cost, own.unpriced
        FROM own
        JOIN above ON above.unit = own.unit AND above.tenant IS NOT DISTINCT FROM own.tenant
    ) AS own_and_called
    GROUP BY tenant, unit, currency
),
judged AS (
    SELECT o.tenant, o.evaluation_name AS evaluation, u.worker.agent AS agent, u.worker.version AS agent_version, o.success, s.currency, s.cost, coalesce(g.unpriced, 0) AS unpriced
    FROM outcomes AS o
    JOIN units AS u ON u.unit = o.unit AND u.tenant IS NOT DISTINCT FROM o.tenant
    LEFT JOIN (SELECT * FROM spent WHERE cost IS NOT NULL) AS s ON s.unit = o.unit AND s.tenant IS NOT DISTINCT FROM o.tenant
    LEFT JOIN (SELECT tenant, unit, max(unpriced) AS unpriced FROM spent GROUP BY tenant, unit) AS g ON g.unit = o.unit AND g.tenant IS NOT DISTINCT FROM o.tenant
    WHERE ($from IS NULL OR u.began >= $from)
        AND ($to IS NULL OR u.began < $to)
        AND ($agent IS NULL OR u.of_agent > 0)
        AND ($evaluation IS NULL OR o.evaluation_name = $evaluation)
),
counted AS (
    SELECT tenant, evaluation, agent, agent_version, currency,
        count(*) AS judged,
        count(CASE WHEN success THEN 1 END) AS successes,
        count(CASE WHEN NOT success THEN 1 END) AS failures,
        count(CASE WHEN unpriced = 1 THEN 1 END) AS unpriced,
        CAST(sum(cost) AS DECIMAL(38, 9)) AS cost,
        CAST(sum(CASE WHEN success THEN cost WHEN cost IS NOT NULL THEN 0 END) AS DECIMAL(38, 9)) AS success_cost,
        CAST(sum(CASE WHEN NOT success THEN cost WHEN cost IS NOT NULL THEN 0 END) AS DECIMAL(38, 9)) AS wasted
    FROM judged
    GROUP BY tenant, evaluation, agent, agent_version, currency
)
SELECT *,
    100.0 * CAST(wasted AS DOUBLE) / nullif(CAST(cost AS DOUBLE), 0) AS wasted_pct,
    CAST(cost AS DOUBLE) / nullif(successes, 0) AS cost_per_success
FROM counted
ORDER BY tenant NULLS FIRST, evaluation NULLS FIRST, agent NULLS FIRST, agent_version NULLS FIRST, currency NULLS FIRST
