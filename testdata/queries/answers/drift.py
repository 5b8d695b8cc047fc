"""What the drift queries are defined to answer."""
import bisect
import json
import math
import statistics
from collections import Counter, defaultdict
from datetime import timedelta
from fractions import Fraction

from drift_runs import homogeneity
from log import when


def upper_gamma(a, x):
    """Q(a, x) for half-integer a: from Q(1/2, x) = erfc(sqrt x) and Q(1, x) = exp(-x), upwards."""
    q, s = (math.erfc(math.sqrt(x)), 0.5) if a % 1 else (math.exp(-x), 1.0)
    while s < a:
        q += math.exp(s * math.log(x) - x - math.lgamma(s + 1))
        s += 1
    return q


def tenths(x):
    return math.floor(10 * x + 0.5) / 10  # halves upwards, as SQL's round


def drift(name, ref, cur):
    keys = sorted(set(ref) | set(cur))
    n, m = sum(ref.values()), sum(cur.values())
    row = {"dimension": name, "ref_rows": n, "cur_rows": m, "categories": len(keys)}
    if not n or not m:
        unknown = dict.fromkeys(["psi", "psi_verdict", "js", "chi2", "p", "method", "p_session", "p_holm", "top_movers"])
        return {**row, **unknown, "evidently_verdict": "no data", "verdict": "no data"}
    r, c = [ref[k] / n for k in keys], [cur[k] / m for k in keys]

    def filled(shares):
        least = min(s for s in shares if s)
        return [s or (least / 10**6 if least <= 0.0001 else 0.0001) for s in shares]

    psi = sum((a - b) * math.log(a / b) for a, b in zip(filled(r), filled(c)))
    kl = lambda p, q: sum(a * math.log(a / b) for a, b in zip(p, q) if a)
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
            "evidently_verdict": "drift" if (js >= 0.1 if method == "js" else p < 0.05) else "stable",
            "top_movers": "; ".join(f"{k} {tenths(100 * a)}% -> {tenths(100 * b)}%" for k, a, b in moved)}


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
                row = drift(name, ref, cur)
                if row["method"] and (row["method"] != "js" or row["js"] >= 0.1):
                    row["p_session"] = 1.0 if row["categories"] == 1 else homogeneity(sessions(in_ref, take[name]), sessions(in_cur, take[name]))[2]
                else:
                    row["p_session"] = None
                out.append(row)
    return judged(out, ["dimension"], lambda row: row["method"] == "js" and row["js"] < 0.1)


def sessions(evs, value):
    """The values of each session, counted."""
    out = defaultdict(Counter)
    for e in evs:
        if value(e) is not None:
            out[e.get("tenant"), e.get("sessionid") or e.get("runid") or e.place][value(e)] += 1
    return out


def ks_exact(d, n, m):
    """The share of lattice paths from (0, 0) to (n, m) that somewhere are d or more off the diagonal, counted."""
    gap, paths = round(d * n * m), [0] * (m + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            if abs(i * m - j * n) >= gap:
                paths[j] = 0
            else:
                paths[j] = (paths[j] if i else 0) + (paths[j - 1] if j else 0) or (1 if i == j == 0 else 0)
    total = math.comb(n + m, n)
    return 1.0 if gap == 0 else float(Fraction(total - paths[m], total))


def evidently_bins(ref, cur, whole):
    both = sorted(ref + cur)
    if len(set(ref)) <= 20:
        keys = sorted(set(both))
        return [[side.count(k) for k in keys] for side in (ref, cur)]
    low, high = both[0], both[-1]
    width = (high - low) / (math.log2(len(both)) + 1.0)
    n = math.ceil((high - low) / (max(width, 1) if whole else width))
    edges = [k * ((high - low) / n) + low for k in range(n)] + [high]
    out = []
    for side in (sorted(ref), sorted(cur)):
        below = [bisect.bisect_left(side, e) for e in edges[:-1]] + [len(side)]
        out.append([b - a for a, b in zip(below, below[1:])])
    return out


def numbers(metric, part, ref, cur):
    row = {"metric": metric, "part": part, "ref_rows": len(ref), "cur_rows": len(cur), "ref_mean": statistics.fmean(ref) if ref else None, "cur_mean": statistics.fmean(cur) if cur else None}
    if not ref or not cur:
        return {**row, **dict.fromkeys(["psi", "psi_verdict", "ks", "p", "wasserstein", "method"]), "evidently_verdict": "no data"}
    shares = []
    for counts in evidently_bins(ref, cur, metric in ("input_tokens", "output_tokens", "output_chars")):
        share = [c / sum(counts) for c in counts]
        least = min(s for s in share if s)
        shares.append([s or (least / 10**6 if least <= 0.0001 else 0.0001) for s in share])
    psi = sum((a - b) * math.log(a / b) for a, b in zip(*shares))
    a, b, points = sorted(ref), sorted(cur), sorted(set(ref + cur))
    gaps = [abs(Fraction(bisect.bisect_right(a, v), len(a)) - Fraction(bisect.bisect_right(b, v), len(b))) for v in points]
    ks = max(gaps)
    p = ks_exact(ks, len(a), len(b))
    moved = math.fsum(float(g) * (v - u) for g, u, v in zip(gaps, points, points[1:])) / max(statistics.pstdev(ref), 0.001)
    method = "wasserstein" if len(ref) > 1000 else "ks"
    return {**row, "psi": psi, "psi_verdict": "drift" if psi >= 0.25 else "watch" if psi >= 0.1 else "stable", "ks": float(ks), "p": p, "wasserstein": moved, "method": method,
            "evidently_verdict": "drift" if (p <= 0.05 if method == "ks" else moved >= 0.1) else "stable"}


def part_text(part):
    kind = part.get("type")
    if kind == "text":
        return part["content"]
    return {"tool_call": lambda: f"[call {part.get('name', '?')} {json.dumps(part['arguments'], separators=(',', ':')) if 'arguments' in part else ''}]"}[kind]()


def numeric_drift(log, p):
    evs = log.events({k: v for k, v in p.items() if k in ("agent", "environment", "tenant")})
    if p.get("ref_from") and p.get("from"):
        evs = [e for e in evs if e.time >= min(when(p["ref_from"]), when(p["from"]))]
    if p.get("ref_to") and p.get("to"):
        evs = [e for e in evs if e.time < max(when(p["ref_to"]), when(p["to"]))]
    if not evs:
        return []
    low, high = min(e.time for e in evs), max(e.time for e in evs)
    start = when(p["from"]) if p.get("from") else low + timedelta(microseconds=((high - low) // timedelta(microseconds=1)) // 2)
    ref_to = when(p["ref_to"]) if p.get("ref_to") else start
    in_ref = lambda t: t < ref_to and (not p.get("ref_from") or t >= when(p["ref_from"]))
    in_cur = lambda t: t >= start and (not p.get("to") or t < when(p["to"]))
    values = defaultdict(lambda: ([], []))
    for e in evs:
        d = e.data
        found = {}
        if e.cls == "output":
            found = {("input_tokens", None): d.get("gen_ai.usage.input_tokens"), ("output_tokens", None): d.get("gen_ai.usage.output_tokens"), ("output_ms", None): d.get("audit.duration_ms"),
                     ("cost", d.get("audit.cost.currency")): d.get("audit.cost.amount")}
            if d.get("gen_ai.response.time_to_first_chunk") is not None:
                found["first_chunk_ms", None] = d["gen_ai.response.time_to_first_chunk"] * 1000
            if p.get("metric") == "output_chars" and d.get("gen_ai.output.messages") is not None:
                messages = d["gen_ai.output.messages"]
                found["output_chars", None] = len(messages if isinstance(messages, str) else "\n".join(
                    f"{m['role']}: " + " ".join(map(part_text, m["parts"])) for m in messages))
        elif e.cls == "tool_call" and d.get("audit.tool.phase") != "request":
            found = {("tool_ms", None): d.get("audit.duration_ms")}
        elif e.cls == "evaluation":
            found = {("score", d.get("gen_ai.evaluation.name")): d.get("gen_ai.evaluation.score.value")}
        for what, v in found.items():
            if v is not None and p.get("metric", what[0]) == what[0]:
                for side, inside in zip(values[what], (in_ref, in_cur)):
                    if inside(e.time):
                        side.append((float(v), (e.get("tenant"), e.get("sessionid") or e.get("runid") or e.place)))
    out = []
    for what, (ref, cur) in sorted(values.items(), key=lambda kv: (kv[0][0], kv[0][1] or "")):
        if ref or cur:
            row = numbers(*what, [v for v, _ in ref], [v for v, _ in cur])
            tested = row["method"] == "ks" or row["method"] and row["wasserstein"] >= 0.1
            row["p_session"] = None if not tested else 1.0 if row["ks"] == 0 else homogeneity(*by_tenths(ref, cur))[2]
            out.append(row)
    return judged(out, ["metric", "part"], lambda row: row["method"] == "wasserstein" and row["wasserstein"] < 0.1)


def by_tenths(ref, cur):
    """How many values of each session lie in which tenth of all: equal values lie where the middle one of them does."""
    all_values = sorted(v for v, _ in ref + cur)
    tenth = lambda v: str(min(9, math.floor(Fraction(10 * (bisect.bisect_left(all_values, v) + bisect.bisect_right(all_values, v)), 2 * len(all_values)))))
    out = (defaultdict(Counter), defaultdict(Counter))
    for side, values in zip(out, (ref, cur)):
        for v, session in values:
            side[session][tenth(v)] += 1
    return out


def judged(rows, names, settled):
    """Holm's rule over the rows: the i-th smallest of m, times m - i + 1, but no less than the one before."""
    left, floor = sum(row["method"] is not None for row in rows), 0.0
    for row in sorted(rows, key=lambda row: (row["p_session"] is None, row["p_session"] or 0, [row[n] or "" for n in names])):
        if row["p_session"] is None:
            row["p_holm"] = None
        else:
            row["p_holm"] = floor = min(1.0, max(floor, left * row["p_session"]))
            left -= 1
        if settled(row):
            row["verdict"] = "stable"
        else:
            row["verdict"] = "no data" if row["p_holm"] is None else "drift" if row["p_holm"] < 0.05 else "stable"
    return rows


CASES = {
    categorical_drift: [
        ("base", {}),
        ("base", {"ref_from": "2026-03-01", "ref_to": "2026-03-03", "from": "2026-03-05", "to": "2026-03-07"}),
        ("base", {"dimension": "tool", "tenant": "acme", "from": "2026-03-02"}),
        ("base", {"from": "2026-03-01", "dimension": "class"}),
        ("base", {"from": "2026-04-01", "dimension": "tool"}),
        ("base", {"agent": "nobody"}),
        ("base", {"from": "2026-03-02", "to": "2026-03-04T12:00:00Z", "dimension": "tool"}),
        ("drift", {"from": "2026-04-05"}),
        ("drift", {"from": "2026-04-05", "tenant": "globex"}),
        ("drift", {"from": "2026-04-05", "tenant": "acme", "ref_to": "2026-04-01T13:00:00Z"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
    numeric_drift: [
        ("base", {}),
        ("base", {"ref_from": "2026-03-01", "ref_to": "2026-03-03", "from": "2026-03-05", "to": "2026-03-07", "tenant": "acme"}),
        ("base", {"metric": "output_chars", "from": "2026-03-04"}),
        ("base", {"metric": "score", "from": "2026-04-01"}),
        ("base", {"agent": "nobody"}),
        ("numeric", {"from": "2026-08-11T05:00:00Z"}),
        ("numeric", {"from": "2026-08-09", "metric": "output_ms"}),
        ("drift", {"from": "2026-04-05"}),
        ("drift", {"from": "2026-04-05", "tenant": "acme", "ref_to": "2026-04-01T13:00:00Z", "metric": "output_ms"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
}
