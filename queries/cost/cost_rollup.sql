-- title: Cost rollup
-- question: What did it cost, by agent, model and tenant?
-- window: from .. to
-- note: Currencies are never added up. Outputs without a cost stand in unpriced, in the row without a currency.
--   A dimension that was not asked for is NULL. Tokens are those of outputs: an event that sums up others (of an agent, of a run) may
--   repeat theirs.
-- param: from timestamp = none: first moment of event_time
-- param: to timestamp = none: moment before which event_time lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: dimensions list(day|tenant|environment|agent|agent_version|model|class) = tenant,agent,model: what to group by; of nothing there is one row a currency
-- column: day DATE: day of event_time, UTC
-- column: tenant VARCHAR: tenant
-- column: environment VARCHAR: environment
-- column: agent VARCHAR: the agent, its id, else its name
-- column: agent_version VARCHAR: version of the agent
-- column: model VARCHAR: model that answered, else model asked for
-- column: class VARCHAR: event class
-- column: currency VARCHAR: ISO 4217 code, NULL for what has no cost or names no currency
-- column: cost DECIMAL(38,9): sum of the costs, exact
-- column: priced BIGINT: events with a cost
-- column: unpriced BIGINT: outputs without one
-- column: input_tokens BIGINT: tokens that outputs read, cached ones included
-- column: output_tokens BIGINT: tokens that outputs produced
-- column: cache_read_tokens BIGINT: input tokens that came from the provider's cache
-- column: cache_pct DOUBLE: their share of the input tokens, percent
WITH events AS (
    SELECT
        CASE WHEN grouping_by LIKE '%,day,%' THEN CAST(event_time AS DATE) END AS day,
        CASE WHEN grouping_by LIKE '%,tenant,%' THEN tenant END AS tenant,
        CASE WHEN grouping_by LIKE '%,environment,%' THEN environment END AS environment,
        CASE WHEN grouping_by LIKE '%,agent,%' THEN coalesce(agent_id, agent_name) END AS agent,
        CASE WHEN grouping_by LIKE '%,agent_version,%' THEN agent_version END AS agent_version,
        CASE WHEN grouping_by LIKE '%,model,%' THEN coalesce(response_model, request_model) END AS model,
        CASE WHEN grouping_by LIKE '%,class,%' THEN event_class END AS class,
        event_class, cost_amount,
        CASE WHEN cost_amount IS NOT NULL THEN cost_currency END AS currency,
        CASE WHEN event_class = 'output' THEN input_tokens END AS input_tokens,
        CASE WHEN event_class = 'output' THEN output_tokens END AS output_tokens,
        CASE WHEN event_class = 'output' THEN cache_read_tokens END AS cache_read_tokens
    FROM agent_events
    CROSS JOIN (SELECT ',' || $dimensions || ',' AS grouping_by) AS chosen
    WHERE ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
        AND (event_class = 'output' OR cost_amount IS NOT NULL)
)
SELECT
    day, tenant, environment, agent, agent_version, model, class,
    currency,
    CAST(sum(cost_amount) AS DECIMAL(38, 9)) AS cost,
    count(cost_amount) AS priced,
    count(CASE WHEN event_class = 'output' AND cost_amount IS NULL THEN 1 END) AS unpriced,
    CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
    CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
    CAST(coalesce(sum(cache_read_tokens), 0) AS BIGINT) AS cache_read_tokens,
    100.0 * coalesce(sum(cache_read_tokens), 0) / nullif(CAST(sum(input_tokens) AS DOUBLE), 0) AS cache_pct
FROM events
GROUP BY day, tenant, environment, agent, agent_version, model, class, currency
ORDER BY day NULLS FIRST, tenant NULLS FIRST, environment NULLS FIRST, agent NULLS FIRST, agent_version NULLS FIRST,
    model NULLS FIRST, class NULLS FIRST, currency NULLS FIRST
