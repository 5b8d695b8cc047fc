"""What the SLO queries are defined to answer."""
import hashlib
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from log import agent, in_window, show, text_of, when, within


def rank(values, q):
    """Nearest rank: the smallest value that at least the share q does not exceed."""
    values = sorted(values)
    return next(v for i, v in enumerate(values, 1) if Decimal(i) / len(values) >= Decimal(str(q)))


def sli_daily(log, p):
    cells = defaultdict(list)  # (day, sli, unit) -> [(value, good)]
    # A run is followed for a day beyond the window.
    wide = {k: show(when(v) + timedelta(days=-1 if k == "from" else 1)) if k in ("from", "to") else v for k, v in p.items()}
    nearby = log.events(wide)
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
        if e.cls == "evaluation" and "gen_ai.evaluation.score.value" in d:
            score = float(d["gen_ai.evaluation.score.value"])
            cells[day, "accuracy", d.get("gen_ai.evaluation.name")].append((score, score >= passing))
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


def measured(e, p):
    """Whether the event is good by the indicator, None where it is not measured."""
    d, sli = e.data, p.get("sli", "success")
    if sli == "latency":
        unit, value = "ms", d.get("audit.duration_ms") if e.cls == "output" else None
        good = value is not None and value <= float(p.get("latency_ms", 10000))
    elif sli == "success":
        unit, value = e.cls, d.get("audit.status") if e.cls in ("tool_call", "action", "output") and d.get("audit.tool.phase") != "request" else None
        good = value == "ok"
    else:
        unit, value = d.get("gen_ai.evaluation.name"), d.get("gen_ai.evaluation.score.value") if e.cls == "evaluation" else None
        good = value is not None and value >= float(p.get("pass_score", 0.5))
    return None if value is None or p.get("unit", unit) != unit else good


def burn_rate(log, p):
    end, out = when(p["to"]), []
    near = log.events({**p, "from": show(end - timedelta(days=3))})

    def burn(**length):
        verdicts = [measured(e, p) for e in near if e.time >= end - timedelta(**length)]
        verdicts = [v for v in verdicts if v is not None]
        bad = verdicts.count(False)
        return len(verdicts), bad, round(bad / len(verdicts) / (1 - float(p.get("objective", "0.99"))), 9) if verdicts else None

    for name, alert, threshold, long, short in (("1 h / 5 min", "page", 14.4, {"hours": 1}, {"minutes": 5}),
                                                ("6 h / 30 min", "page", 6, {"hours": 6}, {"minutes": 30}),
                                                ("3 d / 6 h", "ticket", 1, {"days": 3}, {"hours": 6})):
        (n, bad, long_burn), (short_n, short_bad, short_burn) = burn(**long), burn(**short)
        if n and long_burn <= threshold:
            verdict = "ok"
        elif not n or not short_n:
            verdict = "no data"
        else:
            verdict = alert if short_burn > threshold else "ok"
        out.append({"windows": name, "threshold": threshold, "long_n": n, "long_bad": bad, "long_burn": long_burn, "short_n": short_n, "short_bad": short_bad,
                    "short_burn": short_burn, "verdict": verdict, "at": show(end)})
    return out


def error_budget(log, p):
    end = when(p["to"])
    read = log.events({**p, "from": show(end - timedelta(days=90))})
    begin = end - timedelta(days=int(p.get("period", "30d")[:-1]))
    by = defaultdict(list)
    for e in read:
        good = measured(e, p) if e.time >= begin else None
        if good is not None:
            by[agent(e)].append(good)
    scopes = [("agent", who, by[who]) for who in sorted(by, key=lambda who: (who is not None, who or ""))]
    if by:
        scopes.insert(0, ("all", None, [g for cell in by.values() for g in cell]))
    out = []
    for scope, who, cell in scopes:
        bad, allowed = cell.count(False), round(len(cell) * (1 - float(p.get("objective", "0.99"))), 9)
        whole = scopes[0][2].count(False)
        out.append({"scope": scope, "agent": who, "total": len(cell), "good": cell.count(True), "bad": bad, "allowed": allowed,
                    "consumed": bad / allowed, "remaining": 1 - bad / allowed, "bad_share": bad / whole if whole else None})
    return out


def loop_detector(log, p):
    most, runs = int(p.get("max_repeat", 3)), defaultdict(list)
    wide = {k: show(when(v) - timedelta(days=1)) if k == "from" else v for k, v in p.items() if k in ("from", "to", "tenant")}
    for e in log.events(wide):
        if e.cls == "tool_call" and e.data.get("audit.tool.phase") != "result" and e.get("runid") is not None:
            runs[e.get("tenant"), e.get("runid")].append(e)
    out = []
    for (tenant, run), calls in runs.items():
        if any(not within(calls, {k: p.get(k)}) for k in ("agent", "environment")):
            continue
        ordered = all(e.get("sequence") is not None for e in calls)
        calls.sort(key=lambda e: (int(e.get("sequence")) if ordered else 0, e.time, e.place))
        same, before, streak = defaultdict(list), None, 0
        longest = defaultdict(int)
        for e in calls:
            what = (e.data.get("gen_ai.tool.name"), text_of(e.data.get("gen_ai.tool.call.arguments")))
            streak = streak + 1 if what == before else 1
            before = what
            longest[what] = max(longest[what], streak)
            same[what].append(e)
        for (tool, arguments), like in same.items():
            if arguments is not None and len(like) > most and in_window(max(e.time for e in like), p):
                out.append({"tenant": tenant, "run_id": run, "agent": min((a for a in map(agent, like) if a is not None), default=None), "tool": tool,
                            "arguments_sha256": hashlib.sha256(arguments.encode()).hexdigest(), "arguments": arguments[:200], "n": len(like),
                            "in_a_row": longest[tool, arguments], "retries": sum(e.data.get("audit.attempt", 1) > 1 or "audit.retry_of" in e.data for e in like),
                            "first": show(min(e.time for e in like)), "last": show(max(e.time for e in like))})
    text = lambda v: (v is not None, v or "")
    return sorted(out, key=lambda r: (-r["n"], text(r["tenant"]), r["run_id"], text(r["tool"]), r["arguments_sha256"]))


CASES = {
    burn_rate: [
        ("base", {"to": "2026-03-04T12:00:00Z"}),
        ("base", {"to": "2026-03-03T23:30:00Z", "objective": "0.9", "tenant": "acme"}),
        ("base", {"to": "2026-03-06T14:00:00Z", "sli": "latency", "latency_ms": "9000", "objective": "0.95"}),
        ("base", {"to": "2026-03-05T16:05:00Z", "sli": "accuracy", "unit": "reward", "agent": "support", "environment": "prod"}),
        ("base", {"to": "2026-03-05T16:05:00Z", "sli": "accuracy", "unit": "none"}),
        ("base", {"to": "2026-03-06T09:00:00Z", "unit": "tool_call"}),
        ("edge", {"to": "2026-03-11T00:00:00Z"}),
        ("edge", {"to": "2026-03-10T23:59:58.000001Z"}),
        ("edge", {"to": "2026-03-11T00:04:58Z"}),
        ("edge", {"to": "2026-03-11T00:04:58.000001Z"}),
        ("edge", {"to": "2026-03-13T04:00:00Z", "sli": "accuracy", "objective": "0.5"}),
        ("one", {"to": "2026-03-11T00:00:02.000001Z"}),
        ("empty", {"to": "2026-03-11"}),
        ("runs", {"to": "2026-05-01T13:00:00Z"}),
        ("runs", {"to": "2026-05-01T13:00:00Z", "objective": "0.75"}),
    ],
    error_budget: [
        ("base", {"to": "2026-03-07"}),
        ("base", {"to": "2026-03-07", "period": "1d", "objective": "0.9", "tenant": "acme"}),
        ("base", {"to": "2026-03-05", "sli": "latency", "latency_ms": "12000", "objective": "0.75", "environment": "prod"}),
        ("base", {"to": "2026-05-01", "period": "90d", "sli": "accuracy", "pass_score": "0.25", "agent": "billing", "unit": "reward"}),
        ("base", {"to": "2026-05-01"}),
        ("base", {"to": "2026-03-04", "period": "7d", "sli": "latency", "latency_ms": "20000"}),
        ("edge", {"to": "2026-03-14"}),
        ("edge", {"to": "2026-03-14", "unit": "action", "objective": "0.999"}),
        ("edge", {"to": "2026-03-14", "sli": "accuracy", "objective": "0.5"}),
        ("one", {"to": "2026-03-14", "period": "7d"}),
        ("empty", {"to": "2026-03-14"}),
        ("runs", {"to": "2026-05-10"}),
    ],
    loop_detector: [
        ("runs", {}),
        ("runs", {"max_repeat": "1", "tenant": "acme"}),
        ("runs", {"max_repeat": "1"}),
        ("runs", {"max_repeat": "1", "from": "2026-05-01T12:00:20Z", "to": "2026-05-02", "agent": "desk"}),
        ("base", {"max_repeat": "1", "from": "2026-03-03", "to": "2026-03-04T12:00:00Z"}),
        ("base", {}),
        ("edge", {"max_repeat": "1"}),
        ("edge", {"max_repeat": "1", "environment": "prod"}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {}),
        ("crossed", {"from": "2026-07-04", "to": "2026-07-05"}),
        ("crossed", {"from": "2026-07-05", "to": "2026-07-06"}),
        ("crossed", {"agent": "boss"}),
        ("crossed", {"agent": "worker", "environment": "dr"}),
        ("crossed", {"from": "2026-07-05T00:00:02Z", "to": "2026-07-05T00:00:03Z"}),
        ("crossed", {"from": "2026-07-05T00:00:04Z"}),
        ("crossed", {"from": "2026-07-05T23:59:58Z", "to": "2026-07-07"}),
    ],
    sli_daily: [
        ("base", {}),
        ("base", {"sli": "latency", "latency_ms": "5000"}),
        ("base", {"sli": "accuracy", "pass_score": "0.75", "agent": "support", "from": "2026-03-03"}),
        ("base", {"sli": "cost", "from": "2026-03-04", "to": "2026-03-05"}),
        ("base", {"sli": "cost", "from": "2026-03-03", "to": "2026-03-04"}),
        ("edge", {}),
        ("edge", {"from": "2026-03-11", "to": "2026-03-12"}),
        ("one", {}),
        ("empty", {}),
    ],
}
