"""What the audit queries are defined to answer."""
from collections import Counter, defaultdict

from log import agent, show, when


def action_ledger(log, p):
    out = []
    for e in sorted(log.events(p), key=lambda e: (e.time, e.place)):
        d = e.data
        if e.cls != "action" or (p.get("principal") and e.get("authid") != p["principal"]) or (p.get("target") and d.get("audit.action.target") != p["target"]):
            continue
        at = d.get("audit.approval.at")
        out.append({
            "time": show(e.time), "principal_type": e.get("authtype"), "principal": e.get("authid"), "agent": agent(e), "agent_version": e.get("agentversion"),
            "action": d.get("audit.action.name"), "target": d.get("audit.action.target"), "resource": d.get("audit.action.resource"), "effect": d.get("audit.action.effect"),
            "status": d.get("audit.status"), "approval": d.get("audit.approval.decision"), "approved_by": d.get("audit.approval.by"),
            "approved_at": show(when(at)) if at else None, "policy": None, "policy_decision": None, "idempotency_key": d.get("audit.idempotency_key"),
            "external_id": None, "tenant": e.get("tenant"), "session_id": e.get("sessionid"), "run_id": e.get("runid"), "event_id": e.get("id"),
            "source": e.get("source"), "kafka_topic": e.place[0], "kafka_partition": e.place[1], "kafka_offset": e.place[2]})
    return out


def completeness(log, p):
    def ingested(row):
        t = when(row["ingest_time"])
        return p.get("topic", row["topic"]) == row["topic"] and (not p.get("from") or t >= when(p["from"])) and (not p.get("to") or t < when(p["to"]))

    first = {}
    for e in log.rows:
        if e.key not in first or e.place < first[e.key].place:
            first[e.key] = e
    parts = defaultdict(lambda: {"ev": Counter(), "dead": Counter(), "retries": 0, "conflicts": 0})
    seen = set()
    for e in log.rows:
        if not ingested(e.row):
            continue
        part = parts[e.place[:2]]
        part["ev"][e.place[2]] += 1
        if e.place in seen or e.place == first[e.key].place:
            seen.add(e.place)
            continue
        seen.add(e.place)
        part["retries" if e.row["value"] == first[e.key].row["value"] else "conflicts"] += 1
    for r in log.dead:
        if ingested(r):
            parts[(r["topic"], r["partition"])]["dead"][r["offset"]] += 1
    out = []
    for (topic, partition), part in sorted(parts.items()):
        offs = set(part["ev"]) | set(part["dead"])
        dup = sum(n - 1 for n in part["ev"].values()) + sum(n - 1 for n in part["dead"].values()) + len(set(part["ev"]) & set(part["dead"]))
        out.append({"topic": topic, "partition": partition, "first_offset": min(offs), "last_offset": max(offs), "records": len(offs),
                    "missing": max(offs) - min(offs) + 1 - len(offs), "events": sum(part["ev"].values()), "dead_letters": sum(part["dead"].values()),
                    "duplicates": dup, "retries": part["retries"], "conflicts": part["conflicts"]})
    return out


CASES = {
    action_ledger: [
        ("base", {}),
        ("base", {"from": "2026-03-02", "to": "2026-03-04", "tenant": "acme"}),
        ("base", {"agent": "billing", "target": "ledger", "environment": "prod"}),
        ("base", {"principal": "u3"}),
        ("base", {"agent": "clerk"}),
        ("base", {"agent": "clerk", "from": "2026-03-05"}),
        ("base", {"agent": "clerk", "to": "2026-03-05"}),
        ("edge", {}),
        ("edge", {"tenant": "globex", "from": "2026-03-11"}),
        ("one", {}),
        ("empty", {}),
    ],
    completeness: [
        ("base", {}),
        ("base", {"topic": "agent-events", "from": "2026-03-07T00:02:00Z", "to": "2026-03-07T00:09:00Z"}),
        ("base", {"topic": "none"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
}
