#!/usr/bin/env python3
"""Writes audit.ndjson: what auditors ask about. Every event is written out below; the order is that of the log.

Approvals in every state, on the action and on its tool call; actions that do not tell their effect. Idempotency keys
committed again soon, late and at another target, undone and not, at two tenants. Data that is public, confidential,
restricted and regulated, read by calls in one event and in two. A subject that shares a session with another, events of
its run and session that name no one, a copy and a conflict of them, dead letters that name it. Runs of maintenance jobs.
"""
import json

OUT = []


def send(id, cls, time, data=None, partition=0, source="/agents/a", dead=None, **more):
    value = {"specversion": "1.0", "source": source, "id": id, "type": f"agent.{cls}", "time": time}
    if data is not None:
        value["data"] = data
    OUT.append((partition, json.dumps(dict(value, **more)), dead))


def job(**row):
    OUT.append((None, row, None))


def act(name="pay", effect="committed", **data):
    out = {"audit.action.name": name, "audit.action.target": "bank", "audit.action.resource": "order/1"}
    if effect:
        out["audit.action.effect"] = effect
    return dict(out, **{k.replace("__", "."): v for k, v in data.items()})


def approval(decision="approved", at="2026-04-01T10:00:00Z", by="boss"):
    return {k: v for k, v in {"audit__approval__decision": decision, "audit__approval__at": at, "audit__approval__by": by}.items() if v is not None}


ACME = {"tenant": "acme", "environment": "prod", "agentid": "payer", "authid": "ann", "runid": "r1"}
GLOBEX = {"tenant": "globex", "environment": "dev", "agentname": "payer", "runid": "r1"}

# Approvals. The actions are at 10:00:01.
AT = "2026-04-01T10:00:01Z"
send("p1", "action", AT, act(**approval()), **ACME)
send("p2", "action", AT, act(), **ACME)
send("p3", "action", AT, act(**approval(at="2026-04-01T10:00:01Z")), **ACME)
send("p4", "action", AT, act(**approval(at="2026-04-01T10:00:01.000001Z")), **ACME)
send("p5", "action", AT, act(**approval(at=None)), 1, **ACME)
send("p6", "action", AT, act("refund.create", **approval("rejected")), **ACME)
send("p7", "action", AT, act("refund.create", **approval(None)), **ACME)
send("p8", "action", AT, act("refund_create", **approval("APPROVED")), **ACME)
send("p9", "action", AT, act("refund.undo", **approval(None, None)), 1, **ACME)
send("p10", "action", AT, act("refund%", None, **{"audit.policy.id": "limits", "audit.policy.decision": "allow"}), **GLOBEX)
send("p11", "action", AT, act("pay", None, **{"audit.status": "error"}), **GLOBEX)
send("p12", "action", AT, act("pay", "planned"), **GLOBEX)
send("p13", "action", AT, act("pay", "compensated"), **GLOBEX)
send("p14", "action", AT, {"audit.action.name": None, "audit.action.effect": "committed", "audit.approval.by": None}, **GLOBEX)
# The approval is on the call: of the cause, of the same call id, of another tenant's, after the action, the day before.
CALL = {"gen_ai.tool.name": "pay"}
ok = {k.replace("__", "."): v for k, v in approval().items()}
send("c1", "tool_call", "2026-04-01T10:00:00Z", dict(CALL, **ok), **ACME)
send("p15", "action", AT, act("wire"), **ACME, causationid="c1")
send("p16", "action", AT, act("wire", **{"gen_ai.tool.call.id": "id1"}), **ACME)
send("p17", "action", AT, act("wire", **{"gen_ai.tool.call.id": "id1"}), **GLOBEX)
send("c2", "tool_call", "2026-04-01T10:00:00Z", dict(CALL, **ok, **{"gen_ai.tool.call.id": "id1", "audit.tool.phase": "request"}), 1, **ACME)
send("c3", "tool_call", "2026-04-01T10:00:00Z", dict(CALL, **{"audit.approval.decision": "rejected", "gen_ai.tool.call.id": "id1", "audit.tool.phase": "result"}), 1, **ACME)
send("c4", "tool_call", "2026-04-01T10:00:00Z", dict(CALL, **{"audit.approval.decision": "approved", "audit.approval.at": "2026-04-01T11:00:00Z", "audit.approval.by": "late"}),
     source="/agents/b", **ACME)
send("p18", "action", AT, act("wire"), **ACME, causationid="c4", causationsource="/agents/b")
send("p19", "action", AT, act("wire", **approval("rejected")), **ACME, causationid="c1")
send("c5", "tool_call", "2026-04-01T23:59:59Z", dict(CALL, **ok), **ACME)
send("p20", "action", "2026-04-02T00:00:01Z", act("wire"), **ACME, causationid="c5")

# Idempotency keys, all approved.
def commit(id, time, key, effect="committed", target="bank", resource="order/1", partition=0, external=None, who=ACME):
    send(id, "action", time, act("pay", effect, **approval("approved", "2026-04-03T00:00:00Z"), **{
        "audit.idempotency_key": key, "audit.action.target": target, "audit.action.resource": resource, "audit.action.external_id": external}), partition, **who)


commit("k1", "2026-04-03T10:00:00Z", "soon", external="x1")
commit("k2", "2026-04-03T10:00:05Z", "soon", external="x2")
commit("k3", "2026-04-03T10:00:00Z", "soon", who=GLOBEX)
commit("k4", "2026-04-03T11:00:00Z", "twin", target="ledger", external="x3")
commit("k5", "2026-04-03T11:00:00Z", "twin", partition=1, resource="order/2", external="x3")
commit("k6", "2026-04-03T12:00:00Z", "late")
commit("k7", "2026-04-04T12:00:00Z", "late")
commit("k8", "2026-04-05T12:00:00.000001Z", "late")
commit("k9", "2026-04-03T13:00:00Z", "undone")
commit("k10", "2026-04-03T13:01:00Z", "undone")
commit("k11", "2026-04-05T13:02:00Z", "undone", "compensated")
commit("k12", "2026-04-03T12:59:00Z", "undone", "compensated")
commit("k13", "2026-04-03T14:00:00Z", "thrice")
commit("k14", "2026-04-03T14:00:01Z", "thrice", "compensated")
commit("k15", "2026-04-03T14:00:02Z", "thrice")
commit("k16", "2026-04-03T14:00:03Z", "thrice")
commit("k17", "2026-04-03T15:00:00Z", "tried", "failed")
commit("k18", "2026-04-03T15:00:01Z", "tried")
commit("k19", "2026-04-03T16:00:00Z", "")
commit("k20", "2026-04-03T16:00:01Z", "")
commit("k21", "2026-04-03T16:00:00Z", None)
commit("k22", "2026-04-03T16:00:01Z", None)
commit("k23", "2026-04-03T17:00:00Z", "no tenant", who={})
commit("k24", "2026-04-03T17:00:01Z", "no tenant", who={})
commit("k25", "2026-04-03T10:00:06Z", "soon", external="x2")
commit("k9", "2026-04-03T13:00:00Z", "undone", partition=1)  # sent again: no third commit

# Classified data.
def read(id, cls, label, regulation=None, data=None, who=ACME, **more):
    send(id, cls, f"2026-04-06T10:00:{len(OUT) % 60:02d}Z", data, len(OUT) % 2, **who, dataclassification=label, dataregulation=regulation, **more)


KB = {"gen_ai.data_source.id": "crm"}
read("d1", "context_retrieval", "confidential", "GDPR", KB)
read("d2", "context_retrieval", "Confidential", "GDPR", KB)
read("d3", "context_retrieval", "public", None, KB)
read("d4", "context_retrieval", None, "PCI-DSS", KB)
read("d5", "context_retrieval", "public", "GDPR", {"gen_ai.tool.name": "search"}, GLOBEX)
read("d6", "prompt", "restricted")
read("d7", "output", "restricted")
read("d8", "action", "restricted")
read("d9", "input", "internal", None, None, GLOBEX)
LOOK = {"gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "z"}
read("d10", "tool_call", "restricted", None, dict(LOOK, **{"audit.tool.phase": "request"}))
read("d11", "tool_call", "restricted", None, dict(LOOK, **{"audit.tool.phase": "result"}))
read("d12", "tool_call", "restricted", None, LOOK)
read("d13", "tool_call", "restricted", None, dict(LOOK, **{"audit.tool.phase": "result"}), GLOBEX)
read("d14", "tool_call", "restricted", None, {"gen_ai.tool.name": "lookup", "audit.tool.phase": "request"})
read("d15", "tool_call", "restricted", None, {"gen_ai.tool.name": "lookup", "audit.tool.phase": "result"})
read("d16", "tool_call", None, None, LOOK)
read("d17", "context_retrieval", "secret")
read("d18", "tool_call", "internal", None, dict(LOOK, **{"audit.tool.phase": "request"}))
read("d19", "tool_call", "restricted", None, dict(LOOK, **{"audit.tool.phase": "request"}), {"tenant": "acme"})

# A subject.
T = "2026-04-07T10:00:%02dZ"
S1 = {"tenant": "acme", "sessionid": "s1"}
send("s1", "prompt", T % 1, {}, **S1, runid="q1", subject="user:1", dataclassification="confidential")
send("s2", "tool_call", T % 2, {}, 1, **S1, runid="q1")
send("s3", "output", T % 3, {}, **S1, runid="q1", subject="user:2")
send("s4", "output", T % 4, {}, **S1, runid="q2", agentid="helper")
send("s5", "output", T % 5, {}, tenant="globex", sessionid="s1", runid="q1")
send("s6", "output", T % 6, {}, tenant="acme", runid="q1", environment="prod")
send("s7", "output", T % 7, {}, tenant="acme")
send("s8", "action", T % 8, {}, subject="user:1", runid="q9")
send("s9", "output", T % 9, {}, runid="q9")
send("s10", "output", T % 10, {}, tenant="", runid="q9")
send("s11", "prompt", T % 11, {}, subject="user:12")
send("s2", "tool_call", T % 2, {}, 1, **S1, runid="q1")
send("s1", "prompt", T % 1, {"changed": True}, 1, **S1, runid="q1", subject="user:1")
send("s12", "prompt", T % 12, {}, subject="Ünal \"x\"")
OUT.append((1, '{"specversion":"1.0","subject":"user:1","id":"x"', "not_json"))
OUT.append((0, '{"specversion":"1.0","subject":"user:12","id":"x"', "not_json"))
OUT.append((0, '{"specversion":"1.0","subject":"Ünal', "not_json"))
OUT.append((0, '{"specversion":"1.0","subject":"Grüße",', "not_json"))

# Maintenance.
def ran(run, name, at, rows, detail, policy=None, target="agent_events", before=None, after=None, took=1.5):
    job(run_id=run, job=name, started_at=f"2026-04-0{at}T03:00:00Z", finished_at=f"2026-04-0{at}T03:00:{took:06.3f}Z", actor="cron@host", policy=policy, target=target,
        detail=detail, row_count=rows, snapshot_before=before, snapshot_after=after)


ran("m1", "dead_letter_replay", 2, 3, '{"chosen_by": "true", "sent": [], "omitted": 0}', target="agent-events", took=0.25)
ran("m2", "retention", 3, 120, '{"rule": "old prompts", "files": 4, "held_back": 7}', "retention v3 sha256:ab", before=11, after=12)
ran("m3", "retention", 3, 0, '{"rule": null, "files": "4", "held_back": "some"}', "retention v3 sha256:ab", before=12)
ran("m4", "erasure", 4, 5, "not JSON at all", before=12, after=13)
ran("m5", "compaction", 4, 900, '{"files": 9}', before=13, after=14)
ran("m6", "expiry", 5, 0, '["files", 2]', took=0)
ran("m7", "orphan_removal", 5, 0, '{"files": 31}', target="dead_letters")


def main():
    offsets = [0, 0]
    for i, (p, value, dead) in enumerate(OUT):
        if p is None:
            print(json.dumps({"maintenance": value}))
            continue
        row = {"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": f"2026-04-08T00:{i // 60:02d}:{i % 60:02d}.000Z", "value": value}
        if dead:
            row["dead"] = dead
        print(json.dumps(row, ensure_ascii=False))
        offsets[p] += 1


if __name__ == "__main__":
    main()
