-- title: Action ledger
-- question: Who did what to which system?
-- window: from .. to
-- note: One row per action event, each event once. The agent is the actor, the principal is who is accountable
--   for it. effect says how far it got: planned, committed, failed or compensated.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: principal text = none: only this principal, by id
-- param: target text = none: only this target system
-- column: time TIMESTAMP WITH TIME ZONE: when it happened at the agent
-- column: principal_type VARCHAR: kind of principal
-- column: principal VARCHAR: who is accountable
-- column: agent VARCHAR: the agent, its id, else its name
-- column: agent_version VARCHAR: version of the agent
-- column: action VARCHAR: what was done
-- column: target VARCHAR: system acted upon
-- column: resource VARCHAR: object acted upon
-- column: effect VARCHAR: planned, committed, failed or compensated
-- column: status VARCHAR: ok, error, denied or cancelled
-- column: approval VARCHAR: decision of the approval, NULL if none is recorded
-- column: approved_by VARCHAR: who approved
-- column: approved_at TIMESTAMP WITH TIME ZONE: when it was approved
-- column: policy VARCHAR: policy that was consulted
-- column: policy_decision VARCHAR: what the policy said
-- column: idempotency_key VARCHAR: key under which the effect must happen once
-- column: external_id VARCHAR: the target system's id of the effect
-- column: tenant VARCHAR: tenant
-- column: session_id VARCHAR: the conversation
-- column: run_id VARCHAR: the agent invocation
-- column: event_id VARCHAR: id of the event
-- column: source VARCHAR: its producer
-- column: kafka_topic VARCHAR: where the record stands in the log
-- column: kafka_partition INTEGER: its topic partition
-- column: kafka_offset BIGINT: its offset
-- column: environment VARCHAR: environment
SELECT
    event_time AS time,
    principal_type,
    principal_id AS principal,
    coalesce(agent_id, agent_name) AS agent,
    agent_version,
    action_name AS action,
    action_target AS target,
    action_resource AS resource,
    action_effect AS effect,
    status,
    approval_decision AS approval,
    approved_by,
    approved_at,
    policy_id AS policy,
    policy_decision,
    idempotency_key,
    action_external_id AS external_id,
    tenant,
    session_id,
    run_id,
    event_id,
    source,
    kafka_topic,
    kafka_partition,
    kafka_offset,
    environment
FROM actions
WHERE ($from IS NULL OR event_time >= $from)
    AND ($to IS NULL OR event_time < $to)
    AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
    AND ($environment IS NULL OR environment = $environment)
    AND ($tenant IS NULL OR tenant = $tenant)
    AND ($principal IS NULL OR principal_id = $principal)
    AND ($target IS NULL OR action_target = $target)
ORDER BY event_time, kafka_topic, kafka_partition, kafka_offset, record_index
