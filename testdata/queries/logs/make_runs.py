#!/usr/bin/env python3
"""Writes runs.ndjson: runs for the questions about whole runs. Every event is written out below.

A run of which the log holds everything, and others that lack one thing each: seed, result, documents' content, messages.
Two pairs of runs that diverge. A run that repeats a tool call, at two tenants. Runs that were judged, once and twice, whose
cost is in two currencies, unknown, or spent by a run that they called; two runs that name each other as caller. A run over
midnight.
"""
import json

OUT, NOW = [], [0]


def send(run, cls, data, tenant="acme", **more):
    NOW[0] += 1
    n, second = len(OUT), NOW[0]
    value = {"specversion": "1.0", "source": "/agents/runs", "id": f"q{n}", "type": f"agent.{cls}",
             "time": f"2026-05-01T12:{second // 60:02d}:{second % 60:02d}Z", "data": data, "agentid": "desk", "agentversion": "7"}
    if tenant is not None:
        value["tenant"] = tenant
    if run is not None:
        value["runid"] = run
    value.update({k: v for k, v in more.items() if k != "id" or v is not None})
    OUT.append({k: v for k, v in value.items() if v is not None})


def said(role, content):
    return [{"role": role, "parts": [{"type": "text", "content": content}]}]


ASK = {"gen_ai.input.messages": said("user", "Where is order 7?")}
SET = {"gen_ai.request.model": "m", "gen_ai.request.temperature": 0.25, "gen_ai.request.seed": 7, "gen_ai.prompt.name": "desk", "audit.prompt.sha256": "ab12",
       "audit.tools.sha256": "cd34"}
DOCS = [{"id": "d1", "version": "2", "sha256": "aa"}, {"id": "d2", "version": "1", "content": "Orders take two days."}]
GET = {"gen_ai.data_source.id": "kb", "gen_ai.retrieval.query.text": "orders", "audit.retrieval.document_count": 2, "gen_ai.retrieval.documents": DOCS, "audit.status": "ok"}
CALL = {"gen_ai.tool.name": "track", "gen_ai.tool.call.arguments": {"order": 7, "full": True}, "gen_ai.tool.call.result": {"at": "Köln"}, "audit.status": "ok"}
SAY = {"gen_ai.response.model": "m-2", "gen_ai.output.messages": said("assistant", "It is in Köln."), "audit.status": "ok", "audit.duration_ms": 900,
       "audit.cost.amount": "0.02", "audit.cost.currency": "USD", "gen_ai.usage.input_tokens": 10}
JUDGE = {"gen_ai.evaluation.name": "solved", "gen_ai.evaluation.score.value": 1, "audit.status": "ok"}


def but(data, **changes):
    """data with attributes changed, or without those that are ... (dots are __)."""
    out = dict(data)
    for k, v in changes.items():
        k = k.replace("__", ".")
        if v is ...:
            out.pop(k)
        else:
            out[k] = v
    return out


def whole(run, tenant="acme", setting=SET, docs=GET, call=CALL, say=SAY, judged=None, ask=ASK):
    """A run from its prompt to its answer, with sequence numbers."""
    seq = iter(range(9))
    for cls, data in (("prompt", ask), ("input", setting), ("context_retrieval", docs), ("tool_call", call), ("output", say), ("evaluation", judged)):
        if data is not None:
            send(run, cls, data, tenant, sequence=next(seq))


# What replay needs, and one thing less.
whole("full", judged=JUDGE)
whole("full", "globex", setting=but(SET, gen_ai__request__seed=...), judged=but(JUDGE, gen_ai__evaluation__score__value=0))
whole("unseeded", setting=but(SET, gen_ai__request__seed=..., gen_ai__request__temperature=...))
whole("unprompted", setting=but(SET, audit__prompt__sha256=..., audit__tools__sha256=...))
whole("told", setting=but(SET, audit__prompt__sha256=..., audit__tools__sha256=..., gen_ai__system_instructions="Be short.", gen_ai__tool__definitions=[{"name": "track"}]))
whole("contentless", docs=but(GET, gen_ai__retrieval__documents=[DOCS[0], {"id": "d2"}]))
whole("nameless", docs=but(GET, gen_ai__retrieval__documents=[DOCS[0], {"content": "?"}]))
whole("short", docs=but(GET, gen_ai__retrieval__documents=DOCS[:1]))
whole("text-for-list", docs=but(GET, gen_ai__retrieval__documents="d1, d2", audit__retrieval__document_count=...))
whole("nothing-found", docs=but(GET, gen_ai__retrieval__documents=..., audit__retrieval__document_count=0))
whole("list-of-texts", docs=but(GET, gen_ai__retrieval__documents=["d1", "d2"]))
whole("null-result", call=but(CALL, gen_ai__tool__call__result=None))
whole("failed-call", call=but(CALL, gen_ai__tool__call__result=..., audit__status="error", error__type="timeout"))
whole("argumentless", call=but(CALL, gen_ai__tool__call__arguments=...))
whole("mute", say=but(SAY, gen_ai__output__messages=...), ask={})
whole("modelless", say=but(SAY, gen_ai__response__model=...))
whole("own-seed", setting=None, say=but(SAY, gen_ai__request__seed=1, gen_ai__request__temperature=0, gen_ai__input__messages=said("user", "?"), gen_ai__system_instructions="x"), ask=None, call=None, docs=None)
send("promptless", "output", SAY)
send("outputless", "prompt", ASK, sequence="1", agentid=None, agentname="desk")

# Runs that were called: by a handoff with messages, of another producer; by one without; by a tool call; by their own.
send("calling", "handoff", {"gen_ai.input.messages": said("assistant", "Look at order 7.")}, "globex", id="h1", source="/agents/other")
send("calling", "handoff", {"gen_ai.input.messages": None}, id="h2")
for run, cause in (("handed", {"causationid": "h1", "causationsource": "/agents/other"}), ("handed-silently", {"causationid": "h2"}), ("handed-elsewhere", {"causationid": "h1"}),
                   ("called-by-tool", {"causationid": "q3"}), ("calls-itself", {"causationid": "own"})):
    send(run, "input", SET, sequence=0, parentrunid="calling", **cause)
    send(run, "tool_call", CALL, sequence=1, parentrunid="calling", id="own" if run == "calls-itself" else None)
    send(run, "output", SAY, sequence=2, parentrunid="calling", **cause)

# A tool call in two events; one whose result never came, one whose request is not there.
for run, phases in (("two-events", ["request", "result"]), ("unanswered", ["request"]), ("unasked", ["result"])):
    seq = 0
    for cls, data in [("prompt", ASK), ("input", SET)] + [("tool_call", but(CALL, audit__tool__phase=phase, gen_ai__tool__call__id="c", **(
            {"gen_ai__tool__call__result": ...} if phase == "request" else {"gen_ai__tool__call__arguments": ...}))) for phase in phases] + [("output", SAY)]:
        send(run, cls, data, sequence=seq)
        seq += 1

# Pairs that diverge: in arguments, result, class and length; without sequence, in tool and text.
DONE = {"audit.action.name": "refund", "audit.action.target": "bank", "audit.action.resource": "order/7", "audit.action.effect": "committed", "audit.status": "ok"}
LEFT = [("prompt", ASK), ("input", SET), ("context_retrieval", GET), ("tool_call", CALL), ("tool_call", CALL), ("action", DONE), ("output", SAY), ("evaluation", JUDGE), ("output", SAY)]
RIGHT = [("prompt", ASK), ("input", SET), ("context_retrieval", GET), ("tool_call", but(CALL, gen_ai__tool__call__arguments={"order": 8})),
         ("tool_call", but(CALL, gen_ai__tool__call__result={"at": "Bonn"})), ("action", but(DONE, audit__action__effect="failed")), ("action", DONE), ("evaluation", but(JUDGE, gen_ai__evaluation__score__value=0.5))]
for run, events in (("left", LEFT), ("right", RIGHT)):
    for i, (cls, data) in reversed(list(enumerate(events))):  # in the log the wrong way round
        send(run, cls, data, sequence=i)
for run, tool, place, text in (("x", "track", "kb", "Soon."), ("y", "trace", "wiki", "Late.")):
    send(run, "prompt", but(ASK, gen_ai__input__messages=said("user", text)), None)
    send(run, "tool_call", but(CALL, gen_ai__tool__name=tool), None)
    send(run, "input", but(SET, gen_ai__system_instructions=text), None)
    send(run, "context_retrieval", but(GET, gen_ai__data_source__id=place), None)
    send(run, "handoff", {}, None)
    send(run, "output", SAY, "other")

# Loops: five times the same with another between, retries, arguments as text; the same at another tenant, there fewer.
AGAIN = {"gen_ai.tool.name": "poll", "gen_ai.tool.call.arguments": {"job": "é"}, "audit.status": "ok", "gen_ai.tool.call.result": "wait"}
for i, other in enumerate([{}, {"audit.attempt": 2}, {"gen_ai.tool.call.arguments": {"job": "f"}}, {}, {"audit.retry_of": "c1", "audit.status": "error", "error.type": "busy"}, {}]):
    send("loop", "tool_call", {**AGAIN, **other}, sequence=100 - i)
for i in range(4):
    send("loop", "tool_call", but(AGAIN, gen_ai__tool__call__arguments="x" * 300), None, sequence=None if i == 2 else i)
    send("loop", "tool_call", but(AGAIN, gen_ai__tool__call__arguments=...), "globex")
    send("loop", "tool_call", but(AGAIN, audit__tool__phase=["request", "result"][i % 2]), "globex")
    send(None, "tool_call", AGAIN)
send("loop", "tool_call", AGAIN, None, agentid="nurse", agentversion=None)
for i in range(4):
    send("no-name", "tool_call", {"gen_ai.tool.call.arguments": "{}"}, environment="test")

# Outcomes.
JUDGED = dict(sequence=None, sessionid="s1")
PAID = {"audit.cost.amount": "1.5", "audit.cost.currency": "EUR", "gen_ai.tool.name": "buy"}
for run, costs, scores in (("w1", [SAY, SAY, PAID], [0, 1]), ("w2", [SAY, but(SAY, audit__cost__amount=...)], [1, 0.25]), ("w3", [but(SAY, audit__cost__amount=...)], [0]),
                           ("w4", [but(SAY, audit__cost__currency=...)], [None, 0.5]), ("w5", [SAY], [None]), ("w6", [PAID], [])):
    for cost in costs:
        send(run, "tool_call" if cost is PAID else "output", cost, **JUDGED)
    for score in scores:
        send(run, "evaluation", but(JUDGE, gen_ai__evaluation__score__value=score), agentid="judge", agentversion="1", sessionid="s1")
send("w1", "evaluation", but(JUDGE, gen_ai__evaluation__name="polite", gen_ai__evaluation__score__value=0.75), sessionid="s1")
send("w7", "output", SAY, parentrunid="w2", sessionid="s2", agentid="helper")
send("w8", "output", PAID, parentrunid="w7", sessionid="s2", agentid="helper")
send("w8", "evaluation", but(JUDGE, gen_ai__evaluation__score__value=0), sessionid="s2")
send("w2", "output", SAY, "globex", parentrunid="w7")
for run, caller in (("o1", "o2"), ("o2", "o1"), ("o3", "o3")):
    send(run, "output", but(SAY, audit__cost__amount=0.125), parentrunid=caller, agentid=None, agentversion=None)
    send(run, "evaluation", JUDGE, parentrunid=caller, agentid=None)
send(None, "evaluation", JUDGE, sessionid="s3", agentid=None, agentversion=None)
send(None, "output", SAY, sessionid="s3", agentid="solo", agentversion=None)
send(None, "evaluation", {"gen_ai.evaluation.score.value": 1})

# A run over midnight, and what two producers call the same.
for i, (cls, data) in enumerate([("prompt", ASK), ("input", SET), ("output", SAY), ("evaluation", JUDGE)]):
    send("late", cls, data, sequence=i, time=["2026-05-02T23:59:59Z", "2026-05-02T23:59:59.999999Z", "2026-05-03T00:00:00Z", "2026-05-03T00:00:01Z"][i], environment="prod")
send("late", "output", but(SAY, audit__cost__amount="9"), sequence=9, time="2026-05-04T00:00:00Z", environment="prod")


def main():
    offsets = [0, 0]
    for i, value in enumerate(OUT):
        p = i % 2
        print(json.dumps({"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": f"2026-05-05T00:{i // 60:02d}:{i % 60:02d}.000Z",
                          "value": json.dumps(value, ensure_ascii=False)}, ensure_ascii=False))
        offsets[p] += 1


if __name__ == "__main__":
    main()
