#!/usr/bin/env python3
"""Writes pairs.ndjson: runs in which values stand together that are the first by name each, but never of one event. Fixed rules, no chance.

Agents that change their version within a run, a run of two agents, one whose agent is named by the judge alone; runs of two experiments, and of one that an
event names without a variant; an agent of the same id at two tenants; events that sum up the tokens of their run; outputs with a currency
and an amount that nobody can read, or none; a split of variants that is nine to one.
"""
import json
from datetime import datetime, timedelta, timezone

START, OUT = datetime(2026, 8, 3, 9, tzinfo=timezone.utc), []


def send(cls, data, **more):
    t = START + timedelta(minutes=len(OUT))
    OUT.append({"specversion": "1.0", "source": "/agents/pairs", "id": f"p{len(OUT)}", "type": f"agent.{cls}", "time": t.strftime("%Y-%m-%dT%H:%M:%SZ"),
                **{k: v for k, v in more.items() if v is not None}, "data": data})


def output(run, agent, version, marks=(), amount=0.01, currency="EUR", tenant="acme"):
    for mark in marks or [{}]:
        cost = {k: v for k, v in (("audit.cost.amount", amount), ("audit.cost.currency", currency)) if v is not None}
        send("output", {"gen_ai.response.model": "m", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 4, **cost, **mark},
             runid=run, sessionid="s" + run, agentid=agent, agentversion=version, tenant=tenant)


def score(run, value, tenant="acme", **who):
    send("evaluation", {"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": value, "suite.task": "t" + run[-1]}, runid=run, sessionid="s" + run, tenant=tenant, **who)


def of(experiment, variant=None):
    return {"audit.experiment": experiment, **({"audit.variant": variant} if variant else {})}


# agent a has version 9, agent b version 1: a with 1 never ran
output("r0", "a", "9")
output("r0", "b", "1")
score("r0", 1)
# an event without an agent has the least version; a judge's agent would come first by name
output("r1", "b", "2")
output("r1", None, "0")
score("r1", 0, agentid="a", agentversion="0")
# only the judge names an agent
output("r2", None, "5")
score("r2", 1, agentid="judge", agentversion="7")
# one agent, two versions; and a version in one event only
output("r3", "a", "2")
output("r3", "a", "10")
output("r3", "a", None)
score("r3", 1)
# two experiments: of the first variant z, of the second a
output("r4", "a", "2", [of("first", "z"), of("second", "a")])
score("r4", 1)
# the first experiment is named without a variant, so that the run is not of it
output("r5", "a", "2", [of("early"), of("second", "b")])
score("r5", 0)
# another tenant's agent of the same id
output("r6", "a", "2", amount=5, tenant="globex")
score("r6", 0, tenant="globex")
# nobody can read what these cost
output("r7", "a", "2", amount="about 3", currency="EUR")
output("r7", "a", "2", amount=None, currency="EUR")
score("r7", 1)
# what an agent says of its whole run: tokens that its outputs have told already
send("handoff", {"gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 30}, runid="r7", sessionid="sr7", agentid="a", agentversion="2", tenant="acme")
send("tool_call", {"gen_ai.tool.name": "search", "gen_ai.usage.input_tokens": 50, "audit.cost.amount": 0.5, "audit.cost.currency": "USD"}, runid="r7", sessionid="sr7", agentid="a", agentversion="2", tenant="acme")
for n in range(30):
    output(f"v{n}", "a", "3", [of("canary", "B" if n % 10 == 4 else "A")])
    score(f"v{n}", n % 3 % 2)

for i, event in enumerate(OUT):
    print(json.dumps({"topic": "agent-events", "partition": 0, "offset": i, "ingest_time": "2026-08-05T00:00:00.000Z", "value": json.dumps(event)}))
