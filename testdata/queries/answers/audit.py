"""What the audit queries are defined to answer."""
import json
import re
from collections import Counter, defaultdict
from datetime import timedelta

from log import agent, in_window, show, when, within


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
            "source": e.get("source"), "kafka_topic": e.place[0], "kafka_partition": e.place[1], "kafka_offset": e.place[2], "environment": e.get("environment")})
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


def widened(p, days):
    """The parameters with a window that begins days earlier."""
    return {**p, "from": show(when(p["from"]) - timedelta(days=days))} if p.get("from") else p


def first_of(events):
    return min(events, key=lambda e: (e.time, e.place))


def ms(a, b):
    return (b - a) / timedelta(milliseconds=1)


def approval(e):
    """The approval that an event records: decision, by, at; None where it records none."""
    found = [e.data.get(f"audit.approval.{k}") for k in ("decision", "by", "at")]
    return (found[0], found[1], when(found[2]) if found[2] else None) if any(v is not None for v in found) else None


def standing(given, at):
    """How an approval stands to an action at that time, what speaks most for the action first."""
    states = ["approved", "late", "undated", "undecided", "not approved", "none"]
    if given is None:
        state = "none"
    elif given[0] is None:
        state = "undecided"
    elif given[0].lower() != "approved":
        state = "not approved"
    elif given[2] is None:
        state = "undated"
    else:
        state = "approved" if given[2] <= at else "late"
    return states.index(state), state


def chosen(names, name):
    if not names:
        return True
    return name is not None and any(re.fullmatch(".*".join(map(re.escape, n.strip().split("*"))), name) for n in names.split(","))


def unapproved_actions(log, p):
    near = within(log.events(widened(p, 1)), {})
    calls = [e for e in near if e.cls == "tool_call" and approval(e)]
    plans = [e for e in near if e.cls == "action" and e.data.get("audit.action.effect") == "planned" and approval(e)]
    out = []
    for e in sorted(within(near, p), key=lambda e: (e.time, e.place)):
        d = e.data
        effect = d.get("audit.action.effect")
        tried = effect == "committed" or (effect is None and d.get("audit.status") not in ("error", "denied", "cancelled"))
        if e.cls != "action" or not tried or not chosen(p.get("actions"), d.get("audit.action.name")):
            continue
        on, given = "action", approval(e)
        if not given:
            cause = (e.get("causationsource") or e.get("source"), e.get("causationid"))
            call_id = d.get("gen_ai.tool.call.id")
            same = lambda c: call_id and e.get("runid") and [c.get("runid"), c.get("tenant"), c.data.get("gen_ai.tool.call.id")] == [e.get("runid"), e.get("tenant"), call_id]
            key = d.get("audit.idempotency_key")
            asked = lambda x: [x.get("tenant"), *map(x.data.get, ("audit.idempotency_key", "audit.action.name", "audit.action.target"))]
            planned = lambda c: key and asked(c) == asked(e)
            found = [("tool_call", approval(c)) for c in calls if c.key == cause or same(c)] + [("planned action", approval(c)) for c in plans if c.key == cause or planned(c)]
            on, given = min(found, key=lambda f: (standing(f[1], e.time)[0], f[1][2] is None, f[1][2] or e.time, f[0]), default=(None, None))
        state = standing(given, e.time)[1]
        if state == "approved":
            continue
        decision, by, at = given or (None, None, None)
        out.append({"time": show(e.time), "agent": agent(e), "principal": e.get("authid"), "action": d.get("audit.action.name"), "target": d.get("audit.action.target"),
                    "resource": d.get("audit.action.resource"), "effect": effect, "approval_state": state, "decision": decision, "approved_by": by, "approved_at": at and show(at),
                    "lag_ms": ms(e.time, at) if at else None, "approval_on": on if given else None, "policy": d.get("audit.policy.id"), "policy_decision": d.get("audit.policy.decision"),
                    "tenant": e.get("tenant"), "run_id": e.get("runid"), "event_id": e.get("id"), "source": e.get("source"),
                    "kafka_topic": e.place[0], "kafka_partition": e.place[1], "kafka_offset": e.place[2], "environment": e.get("environment")})
    return out


def unexplained_actions(log, p):
    near = log.events({k: v for k, v in widened(p, 1).items() if k in ("from", "to")})
    by_id, limit, out = {e.key: e for e in near}, int(p.get("max_depth", 100)), []
    for a in sorted(within(near, p), key=lambda e: (e.time, e.place)):
        if a.cls != "action":
            continue
        chain, missing = [a], None
        while True:
            at = chain[-1]
            cause = (at.get("causationsource") or at.get("source"), at.get("causationid"))
            if at.cls in ("prompt", "input"):
                breaks = None
            elif cause[1] is None:
                breaks = "no cause"
            elif cause not in by_id:
                breaks, missing = "missing", cause
            elif len(chain) > limit:
                breaks = "too deep"
            elif by_id[cause] in chain:
                breaks, chain = "cycle", chain[:chain.index(by_id[cause]) + 1]
            else:
                chain.append(by_id[cause])
                continue
            break
        if not breaks:
            continue
        name = lambda k: a.data.get("audit.action." + k)
        begins = [e for e in near if e.cls in ("prompt", "input") and e.get("runid") is not None and [e.get("runid"), e.get("tenant")] == [a.get("runid"), a.get("tenant")] and e.time <= a.time]
        out.append({"time": show(a.time), "agent": agent(a), "action": name("name"), "target": name("target"), "resource": name("resource"), "effect": name("effect"),
                    "breaks": breaks, "depth": len(chain) - 1, "at_event": chain[-1].get("id"), "at_source": chain[-1].get("source"),
                    "missing_id": missing and missing[1], "missing_source": missing and missing[0], "run_begins": len(begins), "tenant": a.get("tenant"), "run_id": a.get("runid"),
                    "event_id": a.get("id"), "source": a.get("source"), "kafka_topic": a.place[0], "kafka_partition": a.place[1], "kafka_offset": a.place[2]})
    return out


def duplicate_side_effects(log, p):
    keys = defaultdict(list)
    hours = float(p.get("window", 24))
    read = log.events({k: v for k, v in widened(p, 7).items() if k in ("from", "to", "tenant")})
    for e in sorted(read, key=lambda e: (e.time, e.place)):
        if e.cls == "action" and e.data.get("audit.idempotency_key"):
            keys[e.get("tenant"), e.data["audit.idempotency_key"]].append(e)
    apart, out = timedelta(hours=hours), []
    for (tenant, key), events in keys.items():
        rows, last = [], None
        for e in events:
            effect = e.data.get("audit.action.effect")
            if effect == "committed":
                if last is None or e.time - last > apart:
                    rows.append(([], []))
                rows[-1][0].append(e)
                last = e.time
            elif effect == "compensated" and rows:
                rows[-1][1].append(e)
        for done, undone in rows:
            who = {k: p.get(k) for k in ("agent", "environment")}
            if len(done) < 2 or not in_window(done[-1].time, p) or not within(done, who):
                continue
            words = lambda values: ", ".join(sorted({v for v in values if v is not None})) or None
            data = lambda name: words(e.data.get("audit.action." + name) for e in done)
            out.append({"tenant": tenant, "key": key, "n": len(done), "compensated": len(undone), "state": "compensated" if len(done) - len(undone) <= 1 else "open",
                        "actions": data("name"), "targets": data("target"), "resources": data("resource"), "external_ids": data("external_id"), "agents": words(map(agent, done)),
                        "first_time": show(done[0].time), "last_time": show(done[-1].time), "event_ids": ", ".join(e.get("id") for e in done)})
    return sorted(out, key=lambda r: (when(r["first_time"]), r["tenant"] is not None, r["tenant"] or "", r["key"]))


def sensitive_access(log, p):
    levels = [v.strip().lower() for v in p["level"].split(",")] if p.get("level") else None
    cells, calls, names = defaultdict(list), set(), defaultdict(set)
    call_of = lambda e: (e.get("tenant"), e.get("runid"), e.data.get("gen_ai.tool.call.id"))
    half_of = lambda e: e.cls == "tool_call" and e.data.get("audit.tool.phase") in ("request", "result") and None not in call_of(e)[1:]
    name_of = lambda e: e.data.get("gen_ai.data_source.id") or e.data.get("gen_ai.tool.name")
    for e in log.events({k: p.get(k) for k in ("from", "to")}):
        if half_of(e) and name_of(e):
            names[call_of(e)].add(name_of(e))
    for e in sorted(log.events(p), key=lambda e: e.time):
        level, regulation = (e.get("dataclassification") or "").lower() or None, e.get("dataregulation")
        if e.cls not in ("context_retrieval", "tool_call", "prompt", "input") or (level is None and regulation is None):
            continue
        if level not in levels if levels else level == "public":
            continue
        cell = (e.get("tenant"), agent(e), e.cls, name_of(e) or (max(names[call_of(e)], default=None) if half_of(e) else None), level, regulation)
        half = half_of(e)
        call = (cell, *call_of(e))
        cells[cell].append((e.time, not half or call not in calls))
        if half:
            calls.add(call)
    out = [{**dict(zip(("tenant", "agent", "class", "data_source", "classification", "regulation"), cell)), "n": sum(new for _, new in reads),
            "first_time": show(reads[0][0]), "last_time": show(reads[-1][0])} for cell, reads in cells.items()]
    return sorted(out, key=lambda r: (-r["n"], *((r[k] is not None, r[k] or "") for k in ("tenant", "agent", "class", "data_source", "classification", "regulation"))))


def subject_access(log, p):
    who = p["subject"]
    rows = [e for e in log.rows if in_window(e.time, p)]
    marked = {(kind, e.get("tenant"), e.get(kind)) for e in rows for kind in ("runid", "sessionid") if e.get("subject") == who and e.get(kind) is not None}
    called, todo = set(), [m for m in marked if m[0] == "runid"]
    while todo:
        _, tenant, run = todo.pop()
        for e in rows:
            more = ("runid", tenant, e.get("runid"))
            if e.get("tenant") == tenant and e.get("parentrunid") == run and e.get("runid") is not None and more not in called:
                called.add(more)
                todo.append(more)
    seen, out = Counter(), []
    # Every row in the range is a copy, whatever else is asked for.
    for e in sorted(rows, key=lambda e: e.place):
        mine = lambda kind, known: (kind, e.get("tenant"), e.get(kind)) in known
        in_it = [reason for kind, known, reason in (("runid", marked, "run"), ("runid", called, "called run"), ("sessionid", marked, "session")) if mine(kind, known)]
        principal = "principal" if e.get("authid") == who else None
        if e.get("subject") is not None:
            reason = "subject" if e.get("subject") == who else principal
        else:
            reason = in_it[0] if in_it else principal
        if not reason or not within([e], p):
            continue
        seen[e.key] += 1
        out.append((e.time, e.place, seen[e.key], {
            "time": show(e.time), "by": reason, "class": e.cls, "event_id": e.get("id"), "source": e.get("source"), "copy": seen[e.key], "agent": agent(e), "tenant": e.get("tenant"),
            "session_id": e.get("sessionid"), "run_id": e.get("runid"), "classification": e.get("dataclassification"), "regulation": e.get("dataregulation"),
            "stored_in": "agent_events", "kafka_topic": e.place[0], "kafka_partition": e.place[1], "kafka_offset": e.place[2]}))
    if not any(p.get(k) for k in ("agent", "environment", "tenant")):
        for r in log.dead:
            at, place = when(r["ingest_time"]), (r["topic"], r["partition"], r["offset"])
            if in_window(at, p) and (f'"{who}"' in r["value"] or who == "v"):  # every record of a test has the header h: v
                row = dict.fromkeys(out[0][3] if out else ["event_id", "source", "copy", "agent", "tenant", "session_id", "run_id", "classification", "regulation"])
                out.append((at, place, 0, {**row, "time": show(at), "by": "dead letter", "class": r.get("dead") or r.get("also_dead"), "stored_in": "dead_letters",
                                           "kafka_topic": place[0], "kafka_partition": place[1], "kafka_offset": place[2]}))
    return [row for *_, row in sorted(out, key=lambda o: o[:3])]


def deletion_history(log, p):
    out = []
    for r in log.maintenance:
        wanted = r["job"] == p["job"] if p.get("job") else r["job"] not in ("dead_letter_replay", "compaction")
        if not wanted or not in_window(when(r["started_at"]), p) or (p.get("target") and r["target"] != p["target"]):
            continue
        try:
            told = json.loads(r["detail"])
        except ValueError:
            told = None
        told = told if isinstance(told, dict) else {}

        def whole(name):
            return int(told[name]) if re.fullmatch(r"[0-9]+", str(told.get(name))) else None

        out.append({"time": show(when(r["started_at"])), "run": r["run_id"], "job": r["job"], "actor": r["actor"], "policy": r["policy"], "rule": told.get("rule"),
                    "target": r["target"], "rows": r["row_count"], "files": whole("files"), "held_back": whole("held_back"),
                    "took_ms": ms(when(r["started_at"]), when(r["finished_at"])), "snapshot_before": r["snapshot_before"], "snapshot_after": r["snapshot_after"], "detail": r["detail"]})
    return sorted(out, key=lambda r: (r["time"], r["run"]))


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
    unapproved_actions: [
        ("audit", {}),
        ("base", {}),
        ("base", {"actions": "refund.*", "tenant": "acme", "environment": "prod", "from": "2026-03-02", "to": "2026-03-04"}),
        ("base", {"actions": "none"}),
        ("audit", {"from": "2026-04-02", "to": "2026-04-03"}),
        ("audit", {"actions": "refund_create , re*.*o"}),
        ("audit", {"actions": "refund%"}),
        ("audit", {"agent": "payer", "tenant": "globex"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {}),
        ("crossed", {"actions": "überweisung"}),
        ("crossed", {"actions": "*weisung (*, p?y"}),
        ("crossed", {"from": "2026-07-07"}),
        ("crossed", {"from": "2026-07-07T09:00:00Z"}),
        ("crossed", {"from": "2026-07-13"}),
    ],
    unexplained_actions: [
        ("lineage", {}),
        ("base", {}),
        ("lineage", {"from": "2026-05-03"}),
        ("lineage", {"from": "2026-05-03T11:00:00Z"}),
        ("lineage", {"max_depth": "1000"}),
        ("lineage", {"max_depth": "42", "from": "2026-05-01T10:30:00Z"}),
        ("lineage", {"max_depth": "1", "tenant": "acme"}),
        ("lineage", {"agent": "clerk", "environment": "dev"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
    duplicate_side_effects: [
        ("audit", {}),
        ("base", {}),
        ("audit", {"window": "0.001"}),
        ("audit", {"window": "1000", "tenant": "acme"}),
        ("audit", {"from": "2026-04-03T11:00:00Z", "to": "2026-04-03T13:01:00Z", "agent": "payer", "environment": "prod"}),
        ("edge", {}),
        ("edge", {"tenant": "globex", "window": "48"}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {}),
        ("crossed", {"from": "2026-07-03"}),
        ("crossed", {"from": "2026-07-02", "to": "2026-07-03"}),
        ("crossed", {"agent": "payer", "from": "2026-07-03", "to": "2026-07-04"}),
        ("crossed", {"agent": "retryer", "environment": "dr"}),
        ("crossed", {"agent": "payer", "environment": "dr"}),
        ("crossed", {"window": "240"}),
        ("crossed", {"window": "240", "from": "2026-07-10"}),
        ("crossed", {"window": "0.001", "from": "2026-07-03"}),
        ("crossed", {"window": "150", "from": "2026-07-10", "tenant": "acme"}),
        ("crossed", {"from": "2026-07-14T09:00:00Z"}),
        ("crossed", {"from": "2026-07-14T09:00:00Z", "window": "12"}),
    ],
    sensitive_access: [
        ("audit", {}),
        ("base", {}),
        ("audit", {"level": "restricted, INTERNAL"}),
        ("audit", {"level": "public"}),
        ("audit", {"tenant": "globex", "agent": "payer"}),
        ("edge", {}),
        ("edge", {"from": "2026-03-10T23:59:59Z", "to": "2026-03-11T00:00:01Z", "environment": "prod"}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {}),
        ("crossed", {"level": "secret", "from": "2026-07-08T10:00:08Z"}),
        ("crossed", {"from": "2026-07-13"}),
    ],
    subject_access: [
        ("base", {"subject": "user:3", "to": "2026-03-02"}),
        ("base", {"subject": "nobody"}),
        ("audit", {"subject": "user:1"}),
        ("audit", {"subject": "user:1", "tenant": "acme"}),
        ("audit", {"subject": "user:1", "agent": "helper"}),
        ("audit", {"subject": "user:1", "environment": "prod"}),
        ("audit", {"subject": "user:1", "from": "2026-04-07T10:00:02Z"}),
        ("audit", {"subject": "Grüße"}),
        ("audit", {"subject": "Ünal \"x\""}),
        ("audit", {"subject": "v", "from": "2026-04-08"}),
        ("edge", {"subject": "user:1"}),
        ("one", {"subject": "user:1"}),
        ("empty", {"subject": "user:1"}),
        ("crossed", {"subject": "user:7"}),
        ("crossed", {"subject": "user:7", "tenant": "acme", "agent": "helper"}),
        ("crossed", {"subject": "user:7", "from": "2026-07-09T10:00:01Z"}),
    ],
    deletion_history: [
        ("audit", {}),
        ("base", {}),
        ("audit", {"job": "dead_letter_replay"}),
        ("audit", {"from": "2026-04-03", "to": "2026-04-05", "target": "agent_events"}),
        ("audit", {"target": "dead_letters"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
}
