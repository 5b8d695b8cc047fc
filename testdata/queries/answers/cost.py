"""What the cost queries are defined to answer."""
from collections import defaultdict
from decimal import Decimal

from log import agent


def cost_rollup(log, p):
    dims = p.get("dimensions", "tenant,agent,model").split(",")
    counted = ("audit.cost.amount", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    take = {"day": lambda e: e.time.date().isoformat(), "tenant": lambda e: e.get("tenant"), "environment": lambda e: e.get("environment"),
            "agent": agent, "agent_version": lambda e: e.get("agentversion"),
            "model": lambda e: e.data.get("gen_ai.response.model") or e.data.get("gen_ai.request.model"), "class": lambda e: e.cls}
    cells = defaultdict(list)
    for e in log.events(p):
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
    cost_rollup: [
        ("base", {}),
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
