-- title: Replayability
-- question: Which runs can be replayed to the byte, which in behaviour, and which not?
-- window: from - 1d .. to + 1d
-- note: behaviour: the run can be acted out again from the log alone, model and tools answered by what is recorded. That takes
--   the request (every prompt with its messages; where a run has no prompt, messages or arguments of an input or output,
--   or the tool call of the run that called it, or its handoff with messages, which an event names as its cause), outputs, each with its messages, every tool call with its arguments and its result (of one that failed, its error type will do), and of every
--   retrieval which documents came (an id each, as many as document_count says).
-- note: byte: beyond that, all that determines what the model says is known, so that a replay which asks it again can be held to
--   the log byte by byte. That takes of every output the model that answered, seed and temperature (its own, or those of an input of the run);
--   the prompt (system instructions, or their hash) and, where tools were called, the tool definitions or their hash; of every
--   document its content or hash; and the producer's sequence on every event. A hash says whether a text is the right one; the text must
--   be had from elsewhere. Whether the provider keeps a model version and honours a seed, no log can tell.
-- note: none: something is missing for behaviour. missing names what is missing for byte, that for behaviour first.
-- note: A run is one tenant's, counts where it began, and is followed for a day beyond from and to. A request and its
--   result are one tool call: those of a run that name the same call, and of those that name none, the same tool. What is left over then
--   and names neither call nor tool is of one call with any left over of the other phase. A request without a result lacks
--   it, and a result without a request its arguments.
-- param: from timestamp = none: first moment in which a run may begin
-- param: to timestamp = none: moment before which it begins
-- param: agent text = none: only runs in which this agent takes part, by id or name
-- param: environment text = none: only runs with an event of this environment
-- param: tenant text = none: only this tenant
-- param: run text = none: only this run
-- column: tenant VARCHAR: tenant
-- column: run_id VARCHAR: the run
-- column: agent VARCHAR: the agent, its id, else its name (the first by name where it has several)
-- column: began TIMESTAMP WITH TIME ZONE: its first event
-- column: events BIGINT: events of it
-- column: outputs BIGINT: model outputs
-- column: tool_calls BIGINT: tool calls
-- column: retrievals BIGINT: context retrievals
-- column: grade VARCHAR: byte, behaviour or none
-- column: missing VARCHAR: what is missing, NULL where nothing is
-- example: --from 1d --agent support
WITH begun_before AS (
    -- Told without the payload, which is read from from on.
    SELECT tenant, run_id
    FROM agent_events
    WHERE event_time >= CAST($from AS TIMESTAMP WITH TIME ZONE) - INTERVAL 1 DAY
        AND event_time < $from
        AND run_id IS NOT NULL
    GROUP BY tenant, run_id
),
-- Runs that began before to and went on after it: of that day only their payloads are read.
going_on AS MATERIALIZED (
    SELECT DISTINCT run_id
    FROM agent_events
    WHERE ($from IS NULL OR event_time >= $from)
        AND event_time < $to
        AND run_id IN (
            SELECT run_id
            FROM agent_events
            WHERE event_time >= $to AND event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY
        )
),
followed AS NOT MATERIALIZED (
    SELECT *
    FROM agent_events
    WHERE ($from IS NULL OR event_time >= $from) AND ($to IS NULL OR event_time < $to)
    UNION ALL
    SELECT *
    FROM agent_events
    WHERE event_time >= $to AND event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY
        AND run_id IN (SELECT run_id FROM going_on)
),
-- Runs that were called, with what was asked of them in another run's events.
called AS (
    SELECT sub.tenant, sub.run_id
    FROM agent_events AS sub
    JOIN (
        SELECT source, event_id, run_id
        FROM agent_events
        WHERE event_class = 'handoff' AND coalesce(json_type(payload, '$.data."gen_ai.input.messages"'), 'NULL') <> 'NULL'
        UNION ALL
        SELECT source, event_id, run_id
        FROM agent_events
        WHERE event_class = 'tool_call'
    ) AS caller ON caller.event_id = sub.causation_id AND caller.source = coalesce(sub.causation_source, sub.source)
    WHERE sub.parent_run_id IS NOT NULL AND caller.run_id IS DISTINCT FROM sub.run_id
    GROUP BY sub.tenant, sub.run_id
),
events AS (
    SELECT tenant, run_id, event_time, event_class, sequence, tool_phase, document_count, response_model, seed, temperature, prompt_sha256, tools_sha256,
        coalesce(agent_id, agent_name) AS agent,
        $agent IS NULL OR coalesce(agent_id = $agent, false) OR coalesce(agent_name = $agent, false) AS of_agent,
        $environment IS NULL OR coalesce(environment = $environment, false) AS of_environment,
        status <> 'ok' AND error_type IS NOT NULL AS failed,
        -- What of the payload each class needs; one look at it for all keys.
        CASE event_class
            WHEN 'prompt' THEN json_type(payload, ['$.data."gen_ai.input.messages"'])
            WHEN 'output' THEN json_type(payload, ['$.data."gen_ai.input.messages"', '$.data."gen_ai.output.messages"', '$.data."gen_ai.system_instructions"', '$.data."gen_ai.tool.definitions"'])
            WHEN 'input' THEN json_type(payload, ['$.data."gen_ai.input.messages"', '$.data."gen_ai.tool.call.arguments"', '$.data."gen_ai.system_instructions"', '$.data."gen_ai.tool.definitions"'])
            WHEN 'tool_call' THEN json_type(payload, ['$.data."gen_ai.tool.call.arguments"', '$.data."gen_ai.tool.call.result"'])
            WHEN 'context_retrieval' THEN json_type(payload, ['$.data."gen_ai.retrieval.documents"'])
        END AS held,
        CASE WHEN event_class = 'context_retrieval' THEN json_extract(payload, '$.data."gen_ai.retrieval.documents"[*]') END AS documents
    FROM followed
    WHERE run_id IS NOT NULL
        AND ($run IS NULL OR run_id = $run)
        AND ($tenant IS NULL OR tenant = $tenant)
),
-- Requests and results of each call.
pairs AS (
    SELECT tenant, run_id,
        max(coalesce(tool_call_id, tool_name)) IS NULL AS names_nothing,
        count(CASE WHEN tool_phase = 'request' THEN 1 END) AS requests,
        count(CASE WHEN tool_phase = 'result' THEN 1 END) AS results
    FROM agent_events
    WHERE event_class = 'tool_call' AND tool_phase IN ('request', 'result')
        AND run_id IS NOT NULL
        AND ($run IS NULL OR run_id = $run)
        AND ($tenant IS NULL OR tenant = $tenant)
        AND ($from IS NULL OR event_time >= $from)
        AND ($to IS NULL OR event_time < CAST($to AS TIMESTAMP WITH TIME ZONE) + INTERVAL 1 DAY)
    GROUP BY tenant, run_id, tool_call_id, CASE WHEN tool_call_id IS NULL THEN tool_name END
),
left_over AS (
    SELECT tenant, run_id,
        CAST(sum(greatest(requests, results)) AS BIGINT) AS calls,
        CAST(sum(greatest(results - requests, 0)) AS BIGINT) AS without_request,
        CAST(sum(greatest(requests - results, 0)) AS BIGINT) AS without_result,
        -- those that name nothing; of a run they are left over of one phase only
        CAST(sum(CASE WHEN names_nothing THEN greatest(results - requests, 0) ELSE 0 END) AS BIGINT) AS nameless_results,
        CAST(sum(CASE WHEN names_nothing THEN greatest(requests - results, 0) ELSE 0 END) AS BIGINT) AS nameless_requests
    FROM pairs
    GROUP BY tenant, run_id
),
paired AS (
    SELECT tenant, run_id, calls - of_one_call AS calls, without_request - of_one_call AS without_request, without_result - of_one_call AS without_result
    FROM (
        SELECT *, least(nameless_results, without_result) + least(nameless_requests, without_request) AS of_one_call
        FROM left_over
    ) AS matched
),
-- A JSON null is nothing held.
facts AS (
    SELECT *,
        coalesce(held[1], 'NULL') <> 'NULL' AS held_1,
        coalesce(held[2], 'NULL') <> 'NULL' AS held_2,
        coalesce(held[3], 'NULL') <> 'NULL' AS held_3,
        coalesce(held[4], 'NULL') <> 'NULL' AS held_4,
        document_count = 0 OR held[1] = 'ARRAY' AND len(documents) >= coalesce(document_count, 0) AS all_documents,
        len(list_filter(documents, lambda d: d ->> '$.id' IS NULL)) = 0 AS all_named,
        len(list_filter(documents, lambda d: coalesce(d ->> '$.content', d ->> '$.sha256') IS NULL)) = 0 AS all_content
    FROM events
),
runs AS (
    SELECT tenant, run_id,
        min(agent) AS agent,
        min(event_time) AS began,
        count(*) AS events,
        count(CASE WHEN event_class = 'output' THEN 1 END) AS outputs,
        count(CASE WHEN event_class = 'prompt' THEN 1 END) AS prompts,
        count(CASE WHEN event_class = 'context_retrieval' THEN 1 END) AS retrievals,
        count(CASE WHEN event_class = 'tool_call' AND coalesce(tool_phase, '') NOT IN ('request', 'result') THEN 1 END) AS whole_calls,
        -- for behaviour
        count(CASE WHEN event_class = 'prompt' AND NOT held_1 THEN 1 END) AS prompts_without_messages,
        count(CASE WHEN event_class IN ('input', 'output') AND held_1 OR event_class = 'input' AND held_2 THEN 1 END) AS other_requests,
        count(CASE WHEN event_class = 'output' AND NOT held_2 THEN 1 END) AS outputs_without_messages,
        count(CASE WHEN event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'result' AND NOT held_1 THEN 1 END) AS calls_without_arguments,
        count(CASE WHEN event_class = 'tool_call' AND coalesce(tool_phase, '') <> 'request' AND NOT held_2 AND NOT coalesce(failed, false) THEN 1 END) AS calls_without_result,
        count(CASE WHEN event_class = 'context_retrieval' AND NOT coalesce(all_documents AND all_named, false) THEN 1 END) AS retrievals_without_documents,
        -- for byte
        count(CASE WHEN event_class = 'output' AND response_model IS NULL THEN 1 END) AS outputs_without_model,
        count(CASE WHEN event_class = 'output' AND seed IS NULL THEN 1 END) AS outputs_without_seed,
        count(CASE WHEN event_class = 'output' AND temperature IS NULL THEN 1 END) AS outputs_without_temperature,
        count(CASE WHEN event_class = 'input' THEN seed END) AS inputs_with_seed,
        count(CASE WHEN event_class = 'input' THEN temperature END) AS inputs_with_temperature,
        count(CASE WHEN prompt_sha256 IS NOT NULL OR event_class IN ('input', 'output') AND held_3 THEN 1 END) AS told_prompt,
        count(CASE WHEN tools_sha256 IS NOT NULL OR event_class IN ('input', 'output') AND held_4 THEN 1 END) AS told_tools,
        count(CASE WHEN event_class = 'context_retrieval' AND NOT coalesce(all_documents AND all_content, false) THEN 1 END) AS retrievals_without_content,
        count(CASE WHEN sequence IS NULL THEN 1 END) AS unordered
    FROM facts
    GROUP BY tenant, run_id
    HAVING count(CASE WHEN of_agent THEN 1 END) > 0 AND count(CASE WHEN of_environment THEN 1 END) > 0
),
counted AS (
    SELECT runs.*,
        called.run_id IS NOT NULL AS was_called,
        whole_calls + coalesce(paired.calls, 0) AS tool_calls,
        calls_without_arguments + coalesce(paired.without_request, 0) AS missing_arguments,
        calls_without_result + coalesce(paired.without_result, 0) AS missing_results
    FROM runs
    LEFT JOIN called ON called.run_id = runs.run_id AND called.tenant IS NOT DISTINCT FROM runs.tenant
    LEFT JOIN begun_before AS b ON b.run_id = runs.run_id AND b.tenant IS NOT DISTINCT FROM runs.tenant
    LEFT JOIN paired ON paired.run_id = runs.run_id AND paired.tenant IS NOT DISTINCT FROM runs.tenant
    WHERE ($to IS NULL OR began < $to)
        AND b.run_id IS NULL
),
graded AS (
    SELECT *,
        concat_ws(', ',
            CASE WHEN prompts_without_messages > 0 THEN 'request (' || prompts_without_messages || ' of ' || prompts || ' prompts)'
                WHEN prompts + other_requests = 0 AND NOT was_called THEN 'request' END,
            CASE WHEN outputs = 0 THEN 'outputs' END,
            CASE WHEN outputs_without_messages > 0 THEN 'output messages (' || outputs_without_messages || ' of ' || outputs || ')' END,
            CASE WHEN missing_arguments > 0 THEN 'tool arguments (' || missing_arguments || ' of ' || tool_calls || ')' END,
            CASE WHEN missing_results > 0 THEN 'tool results (' || missing_results || ' of ' || tool_calls || ')' END,
            CASE WHEN retrievals_without_documents > 0 THEN 'documents (' || retrievals_without_documents || ' of ' || retrievals || ')' END
        ) AS for_behaviour,
        concat_ws(', ',
            CASE WHEN outputs_without_model > 0 THEN 'model version (' || outputs_without_model || ' of ' || outputs || ')' END,
            CASE WHEN outputs_without_seed > 0 AND inputs_with_seed = 0 THEN 'seed (' || outputs_without_seed || ' of ' || outputs || ')' END,
            CASE WHEN outputs_without_temperature > 0 AND inputs_with_temperature = 0 THEN 'temperature (' || outputs_without_temperature || ' of ' || outputs || ')' END,
            CASE WHEN told_prompt = 0 THEN 'prompt' END,
            CASE WHEN told_tools = 0 AND tool_calls > 0 THEN 'tool definitions' END,
            CASE WHEN retrievals_without_content > 0 THEN 'document content (' || retrievals_without_content || ' of ' || retrievals || ')' END,
            CASE WHEN unordered > 0 THEN 'sequence (' || unordered || ' of ' || events || ')' END
        ) AS for_byte
    FROM counted
)
SELECT tenant, run_id, agent, began, events, outputs, tool_calls, retrievals,
    CASE WHEN for_behaviour <> '' THEN 'none' WHEN for_byte <> '' THEN 'behaviour' ELSE 'byte' END AS grade,
    nullif(concat_ws(', ', nullif(for_behaviour, ''), nullif(for_byte, '')), '') AS missing
FROM graded
ORDER BY began, tenant NULLS FIRST, run_id
