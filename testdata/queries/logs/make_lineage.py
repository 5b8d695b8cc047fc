#!/usr/bin/env python3
"""Writes lineage.ndjson: chains of causes, and what documents led to. Every event is written out below.

Ids that two producers share. A run in which producers name every cause, called runs of another agent with and without a
named cause, retries, a call in two events with its action, runs without causes, with and without sequence, events without a
run. Chains that end at no cause, at an id that is not there, at one of another source, in cycles (of the action itself, of one
event, behind a tail, behind a long tail), and that are very long. Documents in several versions and in every form in which
producers may send a list. Sources before, after and at the moment of actions, by sequence and by time.
"""
import json

OUT = []


def send(id, cls, time, data=None, source="/a", partition=0, **more):
    value = {"specversion": "1.0", "source": source, "id": id, "type": f"agent.{cls}", "time": time if "T" in time else f"2026-05-01T{time}Z"}
    if data is not None:
        value["data"] = data
    OUT.append((partition, dict(value, **{k: v for k, v in more.items() if v is not None})))


def act(name="pay", target="bank", effect="committed", **data):
    return {"audit.action.name": name, "audit.action.target": target, "audit.action.resource": "order/1", "audit.action.effect": effect, **data}


def found(documents, source="kb", **data):
    return {"gen_ai.data_source.id": source, "gen_ai.retrieval.documents": documents, "gen_ai.retrieval.query.text": "q", "audit.retrieval.document_count": 2, **data}


def says(role, text):
    key = "gen_ai.input.messages" if role == "user" else "gen_ai.output.messages"
    return {key: [{"role": role, "parts": [{"type": "text", "content": text}]}]}


# A run of /a that hands over to /b. Both number their events from 1.
A = {"tenant": "acme", "runid": "ra", "sessionid": "s1", "agentid": "boss", "environment": "prod"}
B = {"tenant": "acme", "runid": "rb", "parentrunid": "ra", "sessionid": "s1", "agentname": "worker", "source": "/b"}
send("1", "prompt", "09:00:00", says("user", "Pay what is due.\nAll of it."), **A, sequence="1")
send("2", "input", "09:00:01", {"gen_ai.request.model": "m1", "gen_ai.prompt.name": "p", "audit.prompt.version": "v2"}, **A, sequence="2", causationid="1")
send("3", "context_retrieval", "09:00:02", found([{"id": "d1", "version": "1", "score": 0.5}, {"id": "d2", "version": "7"}]), **A, sequence="3", causationid="2")
send("4", "handoff", "09:00:03", {}, **A, sequence="4", causationid="3")
send("1", "input", "09:00:04", {"gen_ai.request.model": "m2"}, **B, sequence="1", causationid="4", causationsource="/a")
send("2", "output", "09:00:05", dict(says("assistant", "I call it."), **{"gen_ai.response.model": "m2"}), **B, sequence="2", causationid="1")
send("3", "tool_call", "09:00:06", {"gen_ai.tool.name": "pay", "gen_ai.tool.call.id": "c1", "audit.attempt": 1, "audit.status": "error", "gen_ai.tool.call.arguments": "{}"},
     **B, sequence="3", causationid="2")
send("4", "tool_call", "09:00:07", {"gen_ai.tool.name": "pay", "gen_ai.tool.call.id": "c1", "audit.attempt": 2, "audit.retry_of": "3", "audit.tool.phase": "request",
     "gen_ai.tool.call.arguments": "{}"}, **B, sequence="4", causationid="2")
send("5", "tool_call", "09:00:08", {"gen_ai.tool.name": "pay", "gen_ai.tool.call.id": "c1", "audit.attempt": 2, "audit.tool.phase": "result", "gen_ai.tool.call.result": "ok"},
     partition=1, **B, sequence="5", causationid="4")
send("6", "action", "09:00:08.500", act(**{"gen_ai.tool.call.id": "c1"}), **B, sequence="6", causationid="5")
send("5", "output", "09:00:09", dict(says("assistant", "Paid."), **{"gen_ai.request.model": "m1"}), **A, sequence="5", causationid="6", causationsource="/b")
send("6", "action", "09:00:10", act("mail.send", "mail", "failed"), **A, sequence="6", causationid="5")
send("7", "action", "09:00:11", act("mail.send", "mail"), **A, sequence="7", causationid="6", **{"subject": "user:1"})

# A run that is called and names no cause; its parent goes on after it began. No sequence, and two events at one moment.
C = {"tenant": "acme", "runid": "rc", "parentrunid": "ra", "source": "/c", "sessionid": "s2"}
send("c1", "context_retrieval", "09:00:09.500", found('[{"id": "d1", "version": 2}]', "web"), **C)
send("c2", "tool_call", "09:00:10", {"gen_ai.tool.name": "look", "gen_ai.tool.call.id": "z", "audit.tool.phase": "request"}, **C)
send("c3", "tool_call", "09:00:10", {"gen_ai.tool.name": "look", "gen_ai.tool.call.id": "z", "audit.tool.phase": "result"}, partition=1, **C)
send("c4", "output", "09:00:11", {}, **C)
send("c5", "action", "09:00:12", act("ledger.post", "ledger"), **C)
send("c6", "prompt", "09:00:13", says("user", "And now?"), **C)
send("c7", "action", "09:00:14", act("ledger.post", "ledger"), **C)
# The same run id at another tenant, and its sequence is against the clock.
D = {"tenant": "globex", "runid": "rc", "source": "/d"}
send("d1", "context_retrieval", "09:10:00", found([{"id": "d1", "version": "2"}], "kb"), **D, sequence="5")
send("d2", "action", "09:11:00", act(), **D, sequence="4")
send("d3", "output", "09:09:00", {"gen_ai.response.model": "m9"}, **D, sequence="6")
send("d4", "action", "09:12:00", act(target=None), **D, sequence="7")
send("d5", "action", "09:10:00", act(effect="planned"), **D)

# Chains that break. Their actions are at 10 o'clock.
send("e1", "action", "10:00:00", act(), agentid="clerk", environment="dev", runid="re", tenant="acme")
send("e2", "output", "10:00:00", {}, source="/e", causationid="gone")
send("e3", "action", "10:00:00", act(), causationid="e2", causationsource="/e", runid="re", tenant="acme")
send("e4", "action", "10:00:00", act(), causationid="e2", runid="re", tenant="globex")
send("e5", "prompt", "09:59:59", {}, runid="re", tenant="acme")
send("e6", "input", "10:00:01", {}, runid="re", tenant="acme")
send("e7", "action", "10:00:00", act(), causationid="e7")
send("e8", "action", "10:00:00", act(), causationid="e9")
send("e9", "output", "10:00:00", {}, causationid="e10")
send("e10", "tool_call", "10:00:00", {}, causationid="e8")
send("e11", "action", "10:00:00", act(), causationid="e12")
send("e12", "output", "10:00:00", {}, causationid="e9")
send("e13", "action", "10:00:00", act(), causationid="e14")
send("e14", "output", "10:00:00", {}, causationid="e14")
send("e15", "action", "10:00:00", None, causationid="e16")
send("e16", "output", "10:00:00", {}, causationid="1")
send("e17", "action", "10:00:00", act(), causationid="", runid="re", tenant="acme", sequence="1")
# The cause is a day and more ago, and exactly a day ago.
send("f1", "prompt", "2026-05-02T11:00:00Z", {}, runid="rf")
send("f2", "action", "2026-05-03T12:00:00Z", act(), causationid="f1", runid="rf")
# A chain of 120 steps to a prompt, with an action every tenth; and one of 40 steps into a cycle.
send("l0", "prompt", "11:00:00", {})
for i in range(1, 121):
    send(f"l{i}", "action" if i % 10 == 0 else "output", f"11:{i // 60:02d}:{i % 60:02d}", {}, partition=i % 2, causationid=f"l{i - 1}")
for i in range(44):
    send(f"m{i}", "action" if i in (0, 43) else "output", "12:00:00", {}, causationid=f"m{i + 1 if i < 43 else 40}")

# Documents in other forms, and other documents. None of them has a run, but for the last.
for i, documents in enumerate([["d1", "d3"], {"id": "d1", "version": "3"}, '{"id": "d1"}', "d1", '["d1"', [["d1"]], None, [{"id": ["d1"]}, None, 7], [{"version": "1"}],
                               [{"id": "d1", "version": "1"}, {"id": "d1", "version": "2"}, {"id": "d1", "version": "1"}], [{"id": "d11"}], [{"id": 42}]]):
    send(f"g{i}", "context_retrieval", f"13:00:{i:02d}", found(documents, None if i == 4 else "web", **{"gen_ai.tool.name": "search"}), tenant="acme" if i % 2 else None)
send("g20", "output", "13:01:00", {"gen_ai.response.model": "m1"}, causationid="g0", tenant="acme")
send("g21", "action", "12:59:00", act(), causationid="g20", tenant="globex", runid="rg")
send("g22", "output", "13:02:00", {}, causationid="g23", runid="rg")
send("g23", "output", "13:02:00", {}, causationid="g22", runid="rg")
send("g24", "tool_call", "13:01:00", {}, causationid="g1")
send("g25", "action", "13:01:01", act(), causationid="g24")
send("g26", "output", "13:01:02", {}, causationid="g2", causationsource="/elsewhere")
H = {"tenant": "acme", "runid": "rh", "sessionid": "s1"}
send("h1", "output", "14:00:00", {}, **H)
send("h2", "context_retrieval", "14:00:01", found([{"id": "d1", "version": "1"}, {"id": "d1"}], "crm"), **H)
send("h3", "action", "14:00:01", act("pay", "bank"), partition=1, **H)
send("h4", "context_retrieval", "14:00:02", {"gen_ai.tool.name": "search"}, **H)
send("h5", "context_retrieval", "14:00:02", None, **H)
send("h6", "action", "14:00:03", act("pay", "ledger", "planned"), **H)
send("h7", "action", "14:00:04", act("pay", "bank"), **H, sequence="3")
send("h8", "context_retrieval", "14:00:05", found([{"id": "d1", "version": "2"}], "late"), **H, sequence="2")
send("h9", "context_retrieval", "14:00:05", found([], "later"), **H, sequence="4")
send("h10", "action", "15:00:00", act("pay", "bank"), tenant="acme", sessionid="s1")


def main():
    offsets = [0, 0]
    for i, (p, value) in enumerate(OUT):
        print(json.dumps({"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": f"2026-05-04T00:{i // 60:02d}:{i % 60:02d}.000Z",
                          "value": json.dumps(value, ensure_ascii=False)}, ensure_ascii=False))
        offsets[p] += 1


if __name__ == "__main__":
    main()
