#!/usr/bin/env python3
"""Writes edge.ndjson: a log of what is rare or awkward. Every event is written out below; the order is that of the log.

Two topic partitions. Two tenants with a run of the same id. A run over midnight whose events stand in the log the wrong
way round, with a trace and a chain of causes that ends at a prompt; the other tenant's has neither sequence nor trace.
An event of every class with required attributes alone, one without data. Events at the same moment. Events sent again,
unchanged and changed. Two variants of an experiment, one session in each of them and one in both. No event of class
"input" belongs to a run.
"""
import json

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-%016x-01"
OUT = []


def send(id, cls, time, data, partition=0, **more):
    value = {"specversion": "1.0", "source": "/agents/edge", "id": id, "type": f"agent.{cls}", "time": time}
    if data is not None:
        value["data"] = data
    OUT.append((partition, dict(value, **more)))


def text(role, content):
    return [{"role": role, "parts": [{"type": "text", "content": content}]}]


A = {"tenant": "acme", "environment": "prod", "sessionid": "sa", "runid": "ra", "agentid": "desk", "agentversion": "1", "authtype": "user", "authid": "ann",
     "subject": "user:1", "dataclassification": "confidential", "dataregulation": "GDPR"}
G = {"tenant": "globex", "sessionid": "sg", "runid": "ra", "agentname": "desk"}
DOCS = [{"id": "doc-1", "score": 0.9, "version": "2"}, {"id": "doc-2", "score": 0.4, "version": "1"}]
PAY = {"gen_ai.tool.name": "pay", "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": '{"sum": 5}', "audit.status": "ok"}
ACT = {"audit.action.name": "payment.create", "audit.action.target": "bank", "audit.action.resource": "order/1", "audit.action.effect": "committed",
       "audit.idempotency_key": "once", "audit.status": "ok", "gen_ai.tool.name": "pay", "gen_ai.tool.call.id": "c1"}

# A run over midnight, in the log from its end to its begin.
send("a7", "evaluation", "2026-03-11T00:00:09Z", {"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": 1, "gen_ai.evaluation.score.label": "pass"},
     **A, sequence="0007")
send("a6", "output", "2026-03-11T00:00:03Z", {"gen_ai.output.messages": text("assistant", "Paid."), "gen_ai.response.model": "m1", "audit.duration_ms": 2000,
     "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 7, "audit.cost.amount": "0.01", "audit.cost.currency": "USD", "audit.status": "ok",
     "gen_ai.response.finish_reasons": ["stop"]}, **A, sequence="0006", causationid="a4", traceparent=TRACE % 6, parentspanid="%016x" % 1)
send("a5", "action", "2026-03-11T00:00:02Z", dict(ACT, **{"audit.approval.by": "boss", "audit.approval.decision": "approved", "audit.approval.at": "2026-03-11T00:00:01Z"}),
     **A, sequence="0005", causationid="a4", traceparent=TRACE % 5, parentspanid="%016x" % 4)
send("a4", "tool_call", "2026-03-11T00:00:01Z", dict(PAY, **{"audit.duration_ms": 1500}), **A, sequence="0004", causationid="a3", traceparent=TRACE % 4,
     parentspanid="%016x" % 1)
send("a3", "output", "2026-03-11T00:00:00Z", {"gen_ai.response.model": "m1", "audit.duration_ms": 500.5, "audit.status": "ok", "gen_ai.usage.input_tokens": 50,
     "gen_ai.usage.output_tokens": 20, "gen_ai.response.finish_reasons": ["tool_calls"]}, **A, sequence="0003", causationid="a2", traceparent=TRACE % 3,
     parentspanid="%016x" % 1)
send("a2", "context_retrieval", "2026-03-10T23:59:59Z", {"gen_ai.data_source.id": "kb", "audit.retrieval.document_count": 2, "gen_ai.retrieval.query.text": "payments",
     "gen_ai.retrieval.documents": DOCS, "audit.duration_ms": 250, "audit.status": "ok"}, **A, sequence="0002", causationid="a1", traceparent=TRACE % 2,
     parentspanid="%016x" % 1)
send("a1", "prompt", "2026-03-10T23:59:58Z", {"gen_ai.input.messages": text("user", "Pay 5.\nNow!"), "audit.duration_ms": 6000}, **A, sequence="0001", traceparent=TRACE % 1)

# Another tenant's run of the same id: no sequence, no trace, causes that are not in the log, a name in place of an agent's id.
send("g1", "prompt", "2026-03-10T23:59:58Z", {"gen_ai.input.messages": text("user", "Refund.")}, 1, **G)
send("g2", "tool_call", "2026-03-10T23:59:58Z", {"gen_ai.tool.name": "pay", "audit.status": "error", "error.type": "timeout", "audit.attempt": 1,
     "gen_ai.tool.call.arguments": '{"sum": 5}'}, 1, **G, causationid="gone")
send("g3", "tool_call", "2026-03-10T23:59:58Z", {"gen_ai.tool.name": "pay", "audit.status": "ok", "audit.attempt": 2, "audit.retry_of": "g2",
     "gen_ai.tool.call.arguments": '{"sum": 5}'}, 0, **G, causationid="g2")
send("g4", "action", "2026-03-10T23:59:59Z", dict(ACT, **{"audit.action.resource": "order/2"}), 1, **G, causationid="g3")
send("g5", "action", "2026-03-12T00:00:00Z", dict(ACT, **{"audit.action.target": "ledger", "audit.approval.by": "boss", "audit.approval.decision": "approved",
     "audit.approval.at": "2026-03-12T01:00:00Z"}), 1, **G)
send("g6", "output", "2026-03-12T00:00:00Z", {"audit.cost.amount": 2, "audit.cost.currency": "EUR", "gen_ai.request.model": "m2"}, 1, **G)

# Events that have what is required, and nothing else.
for i, cls in enumerate(["prompt", "input", "context_retrieval", "tool_call", "output", "action", "evaluation", "policy_decision"]):
    send(f"n{i}", cls, "2026-03-11T12:00:00Z", {}, i % 2)
send("n8", "output", "2026-03-11T12:00:00Z", None, 1)
send("n9", "action", "2026-03-11T12:00:00Z", None, 0)

# An event sent again: unchanged, twice; and with other content.
send("g2", "tool_call", "2026-03-10T23:59:58Z", {"gen_ai.tool.name": "pay", "audit.status": "error", "error.type": "timeout", "audit.attempt": 1,
     "gen_ai.tool.call.arguments": '{"sum": 5}'}, 1, **G, causationid="gone")
send("g2", "tool_call", "2026-03-10T23:59:58Z", {"gen_ai.tool.name": "pay", "audit.status": "error", "error.type": "timeout", "audit.attempt": 1,
     "gen_ai.tool.call.arguments": '{"sum": 5}'}, 1, **G, causationid="gone")
send("a5", "action", "2026-03-11T00:00:02Z", dict(ACT, **{"audit.action.effect": "failed"}), 1, **A, sequence="0005", causationid="a4")

# An experiment: u and w have a variant each, x has both.
for i, (who, variant, score) in enumerate([("u", "new", 1), ("w", "old", 0), ("x", "old", 1), ("x", "new", 0)]):
    at = {"tenant": "acme", "sessionid": f"s{who}", "runid": f"r{who}{variant}"}
    send(f"x{i}o", "output", f"2026-03-13T0{i}:00:00Z", {"audit.experiment": "words", "audit.variant": variant, "audit.duration_ms": 100 + i, "audit.status": "ok",
         "audit.cost.amount": "0.1", "audit.cost.currency": "USD"}, i % 2, **at)
    send(f"x{i}e", "evaluation", f"2026-03-13T0{i}:00:01Z", {"audit.experiment": "words", "audit.variant": variant, "gen_ai.evaluation.name": "reward",
         "gen_ai.evaluation.score.value": score, "gen_ai.evaluation.score.label": "pass" if score else "fail"}, i % 2, **at)


def main():
    offsets = [0, 0]
    for i, (p, value) in enumerate(OUT):
        print(json.dumps({"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": f"2026-03-14T00:00:{i:02d}.000Z",
                          "value": json.dumps(value, ensure_ascii=False)}, ensure_ascii=False))
        offsets[p] += 1


if __name__ == "__main__":
    main()
