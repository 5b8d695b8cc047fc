-- title: Loop detector
-- question: Which runs repeat a tool call?
-- window: from - 1d .. to
-- note: A repeat is a call of the same tool with the same arguments in the same run; a run is listed, with the call, where there
--   are more than max_repeat of them. Arguments are the same where their text is: of JSON in another order of keys, or with
--   other blanks in a text, nobody knows. Calls whose arguments the log does not hold are left out, and so are calls outside of a run.
-- note: A loop is of the time of its last call: it is listed where that lies in from .. to. Calls of up to a day before from
--   are read, and none from to on. So a loop that goes on is listed in each window in which it called, and n, in_a_row, retries and first
--   are of what was read.
-- note: A request and its result are one call, told by the request. Retries (attempt above 1, or retry_of) are calls like any other;
--   retries says how many they are.
--   in_a_row counts calls that follow one another with no other tool call of the run between, in the producer's
--   sequence where every call of the run has one, else by time; ties go by place in the log.
-- param: from timestamp = none: first moment of a loop's last call
-- param: to timestamp = none: moment before which it lies
-- param: agent text = none: only runs in which this agent called a tool, by id or name
-- param: environment text = none: only runs in which a tool was called in this environment
-- param: tenant text = none: only this tenant
-- param: max_repeat integer(1..) = 3: so many times the same call is no loop
-- column: tenant VARCHAR: tenant
-- column: run_id VARCHAR: the run
-- column: agent VARCHAR: the agent, its id, else its name (the first by name where it has several)
-- column: tool VARCHAR: the tool that was called
-- column: arguments_sha256 VARCHAR: SHA-256 of the arguments' text, hexadecimal
-- column: arguments VARCHAR: the arguments, at most 200 characters of them
-- column: n BIGINT: calls
-- column: in_a_row BIGINT: most of them that followed one another
-- column: retries BIGINT: calls that were marked as retries
-- column: first TIMESTAMP WITH TIME ZONE: the first call
-- column: last TIMESTAMP WITH TIME ZONE: the last call
-- example: --from 1d --max_repeat 5
WITH busy_runs AS (
    -- Where a tool is called often enough at all; that takes no payload.
    SELECT tenant, run_id
    FROM (
        SELECT tenant, run_id,
            count(*) AS n,
            -- a loop whose last call is in the window has a call there
            count(CASE WHEN $from IS NULL OR event_time >= $from THEN 1 END) AS in_window,
            count(CASE WHEN $agent IS NULL OR agent_id = $agent OR agent_name = $agent THEN 1 END) AS of_agent,
            count(CASE WHEN $environment IS NULL OR environment = $environment THEN 1 END) AS of_environment
        FROM agent_events
        WHERE event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'result' AND run_id IS NOT NULL
            AND ($from IS NULL OR event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
            AND ($to IS NULL OR event_time < $to)
            AND ($tenant IS NULL OR tenant = $tenant)
        GROUP BY tenant, run_id, tool_name
    ) AS tools
    GROUP BY tenant, run_id
    HAVING count(CASE WHEN n > $max_repeat AND in_window > 0 THEN 1 END) > 0 AND sum(of_agent) > 0 AND sum(of_environment) > 0
),
calls AS (
    SELECT e.tenant, e.run_id, coalesce(e.agent_id, e.agent_name) AS agent, e.tool_name, e.event_time,
        CASE WHEN e.attempt > 1 OR e.retry_of IS NOT NULL THEN 1 END AS is_retry,
        e.kafka_topic, e.kafka_partition, e.kafka_offset, e.record_index, e.sequence,
        attribute(e.payload, 'gen_ai.tool.call.arguments') AS arguments
    FROM agent_events AS e
    JOIN busy_runs AS b ON b.run_id = e.run_id AND b.tenant IS NOT DISTINCT FROM e.tenant
    WHERE e.event_class = 'tool_call' AND coalesce(e.tool_phase, '') <> 'result'
        AND ($from IS NULL OR e.event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY)
        AND ($to IS NULL OR e.event_time < $to)
),
ordered AS (
    SELECT *,
        CASE WHEN count(*) OVER run = count(sequence) OVER run THEN sequence END AS in_order
    FROM calls
    WINDOW run AS (PARTITION BY tenant, run_id)
),
-- Calls that follow one another have the same difference of their places in the run and among their like.
streaks AS (
    SELECT *,
        row_number() OVER (PARTITION BY tenant, run_id
            ORDER BY in_order NULLS FIRST, event_time, kafka_topic, kafka_partition, kafka_offset, record_index)
        - row_number() OVER (PARTITION BY tenant, run_id, tool_name, arguments
            ORDER BY in_order NULLS FIRST, event_time, kafka_topic, kafka_partition, kafka_offset, record_index) AS streak
    FROM ordered
),
counted AS (
    SELECT *, count(*) OVER (PARTITION BY tenant, run_id, tool_name, arguments, streak) AS streak_n
    FROM streaks
    WHERE arguments IS NOT NULL
)
SELECT
    tenant,
    run_id,
    min(agent) AS agent,
    tool_name AS tool,
    sha256(arguments) AS arguments_sha256,
    left(arguments, 200) AS arguments,
    count(*) AS n,
    max(streak_n) AS in_a_row,
    count(is_retry) AS retries,
    min(event_time) AS first,
    max(event_time) AS last
FROM counted
GROUP BY tenant, run_id, tool_name, counted.arguments
HAVING count(*) > $max_repeat
    AND ($from IS NULL OR max(event_time) >= $from)
ORDER BY n DESC, tenant NULLS FIRST, run_id, tool NULLS FIRST, arguments_sha256
