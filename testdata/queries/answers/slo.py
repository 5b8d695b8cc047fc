"""What the SLO queries are defined to answer."""
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from log import show, when, within


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


CASES = {
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
