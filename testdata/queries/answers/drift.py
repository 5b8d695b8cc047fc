"""What the drift queries are defined to answer."""
import math
from collections import Counter
from datetime import timedelta

from log import when


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


def categorical_drift(log, p):
    hull = {k: v for k, v in p.items() if k in ("agent", "environment", "tenant")}
    evs = log.events(hull)
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
        "model": lambda e: (e.data.get("gen_ai.response.model") or e.data.get("gen_ai.request.model")) if e.cls == "output" else None,
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


CASES = {
    categorical_drift: [
        ("base", {}),
        ("base", {"ref_from": "2026-03-01", "ref_to": "2026-03-03", "from": "2026-03-05", "to": "2026-03-07"}),
        ("base", {"dimension": "tool", "tenant": "acme", "from": "2026-03-02"}),
        ("base", {"from": "2026-03-01", "dimension": "class"}),
        ("base", {"from": "2026-04-01", "dimension": "tool"}),
        ("base", {"agent": "nobody"}),
        ("base", {"from": "2026-03-02", "to": "2026-03-04T12:00:00Z", "dimension": "tool"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
}
