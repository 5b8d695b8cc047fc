#!/usr/bin/env python3
"""Works out the answers of the canned queries from log.ndjson, with nothing but the standard library.

Writes golden/<query>.<case>.json: {"query", "params", "rows"}. It shares no code and no SQL with the queries: it
holds what they are defined to answer. Numbers that must be exact are written as strings.
"""
import json
import math
import os
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
LOG = [json.loads(line) for line in open(os.path.join(HERE, "log.ndjson"), encoding="utf-8")]
HIGH = 1 << 62


def when(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def show(t):
    s = t.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return s + "Z"


class Event:
    def __init__(self, row):
        self.row, self.raw = row, json.loads(row["value"], parse_float=Decimal)
        self.data = self.raw["data"]
        self.cls = self.raw["type"].split("agent.")[1]
        self.time = when(self.raw["time"])
        self.key = (self.raw["source"], self.raw["id"])
        self.place = (row["topic"], row["partition"], row["offset"])

    def get(self, attribute):
        return self.raw.get(attribute)


ROWS = [Event(r) for r in LOG if "dead" not in r for _ in range(r.get("copies", 1))]
DEAD = [r for r in LOG if "dead" in r or "also_dead" in r]


def once(rows):
    first = {}
    for e in rows:
        if e.key not in first or e.place < first[e.key].place:
            first[e.key] = e
    return list(first.values())


def within(events, p):
    frm, to = p.get("from"), p.get("to")
    return [e for e in events
            if (not frm or e.time >= when(frm)) and (not to or e.time < when(to))
            and (not p.get("agent") or p["agent"] in (e.get("agentid"), e.get("agentname")))
            and all(not p.get(k) or e.get(k) == p[k] for k in ("environment", "tenant"))]


def events(p):
    """Each event once. The window comes first: an event counts if its row in the window is the first there."""
    inside = [e for e in ROWS if (not p.get("from") or e.time >= when(p["from"])) and (not p.get("to") or e.time < when(p["to"]))]
    return within(once(inside), p)


def agent(e):
    return e.get("agentid") or e.get("agentname")


def action_ledger(p):
    out = []
    for e in sorted(events(p), key=lambda e: (e.time, e.place)):
        d = e.data
        if e.cls != "action" or (p.get("principal") and e.get("authid") != p["principal"]) or (p.get("target") and d["audit.action.target"] != p["target"]):
            continue
        at = d.get("audit.approval.at")
        out.append({
            "time": show(e.time), "principal_type": e.get("authtype"), "principal": e.get("authid"), "agent": agent(e), "agent_version": e.get("agentversion"),
            "action": d["audit.action.name"], "target": d["audit.action.target"], "resource": d["audit.action.resource"], "effect": d["audit.action.effect"],
            "status": d["audit.status"], "approval": d.get("audit.approval.decision"), "approved_by": d.get("audit.approval.by"),
            "approved_at": show(when(at)) if at else None, "policy": None, "policy_decision": None, "idempotency_key": d["audit.idempotency_key"],
            "external_id": None, "tenant": e.get("tenant"), "session_id": e.get("sessionid"), "run_id": e.get("runid"), "event_id": e.get("id"),
            "source": e.get("source"), "kafka_topic": e.place[0], "kafka_partition": e.place[1], "kafka_offset": e.place[2]})
    return out


def completeness(p):
    def ingested(row):
        t = when(row["ingest_time"])
        return p.get("topic", row["topic"]) == row["topic"] and (not p.get("from") or t >= when(p["from"])) and (not p.get("to") or t < when(p["to"]))

    first = {}
    for e in ROWS:
        if e.key not in first or e.place < first[e.key].place:
            first[e.key] = e
    parts = defaultdict(lambda: {"ev": Counter(), "dead": Counter(), "retries": 0, "conflicts": 0})
    seen = set()
    for e in ROWS:
        if not ingested(e.row):
            continue
        part = parts[e.place[:2]]
        part["ev"][e.place[2]] += 1
        if e.place in seen or e.place == first[e.key].place:
            seen.add(e.place)
            continue
        seen.add(e.place)
        part["retries" if e.row["value"] == first[e.key].row["value"] else "conflicts"] += 1
    for r in DEAD:
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


def number(x):
    """A double as text, as SQL writes it."""
    return repr(float(x))


def summary(e):
    d = e.data

    def message(m):
        parts = [q["content"] if q["type"] == "text" else f"[call {q['name']} {json.dumps(q['arguments'], separators=(',', ':'))}]" for q in m["parts"]]
        return m["role"] + ": " + " ".join(parts)

    if e.cls == "prompt":
        return "\n".join(map(message, d["gen_ai.input.messages"]))
    if e.cls == "output":
        return "\n".join(map(message, d["gen_ai.output.messages"]))
    if e.cls == "input":
        return "m-large policy v3"
    if e.cls == "tool_call":
        if d.get("audit.tool.phase") == "result":
            return f"{d['gen_ai.tool.name']} -> {d['gen_ai.tool.call.result']}"
        return f"{d['gen_ai.tool.name']}({d['gen_ai.tool.call.arguments']})"
    if e.cls == "context_retrieval":
        return f"kb: {d['gen_ai.retrieval.query.text']} [{d['audit.retrieval.document_count']} documents]"
    if e.cls == "action":
        return f"{d['audit.action.name']} on {d['audit.action.target']} {d['audit.action.resource']} [{d['audit.action.effect']}]"
    return f"reward {number(d['gen_ai.evaluation.score.value'])} {d['gen_ai.evaluation.score.label']}"


def run_timeline(p):
    run = [e for e in events(p) if e.get("runid") == p["run"]]
    ordered = all(e.get("sequence") is not None for e in run)
    run.sort(key=lambda e: (e.get("sequence") if ordered else 0, e.time, e.place))
    out, before = [], None
    for i, e in enumerate(run):
        ms = e.data.get("audit.duration_ms")
        out.append({"seq": i + 1, "time": show(e.time), "class": e.cls, "summary": summary(e)[:int(p.get("summary_chars", 200))], "status": e.data.get("audit.status"),
                    "duration_ms": None if ms is None else float(ms), "gap_ms": None if before is None else (e.time - before) / timedelta(milliseconds=1),
                    "agent": e.get("agentid"), "event_id": e.get("id"), "source": e.get("source"), "kafka_topic": e.place[0],
                    "kafka_partition": e.place[1], "kafka_offset": e.place[2]})
        before = e.time
    return out


def rank(values, q):
    """Nearest rank: the smallest value that at least the share q does not exceed."""
    values = sorted(values)
    return next(v for i, v in enumerate(values, 1) if Decimal(i) / len(values) >= Decimal(str(q)))


def sli_daily(p):
    cells = defaultdict(list)  # (day, sli, unit) -> [(value, good)]
    # A run is followed for a day beyond the window.
    wide = {k: show(when(v) + timedelta(days=-1 if k == "from" else 1)) if k in ("from", "to") else v for k, v in p.items()}
    nearby = events(wide)
    limit, passing = float(p.get("latency_ms", 10000)), float(p.get("pass_score", 0.5))
    runs = defaultdict(list)
    for e in nearby:
        runs[e.get("runid"), e.get("tenant")].append(e)
    for e in within(nearby, p):
        d, day = e.data, e.time.date().isoformat()
        if e.cls == "output" and "audit.duration_ms" in d:
            cells[day, "latency", "ms"].append((float(d["audit.duration_ms"]), d["audit.duration_ms"] <= limit))
        if e.cls in ("tool_call", "action", "output") and "audit.status" in d and d.get("audit.tool.phase") != "request":
            cells[day, "success", e.cls].append((None, d["audit.status"] == "ok"))
        if e.cls == "evaluation":
            score = float(d["gen_ai.evaluation.score.value"])
            cells[day, "accuracy", d["gen_ai.evaluation.name"]].append((score, score >= passing))
    for (name, _), run in runs.items():
        began = min(e.time for e in run)
        if name is None or (p.get("from") and began < when(p["from"])) or (p.get("to") and began >= when(p["to"])):
            continue
        day = began.date().isoformat()
        unpriced = any(e.cls == "output" and "audit.cost.amount" not in e.data for e in run)
        by = defaultdict(Decimal)
        for e in run:
            if "audit.cost.amount" in e.data:
                by[e.data.get("audit.cost.currency")] += Decimal(str(e.data["audit.cost.amount"]))
        for currency, cost in by.items():
            cells[day, "cost", currency].append((float(cost), not unpriced))
        if unpriced and not by:
            cells[day, "cost", None].append((None, False))
    out = []
    for (day, sli, unit), cell in sorted(cells.items(), key=lambda kv: (kv[0][:2], kv[0][2] is not None, kv[0][2] or "")):
        if p.get("sli", sli) != sli:
            continue
        values = [v for v, _ in cell if v is not None]
        good = sum(g for _, g in cell)
        out.append({"day": day, "sli": sli, "unit": unit, "n": len(cell), **{f"p{int(q * 100)}": rank(values, q) if values else None for q in (0.5, 0.95, 0.99)},
                    "good": good, "ratio": good / len(cell)})
    return out


def upper_gamma(a, x):
    """Q(a, x) for half-integer a: from Q(1/2, x) = erfc(sqrt x) and Q(1, x) = exp(-x), upwards."""
    q, s = (math.erfc(math.sqrt(x)), 0.5) if a % 1 else (math.exp(-x), 1.0)
    while s < a:
        q += math.exp(s * math.log(x) - x - math.lgamma(s + 1))
        s += 1
    return q


def drift(name, ref, cur):
    keys = sorted(set(ref) | set(cur))
    n, m = sum(ref.values()), sum(cur.values())
    row = {"dimension": name, "ref_rows": n, "cur_rows": m, "categories": len(keys)}
    if not n or not m:
        unknown = dict.fromkeys(["psi", "psi_verdict", "js", "chi2", "p", "method", "top_movers"])
        return {**row, **unknown, "verdict": "no data"}
    r, c = [ref[k] / n for k in keys], [cur[k] / m for k in keys]

    def filled(shares):
        least = min(s for s in shares if s)
        return [s or (least / 10**6 if least <= 0.0001 else 0.0001) for s in shares]

    psi = sum((a - b) * math.log(a / b) for a, b in zip(filled(r), filled(c)))
    kl = lambda p, q: sum(a * math.log2(a / b) for a, b in zip(p, q) if a)
    mid = [(a + b) / 2 for a, b in zip(r, c)]
    js = math.sqrt(max(0.0, (kl(r, mid) + kl(c, mid)) / 2))
    new = any(ref[k] == 0 for k in keys)
    if new:  # the contingency table of both windows, cell by cell
        expected = lambda k, size: (ref[k] + cur[k]) * size / (n + m)
        chi2 = sum((counts[k] - expected(k, size)) ** 2 / expected(k, size) for counts, size in ((ref, n), (cur, m)) for k in keys)
    else:
        chi2 = sum((cur[k] - ref[k] * m / n) ** 2 / (ref[k] * m / n) for k in keys)
    if len(keys) > 2:
        p, method = 1.0 if chi2 == 0 else upper_gamma((len(keys) - 1) / 2, chi2 / 2), "pooled chi2" if new else "chi2"
    else:
        pool = (ref[keys[0]] + cur[keys[0]]) / (n + m)
        spread = pool * (1 - pool) * (1 / n + 1 / m)
        p, method = (math.erfc(abs(r[0] - c[0]) / math.sqrt(spread) / math.sqrt(2)) if spread else 1.0), "z"
    if n > 1000:
        method = "js"
    moved = sorted(zip(keys, r, c), key=lambda t: (-abs(t[2] - t[1]), t[0]))[:3]
    return {**row, "psi": psi, "psi_verdict": "drift" if psi >= 0.25 else "watch" if psi >= 0.1 else "stable", "js": js,
            "chi2": chi2, "p": p, "method": method,
            "verdict": "drift" if (js >= 0.1 if method == "js" else p < 0.05) else "stable",
            "top_movers": "; ".join(f"{k} {round(100 * a, 1)}% -> {round(100 * b, 1)}%" for k, a, b in moved)}


def categorical_drift(p):
    hull = {k: v for k, v in p.items() if k in ("agent", "environment", "tenant")}
    evs = events(hull)
    if p.get("ref_from") and p.get("from"):
        low = min(when(p["ref_from"]), when(p["from"]))
        evs = [e for e in evs if e.time >= low]
    if p.get("ref_to") and p.get("to"):
        high = max(when(p["ref_to"]), when(p["to"]))
        evs = [e for e in evs if e.time < high]
    if not evs:
        return []
    low, high = min(e.time for e in evs), max(e.time for e in evs)
    start = when(p["from"]) if p.get("from") else low + timedelta(microseconds=((high - low) // timedelta(microseconds=1)) // 2)
    ref_to = when(p["ref_to"]) if p.get("ref_to") else start
    in_ref = [e for e in evs if e.time < ref_to and (not p.get("ref_from") or e.time >= when(p["ref_from"]))]
    in_cur = [e for e in evs if e.time >= start and (not p.get("to") or e.time < when(p["to"]))]
    take = {
        "tool": lambda e: e.data.get("gen_ai.tool.name") if e.cls == "tool_call" and e.data.get("audit.tool.phase") != "result" else None,
        "model": lambda e: e.data.get("gen_ai.response.model") if e.cls == "output" else None,
        "finish_reason": lambda e: e.data.get("gen_ai.response.finish_reasons", [None])[0] if e.cls == "output" else None,
        "status": lambda e: e.data.get("audit.status"),
        "class": lambda e: e.cls,
    }
    out = []
    for name in sorted(take):
        if p.get("dimension", name) == name:
            count = lambda evs: Counter(v for v in map(take[name], evs) if v is not None)
            ref, cur = count(in_ref), count(in_cur)
            if ref or cur:
                out.append(drift(name, ref, cur))
    return out


def cost_rollup(p):
    dims = p.get("dimensions", "tenant,agent,model").split(",")
    counted = ("audit.cost.amount", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    take = {"day": lambda e: e.time.date().isoformat(), "tenant": lambda e: e.get("tenant"), "environment": lambda e: e.get("environment"),
            "agent": agent, "agent_version": lambda e: e.get("agentversion"),
            "model": lambda e: e.data.get("gen_ai.response.model") or e.data.get("gen_ai.request.model"), "class": lambda e: e.cls}
    cells = defaultdict(list)
    for e in events(p):
        if e.cls == "output" or any(k in e.data for k in counted):
            cells[tuple(f(e) if k in dims else None for k, f in take.items()) + (e.data.get("audit.cost.currency"),)].append(e)
    out = []
    for key, cell in sorted(cells.items(), key=lambda kv: tuple((v is not None, v or "") for v in kv[0])):
        ds = [e.data for e in cell]
        costs = [Decimal(str(d["audit.cost.amount"])) for d in ds if "audit.cost.amount" in d]
        total = lambda name: sum(d.get(name, 0) for d in ds)
        tokens, cached = total("gen_ai.usage.input_tokens"), total("gen_ai.usage.cache_read.input_tokens")
        out.append({**dict(zip(take, key)), "currency": key[-1], "cost": str(sum(costs).quantize(Decimal("1e-9"))) if costs else None, "priced": len(costs),
                    "unpriced": sum(e.cls == "output" and "audit.cost.amount" not in e.data for e in cell), "input_tokens": tokens, "output_tokens": total("gen_ai.usage.output_tokens"),
                    "cache_read_tokens": cached, "cache_pct": 100 * cached / tokens if tokens else None})
    return out


CASES = {
    "action_ledger": [{}, {"from": "2026-03-02", "to": "2026-03-04", "tenant": "acme"}, {"agent": "billing", "target": "ledger", "environment": "prod"}, {"principal": "u3"},
                      {"agent": "clerk"}, {"agent": "clerk", "from": "2026-03-05"}, {"agent": "clerk", "to": "2026-03-05"}],
    "completeness": [{}, {"topic": "agent-events", "from": "2026-03-07T00:02:00Z", "to": "2026-03-07T00:09:00Z"}, {"topic": "none"}],
    "run_timeline": [{"run": "r5"}, {"run": "r47"}, {"run": "r32", "summary_chars": "12"}, {"run": "r3", "from": "2026-03-04"}, {"run": "night"}, {"run": "none"}],
    "sli_daily": [{}, {"sli": "latency", "latency_ms": "5000"}, {"sli": "accuracy", "pass_score": "0.75", "agent": "support", "from": "2026-03-03"},
                  {"sli": "cost", "from": "2026-03-04", "to": "2026-03-05"}, {"sli": "cost", "from": "2026-03-03", "to": "2026-03-04"}],
    "categorical_drift": [{}, {"ref_from": "2026-03-01", "ref_to": "2026-03-03", "from": "2026-03-05", "to": "2026-03-07"},
                          {"dimension": "tool", "tenant": "acme", "from": "2026-03-02"}, {"from": "2026-03-01", "dimension": "class"},
                          {"from": "2026-04-01", "dimension": "tool"}, {"agent": "nobody"},
                          {"from": "2026-03-02", "to": "2026-03-04T12:00:00Z", "dimension": "tool"}],
    "cost_rollup": [{}, {"dimensions": "day"}, {"dimensions": "environment,agent_version", "tenant": "globex"},
                    {"dimensions": ""}, {"dimensions": "class,day", "from": "2026-03-02", "to": "2026-03-05"}],
}


def main():
    golden = os.path.join(HERE, "golden")
    os.makedirs(golden, exist_ok=True)
    for query, cases in CASES.items():
        for i, params in enumerate(cases):
            full = {k: (v + "T00:00:00Z" if k in ("from", "to", "ref_from", "ref_to") and len(v) == 10 else v) for k, v in params.items()}
            rows = globals()[query](full)
            with open(os.path.join(golden, f"{query}.{i}.json"), "w", encoding="utf-8") as f:
                f.write('{"query": %s, "params": %s, "rows": [\n' % (json.dumps(query), json.dumps(params)))
                f.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
                f.write("\n]}\n")


if __name__ == "__main__":
    main()
