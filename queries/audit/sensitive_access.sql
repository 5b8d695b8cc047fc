-- title: Access to sensitive data
-- question: Which agents read classified data?
-- window: from .. to
-- note: What comes into an agent's context counts as read: events of class context_retrieval, tool_call, prompt and input
--   that carry a classification or a regulation. What an agent writes (output, action) does not. A tool call that is told in
--   two events, request and result, of one tenant, run and tool_call_id counts once where both carry the same labels. Where one of the
--   two names neither data source nor tool, it has what the other names, the data source before the tool (the last by name, where the run gave that id to
--   several calls).
-- note: Without `level` every classification counts but public, and a regulation without a classification too. Levels
--   are compared as words, in any case of letters; that one is above another is known to your organisation, not to the log.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: level text = none: only these classifications, comma between them (confidential, restricted)
-- column: tenant VARCHAR: tenant
-- column: agent VARCHAR: the agent, its id, else its name
-- column: class VARCHAR: how it was read: context_retrieval, tool_call, prompt or input
-- column: data_source VARCHAR: the data source, else the tool; NULL for what the user or the caller gave
-- column: classification VARCHAR: classification, in lower case
-- column: regulation VARCHAR: regulation, such as GDPR or PCI-DSS
-- column: n BIGINT: reads
-- column: first_time TIMESTAMP WITH TIME ZONE: first of them
-- column: last_time TIMESTAMP WITH TIME ZONE: last of them
WITH labelled AS (
    SELECT tenant, coalesce(agent_id, agent_name) AS agent, event_class, coalesce(data_source_id, tool_name) AS source_or_tool,
        lower(classification) AS classification, regulation, event_time,
        -- what makes two events one call, NULL for an event that stands for itself
        CASE WHEN event_class = 'tool_call' AND tool_phase IN ('request', 'result') AND run_id IS NOT NULL THEN tool_call_id END AS call,
        CASE WHEN event_class = 'tool_call' AND tool_phase IN ('request', 'result') AND tool_call_id IS NOT NULL THEN run_id END AS call_run
    FROM agent_events
    WHERE event_class IN ('context_retrieval', 'tool_call', 'prompt', 'input')
        AND (classification IS NOT NULL OR regulation IS NOT NULL)
        AND CASE WHEN $level IS NULL THEN coalesce(lower(classification), '') <> 'public'
            ELSE list_contains(list_transform(string_split(lower($level), ','), lambda l: trim(l)), lower(classification)) END
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- Data sources or tools of calls of which a labelled event names none; what names it may carry no label.
named_by_call AS (
    SELECT e.tenant, e.run_id, e.tool_call_id, max(coalesce(e.data_source_id, e.tool_name)) AS source_or_tool
    FROM agent_events AS e
    JOIN (SELECT DISTINCT tenant, call_run, call FROM labelled WHERE call IS NOT NULL AND source_or_tool IS NULL) AS l
        ON l.call = e.tool_call_id AND l.call_run = e.run_id AND l.tenant IS NOT DISTINCT FROM e.tenant
    WHERE e.event_class = 'tool_call' AND e.tool_phase IN ('request', 'result')
        AND ($from IS NULL OR e.event_time >= $from)
        AND ($to IS NULL OR e.event_time < $to)
    GROUP BY e.tenant, e.run_id, e.tool_call_id
),
named AS (
    SELECT l.*, coalesce(l.source_or_tool, c.source_or_tool) AS data_source
    FROM labelled AS l
    LEFT JOIN named_by_call AS c ON l.source_or_tool IS NULL AND c.tool_call_id = l.call AND c.run_id = l.call_run AND c.tenant IS NOT DISTINCT FROM l.tenant
),
reads AS (
    SELECT tenant, agent, event_class, data_source, classification, regulation, count(*) AS n, min(event_time) AS first_time, max(event_time) AS last_time
    FROM named
    WHERE call IS NULL
    GROUP BY tenant, agent, event_class, data_source, classification, regulation
    UNION ALL
    SELECT tenant, agent, event_class, data_source, classification, regulation, 1, min(event_time), max(event_time)
    FROM named
    WHERE call IS NOT NULL
    GROUP BY tenant, agent, event_class, data_source, classification, regulation, call_run, call
)
SELECT
    tenant,
    agent,
    event_class AS class,
    data_source,
    classification,
    regulation,
    CAST(sum(n) AS BIGINT) AS n,
    min(first_time) AS first_time,
    max(last_time) AS last_time
FROM reads
GROUP BY tenant, agent, event_class, data_source, classification, regulation
ORDER BY n DESC, tenant NULLS FIRST, agent NULLS FIRST, class, data_source NULLS FIRST, classification NULLS FIRST, regulation NULLS FIRST
