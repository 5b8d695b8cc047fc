-- title: Replay diff
-- question: Where do two runs diverge?
-- window: from .. to
-- lists: run_a, run_b
-- note: Step n of the one run stands beside step n of the other. The steps of a run are its events in the producer's sequence
--   where every event of the run has one, else by time; ties go by place in the log. After the first divergence the two may
--   have shifted against one another, so what comes later is told but means less.
-- note: kind is the first that differs of: missing (one run has ended), class, tool (of a call; the name of an action or evaluation,
--   the data source of a retrieval), arguments (of a call; target and resource of an action, query of a retrieval; of an
--   input its model, sampling, prompt and tools), result (and status, error type; effect of an action, ids and
--   versions of documents, score), text (messages; system instructions). same: none of them.
-- note: Ids, times, durations, tokens, costs and finish reasons differ from run to run and are not compared; nor are the models of an output.
-- note: A run is one tenant's: an id that several tenants have is refused until
--   --tenant, or --tenant_b for run_b, says whose is meant. Where its events name one tenant or none, those that name none are of the run, unless
--   a tenant is asked for. Where one of the runs is not there, that is refused too; where neither is,
--   nothing is listed.
-- param: run_a text = required: id of one run
-- param: run_b text = required: id of the other
-- param: from timestamp = none: first moment of event_time; with it fewer files are read
-- param: to timestamp = none: moment before which event_time lies
-- param: tenant text = none: only this tenant, where run ids are not unique
-- param: tenant_b text = none: tenant of run_b, where it is another
-- param: chars integer = 200: longest text of a and b, in characters
-- column: step BIGINT: place in the runs, from 1
-- column: kind VARCHAR: same, missing, class, tool, arguments, result or text
-- column: first BOOLEAN: the runs diverge here
-- column: a VARCHAR: what run_a did; of a step that differs, that in which it does
-- column: b VARCHAR: what run_b did
-- column: time_a TIMESTAMP WITH TIME ZONE: when, in run_a
-- column: time_b TIMESTAMP WITH TIME ZONE: when, in run_b
-- column: event_a VARCHAR: id of the event of run_a
-- column: event_b VARCHAR: id of the event of run_b
-- example: --run_a r17 --run_b r18 --from 1d
WITH sides AS (
    -- each run by itself: where one id is asked for, not two, the payloads of other runs are passed over
    SELECT 'a' AS side, *
    FROM agent_events
    WHERE run_id = $run_a
        AND ($tenant IS NULL OR tenant = $tenant)
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
    UNION ALL
    SELECT 'b' AS side, *
    FROM agent_events
    WHERE run_id = $run_b
        AND (coalesce($tenant_b, $tenant) IS NULL OR tenant = coalesce($tenant_b, $tenant))
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < $to)
),
ordered AS (
    SELECT *,
        CASE WHEN count(*) OVER run = count(sequence) OVER run THEN sequence END AS in_order
    FROM sides
    WINDOW run AS (PARTITION BY side)
),
steps AS (
    SELECT side, tenant, event_class, event_time, event_id,
        row_number() OVER (PARTITION BY side ORDER BY in_order NULLS FIRST, event_time, kafka_topic, kafka_partition, kafka_offset, record_index) AS step,
        CASE event_class
            WHEN 'tool_call' THEN concat_ws(' ', tool_name, tool_phase)
            WHEN 'action' THEN action_name
            WHEN 'context_retrieval' THEN data_source_id
            WHEN 'evaluation' THEN evaluation_name
        END AS tool,
        CASE event_class
            WHEN 'tool_call' THEN attribute(payload, 'gen_ai.tool.call.arguments')
            WHEN 'action' THEN concat_ws(' ', 'on ' || action_target, action_resource)
            WHEN 'context_retrieval' THEN attribute(payload, 'gen_ai.retrieval.query.text')
            WHEN 'input' THEN concat_ws(' ', request_model, 'temperature ' || temperature, 'top_p ' || top_p, 'top_k ' || top_k, 'seed ' || seed,
                prompt_name, prompt_version, prompt_sha256, tools_sha256)
        END AS arguments,
        concat_ws(' ', status, error_type, CASE event_class
            WHEN 'tool_call' THEN attribute(payload, 'gen_ai.tool.call.result')
            WHEN 'action' THEN action_effect
            WHEN 'context_retrieval' THEN array_to_string(list_transform(
                json_extract(payload, '$.data."gen_ai.retrieval.documents"[*]'), lambda d: concat_ws(' ', d ->> '$.id', d ->> '$.version', d ->> '$.sha256')), ', ')
            WHEN 'evaluation' THEN concat_ws(' ', evaluation_score, evaluation_label)
        END) AS result,
        CASE event_class
            WHEN 'prompt' THEN message_text(attribute(payload, 'gen_ai.input.messages'))
            WHEN 'output' THEN message_text(attribute(payload, 'gen_ai.output.messages'))
            WHEN 'input' THEN attribute(payload, 'gen_ai.system_instructions')
        END AS said
    FROM ordered
),
-- What is no answer: runs of several tenants as one, a run beside nothing.
found AS (
    SELECT
        count(CASE WHEN side = 'a' THEN 1 END) AS events_a,
        count(CASE WHEN side = 'b' THEN 1 END) AS events_b,
        count(DISTINCT CASE WHEN side = 'a' THEN tenant END) AS tenants_a,
        count(DISTINCT CASE WHEN side = 'b' THEN tenant END) AS tenants_b
    FROM steps
),
asked AS (
    SELECT CASE
        WHEN tenants_a > 1 THEN error('usage: run_a is in several tenants: name one with --tenant')
        WHEN tenants_b > 1 THEN error('usage: run_b is in several tenants: name one with --tenant, or with --tenant_b where it is not that of run_a')
        WHEN events_a = 0 AND events_b > 0 THEN error('usage: there is no run ' || $run_a || ' (run_a): its id, --tenant, --from or --to must be another')
        WHEN events_b = 0 AND events_a > 0 THEN error('usage: there is no run ' || $run_b || ' (run_b): its id, --tenant, --tenant_b, --from or --to must be another')
        ELSE true END AS can_be_compared
    FROM found
),
beside AS (
    SELECT coalesce(a.step, b.step) AS step,
        a.event_class AS class_a, b.event_class AS class_b, a.tool AS tool_a, b.tool AS tool_b, a.arguments AS arguments_a, b.arguments AS arguments_b,
        a.result AS result_a, b.result AS result_b, a.said AS said_a, b.said AS said_b,
        a.event_time AS time_a, b.event_time AS time_b, a.event_id AS event_a, b.event_id AS event_b,
        CASE
            WHEN a.step IS NULL OR b.step IS NULL THEN 'missing'
            WHEN a.event_class <> b.event_class THEN 'class'
            WHEN a.tool IS DISTINCT FROM b.tool THEN 'tool'
            WHEN a.arguments IS DISTINCT FROM b.arguments THEN 'arguments'
            WHEN a.result IS DISTINCT FROM b.result THEN 'result'
            WHEN a.said IS DISTINCT FROM b.said THEN 'text'
            ELSE 'same'
        END AS kind
    FROM (SELECT * FROM steps WHERE side = 'a') AS a
    FULL JOIN (SELECT * FROM steps WHERE side = 'b') AS b ON a.step = b.step
)
SELECT
    step,
    kind,
    kind <> 'same' AND step = min(CASE WHEN kind <> 'same' THEN step END) OVER () AS first,
    left(concat_ws(' ', class_a, tool_a, CASE WHEN kind NOT IN ('result', 'text') THEN '(' || arguments_a || ')' END,
        CASE WHEN kind = 'result' THEN '-> ' || result_a END, CASE WHEN kind NOT IN ('arguments', 'result') THEN said_a END), $chars) AS a,
    left(concat_ws(' ', class_b, tool_b, CASE WHEN kind NOT IN ('result', 'text') THEN '(' || arguments_b || ')' END,
        CASE WHEN kind = 'result' THEN '-> ' || result_b END, CASE WHEN kind NOT IN ('arguments', 'result') THEN said_b END), $chars) AS b,
    time_a, time_b, event_a, event_b
FROM beside
CROSS JOIN asked
WHERE can_be_compared
ORDER BY step
