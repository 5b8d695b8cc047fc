-- title: Unapproved actions
-- question: What was committed without prior approval?
-- window: from - 1d .. to
-- note: Actions with effect committed, each event once, that no approval at or before their time can be shown for. An
--   action that does not tell its effect counts as committed unless its status is error, denied or cancelled. The
--   undoing of an action (compensated) needs no approval of its own.
-- note: approval_state says what lacks: none (nobody was asked, as far as is recorded), not approved (the decision is
--   another than approved, in any case of letters), undecided (an approver or a time, and no decision), undated
--   (approved, no one knows when) or late (approved after the action).
-- note: The approval is the action's own; where it records none, that of the tool call it was made by (the event that
--   its causation_id names, or a call of the same tenant, run and tool_call_id) or of the action as it was planned (effect planned;
--   named by causation_id, or of the same tenant, idempotency key, action and target: a key is not what was approved), up to a day
--   before from. Of several the one that speaks most for the action counts. What a policy said is shown and is no approval.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: actions text = none: only these actions, by name: comma between them, * for any letters (refund.*, payment.create)
-- column: time TIMESTAMP WITH TIME ZONE: when the action happened
-- column: agent VARCHAR: the agent, its id, else its name
-- column: principal VARCHAR: who is accountable
-- column: action VARCHAR: what was done
-- column: target VARCHAR: system acted upon
-- column: resource VARCHAR: object acted upon
-- column: effect VARCHAR: committed, NULL where the event does not say
-- column: approval_state VARCHAR: none, not approved, undecided, undated or late
-- column: decision VARCHAR: the decision as it was recorded
-- column: approved_by VARCHAR: who decided
-- column: approved_at TIMESTAMP WITH TIME ZONE: when
-- column: lag_ms DOUBLE: approved_at - time, milliseconds: above 0 the decision came after the action
-- column: approval_on VARCHAR: action, planned action or tool_call: which event records it
-- column: policy VARCHAR: policy that was consulted
-- column: policy_decision VARCHAR: what the policy said
-- column: tenant VARCHAR: tenant
-- column: run_id VARCHAR: the agent invocation
-- column: event_id VARCHAR: id of the event
-- column: source VARCHAR: its producer
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
-- column: environment VARCHAR: environment
WITH done AS (
    SELECT event_time, agent_id, agent_name, principal_id, action_name, action_target, action_resource, action_effect, approval_decision, approved_by, approved_at,
        policy_id, policy_decision, tenant, run_id, tool_call_id, idempotency_key, coalesce(causation_source, source) AS cause_source, causation_id,
        event_id, source, kafka_topic, kafka_partition, kafka_offset, record_index,
        environment, approval_decision IS NOT NULL OR approved_by IS NOT NULL OR approved_at IS NOT NULL AS own
    FROM agent_events
    WHERE event_class = 'action'
        AND (action_effect = 'committed' OR action_effect IS NULL AND coalesce(status, '') NOT IN ('error', 'denied', 'cancelled'))
        AND NOT coalesce(lower(approval_decision) = 'approved' AND approved_at <= event_time, false)
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
        AND ($actions IS NULL OR regexp_full_match(action_name,
            -- a comma, blanks around it, is or; a star is anything; all other signs stand for themselves, and only those of ASCII need a backslash
            regexp_replace(replace(regexp_replace(trim($actions), '[^a-zA-Z0-9*, \x{80}-\x{10FFFF}]', '\\\0', 'g'), '*', '.*'), ' *, *', '|', 'g')))
),
-- Tool calls and plans that an approval was given to.
asked AS (
    SELECT CASE event_class WHEN 'action' THEN 'planned action' ELSE event_class END AS approval_on,
        tenant, run_id, tool_call_id, idempotency_key, action_name, action_target, source, event_id, approval_decision, approved_by, approved_at
    FROM agent_events
    WHERE (event_class = 'tool_call' OR event_class = 'action' AND action_effect = 'planned')
        AND (approval_decision IS NOT NULL OR approved_by IS NOT NULL OR approved_at IS NOT NULL)
),
approvals AS (
    SELECT source, event_id, 'action' AS approval_on, approval_decision, approved_by, approved_at
    FROM done
    WHERE own
    UNION ALL
    SELECT d.source, d.event_id, c.approval_on, c.approval_decision, c.approved_by, c.approved_at
    FROM done d
    JOIN asked c ON c.source = d.cause_source AND c.event_id = d.causation_id
    WHERE NOT d.own
    UNION ALL
    SELECT d.source, d.event_id, c.approval_on, c.approval_decision, c.approved_by, c.approved_at
    FROM done d
    JOIN asked c ON c.run_id = d.run_id AND c.tool_call_id = d.tool_call_id AND c.tenant IS NOT DISTINCT FROM d.tenant
    WHERE NOT d.own AND c.approval_on = 'tool_call'
    UNION ALL
    SELECT d.source, d.event_id, c.approval_on, c.approval_decision, c.approved_by, c.approved_at
    FROM done d
    JOIN asked c ON c.idempotency_key = d.idempotency_key AND c.tenant IS NOT DISTINCT FROM d.tenant
        AND c.action_name IS NOT DISTINCT FROM d.action_name AND c.action_target IS NOT DISTINCT FROM d.action_target
    WHERE NOT d.own AND c.approval_on = 'planned action' AND d.idempotency_key <> ''
),
-- 1 is approved before, on a tool call or plan; of the others the one that speaks most for the action comes first.
judged AS (
    SELECT d.*, a.approval_on, a.approval_decision AS decision, a.approved_by AS decided_by, a.approved_at AS decided_at,
        CASE
            WHEN a.approval_on IS NULL THEN 6
            WHEN lower(a.approval_decision) = 'approved' AND a.approved_at <= d.event_time THEN 1
            WHEN lower(a.approval_decision) = 'approved' AND a.approved_at IS NOT NULL THEN 2
            WHEN lower(a.approval_decision) = 'approved' THEN 3
            WHEN a.approval_decision IS NULL THEN 4
            ELSE 5
        END AS state
    FROM done d
    LEFT JOIN approvals a ON a.source = d.source AND a.event_id = d.event_id
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY source, event_id ORDER BY state, decided_at NULLS LAST, decision NULLS LAST, decided_by NULLS LAST, approval_on) AS nth
    FROM judged
)
SELECT
    event_time AS time,
    coalesce(agent_id, agent_name) AS agent,
    principal_id AS principal,
    action_name AS action,
    action_target AS target,
    action_resource AS resource,
    action_effect AS effect,
    CASE state WHEN 2 THEN 'late' WHEN 3 THEN 'undated' WHEN 4 THEN 'undecided' WHEN 5 THEN 'not approved' ELSE 'none' END AS approval_state,
    decision,
    decided_by AS approved_by,
    decided_at AS approved_at,
    date_diff('microsecond', event_time, decided_at) / 1000 AS lag_ms,
    approval_on,
    policy_id AS policy,
    policy_decision,
    tenant,
    run_id,
    event_id,
    source,
    kafka_topic,
    kafka_partition,
    kafka_offset,
    environment
FROM ranked
WHERE nth = 1 AND state > 1
ORDER BY event_time, kafka_topic, kafka_partition, kafka_offset, record_index
