#!/usr/bin/env python3
"""Writes trace.ndjson: spans and tool calls. Every event is written out below.

Trace 1 is a run: a prompt without a duration above the agent's span, model calls and tools one after another and at once,
a call that goes on after its parent, one in two events, an action below its tool call. The same ids at another tenant, with
other times. Trace 2 has parents that are not in the log, spans that are their own parent, circles of parents and what hangs below them, a span
that names two parents, durations that no clock gives. Trace 3 has spans of the same time, and only those. Then tool calls in one and in two
events, with and without ids, names, results and status.
"""
import json

OUT = []


def send(cls, at, trace=None, span=None, parent=None, ms=None, tenant="acme", **more):
    """at is milliseconds after noon; more are attributes, of data where their name has a dot (written __)."""
    second, rest = divmod(at, 1000)
    event = {"specversion": "1.0", "source": "/agents/trace", "id": f"t{len(OUT)}", "type": f"agent.{cls}", "runid": "run",
             "time": f"2026-06-01T{12 + second // 3600:02d}:{second // 60 % 60:02d}:{int(second) % 60:02d}.{int(rest * 1000):06d}Z", "agentid": "desk", "tenant": tenant, "data": {}}
    if trace is not None:
        event["traceparent"] = f"00-{trace:032x}-{span:016x}-01"
    if parent is not None:
        event["parentspanid"] = f"{parent:016x}"
    if ms is not None:
        event["data"]["audit.duration_ms"] = ms
    for k, v in more.items():
        (event["data"] if "__" in k else event)[k.replace("__", ".")] = v
    OUT.append({k: v for k, v in event.items() if v is not None})


def tool(name, **more):
    return dict(gen_ai__tool__name=name, **{"audit__status": "ok", **more})


OK = {"audit__status": "ok"}
# Trace 1, the children before their parents.
send("output", 100, 1, 3, 2, 900, gen_ai__response__model="m", **OK)
send("tool_call", 1000, 1, 4, 2, 2000, **tool("search"))
send("tool_call", 1500, 1, 5, 2, 2500, **tool("lookup", audit__status="error", error__type="timeout"))  # at once with search, ends later
send("tool_call", 1700, 1, 6, 2, 200.5, **tool("search"))  # within lookup's time, beside it
send("context_retrieval", 1600, 1, 7, 5, 400, gen_ai__data_source__id="kb", **OK)
send("context_retrieval", 1800, 1, 8, 5, 5000, gen_ai__data_source__id="kb", **OK)  # goes on after its parent
send("tool_call", 4200, 1, 9, 2, gen_ai__tool__call__id="c9", **tool("pay", audit__tool__phase="request"))
send("tool_call", 5200, 1, 9, 2, 700, gen_ai__tool__call__id="c9", **tool("pay", audit__tool__phase="result", audit__status="denied", error__type="policy"))
send("action", 4700, 1, 10, 9, 250, audit__action__name="pay.create", gen_ai__tool__name="pay", **OK)
send("output", 5300, 1, 11, 2, 4000, gen_ai__request__model="m-asked", agentid=None, agentname="writer")
send("evaluation", 60000, 1, 12, 2, 1000, gen_ai__evaluation__name="good", agentid="judge")  # after all was over
send("input", 0, 1, 2, 1, 10000, gen_ai__request__model="m")
send("prompt", 0, 1, 1)
send("handoff", 9500, 1, 13, 2, 0, gen_ai__operation__name="invoke_agent")
send("input", 9500, 1, 14, 13, 450, runid="called", agentid="other")  # below a span without length
# The same trace id elsewhere.
send("input", 50, 1, 2, None, 1000, "globex")
send("tool_call", 150, 1, 4, 2, 500, "globex", **tool("search"))
send("tool_call", 700, 1, 4, 2, 100, "globex", **tool("lookup", audit__status="cancelled"))  # a second event of the span
send("output", 100, 1, 99, 1, 10, None)
# Trace 2: what is not as it should be.
send("tool_call", 0, 2, 20, 999, 1000, **tool("a"))
send("output", 100, 2, 21, 20, 100)
send("tool_call", 5000, 2, 22, 22, 100, **tool("own-parent"))
send("output", 5010, 2, 23, 22, 10)
send("tool_call", 6000, 2, 24, 26, 300, **tool("ring"))
send("tool_call", 5900, 2, 25, 24, 300, **tool("ring"))
send("tool_call", 6100, 2, 26, 25, 300, **tool("ring"))
send("output", 5000, 2, 27, 26, 5)
send("reasoning", 5001, 2, 28, 27)
send("tool_call", 2000, 2, 29, None, 50, **tool("two-parents"))
send("tool_call", 2010, 2, 29, 21, 70, **tool("two-parents"))
send("tool_call", 2020, 2, 29, 20, **tool("two-parents"))
send("tool_call", 3000, 2, 30, 20, 1e300, **tool("endless"))
send("tool_call", 3000, 2, 31, None, -5, **tool("backwards", audit__status="weird"))
send("output", 10000, 2, 32, 30, 2500.0625, **OK)
send("policy_decision", 10000, 2, 33, 32)
send("policy_decision", 10001, 2, 34, 33)
send("output", 10001, 2, 35, 34, 7)  # below three without length
# Trace 3: siblings of the same time.
for i in range(3):
    send(["output", "tool_call", "tool_call"][i], 20000, 3, 42 - i, None, 100, **(tool("x") if i else {}))
    send("context_retrieval", 20010 + i, 3, 52 - i, 42 - i, 40, gen_ai__data_source__id=f"d{i}")
send("output", 3600000, 3, 60, 41, 100)
# Tool calls without a trace. Pairs: whole, out of order, unanswered twice, unasked, without an id, retried, without a name.
R, S = {"audit__tool__phase": "request"}, {"audit__tool__phase": "result"}
for at, data in [
    (0, dict(tool("pair", **R), gen_ai__tool__call__id="p1")), (130, dict(tool("pair", **S), gen_ai__tool__call__id="p1", gen_ai__tool__name=None)),
    (500, dict(tool("pair", **S, audit__status="error"), gen_ai__tool__call__id="p2")), (600, dict(tool("pair", **R), gen_ai__tool__call__id="p2")),
    (700, dict(tool("pair", **R), gen_ai__tool__call__id="p3")), (710, dict(tool("pair", **R), gen_ai__tool__call__id="p3", audit__attempt=2)),
    (720, dict(tool("pair", **R), gen_ai__tool__call__id="p3", audit__attempt=3)), (730, dict(tool("pair", **S, audit__status="error", error__type="busy"), gen_ai__tool__call__id="p3", ms=10)),
    (740, dict(tool("pair", **S, error__type="none"), gen_ai__tool__call__id="p3", audit__retry_of="x", ms=30)),
    (800, dict(tool("answer", **S), ms=5)), (810, dict(tool("answer", **S), ms=6)), (820, dict(tool("answer", **R))),
    (830, dict(tool("answer", **S, audit__status=None), gen_ai__tool__call__id="p4", ms=9)),
    (900, dict(R, gen_ai__tool__call__id="p5")), (950, dict(S, gen_ai__tool__call__id="p5", **OK)),
    (960, dict(tool("once", audit__tool__phase="both"), ms=1)), (970, dict(tool("once", audit__status=None), ms=1000)),
]:
    send("tool_call", 100000 + at, **data)
send("tool_call", 100005, tenant="globex", gen_ai__tool__call__id="p1", ms=11, **tool("pair", **S))
send("tool_call", 100006, runid=None, gen_ai__tool__call__id="p1", **tool("pair", **R, environment="test"))
for i, kind in enumerate("abcdefgabcab"):
    send("tool_call", 110000 + i, ms=i + 0.25, agentid=None, agentname="flaky", **tool("many", audit__status="error", error__type=kind, audit__attempt=1 + i % 3))


def main():
    offsets = [0, 0, 0]
    for i, value in enumerate(OUT):
        p = i % 3
        print(json.dumps({"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": f"2026-06-02T00:{i // 60:02d}:{i % 60:02d}.000Z",
                          "value": json.dumps(value, ensure_ascii=False)}, ensure_ascii=False))
        offsets[p] += 1


if __name__ == "__main__":
    main()
