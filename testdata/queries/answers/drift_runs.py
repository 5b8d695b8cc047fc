"""What sequence_drift, silent_change and retrieval_drift are defined to answer."""
import bisect
import json
import math
from collections import Counter, defaultdict
from datetime import timedelta

from log import agent, in_window, show, when

DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


def windows(events, p, margin=timedelta(0)):
    """The events of both windows and a margin around them, and for each window whether a time is in it."""
    if p.get("ref_from") and p.get("from"):
        low = min(when(p["ref_from"]), when(p["from"])) - margin
        events = [e for e in events if e.time >= low]
    inner = events
    if p.get("ref_to") and p.get("to"):
        high = max(when(p["ref_to"]), when(p["to"]))
        inner = [e for e in events if e.time < high]
        events = [e for e in events if e.time < high + margin]
    if p.get("from"):
        start = when(p["from"])
    elif inner:
        first, last = min(e.time for e in inner), max(e.time for e in inner)
        start = first + ((last - first) // MICROSECOND // 2) * MICROSECOND
    else:
        return [], None, None
    ref_to = when(p["ref_to"]) if p.get("ref_to") else start
    in_ref = lambda t: t < ref_to and (not p.get("ref_from") or t >= when(p["ref_from"]))
    in_cur = lambda t: t >= start and (not p.get("to") or t < when(p["to"]))
    return events, in_ref, in_cur


def chosen(log, p):
    return log.events({k: p[k] for k in ("agent", "environment", "tenant") if k in p})


def f_tail(f, df, df2):
    """The probability that a value of the F distribution is above f, integrated: of t/(1 - t) = e^u, by Simpson's rule."""
    a, b = df2 / 2, df / 2
    edge = -math.log(df * f / df2)  # where x = 1 / (1 + df f / df2)
    peak, width, n = math.log(a / b), math.sqrt(1 / a + 1 / b), 40_000
    falls = a / (1 + math.exp(edge)) - b / (1 + math.exp(-edge))  # how fast below the edge, at least
    low = edge - 45 / falls if edge < peak - width else peak - 12 * width - 45 / a
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    density = lambda u: math.exp(-a * math.log1p(math.exp(-u)) - b * math.log1p(math.exp(u)) - log_beta)
    h = (edge - low) / n
    return h / 3 * sum(density(low + i * h) * (1 if i in (0, n) else 4 if i % 2 else 2) for i in range(n + 1))


def calls_by_run(events):
    runs = defaultdict(list)
    for e in events:
        runs[e.get("tenant"), e.get("runid")].append(e)
    for run in runs.values():
        numbered = all(e.get("sequence") is not None for e in run)
        run.sort(key=lambda e: (int(e.get("sequence")) if numbered else 0, e.time, e.place))
    return runs


def bigrams(run):
    names = ["(start)"] + [e.data.get("gen_ai.tool.name", "?") for e in run] + ["(end)"]
    return [f"{a} -> {b}" for a, b in zip(names, names[1:])]


def by_session(runs, inside):
    """Bigrams of the runs that begin inside, by session."""
    out, n = defaultdict(Counter), 0
    for (tenant, _), run in runs.items():
        if inside(min(e.time for e in run)):
            session = min(e.get("sessionid") or e.get("runid") for e in run)
            out[tenant, session].update(bigrams(run))
            n += 1
    return out, n


def homogeneity(ref, cur):
    """chi2, the mean design effect times its degrees of freedom, and p: from the residuals of each session, as a matrix."""
    sides = [list(ref.values()), list(cur.values())]
    if min(map(len, sides)) < 1:
        return None, None, None
    total = [sum(sum(s.values()) for s in side) for side in sides]
    seen = Counter(b for side in sides for s in side for b in s)
    commonest = sorted(seen, key=lambda b: (-seen[b], b))[:100]
    least, both = min(map(len, sides)), sum(map(len, sides))
    own = {b for b in commonest if seen[b] * least >= 3 * both}
    category = lambda b: b if b in own else "(other)"
    names = sorted({category(b) for b in seen})
    counts = [[[sum(n for b, n in s.items() if category(b) == c) for c in names] for s in side] for side in sides]
    sums = [[sum(row[k] for row in side) for k in range(len(names))] for side in counts]
    shares = [[n / t for n in s] for s, t in zip(sums, total)]
    pooled = [(a + b) / sum(total) for a, b in zip(*sums)]
    unit = 1 / total[0] + 1 / total[1]
    chi2 = sum((a - b) ** 2 / q for a, b, q in zip(*shares, pooled)) / unit
    if min(map(len, sides)) < 10:
        return chi2, None, None
    effects = [[0.0] * len(names) for _ in names]
    for side, share, n in zip(counts, shares, total):
        scale = len(side) / (len(side) - 1) / n ** 2 / unit
        for row in side:
            left = [y - q * sum(row) for y, q in zip(row, share)]
            for k in range(len(names)):
                for l in range(len(names)):
                    effects[k][l] += scale * left[k] * left[l] / math.sqrt(pooled[k] * pooled[l])
    trace = sum(effects[k][k] for k in range(len(names)))
    if len(names) < 2:
        return chi2, trace, None
    if chi2 < 1e-9 or trace < 1e-9:
        return chi2, trace, 1.0 if chi2 < 1e-9 else 0.0
    squares = sum(v * v for row in effects for v in row)
    df = trace ** 2 / squares
    return chi2, trace, f_tail(chi2 / trace, df, df * (both - 2))


def sequence_drift(log, p):
    evs = [e for e in chosen(log, p) if e.cls == "tool_call" and e.data.get("audit.tool.phase") != "result" and e.get("runid") is not None]
    evs, in_ref, in_cur = windows(evs, p, DAY)
    runs = calls_by_run(evs)
    (ref, ref_runs), (cur, cur_runs) = by_session(runs, in_ref), by_session(runs, in_cur)
    r, c = sum(ref.values(), Counter()), sum(cur.values(), Counter())
    n, m = sum(r.values()), sum(c.values())
    chi2, trace, chance = homogeneity(ref, cur)
    term = lambda a, b: a / 2 * math.log(2 * a / (a + b)) if a else 0.0
    parts = {k: term(r[k] / n, c[k] / m) + term(c[k] / m, r[k] / n) for k in sorted(set(r) | set(c))} if n and m else {}
    js = math.sqrt(max(0.0, sum(parts.values()))) if parts else None
    by_chance = math.sqrt((1 / n + 1 / m) * trace / 8) if trace is not None else None
    verdict = "no data" if chance is None else "drift" if chance < 0.05 and (n <= 1000 or js >= 0.1) else "stable"
    rows = [{"bigram": k, "ref_n": r[k], "cur_n": c[k], "p_ref": r[k] / n if n else None, "p_cur": c[k] / m if m else None,
             "js_share": parts[k] / js ** 2 if js else None, "js": js, "js_by_chance": by_chance, "chi2": chi2, "p": chance,
             "ref_runs": ref_runs, "cur_runs": cur_runs, "verdict": verdict} for k in sorted(set(r) | set(c))]
    # parts that are the same but for rounding stand in the order of their counts: they come of the same counts
    return sorted(rows, key=lambda row: (-round(parts.get(row["bigram"], 0), 15), -row["ref_n"] - row["cur_n"], row["bigram"]))


SETTINGS = {
    "response_model": "gen_ai.response.model", "request_model": "gen_ai.request.model", "provider": "gen_ai.provider.name", "prompt_version": "audit.prompt.version",
    "prompt_sha256": "audit.prompt.sha256", "tools_sha256": "audit.tools.sha256", "temperature": "gen_ai.request.temperature", "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k", "seed": "gen_ai.request.seed",
}


def silent_change(log, p):
    start = when(p["from"]) if p.get("from") else None
    evs = [e for e in log.events(dict(p, **{"from": show(start - 7 * DAY)}) if start else p) if e.cls in ("input", "output") and agent(e) is not None]
    histories = defaultdict(lambda: defaultdict(list))  # key -> run -> [(time, value, run id)]
    for e in evs:
        for setting, attribute in SETTINGS.items():
            value = e.data.get(attribute)
            if value is not None:
                value = repr(float(value)) if setting in ("temperature", "top_p") else str(value)
                name = e.data.get("gen_ai.prompt.name") if setting.startswith("prompt") else None
                key = (e.get("tenant"), e.get("environment"), agent(e), e.get("agentversion"), setting, name)
                histories[key][e.get("runid") or e.get("source") + " " + e.get("id")].append((e.time, value, e.get("runid")))
    out = []
    for key, runs in histories.items():
        out += changes(key, runs, float(p.get("evidence", 10)), start)
    none_last = lambda v: (v is None, v or "")
    return sorted(out, key=lambda row: (when(row["first_seen"]), *[none_last(row[c]) for c in ("tenant", "environment", "agent", "agent_version", "setting", "prompt_name", "new")]))


def changes(key, runs, evidence, start):
    ordered = sorted(runs.items(), key=lambda item: (min(t for t, _, _ in item[1]), item[0]))
    numbers = defaultdict(list)
    for n, (_, seen) in enumerate(ordered):
        for value in {v for _, v, _ in seen}:
            numbers[value].append(n)
    if len(numbers) > 5 and len(numbers) * 5 > len(ordered):
        return []
    out, last = [], None
    for n, (run, seen) in enumerate(ordered):
        first = {v: min(t for t, w, _ in seen if w == v) for _, v, _ in seen}
        for value in sorted(first, key=lambda v: (first[v], v)):
            before, since = [m for m in numbers[value] if m < n], [m for m in numbers[value] if m >= n]
            pause = n - 1 - before[-1] if before else n
            if not before:
                missed = pause * len(since) / (len(ordered) - n)
            else:
                missed = pause * len(before) / (before[-1] - before[0] + 1) if len(before) >= 5 else 0
            if last is not None and pause and missed >= evidence and (not start or first[value] >= start):
                tenant, environment, who, version, setting, name = key
                out.append({"first_seen": show(first[value]), "tenant": tenant, "environment": environment, "agent": who, "agent_version": version, "setting": setting,
                            "prompt_name": name, "old": last, "new": value, "runs_before": pause, "runs_after": len(since),
                            "old_after": sum(m >= n for m in numbers[last]), "run_id": seen[0][2]})
            last = value
    return out


def found(e):
    """The documents of a retrieval: a list, or the text of one."""
    docs = e.data.get("gen_ai.retrieval.documents")
    if isinstance(docs, str):
        try:
            docs = json.loads(docs)
        except ValueError:
            return []
    return docs if isinstance(docs, list) else []


def retrieval_drift(log, p):
    evs = [e for e in chosen(log, p) if e.cls == "context_retrieval" and p.get("data_source") in (None, e.data.get("gen_ai.data_source.id"))]
    evs, in_ref, in_cur = windows(evs, p)
    sources = defaultdict(lambda: ([], []))
    for e in evs:
        for side, inside in enumerate((in_ref, in_cur)):
            if inside(e.time):
                sources[e.get("tenant"), e.data.get("gen_ai.data_source.id")][side].append(e)
    rows = [source_row(*key, *sides) for key, sides in sources.items()]
    return sorted(rows, key=lambda r: [(r[c] is None, r[c] or "") for c in ("tenant", "data_source")])


def source_row(tenant, source, ref, cur):
    text = lambda v: None if v is None else v if isinstance(v, str) else str(v)
    docs, contents, scores = [], [], []
    for side in (ref, cur):
        entries = [d for e in side for d in found(e) if isinstance(d, dict)]
        named = [(text(d.get("id")) or text(d.get("uri")), " ".join(filter(None, (text(d.get("version")), text(d.get("sha256")))))) for d in entries]
        named = [(i, c) for i, c in named if i is not None]
        docs.append(Counter(i for i, _ in named))
        contents.append(set(named))
        scores.append([float(d["score"]) for d in entries if isinstance(d.get("score"), (int, float)) or type(d.get("score")).__name__ == "Decimal"])
    new, lost = set(docs[1]) - set(docs[0]), set(docs[0]) - set(docs[1])
    changed = {i for i, c in contents[1] - contents[0] if c and i in docs[0]}
    percent = lambda part, whole: 100 * part / whole if whole else None
    psi, chance = score_psi(*scores)
    mean = lambda s: sum(s) / len(s) if s else None
    return {"tenant": tenant, "data_source": source, "ref_retrievals": len(ref), "cur_retrievals": len(cur), "ref_documents": len(docs[0]), "cur_documents": len(docs[1]),
            "new_documents": len(new), "new_pct": percent(len(new), len(docs[1])), "new_hits_pct": percent(sum(docs[1][i] for i in new), sum(docs[1].values())),
            "lost_documents": len(lost), "lost_pct": percent(len(lost), len(docs[0])), "lost_hits_pct": percent(sum(docs[0][i] for i in lost), sum(docs[0].values())),
            "changed_documents": len(changed), "ref_scores": len(scores[0]), "cur_scores": len(scores[1]), "ref_score": mean(scores[0]), "cur_score": mean(scores[1]),
            "score_psi": psi, "psi_by_chance": chance,
            "verdict": "no data" if psi is None else "drift" if psi >= 0.25 + chance else "watch" if psi >= 0.1 + chance else "stable"}


def score_psi(ref, cur):
    """As Evidently has it: numpy's Sturges bins of both together, the last of them closed."""
    if not ref or not cur:
        return None, None
    both = ref + cur
    if len(set(ref)) > 20:
        low, high = min(both), max(both)
        bins = math.ceil((high - low) / ((high - low) / (math.log2(len(both)) + 1)))
        edges = [i * ((high - low) / bins) + low for i in range(bins)] + [high]
        place = lambda s: min(bisect.bisect_right(edges, s) - 1, bins - 1)
        keys = range(bins)
    else:
        place, keys = (lambda s: s), sorted(set(both))
    shares = []
    for side in (ref, cur):
        n = Counter(map(place, side))
        share = [n[k] / len(side) for k in keys]
        least = min(s for s in share if s)
        shares.append([s or (least / 10**6 if least <= 0.0001 else 0.0001) for s in share])
    return sum((a - b) * math.log(a / b) for a, b in zip(*shares)), (len(shares[0]) - 1) * (1 / len(ref) + 1 / len(cur))


FIFTH = {"ref_from": "2026-04-01", "ref_to": "2026-04-05", "from": "2026-04-05", "to": "2026-04-09"}

# In the midst of runs: each begins in one window and goes on behind it.
EDGES = {"ref_from": "2026-04-01T09:23:04Z", "ref_to": "2026-04-03T09:23:04Z", "from": "2026-04-03T09:23:04Z", "to": "2026-04-05T09:23:04Z", "tenant": "acme"}

CASES = {
    sequence_drift: [
        ("base", {}),
        ("base", {"tenant": "acme", "from": "2026-03-04"}),
        ("drift", {}),
        ("drift", dict(FIFTH, tenant="acme")),
        ("drift", {"ref_from": "2026-04-01", "ref_to": "2026-04-03", "from": "2026-04-03", "to": "2026-04-05", "tenant": "acme"}),
        ("drift", {"tenant": "globex", "from": "2026-04-05"}),
        ("drift", {"from": "2026-04-05", "to": "2026-04-06", "ref_to": "2026-04-06", "agent": "desk"}),
        ("drift", {"from": "2026-05-01"}),
        ("drift", {"ref_to": "2026-04-04", "to": "2026-04-06"}),
        ("drift", EDGES),
        ("drift", dict(FIFTH, tenant="acme", ref_to="2026-04-01T13:00:00Z")),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
    silent_change: [
        ("base", {"evidence": "1"}),
        ("base", {}),
        ("drift", {}),
        ("drift", {"evidence": "2"}),
        ("drift", {"from": "2026-04-05", "to": "2026-04-08", "environment": "prod"}),
        ("drift", {"tenant": "globex", "evidence": "0.5", "agent": "desk"}),
        ("drift", {"from": "2026-04-08T12:00:00Z"}),
        ("edge", {"evidence": "1"}),
        ("one", {}),
        ("empty", {}),
    ],
    retrieval_drift: [
        ("base", {}),
        ("drift", {}),
        ("drift", FIFTH),
        ("drift", dict(FIFTH, data_source="kb", agent="desk", tenant="acme", environment="prod")),
        ("drift", {"ref_from": "2026-04-01", "ref_to": "2026-04-03", "from": "2026-04-03", "to": "2026-04-05"}),
        ("drift", {"from": "2026-05-01", "data_source": "wiki"}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
    ],
}
