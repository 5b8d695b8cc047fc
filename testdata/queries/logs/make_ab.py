#!/usr/bin/env python3
"""Writes ab.ndjson: runs of three variants of an experiment. Fixed rules, no chance.

48 runs at two tenants whose ids are the same, each a prompt, one or two outputs, a tool call now and then and an evaluation by
one or two judges. Sessions have one to three runs; two of them meet two variants. A fourth run in five is of no experiment,
some are of a second experiment of one variant. Tasks are named on the evaluation (suite.task), and the runs of each variant go
through them in the same order. On purpose: a judge who changes his mind, scores that are missing, outputs without a
duration or a cost, costs in two currencies and in none named, a run with two variants, a run without a session, a run over
midnight, a judge's event with another agent, a parent and its child run.
"""
import json
from datetime import datetime, timedelta, timezone

START = datetime(2026, 7, 1, 10, tzinfo=timezone.utc)
OUT = []


def stamp(t):
    return t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03d}Z"


def send(cls, t, data, **more):
    OUT.append({"specversion": "1.0", "source": "/agents/ab", "id": f"b{len(OUT)}", "type": f"agent.{cls}", "time": stamp(t),
                **{k: v for k, v in more.items() if v is not None}, "data": {k: v for k, v in data.items() if v is not None}})


for n in range(48):
    t = START + timedelta(hours=2 * n, milliseconds=331 * n)
    variant = "calm terse warm".split()[(n + n // 7) % 3] if n % 5 else None
    session = n // 2 if n % 9 else n // 2 - 1
    mark = {"audit.experiment": "tone", "audit.variant": variant} if variant else {"audit.experiment": "voice", "audit.variant": "only"} if n % 2 else {}
    who = {"tenant": "globex" if n % 4 == 3 else "acme", "sessionid": None if n == 21 else f"s{session}", "runid": f"r{n if n % 4 != 3 else n - 1}",
           "agentid": "writer" if n % 6 else None, "agentname": "Writer", "agentversion": str(1 + n // 24), "environment": "staging" if n % 11 == 10 else "prod"}
    send("prompt", t, {"audit.status": "ok", **mark}, **who)
    for i in range(1 + n % 2):
        t += timedelta(milliseconds=700 + 90 * (n * 7 % 13))
        # from the second output on nothing says of which variant the run is
        send("output", t, {"gen_ai.response.model": "m", "gen_ai.usage.input_tokens": 100 + n * 37 % 50 if n % 10 else None, "gen_ai.usage.output_tokens": 20 + n * 11 % 17,
                           "audit.duration_ms": 400 + 25.5 * (n * 5 % 11) + (90 if variant == "warm" else 0) if n % 8 else None, "audit.status": "error" if n % 12 == 5 else "ok",
                           "audit.cost.amount": None if n % 13 == 4 else round(0.002 + 0.0003 * (n % 7), 6), "audit.cost.currency": None if n == 17 else "EUR" if n % 14 == 6 and i else "USD",
                           **({} if i else mark)}, **who)
    if n % 3 == 1:
        send("tool_call", t + timedelta(milliseconds=5), {"gen_ai.tool.name": "search", "audit.tool.phase": "request", "gen_ai.tool.call.id": f"c{n}", "audit.status": "ok"}, **who)
        send("tool_call", t + timedelta(milliseconds=65), {"gen_ai.tool.name": "search", "audit.tool.phase": "result", "gen_ai.tool.call.id": f"c{n}", "audit.status": "ok", "audit.duration_ms": 60}, **who)
    task = f"t{sum(1 for m in range(n) if m % 5 and n % 5 and 'ctw'[(m + m // 7) % 3] == 'ctw'[(n + n // 7) % 3]) % 4}"
    good = (n * n + (1 if variant == "warm" else 0)) % 3 != 1
    if n % 16 != 15:
        send("evaluation", t + timedelta(seconds=2), {"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": 1 if good else 0.25, "suite.task": task, **mark}, **{**who, "agentid": "judge"})
    if n % 7 == 2:  # the judge thinks again
        send("evaluation", t + timedelta(seconds=3), {"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": 0.75 if n % 14 == 2 else 0, "suite.task": task}, **who)
    if n % 4 == 0:
        send("evaluation", t + timedelta(seconds=4), {"gen_ai.evaluation.name": "style", "gen_ai.evaluation.score.value": round(0.1 * (n % 11), 1) if n % 8 else None}, **who)

BOTH = {"tenant": "acme", "sessionid": "both", "agentid": "writer", "agentversion": "1", "environment": "prod"}
MIDNIGHT = datetime(2026, 7, 6, 0, 0, 0, tzinfo=timezone.utc)
for i, (run, variant) in enumerate([("rx", "calm"), ("ry", "warm"), ("rz", "calm"), ("rz", "terse")]):
    send("output", MIDNIGHT + timedelta(seconds=40 * i - 50), {"audit.experiment": "tone", "audit.variant": variant, "audit.duration_ms": 500 + i, "audit.cost.amount": 0.01, "audit.cost.currency": "USD"},
         **{**BOTH, "sessionid": "both2" if run == "rz" else "both", "runid": run})
    send("evaluation", MIDNIGHT + timedelta(seconds=40 * i - 45), {"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": i % 2, "suite.task": "t0"}, **BOTH, runid=run)
send("output", MIDNIGHT + timedelta(hours=1), {"audit.experiment": "tone", "audit.duration_ms": 3}, **BOTH, runid="rv")
send("output", MIDNIGHT + timedelta(hours=1), {"audit.variant": "warm", "audit.duration_ms": 4}, **{**BOTH, "sessionid": "alone", "runid": "rw"})

for i, event in enumerate(OUT):
    print(json.dumps({"topic": "agent-events", "partition": i % 2, "offset": i // 2, "ingest_time": "2026-07-08T00:00:00.000Z", "value": json.dumps(event, ensure_ascii=False)}))
