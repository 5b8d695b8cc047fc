"""What the A/B queries are defined to answer."""
import itertools
import math
import statistics
from collections import Counter, defaultdict
from datetime import timedelta

from log import agent, in_window, show, when

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


def worker(events, take):
    found = least(take(e) for e in events if e.cls != "evaluation")
    return least(map(take, events)) if found is None else found


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
        experiment, variant = least(x for x, _ in found), least(v for _, v in found)
        who, version = worker(events, agent), worker(events, lambda e: e.get("agentversion"))
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


CASES = {
    pass_k: [
        ("ab", {"experiment": "tone", "task": "suite.task", "k": "3"}),
        ("ab", {}),
        ("ab", {"by": "agent", "task": "position", "evaluation": "reward"}),
        ("ab", {"by": "agent_version", "task": "suite.task", "tenant": "acme", "pass_score": "0.8", "k": "2"}),
        ("ab", {"by": "evaluation", "task": "subject", "agent": "writer", "environment": "prod", "from": "2026-07-02", "to": "2026-07-06"}),
        ("ab", {"experiment": "nothing"}),
        ("base", {}),
        ("base", {"by": "evaluation", "task": "subject", "from": "2026-03-02", "to": "2026-03-05", "k": "6"}),
        ("edge", {}),
        ("edge", {"experiment": "words", "task": "position", "by": "evaluation"}),
        ("one", {}),
        ("empty", {}),
    ],
}
