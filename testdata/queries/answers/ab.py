"""What the A/B queries are defined to answer."""
import itertools
import math
import statistics
from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal

from log import in_window, show, when, worker

Z95 = statistics.NormalDist().inv_cdf(0.975)


def runs_of(log, p):
    """The events of each run that began in the window, by tenant and id, followed for a day."""
    wide = {k: v for k, v in p.items() if k in ("environment", "tenant")}
    for k, days in (("from", -1), ("to", 1)):
        if p.get(k):
            wide[k] = show(when(p[k]) + timedelta(days=days))
    runs = defaultdict(list)
    for e in log.events(wide):
        if e.get("runid") is not None:
            runs[e.get("tenant"), e.get("runid")].append(e)
    return {run: sorted(es, key=lambda e: (e.time, e.place)) for run, es in runs.items()
            if in_window(min(e.time for e in es), p)
            and (not p.get("agent") or any(p["agent"] in (e.get("agentid"), e.get("agentname")) for e in es if e.cls != "evaluation"))}


def least(values):
    return min((v for v in values if v is not None), default=None)


def last_scores(events, p):
    """By name of the evaluation, events being in order."""
    return {e.data.get("gen_ai.evaluation.name"): float(e.data["gen_ai.evaluation.score.value"]) for e in events
            if e.cls == "evaluation" and e.data.get("gen_ai.evaluation.score.value") is not None
            and p.get("evaluation") in (None, e.data.get("gen_ai.evaluation.name"))}


def marks(events, p):
    return [(e.data["audit.experiment"], e.data["audit.variant"]) for e in events
            if e.data.get("audit.experiment") is not None and e.data.get("audit.variant") is not None and p.get("experiment") in (None, e.data["audit.experiment"])]


def in_order(row):
    return [(v is not None, v or "") for v in row]


def pass_k(log, p):
    by, name, upto, bar = p.get("by", "variant"), p.get("task", "session"), int(p.get("k", 4)), float(p.get("pass_score", 0.5))
    runs, places = runs_of(log, p), Counter()
    tasks = defaultdict(lambda: defaultdict(list))
    for (tenant, run), events in sorted(runs.items(), key=lambda kv: (kv[1][0].time, kv[0][1])):
        found = marks(events, p)
        if p.get("experiment") and not found:
            continue
        who, version = worker(events)
        of = {x: min(v for y, v in found if y == x) for x in sorted({x for x, _ in found})} or {None: None}  # its variant in each experiment
        for experiment, variant in of.items():
            lane = (tenant, experiment, variant, who, version)
            places[lane] += 1
            if name in ("session", "subject"):
                task = least(e.get({"session": "sessionid"}.get(name, name)) for e in events)
            elif name == "position":
                task = places[lane]
            else:
                task = least(e.data.get(name) for e in events if e.cls == "evaluation" and e.data.get("gen_ai.evaluation.score.value") is not None
                             and p.get("evaluation") in (None, e.data.get("gen_ai.evaluation.name")))
            for evaluation, score in last_scores(events, p).items():
                row = (evaluation, *((experiment, variant) if by == "variant" else (None, None)), who if by.startswith("agent") else None, version if by == "agent_version" else None)
                tasks[row][tenant, task, run if task is None else None].append(score >= bar)
            if by != "variant":
                break  # the run is one trial
    out = []
    for row in sorted(tasks, key=in_order):
        for measure, k in itertools.product(("pass@k", "pass^k"), range(1, upto + 1)):
            values, trials = [], [t for t in tasks[row].values() if len(t) >= k]
            for t in trials:  # every choice of k trials
                drawn = list(itertools.combinations(t, k))
                values.append(sum((any if measure == "pass@k" else all)(d) for d in drawn) / len(drawn))
            if values:
                mean = statistics.fmean(values)
                margin = Z95 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
                out.append({**dict(zip(("evaluation", "experiment", "variant", "agent", "agent_version"), row)), "measure": measure, "k": k, "tasks": len(values),
                            "trials": sum(map(len, trials)), "successes": sum(map(sum, trials)), "value": mean,
                            "ci_low": None if margin is None else max(0.0, mean - margin), "ci_high": None if margin is None else min(1.0, mean + margin)})
    return out


def tail(t, df):
    """P(|T| > t) of Student's t, integrated over its angle: tanh-sinh, which takes what is not smooth at the ends."""
    low, high = math.atan(abs(t) / math.sqrt(df)), math.pi / 2
    total, h = 0.0, 1 / 64
    for i in range(-64 * 4, 64 * 4 + 1):
        u = math.pi / 2 * math.sinh(i * h)
        if abs(u) < 300:
            gap = (high - low) / (1 + math.exp(2 * u))  # to the upper end, where the cosine is small
            total += h * math.sin(gap) ** (df - 1) * (high - low) / 2 * math.pi / 2 * math.cosh(i * h) / math.cosh(u) ** 2
    return 2 * total * math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(math.pi)


def limit95(df):
    low, high = 1.0, 100.0
    for _ in range(200):
        mid = (low + high) / 2
        low, high = (mid, high) if tail(mid, df) > 0.05 else (low, mid)
    return low


def upper_gamma(k, x):
    """p of chi-square with k degrees of freedom."""
    q, s = (math.erfc(math.sqrt(x / 2)), 0.5) if k % 2 else (math.exp(-x / 2), 1.0)
    while s < k / 2:
        q += math.exp(s * math.log(x / 2) - x / 2 - math.lgamma(s + 1)) if x else 0.0
        s += 1
    return q


def wilson(x, n):
    """Where (rate - r)^2 = z^2 r (1 - r) / n."""
    a, b, c, rate = 1 + Z95**2 / n, 2 * x / n + Z95**2 / n, (x / n) ** 2, x / n
    root = math.sqrt(b * b - 4 * a * c)
    return rate, (b - root) / 2 / a, (b + root) / 2 / a


def value_of(metric, events, p):
    """(evaluation, currency) -> value of the run."""
    outputs = [e.data for e in events if e.cls == "output"]
    if metric in ("success", "score"):
        return {(name, None): score if metric == "score" else float(score >= float(p.get("pass_score", 0.5))) for name, score in last_scores(events, p).items()}
    if metric == "cost":
        costs = defaultdict(Decimal)
        for e in events:
            if e.data.get("audit.cost.amount") is not None:
                costs[None, e.data.get("audit.cost.currency")] += Decimal(str(e.data["audit.cost.amount"]))
        return {k: float(v) for k, v in costs.items()}
    if metric == "model_ms":
        took = [float(d["audit.duration_ms"]) for d in outputs if d.get("audit.duration_ms") is not None]
        return {(None, None): statistics.fmean(took)} if took else {}
    if metric == "tokens":
        read = [d[k] for d in outputs for k in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens") if d.get(k) is not None]
        return {(None, None): float(sum(read))} if read else {}
    return {(None, None): {
        "wall_ms": lambda: (max(e.time for e in events) - min(e.time for e in events)) / timedelta(milliseconds=1),
        "tool_calls": lambda: float(sum(e.cls == "tool_call" and e.data.get("audit.tool.phase") != "result" for e in events)),
        "error": lambda: float(any(e.data.get("audit.status") == "error" for e in events)),
    }[metric]()}


def compare(metric, a, b):
    """a against the control b, each a list of the values of a session: difference, interval, p, method."""
    xs, ys = ([v for session in side for v in session] for side in (a, b))
    mx, my, n, m = statistics.fmean(xs), statistics.fmean(ys), len(xs), len(ys)
    d, none = mx - my, (None, None, None)
    many, dull = n > len(a) or m > len(b), min(len(a), len(b)) < 2 or len(set(xs)) == len(set(ys)) == 1
    if many:
        g = len(a) + len(b)
        if dull:
            return d, *none, "clustered t"
        squares = sum(sum(v - mx for v in s) ** 2 for s in a) / n**2 + sum(sum(v - my for v in s) ** 2 for s in b) / m**2
        error = math.sqrt(g / (g - 1) * (n + m - 1) / (n + m - 2) * squares)
        if error < 1e-12:
            return d, *none, "clustered t"
        return d, d - limit95(g - 1) * error, d + limit95(g - 1) * error, tail(d / error, g - 1), "clustered t"
    if metric in ("success", "error"):
        if dull:
            return d, *none, "two-proportion z"
        pool = (sum(xs) + sum(ys)) / (n + m)
        z = d / math.sqrt(pool * (1 - pool) * (1 / n + 1 / m))
        (r1, l1, u1), (r2, l2, u2) = wilson(sum(xs), n), wilson(sum(ys), m)
        return d, d - math.hypot(r1 - l1, u2 - r2), d + math.hypot(u1 - r1, r2 - l2), math.erfc(abs(z) / math.sqrt(2)), "two-proportion z"
    if dull:
        return d, *none, "Welch t"
    v, w = statistics.variance(xs) / n, statistics.variance(ys) / m
    df = (v + w) ** 2 / (v * v / (n - 1) + w * w / (m - 1))
    half = limit95(df) * math.sqrt(v + w)
    return d, d - half, d + half, tail(d / math.sqrt(v + w), df), "Welch t"


def variant_compare(log, p):
    metric, runs = p.get("metric", "success"), runs_of(log, p)
    seen = defaultdict(lambda: defaultdict(lambda: (set(), set())))  # experiment -> session -> variants, runs
    for run, events in runs.items():
        session = least(e.get("sessionid") for e in events)
        key = (run[0], "run", run[1]) if session is None else (run[0], "session", session)
        for experiment, variant in marks(events, p):
            seen[experiment][key][0].add(variant)
            seen[experiment][key][1].add(run)
    out = []
    for experiment, sessions in sorted(seen.items()):
        both = sum(len(v) > 1 for v, _ in sessions.values())
        assigned, cells = Counter(min(v) for v, _ in sessions.values() if len(v) == 1), defaultdict(lambda: defaultdict(list))
        meant = {v: float(s) for v, s in (word.split("=") for word in p["shares"].split(","))} if p.get("shares") else dict.fromkeys(assigned, 1)
        due = {v: s / sum(meant.values()) * sum(assigned.values()) for v, s in meant.items()}  # sessions that a variant should have
        ratio = upper_gamma(len(due) - 1, sum((assigned[v] - d) ** 2 / d for v, d in due.items())) if len(due) > 1 and assigned else None
        for variants, members in sessions.values():
            if len(variants) == 1:
                values = defaultdict(list)
                for run in members:
                    for what, value in value_of(metric, runs[run], p).items():
                        values[what].append(value)
                for what, vs in values.items():
                    cells[what][min(variants)].append(vs)
        first = min((v for by in cells.values() for v in by), default=None)
        for (evaluation, currency), by in sorted(cells.items(), key=lambda kv: in_order(kv[0])):
            control = p.get("control") or first
            for variant, values in sorted(by.items()):
                flat = [v for s in values for v in s]
                d, low, high, chance, method = compare(metric, values, by[control]) if variant != control and control in by else (None,) * 5
                out.append({"experiment": experiment, "evaluation": evaluation, "currency": currency, "variant": variant, "control": control, "n": len(flat), "sessions": len(values),
                            "mean": statistics.fmean(flat), "difference": d, "ci_low": low, "ci_high": high, "p": chance, "method": method,
                            "assigned": assigned[variant], "both": both, "sample_ratio_p": ratio})
    return out


CASES = {
    pass_k: [
        ("ab", {"experiment": "tone", "task": "suite.task", "k": "3"}),
        ("ab", {}),
        ("ab", {"by": "agent", "task": "position", "evaluation": "reward"}),
        ("ab", {"by": "agent_version", "task": "suite.task", "tenant": "acme", "pass_score": "0.8", "k": "2"}),
        ("ab", {"by": "evaluation", "task": "subject", "agent": "writer", "environment": "prod", "from": "2026-07-02", "to": "2026-07-06"}),
        ("ab", {"experiment": "nothing"}),
        ("base", {}),
        ("pairs", {"task": "suite.task"}),
        ("pairs", {"task": "position", "by": "agent_version"}),
        ("pairs", {"experiment": "second"}),
        ("base", {"by": "evaluation", "task": "subject", "from": "2026-03-02", "to": "2026-03-05", "k": "6"}),
        ("edge", {}),
        ("edge", {"experiment": "words", "task": "position", "by": "evaluation"}),
        ("one", {}),
        ("empty", {}),
    ],
    variant_compare: [
        ("ab", {"experiment": "tone"}),
        ("ab", {}),
        *(("ab", {"experiment": "tone", "metric": m, "evaluation": "reward"}) for m in ("score", "model_ms", "wall_ms", "cost", "tokens", "tool_calls", "error")),
        ("ab", {"experiment": "tone", "evaluation": "style", "metric": "score", "control": "warm"}),
        ("ab", {"experiment": "tone", "tenant": "acme", "environment": "prod", "agent": "writer", "pass_score": "0.9", "from": "2026-07-01T12:00:00Z", "to": "2026-07-04"}),
        ("ab", {"metric": "model_ms", "control": "terse"}),
        ("ab", {"experiment": "tone", "metric": "wall_ms", "shares": "calm=2,terse=1,warm=1"}),
        ("pairs", {}),
        ("pairs", {"experiment": "canary", "shares": "A=9,B=1"}),
        ("pairs", {"experiment": "canary", "shares": "A=90,B=5,C=5"}),
        ("ab", {"tenant": "globex", "metric": "wall_ms", "experiment": "tone"}),
        ("base", {}),
        ("edge", {}),
        ("edge", {"metric": "cost", "control": "old"}),
        ("one", {}),
        ("empty", {}),
    ],
}
