-- title: Sources to actions
-- question: Which data sources feed which systems?
-- window: from .. to
-- note: A retrieval (class context_retrieval, by its data source, else its tool) feeds every action that comes after it in the
--   same run, or with `within` session in the same conversation; runs and conversations are told apart by tenant. After is
--   by sequence where both events of a run have one, else by time, and the same moment counts as after. That is what
--   the agent had before it when it acted, not proof that it made use of it.
-- note: An action counts once for a source, however often that was asked, and once for each source; n over all rows is
--   therefore more than the number of actions. Actions of every effect count; committed says how many went through. What
--   lies outside of from and to, and events without a run (or conversation), do not count.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only actions of this agent, by id or name, whichever agent of the run retrieved
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: within choice(run|session) = run: in what retrieval and action must meet
-- column: tenant VARCHAR: tenant
-- column: data_source VARCHAR: data source, else tool; NULL where the retrieval names neither
-- column: target VARCHAR: system acted upon
-- column: runs BIGINT: runs (or conversations) in which that happened
-- column: n BIGINT: actions fed
-- column: committed BIGINT: of these with effect committed
-- column: first_time TIMESTAMP WITH TIME ZONE: first such action
-- column: last_time TIMESTAMP WITH TIME ZONE: last such action
WITH events AS (
    SELECT tenant, CASE WHEN $within = 'session' THEN session_id ELSE run_id END AS unit, event_class, event_time,
        CASE WHEN $within = 'run' THEN sequence END AS sequence,
        coalesce(data_source_id, tool_name) AS data_source, action_target, action_effect,
        $agent IS NULL OR agent_id = $agent OR agent_name = $agent AS of_agent
    FROM agent_events
    WHERE event_class IN ('context_retrieval', 'action')
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- What was first asked of a source in a run decides which actions came after one.
retrieved AS (
    SELECT tenant, unit, data_source,
        min(sequence) AS first_sequence,
        min(event_time) AS first_moment,
        min(CASE WHEN sequence IS NULL THEN event_time END) AS first_unnumbered
    FROM events
    WHERE event_class = 'context_retrieval' AND unit IS NOT NULL
    GROUP BY tenant, unit, data_source
),
fed AS (
    SELECT a.tenant, a.unit, r.data_source, a.action_target AS target, count(*) AS n,
        count(CASE WHEN a.action_effect = 'committed' THEN 1 END) AS committed,
        min(a.event_time) AS first_time, max(a.event_time) AS last_time
    FROM events a
    JOIN retrieved r ON r.unit = a.unit AND r.tenant IS NOT DISTINCT FROM a.tenant
    WHERE a.event_class = 'action' AND a.of_agent
        AND CASE WHEN a.sequence IS NULL THEN r.first_moment <= a.event_time
            ELSE coalesce(r.first_sequence < a.sequence, false) OR coalesce(r.first_unnumbered <= a.event_time, false) END
    GROUP BY a.tenant, a.unit, r.data_source, a.action_target
)
SELECT
    tenant,
    data_source,
    target,
    count(*) AS runs,
    CAST(sum(n) AS BIGINT) AS n,
    CAST(sum(committed) AS BIGINT) AS committed,
    min(first_time) AS first_time,
    max(last_time) AS last_time
FROM fed
GROUP BY tenant, data_source, target
ORDER BY n DESC, tenant NULLS FIRST, data_source NULLS FIRST, target NULLS FIRST
