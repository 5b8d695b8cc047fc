"""What the cost queries are defined to answer."""
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from log import agent, in_window, show, when, worker


def amount(e):
    """What an event cost, None where nobody can read it."""
    try:
        return Decimal(str(e.data["audit.cost.amount"]))
    except (KeyError, InvalidOperation):
        return None


def cost_rollup(log, p):
    dims = p.get("dimensions", "tenant,agent,model").split(",")
    take = {"day": lambda e: e.time.date().isoformat(), "tenant": lambda e: e.get("tenant"), "environment": lambda e: e.get("environment"),
            "agent": agent, "agent_version": lambda e: e.get("agentversion"),
            "model": lambda e: e.data.get("gen_ai.response.model") or e.data.get("gen_ai.request.model"), "class": lambda e: e.cls}
    cells = defaultdict(list)
    for e in log.events(p):
        if e.cls == "output" or amount(e) is not None:
            currency = None if amount(e) is None else e.data.get("audit.cost.currency")
            cells[tuple(f(e) if k in dims else None for k, f in take.items()) + (currency,)].append(e)
    out = []
    for key, cell in sorted(cells.items(), key=lambda kv: tuple((v is not None, v or "") for v in kv[0])):
        ds = [e.data for e in cell if e.cls == "output"]  # others may repeat their tokens
        costs = [amount(e) for e in cell if amount(e) is not None]
        total = lambda name: sum(d.get(name, 0) for d in ds)
        tokens, cached = total("gen_ai.usage.input_tokens"), total("gen_ai.usage.cache_read.input_tokens")
        out.append({**dict(zip(take, key)), "currency": key[-1], "cost": str(sum(costs).quantize(Decimal("1e-9"))) if costs else None, "priced": len(costs),
                    "unpriced": sum(e.cls == "output" and amount(e) is None for e in cell), "input_tokens": tokens, "output_tokens": total("gen_ai.usage.output_tokens"),
                    "cache_read_tokens": cached, "cache_pct": 100 * cached / tokens if tokens else None})
    return out


def cost_per_outcome(log, p):
    per = "sessionid" if p.get("per") == "session" else "runid"
    wide = {k: v for k, v in p.items() if k in ("environment", "tenant")}
    for k, days in (("from", -1), ("to", 1)):
        if p.get(k):
            wide[k] = show(when(p[k]) + timedelta(days=days))
    units, called = defaultdict(list), defaultdict(set)  # by tenant and id: its events, the runs it called
    for e in log.events(wide):
        if e.get(per) is not None:
            units[e.get("tenant"), e.get(per)].append(e)
            if per == "runid" and e.get("parentrunid") is not None:
                called[e.get("tenant"), e.get("parentrunid")].add((e.get("tenant"), e.get(per)))
    cells = defaultdict(list)  # row -> [(success, cost, unpriced)]
    for unit, events in units.items():
        work = [e for e in events if e.cls != "evaluation"]
        if not in_window(min(e.time for e in events), p) or (p.get("agent") and not any(p["agent"] in (e.get("agentid"), e.get("agentname")) for e in work)):
            continue
        who = worker(events)
        under, more = set(), [unit]  # the run and all that it called, near or far
        while more:
            u = more.pop()
            if u not in under:
                under.add(u)
                more += called[u]
        costs, unpriced = defaultdict(Decimal), False
        for e in (e for u in under for e in units.get(u, [])):
            if amount(e) is not None:
                costs[e.data.get("audit.cost.currency")] += amount(e)
            unpriced |= e.cls == "output" and amount(e) is None
        scores = {}
        for e in sorted(events, key=lambda e: (e.time, e.place)):
            if e.cls == "evaluation" and e.data.get("gen_ai.evaluation.score.value") is not None:
                scores[e.data.get("gen_ai.evaluation.name")] = e.data["gen_ai.evaluation.score.value"]
        for name, score in scores.items():
            if p.get("evaluation", name) == name:
                for currency, cost in costs.items() or [(None, None)]:
                    cells[unit[0], name, *who, currency].append((score >= float(p.get("pass_score", 0.5)), cost, unpriced))
    out = []
    for (tenant, name, who, version, currency), cell in sorted(cells.items(), key=lambda kv: [(v is not None, v or "") for v in kv[0]]):
        total = lambda test: None if cell[0][1] is None and all(c is None for _, c, _ in cell) else sum((c for s, c, _ in cell if c is not None and test(s)), Decimal(0))
        cost, won, wasted = (total(test) for test in (lambda s: True, lambda s: s, lambda s: not s))
        n, exact = sum(s for s, _, _ in cell), lambda v: None if v is None else str(v.quantize(Decimal("1e-9")))
        out.append({"tenant": tenant, "evaluation": name, "agent": who, "agent_version": version, "currency": currency, "judged": len(cell), "successes": n, "failures": len(cell) - n,
                    "unpriced": sum(u for _, _, u in cell), "cost": exact(cost), "success_cost": exact(won), "wasted": exact(wasted),
                    "wasted_pct": 100 * float(wasted) / float(cost) if cost else None, "cost_per_success": float(cost) / n if n and cost is not None else None})
    return out


CASES = {
    cost_per_outcome: [
        ("base", {}),
        ("base", {"evaluation": "reward", "pass_score": "0.75", "tenant": "acme", "environment": "prod"}),
        ("base", {"from": "2026-03-03", "to": "2026-03-04", "agent": "support"}),
        ("base", {"per": "session"}),
        ("base", {"evaluation": "none"}),
        ("edge", {}),
        ("edge", {"per": "session", "from": "2026-03-10", "to": "2026-03-11"}),
        ("edge", {"per": "session", "agent": "desk"}),
        ("one", {}),
        ("empty", {}),
        ("runs", {}),
        ("pairs", {}),
        ("pairs", {"per": "session", "tenant": "acme"}),
        ("runs", {"evaluation": "solved", "agent": "helper"}),
        ("runs", {"per": "session", "pass_score": "1"}),
        ("runs", {"from": "2026-05-02", "to": "2026-05-03"}),
        ("runs", {"from": "2026-05-03"}),
        ("runs", {"tenant": "acme", "agent": "desk", "to": "2026-05-02"}),
    ],
    cost_rollup: [
        ("base", {}),
        ("pairs", {}),
        ("pairs", {"dimensions": ""}),
        ("base", {"dimensions": "day"}),
        ("base", {"dimensions": "environment,agent_version", "tenant": "globex"}),
        ("base", {"dimensions": ""}),
        ("base", {"dimensions": "class,day", "from": "2026-03-02", "to": "2026-03-05"}),
        ("edge", {}),
        ("edge", {"dimensions": "class", "tenant": "globex"}),
        ("one", {}),
        ("empty", {}),
    ],
}
