#!/usr/bin/env python3
"""Works out what is true of the airline runs from their file, without SQL: `python3 answers.py FILE > airline.json`.

Each entry is a question to a canned query (or in SQL, where a view answers it) and columns of its rows. Numbers that must
be exact are texts. That nothing drifts between the four trials, one a day, is what their makers say: the same agent,
model and tasks, four times.
"""
import json
import math
import sys
from collections import Counter, defaultdict
from datetime import datetime, timezone
from decimal import Decimal

DAYS = ["2024-05-15", "2024-05-16", "2024-05-17", "2024-05-18", "2024-05-19"]


def main(path):
    with open(path, encoding="utf-8") as f:
        events = [json.loads(line, parse_float=Decimal) for line in f]
    for place, e in enumerate(events):
        e["place"], e["at"] = place, datetime.fromisoformat(e["time"].replace("Z", "+00:00"))
        e["class"] = e["type"].removeprefix("agent.")
    out = []

    def ask(columns, rows, query="", sql="", ordered=False, **params):
        out.append({"query": query, "sql": sql, "params": params, "columns": columns, "ordered": ordered, "rows": rows})

    of = lambda cls: [e for e in events if e["class"] == cls]
    sizes(ask, events)
    rewards(ask, of("evaluation"))
    actions(ask, of("action"))
    tools(ask, of("tool_call"))
    cost(ask, of("output"))
    longest(ask, events)
    drift(ask, events)
    print("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]")


def sizes(ask, events):
    ask(["runs", "sessions"], [[len({e["runid"] for e in events}), len({e["sessionid"] for e in events})]],
        sql="SELECT (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM sessions) AS sessions")
    ask(["topic", "missing", "duplicates", "conflicts"], [["agent-events", 0, 0, 0]], query="completeness")


def rewards(ask, evaluations):
    """By trial, which is the variant; and of all four trials of each task, by the order of the tasks, which is that of each day."""
    won = defaultdict(list)
    for e in sorted(evaluations, key=lambda e: e["at"]):
        won[e["data"]["audit.variant"]].append(e["data"]["gen_ai.evaluation.score.value"] == 1)
    ask(["day", "unit", "n", "good", "ratio"], [[day, "task_reward", len(w), sum(w), sum(w) / len(w)] for day, (_, w) in zip(DAYS, sorted(won.items()))],
        query="sli_daily", sli="accuracy", pass_score="1")
    by_task = [sum(task) for task in zip(*won.values())]
    rows = []
    for k in range(1, 5):
        c = math.comb
        rows.append(["pass@k", k, 50, 200, sum(by_task), sum(1 - c(4 - n, k) / c(4, k) for n in by_task) / 50])
        rows.append(["pass^k", k, 50, 200, sum(by_task), sum(c(n, k) / c(4, k) for n in by_task) / 50])
    ask(["measure", "k", "tasks", "trials", "successes", "value"], sorted(rows), query="pass_k", by="agent", task="position", k="4", pass_score="1")
    ask(["variant", "measure", "trials", "successes", "value"], [[v, m, len(w), sum(w), sum(w) / len(w)] for v, w in won.items() for m in ("pass@k", "pass^k")],
        query="pass_k", by="variant", task="position", k="1", pass_score="1")


def actions(ask, events):
    rows = [[e["id"], e["data"]["audit.action.name"], e["data"]["audit.action.target"], e["data"]["audit.action.effect"], e["data"]["audit.status"], e["authid"]]
            for e in sorted(events, key=lambda e: (e["at"], e["place"]))]
    ask(["event_id", "action", "target", "effect", "status", "principal"], rows, query="action_ledger", ordered=True)
    n = Counter((r[3], r[4]) for r in rows)
    ask(["effect", "status", "n"], [[*key, count] for key, count in n.items()], sql="SELECT action_effect AS effect, status, count(*) AS n FROM actions GROUP BY ALL")


def tools(ask, calls):
    name = lambda e: e["data"]["gen_ai.tool.name"]
    n, errors = Counter(map(name, calls)), Counter(name(e) for e in calls if e["data"]["audit.status"] == "error")
    ask(["tool", "calls", "errors", "error_pct"], [[t, n[t], errors[t], 100 * errors[t] / n[t]] for t in n], query="tool_health")


def cost(ask, outputs):
    total = lambda evs, key: sum(e["data"][key] for e in evs)
    row = lambda evs: [f"{total(evs, 'audit.cost.amount'):.9f}", len(evs), 0, total(evs, "gen_ai.usage.input_tokens"), total(evs, "gen_ai.usage.output_tokens")]
    columns = ["cost", "priced", "unpriced", "input_tokens", "output_tokens"]
    ask(["agent", "model", "currency", *columns], [["airline-support", "gpt-4o", "USD", *row(outputs)]], query="cost_rollup", dimensions="agent,model", to=DAYS[4])
    ask(["day", "currency", *columns], [[day, "USD", *row([e for e in outputs if e["time"][:10] == day])] for day in DAYS[:4]], query="cost_rollup", dimensions="day,model")


def longest(ask, events):
    runs = defaultdict(list)
    for e in events:
        runs[e["runid"]].append(e)
    run, most = min(runs.items(), key=lambda item: (-len(item[1]), item[0]))
    times = [e["at"] for e in most]
    tokens = sum(e["data"].get("gen_ai.usage.output_tokens", 0) for e in most)
    ask(["run_id", "events", "tool_calls", "wall_ms", "output_tokens"],
        [[run, len(most), sum(e["class"] == "tool_call" for e in most), (max(times) - min(times)).total_seconds() * 1000, tokens]],
        sql="SELECT run_id, events, tool_calls, wall_ms, output_tokens FROM runs ORDER BY events DESC, run_id LIMIT 1")
    ask(["seq", "class", "event_id"], [[i + 1, e["class"], e["id"]] for i, e in enumerate(sorted(most, key=lambda e: e["sequence"]))], query="run_timeline", ordered=True, run=run)


def drift(ask, events):
    on = lambda days: [e for e in events if e["time"][:10] in days]
    for ref, cur in [(0, 1), (1, 2), (2, 3), (0, 3)]:
        one_window(ask, on(DAYS[ref:ref + 1]), on(DAYS[cur:cur + 1]), DAYS[ref], DAYS[ref + 1], DAYS[cur], DAYS[cur + 1])
    one_window(ask, on(DAYS[:3]), on(DAYS[3:]), DAYS[0], DAYS[3], DAYS[3], DAYS[4])
    ask(["old"], [], query="silent_change")


def one_window(ask, ref, cur, ref_from, ref_to, start, end):
    params = {"ref_from": ref_from, "ref_to": ref_to, "from": start, "to": end}
    values = {
        "class": lambda e: e["class"], "status": lambda e: e["data"].get("audit.status"),
        "tool": lambda e: e["class"] == "tool_call" and e["data"]["gen_ai.tool.name"], "model": lambda e: e["class"] == "output" and e["data"]["gen_ai.response.model"],
        "finish_reason": lambda e: e["class"] == "output" and e["data"]["gen_ai.response.finish_reasons"][0],
    }
    n = lambda of, evs: sum(bool(of(e)) for e in evs)
    ask(["dimension", "ref_rows", "cur_rows", "categories", "verdict"],
        [[name, n(of, ref), n(of, cur), len(set(filter(None, map(of, ref + cur)))), "stable"] for name, of in values.items()], query="categorical_drift", **params)
    metrics = {
        "input_tokens": ("output", "gen_ai.usage.input_tokens"), "output_tokens": ("output", "gen_ai.usage.output_tokens"), "output_ms": ("output", "audit.duration_ms"),
        "cost": ("output", "audit.cost.amount"), "tool_ms": ("tool_call", "audit.duration_ms"), "score": ("evaluation", "gen_ai.evaluation.score.value"),
    }
    of = lambda metric, evs: [float(e["data"][metrics[metric][1]]) for e in evs if e["class"] == metrics[metric][0]]
    mean = lambda numbers: math.fsum(numbers) / len(numbers)
    ask(["metric", "ref_rows", "cur_rows", "ref_mean", "cur_mean", "verdict"],
        [[m, len(of(m, ref)), len(of(m, cur)), mean(of(m, ref)), mean(of(m, cur)), "stable"] for m in metrics], query="numeric_drift", **params)
    r, c = bigrams(ref), bigrams(cur)
    ask(["bigram", "ref_n", "cur_n", "p_ref", "p_cur", "verdict"],
        [[b, r[b], c[b], r[b] / r.total(), c[b] / c.total(), "stable"] for b in set(r) | set(c)], query="sequence_drift", **params)
    documents = lambda evs: Counter(d["id"] for e in evs if e["class"] == "context_retrieval" for d in e["data"]["gen_ai.retrieval.documents"])
    r, c = documents(ref), documents(cur)
    ask(["data_source", "ref_documents", "cur_documents", "new_documents", "lost_documents", "verdict"],
        [["airline-support-db", len(r), len(c), len(set(c) - set(r)), len(set(r) - set(c)), "no data"]], query="retrieval_drift", **params)


def bigrams(events):
    runs = defaultdict(list)
    for e in sorted(events, key=lambda e: e["sequence"]):
        if e["class"] == "tool_call":
            runs[e["runid"]].append(e["data"]["gen_ai.tool.name"])
    return Counter(f"{a} -> {b}" for names in runs.values() for a, b in zip(["(start)", *names], [*names, "(end)"]))


if __name__ == "__main__":
    main(sys.argv[1])
