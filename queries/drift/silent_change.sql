-- title: Silent changes
-- question: Did a model, a prompt, the tools or a sampling setting change under the same agent version?
-- window: from - 7d .. to
-- note: Settings are the response's model, the requested one, provider, prompt version and hash (by name of the prompt),
--   hash of the tools, temperature, top_p, top_k and seed, as inputs and outputs tell them; where an event does not tell, it
--   does not count. An agent version is that of one agent (by id, else name), tenant and environment; no version is one too.
-- note: Each row is a value that was not in use before. It is not enough that the run before had another: two models that
--   requests are routed to by turns are no change each time. A value is told of where it is seen first, if it had been
--   in at least evidence runs (10) of those before, had it been as frequent as since; none had it. It is told of again where it
--   comes back: after a pause in which, as frequent as before, it had been in at least evidence runs. A pause counts
--   from the fifth run with the value on.
-- note: A setting with more than five values, and more than one for every five runs, varies by design (a seed drawn anew, a
--   prompt with the date in it): it is not told of.
-- note: With from, a value is new if it was not in use in the 7 days before, and changes from then on are told; without it,
--   the first 10 runs of a version can hold no change. Runs count by tenant and run_id; an event without one is its own.
-- param: from timestamp = none: first moment of first_seen
-- param: to timestamp = none: moment before which first_seen lies
-- param: agent text = none: only this agent, by id or name
-- param: environment text = none: only this environment
-- param: tenant text = none: only this tenant
-- param: evidence number = 10: runs that had to have the value, had it been in use before
-- example: --from 7d
-- example: --agent support --evidence 3
-- column: first_seen TIMESTAMP WITH TIME ZONE: first event with the new value, or the first after its pause
-- column: tenant VARCHAR: tenant
-- column: environment VARCHAR: environment
-- column: agent VARCHAR: the agent, its id, else its name
-- column: agent_version VARCHAR: version of the agent, the same before and after
-- column: setting VARCHAR: what changed
-- column: prompt_name VARCHAR: name of the prompt, of prompt_version and prompt_sha256
-- column: old VARCHAR: value last in use before
-- column: new VARCHAR: value in use from then on
-- column: runs_before BIGINT: runs without the new value before, since the version's first or since its pause began
-- column: runs_after BIGINT: runs with the new value from then on
-- column: old_after BIGINT: runs with the old value from then on: 0 where it was replaced, more where both are in use
-- column: run_id VARCHAR: first run with the new value
WITH spreads AS (
    SELECT tenant, environment, coalesce(agent_id, agent_name) AS agent, agent_version, prompt_name,
        min(response_model) AS least_response_model, max(response_model) AS greatest_response_model,
        min(request_model) AS least_request_model, max(request_model) AS greatest_request_model,
        min(provider) AS least_provider, max(provider) AS greatest_provider,
        min(prompt_version) AS least_prompt_version, max(prompt_version) AS greatest_prompt_version,
        min(prompt_sha256) AS least_prompt_sha256, max(prompt_sha256) AS greatest_prompt_sha256,
        min(tools_sha256) AS least_tools_sha256, max(tools_sha256) AS greatest_tools_sha256,
        min(temperature) AS least_temperature, max(temperature) AS greatest_temperature,
        min(top_p) AS least_top_p, max(top_p) AS greatest_top_p,
        min(top_k) AS least_top_k, max(top_k) AS greatest_top_k,
        min(seed) AS least_seed, max(seed) AS greatest_seed
    FROM agent_events
    WHERE event_class IN ('input', 'output')
        AND coalesce(agent_id, agent_name) IS NOT NULL
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 7 DAY)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR agent_id = $agent OR agent_name = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($tenant IS NULL OR tenant = $tenant)
    GROUP BY tenant, environment, coalesce(agent_id, agent_name), agent_version, prompt_name
),
-- A history is that of one setting of an agent version. Most have one value alone, and are left here.
spreads_of_settings AS (
    SELECT tenant, environment, agent, agent_version, setting,
        CASE WHEN setting IN ('prompt_version', 'prompt_sha256') THEN prompt_name END AS prompt_name,
        CASE setting
            WHEN 'response_model' THEN least_response_model
            WHEN 'request_model' THEN least_request_model
            WHEN 'provider' THEN least_provider
            WHEN 'prompt_version' THEN least_prompt_version
            WHEN 'prompt_sha256' THEN least_prompt_sha256
            WHEN 'tools_sha256' THEN least_tools_sha256
            WHEN 'temperature' THEN CAST(least_temperature AS VARCHAR)
            WHEN 'top_p' THEN CAST(least_top_p AS VARCHAR)
            WHEN 'top_k' THEN CAST(least_top_k AS VARCHAR)
            WHEN 'seed' THEN CAST(least_seed AS VARCHAR)
        END AS least,
        CASE setting
            WHEN 'response_model' THEN greatest_response_model
            WHEN 'request_model' THEN greatest_request_model
            WHEN 'provider' THEN greatest_provider
            WHEN 'prompt_version' THEN greatest_prompt_version
            WHEN 'prompt_sha256' THEN greatest_prompt_sha256
            WHEN 'tools_sha256' THEN greatest_tools_sha256
            WHEN 'temperature' THEN CAST(greatest_temperature AS VARCHAR)
            WHEN 'top_p' THEN CAST(greatest_top_p AS VARCHAR)
            WHEN 'top_k' THEN CAST(greatest_top_k AS VARCHAR)
            WHEN 'seed' THEN CAST(greatest_seed AS VARCHAR)
        END AS greatest
    FROM spreads
    CROSS JOIN (VALUES ('response_model'), ('request_model'), ('provider'), ('prompt_version'), ('prompt_sha256'), ('tools_sha256'),
        ('temperature'), ('top_p'), ('top_k'), ('seed')) AS names(setting)
),
histories AS (
    SELECT tenant, environment, agent, agent_version, setting, prompt_name
    FROM spreads_of_settings
    GROUP BY tenant, environment, agent, agent_version, setting, prompt_name
    HAVING count(DISTINCT least) > 1 OR count(DISTINCT greatest) > 1 OR min(least) <> min(greatest)
),
settings AS (
    SELECT h.tenant, h.environment, h.agent, h.agent_version, h.setting, h.prompt_name, run_id, coalesce(run_id, source || ' ' || event_id) AS run, event_time AS seen,
        CASE setting
            WHEN 'response_model' THEN response_model
            WHEN 'request_model' THEN request_model
            WHEN 'provider' THEN provider
            WHEN 'prompt_version' THEN prompt_version
            WHEN 'prompt_sha256' THEN prompt_sha256
            WHEN 'tools_sha256' THEN tools_sha256
            WHEN 'temperature' THEN CAST(temperature AS VARCHAR)
            WHEN 'top_p' THEN CAST(top_p AS VARCHAR)
            WHEN 'top_k' THEN CAST(top_k AS VARCHAR)
            WHEN 'seed' THEN CAST(seed AS VARCHAR)
        END AS value
    FROM agent_events AS e
    JOIN histories AS h ON h.agent = coalesce(e.agent_id, e.agent_name)
        AND h.tenant IS NOT DISTINCT FROM e.tenant AND h.environment IS NOT DISTINCT FROM e.environment
        AND h.agent_version IS NOT DISTINCT FROM e.agent_version
        AND (h.setting NOT IN ('prompt_version', 'prompt_sha256') OR h.prompt_name IS NOT DISTINCT FROM e.prompt_name)
    WHERE event_class IN ('input', 'output')
        AND coalesce(e.agent_id, e.agent_name) IS NOT NULL
        AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 7 DAY)
        AND ($to IS NULL OR event_time < $to)
        AND ($agent IS NULL OR e.agent_id = $agent OR e.agent_name = $agent)
        AND ($environment IS NULL OR e.environment = $environment)
        AND ($tenant IS NULL OR e.tenant = $tenant)
),
-- Of each setting of an agent version: the runs with a value, in order.
uses AS (
    SELECT tenant, environment, agent, agent_version, setting, prompt_name, run, run_id, value, min(seen) AS seen
    FROM settings
    WHERE value IS NOT NULL
    GROUP BY tenant, environment, agent, agent_version, setting, prompt_name, run, run_id, value
),
numbered AS (
    SELECT *, dense_rank() OVER (PARTITION BY tenant, environment, agent, agent_version, setting, prompt_name ORDER BY run_began, run) AS n
    FROM (
        SELECT *, min(seen) OVER (PARTITION BY tenant, environment, agent, agent_version, setting, prompt_name, run) AS run_began
        FROM uses
    ) AS of_runs
),
paused AS (
    SELECT *,
        lag(value) OVER (history ORDER BY n, seen, value) AS old,
        max(n) OVER history AS n_runs,
        row_number() OVER (of_value ORDER BY n) AS use,
        count(*) OVER of_value AS uses,
        min(n) OVER of_value AS n_first,
        lag(n, 1, CAST(0 AS BIGINT)) OVER (of_value ORDER BY n) AS n_before
    FROM numbered
    WINDOW history AS (PARTITION BY tenant, environment, agent, agent_version, setting, prompt_name),
        of_value AS (PARTITION BY tenant, environment, agent, agent_version, setting, prompt_name, value)
),
-- How many runs before had to have the value, as frequent as it is since, or was before its pause.
weighed AS (
    SELECT *, n - n_before - 1 AS pause,
        sum(CASE WHEN use = 1 THEN 1 ELSE 0 END) OVER (PARTITION BY tenant, environment, agent, agent_version, setting, prompt_name) AS n_values,
        CASE
            WHEN use = 1 THEN (n - 1) * CAST(uses AS DOUBLE) / (n_runs - n + 1)
            WHEN use > 5 THEN (n - n_before - 1) * CAST(use - 1 AS DOUBLE) / (n_before - n_first + 1)
        END AS missed
    FROM paused
),
changes AS (
    SELECT * FROM weighed
    WHERE pause > 0 AND old IS NOT NULL AND missed >= $evidence
        AND NOT (n_values > 5 AND n_values * 5 > n_runs)
        AND ($from IS NULL OR seen >= $from)
),
old_uses AS (
    SELECT c.tenant, c.environment, c.agent, c.agent_version, c.setting, c.prompt_name, c.value, c.n, count(*) AS old_after
    FROM changes AS c
    JOIN numbered AS o ON o.agent = c.agent AND o.setting = c.setting AND o.value = c.old AND o.n >= c.n
        AND o.tenant IS NOT DISTINCT FROM c.tenant AND o.environment IS NOT DISTINCT FROM c.environment
        AND o.agent_version IS NOT DISTINCT FROM c.agent_version AND o.prompt_name IS NOT DISTINCT FROM c.prompt_name
    GROUP BY ALL
)
SELECT c.seen AS first_seen, c.tenant, c.environment, c.agent, c.agent_version, c.setting, c.prompt_name, c.old, c.value AS new,
    c.pause AS runs_before, c.uses - c.use + 1 AS runs_after, coalesce(old_after, 0) AS old_after, c.run_id
FROM changes AS c
LEFT JOIN old_uses AS o ON o.agent = c.agent AND o.setting = c.setting AND o.value = c.value AND o.n = c.n
    AND o.tenant IS NOT DISTINCT FROM c.tenant AND o.environment IS NOT DISTINCT FROM c.environment
    AND o.agent_version IS NOT DISTINCT FROM c.agent_version AND o.prompt_name IS NOT DISTINCT FROM c.prompt_name
ORDER BY first_seen, c.tenant, c.environment, c.agent, c.agent_version, c.setting, c.prompt_name, new
