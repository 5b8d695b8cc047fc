-- title: Duplicate side effects
-- question: Was one idempotency key committed twice?
-- window: from - 7d .. to
-- note: Actions with effect committed, each event once (an event that its producer sent again is no second effect), by
--   tenant and idempotency key; an empty key is none. Commits belong together while each follows the one before within
--   `window` hours; a row is two or more of them.
-- note: A key that several targets got is listed as well: targets says so, and whether that is a mistake depends on what
--   your keys are for. One external_id in all commits means that the target system took the second for a repeat of the
--   first. compensated counts the undoings under the same tenant and key, from the first commit of the row to the next row's;
--   state is compensated where they leave one commit at most, else open.
-- note: A row is of the time of its last commit: it is listed where that lies in from .. to. What came up to 7 days before from
--   is read: so a commit of yesterday and its repeat of today are today's. With a
--   `window` above 168 a repeat is missed that came later than 7 days, unless no from is given. A row of yesterday that goes on today is
--   listed on both days. n, compensated and state are of what was read: what is undone from to on is still open, and of a row that
--   began before those 7 days a part is left out.
-- note: agent and environment choose rows of which some commit is of both; the row lists all of its commits.
-- param: from timestamp = none: first moment of the last commit
-- param: to timestamp = none: moment before which it lies
-- param: agent text = none: only keys that this agent committed, by id or name
-- param: environment text = none: only keys that were committed in this environment
-- param: tenant text = none: only this tenant
-- param: window number = 24: hours between two commits of a key that still belong together
-- column: tenant VARCHAR: tenant
-- column: key VARCHAR: the idempotency key
-- column: n BIGINT: commits under it
-- column: compensated BIGINT: of these undone
-- column: state VARCHAR: open or compensated
-- column: actions VARCHAR: names of the actions, sorted
-- column: targets VARCHAR: systems acted upon, sorted
-- column: resources VARCHAR: objects acted upon, sorted
-- column: external_ids VARCHAR: the target systems' ids of the effects, sorted
-- column: agents VARCHAR: agents that committed, sorted
-- column: first_time TIMESTAMP WITH TIME ZONE: first commit
-- column: last_time TIMESTAMP WITH TIME ZONE: last commit
-- column: event_ids VARCHAR: ids of the commits, in order of time
WITH effects AS (
    SELECT tenant, idempotency_key, event_time, kafka_topic, kafka_partition, kafka_offset, record_index,
        action_effect = 'committed' AS committed,
        -- what is listed of the commits alone
        CASE WHEN action_effect = 'committed' THEN event_time END AS committed_at,
        CASE WHEN action_effect = 'committed' THEN action_name END AS action,
        CASE WHEN action_effect = 'committed' THEN action_target END AS target,
        CASE WHEN action_effect = 'committed' THEN action_resource END AS resource,
        CASE WHEN action_effect = 'committed' THEN action_external_id END AS external_id,
        CASE WHEN action_effect = 'committed' THEN coalesce(agent_id, agent_name) END AS agent,
        CASE WHEN action_effect = 'committed' THEN event_id END AS event_id,
        CASE WHEN action_effect = 'committed' AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
            AND ($environment IS NULL OR environment = $environment) THEN 1 END AS asked_for
    FROM agent_events
    WHERE event_class = 'action' AND action_effect IN ('committed', 'compensated') AND idempotency_key <> ''
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 7 DAY)
        AND ($to IS NULL OR event_time < $to)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- Most keys were committed once: they go before anything is sorted.
repeated AS (
    SELECT tenant, idempotency_key
    FROM effects
    WHERE committed
    GROUP BY tenant, idempotency_key
    HAVING count(*) > 1
),
suspects AS (
    SELECT e.*, max(e.committed_at) OVER before AS commit_before
    FROM effects e
    JOIN repeated r ON r.tenant IS NOT DISTINCT FROM e.tenant AND r.idempotency_key = e.idempotency_key
    WINDOW before AS (
        PARTITION BY e.tenant, e.idempotency_key
        ORDER BY e.event_time, e.kafka_topic, e.kafka_partition, e.kafka_offset, e.record_index
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
-- nth says to which of its key's rows an event belongs; 0 is before any commit.
grouped AS (
    SELECT *,
        count(CASE WHEN committed AND (commit_before IS NULL OR date_diff('microsecond', commit_before, event_time) > $window * 3.6e9) THEN 1 END) OVER (
            PARTITION BY tenant, idempotency_key
            ORDER BY event_time, kafka_topic, kafka_partition, kafka_offset, record_index
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS nth
    FROM suspects
)
SELECT
    tenant,
    idempotency_key AS key,
    count(committed_at) AS n,
    count(*) - count(committed_at) AS compensated,
    CASE WHEN 2 * count(committed_at) - count(*) <= 1 THEN 'compensated' ELSE 'open' END AS state,
    string_agg(DISTINCT action, ', ' ORDER BY action) AS actions,
    string_agg(DISTINCT target, ', ' ORDER BY target) AS targets,
    string_agg(DISTINCT resource, ', ' ORDER BY resource) AS resources,
    string_agg(DISTINCT external_id, ', ' ORDER BY external_id) AS external_ids,
    string_agg(DISTINCT agent, ', ' ORDER BY agent) AS agents,
    min(committed_at) AS first_time,
    max(committed_at) AS last_time,
    string_agg(event_id, ', ' ORDER BY event_time, kafka_topic, kafka_partition, kafka_offset, record_index) AS event_ids
FROM grouped
WHERE nth > 0
GROUP BY tenant, idempotency_key, nth
HAVING count(committed_at) > 1
    AND count(asked_for) > 0
    AND ($from IS NULL OR max(committed_at) >= $from)
ORDER BY first_time, tenant NULLS FIRST, key, last_time, event_ids
