#!/usr/bin/env python3
"""Writes crossed.ndjson: what crosses a line that a question draws. Every event is written out below; the order is that of the log.

One run id at two tenants and at none. A key committed on both sides of midnight, by two agents, and again after days. A loop over midnight, of
two agents. Approvals on plans. Tool calls whose requests and results do not belong together, and call ids that a run gives
twice. Runs that a subject's run called, in a circle and at another tenant. An agent that has an id and a name. A plan's key on what was not planned.
"""
import json

OUT = []
ACME = {"tenant": "acme", "environment": "prod"}
GLOBEX = {"tenant": "globex", "environment": "prod"}


def send(id, cls, time, data=None, who=ACME, **more):
    value = {"specversion": "1.0", "source": "/agents/crossed", "id": id, "type": f"agent.{cls}", "time": f"2026-07-{time}Z", "data": data or {}, **who, **more}
    OUT.append(value)


# One run id, three tenants; their events alternate.
for i, (who, cls, number) in enumerate([(ACME, "prompt", 1), (GLOBEX, "prompt", None), ({}, "output", None), (ACME, "output", 3), (GLOBEX, "input", 9), (ACME, "input", 2)]):
    send(f"t{i}", cls, f"01T10:00:0{i}", {"gen_ai.request.model": who.get("tenant", "none")}, who, runid="same", **({"sequence": number} if number else {}))
send("t6", "prompt", "01T10:01:00", {}, runid="other")


def act(id, time, effect="committed", key=None, agent="payer", name="pay", who=ACME, approved=None, target="bank", **more):
    data = {"audit.action.name": name, "audit.action.target": target, "audit.action.effect": effect}
    if key is not None:
        data["audit.idempotency_key"] = key
    if approved:
        data.update({"audit.approval.decision": approved, "audit.approval.by": "boss", "audit.approval.at": "2026-07-02T08:00:00Z"})
    send(id, "action", time, data, who, **{"agentid": agent, **more})


# Keys: over midnight by two agents, a chain, after six days and after nine, undone the day after.
act("k1", "02T23:59:50", key="night", approved="approved")
act("k2", "03T00:00:10", key="night", agent="retryer", approved="approved", environment="dr")
act("k3", "02T10:00:00", key="chain", approved="approved")
act("k4", "02T11:00:00", key="chain", approved="approved")
act("k5", "03T10:30:00", key="chain", approved="approved")
act("k6", "04T12:00:00", key="six days", approved="approved")
act("k7", "10T12:00:00", key="six days", approved="approved")
act("k8", "01T12:00:00", key="nine days", approved="approved")
act("k9", "10T12:00:01", key="nine days", approved="approved")
act("k10", "02T23:00:00", "compensated", key="night", approved="approved")
act("k11", "03T01:00:00", "compensated", key="night", approved="approved")
act("k12", "03T00:00:00", key="night", who=GLOBEX, approved="approved")

# A loop over midnight with another agent's call in it; one that is too short on either side; one of the day after.
for run, tool, times in (("looper", "poll", ["04T23:59:57", "04T23:59:58", "04T23:59:59", "05T00:00:01", "05T00:00:02", "05T00:00:03"]),
                         ("short", "poll", ["04T23:59:58", "04T23:59:59", "05T00:00:00", "05T00:00:01"]), ("next", "poll", [f"05T00:00:0{i}" for i in range(4)])):
    for i, time in enumerate(times):
        send(f"{run}{i}", "tool_call", time, {"gen_ai.tool.name": tool, "gen_ai.tool.call.arguments": "{}"}, runid=run, agentid="worker")
send("looper-boss", "tool_call", "04T23:59:58.5", {"gen_ai.tool.name": "look", "gen_ai.tool.call.arguments": "{}"}, runid="looper", agentid="boss", environment="dr")

# Approvals on plans: of the same key, named as the cause, of another tenant, rejected, after the action, with no key, on a failed one.
act("a1", "06T09:00:00", "planned", "plan 1", approved="approved", runid="p1")
act("a2", "06T10:00:00", key="plan 1", runid="p2")
act("a3", "06T10:00:01", key="plan 1", who=GLOBEX)
act("a4", "06T09:00:00", "planned", approved="Approved")
act("a5", "06T10:00:02", causationid="a4")
act("a6", "06T09:00:00", "planned", "plan 2", approved="rejected")
act("a7", "06T10:00:03", key="plan 2")
act("a8", "02T07:00:00", "planned", "plan 3", approved="approved")
act("a9", "02T07:59:59", key="plan 3")
act("a10", "06T09:00:00", "planned", "", approved="approved")
act("a11", "06T10:00:04", key="")
act("a12", "06T09:00:00", "failed", "plan 4", approved="approved")
act("a13", "06T10:00:05", key="plan 4")
act("a14", "06T10:00:06", name="überweisung")
act("a15", "06T10:00:07", name="überweisung (neu)")
act("a16", "07T08:59:59", key="plan 1")
act("a17", "06T10:00:08", key="plan 2", approved="approved")

# Tool calls in halves.
WORK = {"agentid": "worker"}


def half(id, second, run, phase, call=None, tool=None, who=ACME, label=None, **data):
    data = {"audit.tool.phase": phase, "gen_ai.tool.call.id": call, "gen_ai.tool.name": tool, **{k.replace("__", "."): v for k, v in data.items()}}
    if phase == "request":
        data["gen_ai.tool.call.arguments"] = "{}"
    else:
        data.update({"gen_ai.tool.call.result": "{}", "audit.status": data.get("audit.status", "ok")})
    send(id, "tool_call", f"08T10:00:{second:02d}", {k: v for k, v in data.items() if v is not None}, who, runid=run, **WORK, **({"dataclassification": label} if label else {}))


def talk(run):
    send(f"{run}-prompt", "prompt", "08T09:00:00", {"gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Go."}]}]}, runid=run, **WORK)
    send(f"{run}-output", "output", "08T11:00:00", {"gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "Done."}]}]}, runid=run, **WORK)
for run in ("cancel", "nameless", "fine"):
    talk(run)
half("c1", 1, "cancel", "request", "A", "search")
half("c2", 2, "cancel", "result", "B", "search")
half("c3", 3, "nameless", "request", None, "search")
half("c4", 4, "nameless", "result", None, "pay")
half("c5", 5, "nameless", "result", None, None)
half("c6", 6, "fine", "request", "A", "search", label="secret")
half("c7", 8, "fine", "result", "A", label="secret")
half("c8", 9, "fine", "request", "B", "pay")
half("c9", 10, "fine", "result", "B", "pay", who=GLOBEX)
half("c10", 11, "fine", "result", "B", label="secret")
# One id for two tools.
half("i1", 20, "twice", "request", "1", "search", label="secret")
half("i2", 22, "twice", "result", "1", "search", label="secret")
half("i3", 24, "twice", "request", "1", "pay", label="secret")
half("i4", 28, "twice", "result", "1", "pay", label="secret", audit__status="error")
half("i5", 30, "twice", "result", "1", label="secret")
half("i6", 31, "twice", "result", "2", label="secret")
half("i7", 32, "twice", "request", "3", label="secret")

# A subject, the runs that its run called (the last called the first), and what it is accountable for.
U = {"subject": "user:7"}
send("s1", "prompt", "09T10:00:00", {}, runid="m1", parentrunid="m3", sessionid="sm", **U)
send("s2", "output", "09T10:00:01", {}, runid="m2", parentrunid="m1", sessionid="sm")
send("s3", "output", "09T10:00:02", {}, runid="m3", parentrunid="m2", agentid="helper")
send("s4", "output", "09T10:00:03", {}, runid="m3")
send("s5", "output", "09T10:00:04", {}, runid="m2", subject="user:8")
send("s6", "output", "09T10:00:05", {}, GLOBEX, runid="m2", parentrunid="m1")
send("s7", "output", "09T10:00:06", {}, {}, runid="m2", parentrunid="m1")
send("s8", "action", "09T10:00:07", {}, runid="m9", authid="user:7")
send("s9", "action", "09T10:00:08", {}, runid="m9", authid="user:7", subject="user:8")
send("s10", "output", "09T10:00:09", {}, runid="m9", authid="user:8")
send("s11", "output", "09T10:00:10", {}, runid="m1", authid="user:7")
send("s12", "output", "09T10:00:11", {}, runid="m4", parentrunid="m9")
send("s13", "output", "09T10:00:12", {}, sessionid="sm")

# An agent with an id and a name in a trace; and one that finds what another acts upon.
def span(id, n, parent, ms, trace=7, **more):
    send(id, "tool_call", "11T10:00:00", {"gen_ai.tool.name": "build", "audit.duration_ms": ms}, traceparent=f"00-{trace:032x}-{n:016x}-01",
         **({"parentspanid": f"{parent:016x}"} if parent else {}), **more)


span("x1", 1, None, 100, agentid="a1", agentname="Ada")
span("x2", 2, 1, 40, agentid="a2", agentname="Bob")
span("x3", 3, 2, 10, agentname="Ada")
send("f1", "context_retrieval", "12T10:00:00", {"gen_ai.data_source.id": "wiki"}, runid="found", agentid="finder")
act("f2", "12T10:00:01", approved="approved", runid="found")
act("f3", "12T10:00:02", approved="approved", runid="found", agent="clerk")

# A plan whose key others took too: for another target, for another action, and for none.
act("b1", "13T09:00:00", "planned", "plan 5", approved="approved")
act("b2", "13T10:00:00", key="plan 5", target="casino")
act("b3", "13T10:00:01", key="plan 5", name="withdraw")
act("b4", "13T10:00:02", key="plan 5", target=None)
act("b5", "13T10:00:03", key="plan 5")
act("b6", "13T09:00:00", "planned", "plan 6", approved="approved", target=None)
act("b7", "13T10:00:04", key="plan 6", target=None)
act("b8", "13T10:00:05", key="plan 6")

# Three commits of a key, each within a day of the one before, and one undone: two stand.
act("e1", "13T08:00:00", key="three", approved="approved")
act("e2", "13T18:00:00", key="three", approved="approved")
act("e3", "13T20:00:00", "compensated", key="three", approved="approved")
act("e4", "14T10:00:00", key="three", approved="approved")

# Calls of which one half alone names the data source, or the tool.
for i, (id, phase, names) in enumerate([("d1", "request", {"gen_ai.tool.name": "search", "gen_ai.data_source.id": "wiki"}), ("d1", "result", {}),
                                        ("d2", "request", {}), ("d2", "result", {"gen_ai.data_source.id": "wiki"}), ("d3", "request", {"gen_ai.tool.name": "search"}), ("d3", "result", {})]):
    send(f"{id}-{phase}", "tool_call", f"13T11:00:0{i}", {"audit.tool.phase": phase, "gen_ai.tool.call.id": id, **names}, runid="sourced", dataclassification="secret", **WORK)

# A run whose events name one tenant, or none.
send("h1", "prompt", "13T12:00:00", {}, runid="half named")
send("h2", "output", "13T12:00:01", {}, {}, runid="half named")

# Spans of two events, of which one alone tells the agent's name beside its id.
for n, (first, second) in enumerate([({}, {"agentname": "Cy"}), ({"agentname": "Cy"}, {})], 4):
    parent, ms = (4, 30) if n == 5 else (None, 90)
    span(f"y{n}-a", n, parent, ms, trace=8, agentid="a3", **first)
    span(f"y{n}-b", n, parent, ms, trace=8, agentid="a3", **second)

# Halves of calls that name neither call nor tool, beside those that name one.
talk("quiet result")
half("q1", 40, "quiet result", "request", None, "search")
half("q2", 41, "quiet result", "result")
half("q3", 42, "quiet result", "request", "A")
half("q4", 43, "quiet result", "result")
half("q5", 44, "quiet result", "request")
half("q6", 45, "quiet result", "result")
talk("quiet request")
half("q7", 46, "quiet request", "request")
half("q8", 47, "quiet request", "result", "A", "search")
half("q9", 48, "quiet request", "result", None, "pay")
half("q10", 49, "quiet request", "result", "B", "search")
half("q11", 50, "quiet request", "request", "B")
half("q12", 51, "quiet request", "request", "C")


def main():
    offsets = [0, 0]
    for i, value in enumerate(OUT):
        p = i % 2
        print(json.dumps({"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": f"2026-07-15T00:{i // 60:02d}:{i % 60:02d}.000Z",
                          "value": json.dumps(value, ensure_ascii=False)}, ensure_ascii=False))
        offsets[p] += 1


if __name__ == "__main__":
    main()
