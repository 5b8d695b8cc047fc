#!/usr/bin/env python3
"""Writes drift.ndjson: eight days of runs in which something changes on the fifth. Fixed rules, no chance.

Tenant acme: 160 runs of agent desk, two a session, twenty a day. From the fifth day on, half of the runs look up before they search, and
the data source kb returns other documents with lower scores. Its response model, the prompt's hash, and the temperature change under the
one agent version; the temperature changes back. Two hashes of its tools alternate, and each run has its own seed. On the first day five
runs have another top_p, which comes back a week later. Answers get longer and slower, and one of two evaluations worse. Clocks
of some runs are wrong: their sequence is right.

Tenant globex has runs of the same ids, without session and sequence: of an agent with a name alone, a call in two events, calls
that name no tool, a run over the middle of the fifth day's night, a second model for every tenth run.

Retrievals of odd form stand at the end: documents as text, as one object, without an id, with scores that are no numbers.
"""
import json
from datetime import datetime, timedelta, timezone

START = datetime(2026, 4, 1, 9, tzinfo=timezone.utc)
OUT = []


def stamp(t):
    return t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03d}Z"


class Run:
    def __init__(self, n, start, base, sequenced):
        self.n, self.t, self.base, self.sequenced, self.count = n, start, base, sequenced, 0

    def add(self, cls, seconds, data):
        self.t += timedelta(seconds=seconds)
        e = {"specversion": "1.0", "id": f"{self.base['tenant'][0]}{self.n}-{self.count}", "type": f"agent.{cls}", "time": stamp(self.t), **self.base}
        if self.sequenced:
            e["sequence"] = self.count
        self.count += 1
        OUT.append(dict(e, data=data))


def documents(n, shifted):
    """Three of 40 documents; from the fifth day on of others, the 20 last being new."""
    first = (7 * n) % 40 + (20 if shifted else 0)
    version = "2" if shifted and n % 5 == 0 else "1"
    return [{"id": f"d{(first + 3 * k) % (60 if shifted else 40)}", "version": version,
             "score": (900 - 13 * (n % 17) - 57 * k - (90 if shifted else 0)) / 1000} for k in range(3)]


def tools(n, shifted):
    calls = ["search", "lookup"] if not (shifted and n % 2) else ["lookup", "search"]
    if n % 3 == 0:
        calls.append("refund")
    if n % 7 == 0:
        calls.insert(0, "search")
    if n % 11 == 0:
        calls.append("mail")
    return calls


def acme(n):
    day = n // 20
    shifted = day >= 4
    run = Run(n, START + timedelta(days=day, minutes=23 * (n % 20)), {
        "source": "/agents/desk", "tenant": "acme", "environment": "prod", "agentid": "desk", "agentversion": "5", "sessionid": f"s{n // 2}", "runid": f"r{n}"}, True)
    run.add("input", 0, {"gen_ai.request.model": "m", "gen_ai.prompt.name": "policy", "audit.prompt.version": "3", "audit.prompt.sha256": "aa" if n < 70 else "bb",
                         "audit.tools.sha256": "t1" if n % 2 else "t2", "gen_ai.request.temperature": 0.7 if 90 <= n < 120 else 0.2, "gen_ai.request.seed": 1000 + n,
                         "gen_ai.request.top_p": 0.9 if 8 <= n < 13 or n >= 148 else 1})
    run.add("context_retrieval", 1, {"gen_ai.data_source.id": "kb" if n % 4 else "wiki", "gen_ai.retrieval.documents": documents(n, shifted and n % 4 != 0)})
    for k, tool in enumerate(tools(n, shifted)):
        run.add("tool_call", -1 if k and n % 13 == 5 else 2, {"gen_ai.tool.name": tool, "audit.status": "ok", "audit.duration_ms": 50 + 7 * (n % 11) + k})
    run.add("output", 3, {"gen_ai.response.model": "m-1" if n < 110 else "m-2", "gen_ai.usage.output_tokens": 40 + n % 9 + (4 if shifted else 0),
                          "audit.duration_ms": 800 + 13 * (n % 10) + (30 if shifted else 0)})
    for name, score in (("reward", n % 3 / 2), ("tone", n % (2 if shifted else 4) / 3)):
        run.add("evaluation", 1, {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": score})


def globex(n):
    run = Run(n, START + timedelta(hours=8 * n), {"source": "/agents/desk", "tenant": "globex", "agentname": "desk", "runid": f"r{n}"}, False)
    run.add("tool_call", 1, {"gen_ai.tool.name": "search", "audit.tool.phase": "request", "gen_ai.tool.call.id": "c", "audit.duration_ms": 90 + (7 * n + 1) % 24})
    run.add("tool_call", 1, {"gen_ai.tool.name": "search", "audit.tool.phase": "result", "gen_ai.tool.call.id": "c", "audit.duration_ms": 90 + n})
    run.add("tool_call", 8 * 3600 if n == 11 else 1, {"gen_ai.tool.name": "refund"} if n % 2 else {})
    run.add("output", 1, {"gen_ai.response.model": "h-2" if n % 10 == 9 else "h-1"})


def odd():
    run = Run(900, START + timedelta(days=2), {"source": "/agents/odd", "tenant": "acme", "agentid": "odd"}, False)
    for found in [json.dumps([{"id": "d1", "score": 0.5}]), {"id": "d1", "score": 0.5}, "nothing", [], None, ["d1", 7, None],
                  [{"id": "d1", "score": "0.5"}, {"id": 7, "score": 1}, {"uri": "u", "score": -2}, {"score": 0.25}, {"id": "d1", "score": 0.75, "sha256": "x"}]]:
        run.add("context_retrieval", 60, {"gen_ai.data_source.id": "odd", "gen_ai.retrieval.documents": found})
        run.add("context_retrieval", 4 * 86400, {"gen_ai.retrieval.documents": found})
        run.t -= timedelta(days=4)
    for found in [{"id": "same", "version": "1"}, {"id": "same", "version": "1"}, {"id": "same"}, {"id": "other"}]:
        run.add("context_retrieval", 86400, {"gen_ai.data_source.id": "unversioned", "gen_ai.retrieval.documents": [found, {"id": "other"}]})


def main():
    for n in range(160):
        acme(n)
    for n in range(24):
        globex(n)
    odd()
    for i, value in enumerate(OUT):
        print(json.dumps({"topic": "agent-events", "partition": i % 2, "offset": i // 2, "ingest_time": "2026-04-10T00:00:00Z",
                          "value": json.dumps(value, separators=(",", ":"))}, separators=(",", ":")))


if __name__ == "__main__":
    main()
