#!/usr/bin/env python3
"""Writes base.ndjson: one line per record of a small audit log. Fixed rules, no chance.

Six days (2026-03-01 to 06), two producers, two tenants, three topic partitions. On purpose it holds: a tool mix
that shifts on the fourth day, two currencies and outputs without a cost, a run without sequence numbers, text in
several scripts, events sent again unchanged (retries), events sent again with other content (conflicts), dead
letters, offsets that are missing, a record that is in the table twice, and one that is in both tables. At the end: a
run over midnight, a tool call in two events, a class of its own, attributes that are missing, a cost without a
currency, and a conflict whose copies lie days apart.
"""
import json
import sys
from datetime import datetime, timedelta, timezone

START = datetime(2026, 3, 1, 8, tzinfo=timezone.utc)
TOOLS = [["search", "search", "search", "lookup", "refund"], ["search", "lookup", "lookup", "refund", "email"]]
TEXTS = ["Please refund order {n}.", "Où est ma commande {n} ?", "注文{n}を返金してください", "Wo bleibt Bestellung {n}? 🙏", "line one\nline two of {n}"]


def stamp(t):
    return t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03d}Z"


def run(n):
    """The events of run n, in order."""
    day = n % 6
    t = START + timedelta(days=day, minutes=11 * n, milliseconds=37 * n)
    acme, shifted = n % 3 != 0, day >= 3
    base = {
        "specversion": "1.0", "source": "/agents/" + ("support" if n % 4 else "billing"), "subject": f"user:{n % 11}",
        "authtype": "user", "authid": f"u{n % 7}", "agentid": "support" if n % 4 else "billing",
        "agentversion": "2" if shifted else "1", "tenant": "acme" if acme else "globex",
        "environment": "staging" if n % 10 == 9 else "prod", "sessionid": f"s{n // 2}", "runid": f"r{n}",
    }
    events = []

    def add(cls, ms, data, **more):
        nonlocal t
        t += timedelta(milliseconds=ms)
        seq = len(events)
        e = dict(base, id=f"e{n}-{seq}", type=f"agent.{cls}", time=stamp(t), data=data, **more)
        if n != 5:  # run r5 has no sequence
            e["sequence"] = seq
        events.append(e)
        return e["id"]

    text = TEXTS[n % len(TEXTS)].format(n=n)
    add("input", 0, {"gen_ai.request.model": "m-large", "gen_ai.prompt.name": "policy", "audit.prompt.version": "v3", "audit.status": "ok"})
    asked = add("prompt", 900, {"gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": text}]}], "audit.status": "ok"})
    add("context_retrieval", 40 + n, {"gen_ai.data_source.id": "kb", "audit.retrieval.document_count": n % 4,
                                      "gen_ai.retrieval.query.text": f"order {n}", "audit.status": "ok"}, causationid=asked)
    for k in range(1 + n % 3):
        tool = TOOLS[shifted][(n + k) % 5]
        data = {"gen_ai.tool.name": tool, "gen_ai.tool.call.arguments": json.dumps({"order": n, "k": k}), "audit.duration_ms": 100 + (n * 37 + k * 11) % 400,
                "audit.status": "error" if (n + k) % 8 == 0 else "ok", "gen_ai.tool.call.result": "done"}
        if data["audit.status"] == "error":
            data["error.type"] = "timeout"
        add("tool_call", 300, data, causationid=asked)
    out = {"gen_ai.request.model": "m-large", "gen_ai.response.model": "m-large-2" if shifted and n % 2 else "m-large-1",
           "gen_ai.usage.input_tokens": 1000 + 13 * n, "gen_ai.usage.output_tokens": 50 + n, "audit.duration_ms": 800 + (n * 7919) % 15000 + 0.5,
           "gen_ai.response.finish_reasons": ["stop"] if n % 9 else ["length"], "audit.status": "ok",
           "gen_ai.output.messages": [{"role": "assistant", "parts": [
               {"type": "text", "content": f"Done with {n}."}, {"type": "tool_call", "id": "c", "name": "noop", "arguments": {"n": n}}]}]}
    if n % 5 == 0:
        out["gen_ai.usage.cache_read.input_tokens"] = 500
    if n % 7:
        out["audit.cost.amount"] = round(0.001 * n + 0.000000123, 9)
        out["audit.cost.currency"] = "USD" if acme else "EUR"
    add("output", 1200 + n, out, causationid=asked)
    if n % 2 == 0:
        act = {"audit.action.name": "refund.create", "audit.action.target": "billing-api" if n % 4 else "ledger", "audit.action.resource": f"order/{n}",
               "audit.action.effect": "committed" if n % 8 else "failed", "audit.idempotency_key": f"k{n}", "audit.status": "ok" if n % 8 else "error"}
        if n % 6 == 0:
            act.update({"audit.approval.by": "boss", "audit.approval.at": stamp(t), "audit.approval.decision": "approved"})
        add("action", 150, act, causationid=asked)
    add("evaluation", 5000, {"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": (n % 5) / 4,
                             "gen_ai.evaluation.score.label": "pass" if n % 5 > 1 else "fail", "audit.status": "ok"})
    return events


def records():
    """Records in the order they were sent: (event or raw bytes, partition)."""
    sent = 0
    for n in range(90):
        for e in run(n):
            sent += 1
            yield e, n % 3
            if sent % 17 == 0:
                yield e, (n + 1) % 3  # a retry, from another producer connection
            if sent % 53 == 0:
                changed = dict(e, data=dict(e["data"], **{"audit.status": "denied"}))
                yield changed, n % 3  # a conflict
            if sent % 41 == 0:
                yield None, n % 3  # no event at all


def odd():
    """What the runs do not hold, at the end so that nothing before it moves."""
    def event(id, cls, time, data, **more):
        return dict({"specversion": "1.0", "source": "/agents/odd", "id": id, "type": f"agent.{cls}", "time": time, "data": data}, **more)

    night = {"runid": "night", "sessionid": "s-night", "tenant": "acme", "environment": "prod", "agentid": "support", "agentversion": "2",
             "authtype": "user", "authid": "u1"}
    answer = {"gen_ai.response.model": "m-large-1", "gen_ai.response.finish_reasons": ["stop"], "audit.duration_ms": 1000, "audit.status": "ok",
              "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
              "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "One moment."}]}]}
    call = {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": "c1"}
    yield event("n-0", "output", "2026-03-03T23:59:59Z", dict(answer, **{"audit.cost.amount": 0.5, "audit.cost.currency": "USD"}), **night), 0
    yield event("n-1", "tool_call", "2026-03-03T23:59:59.500Z", dict(call, **{"audit.tool.phase": "request", "audit.status": "ok", "gen_ai.tool.call.arguments": "{}"}), **night), 0
    yield event("n-2", "tool_call", "2026-03-04T00:00:00Z", dict(call, **{"audit.tool.phase": "result", "audit.status": "error", "gen_ai.tool.call.result": "timeout"}), **night), 0
    yield event("n-3", "output", "2026-03-04T00:00:01Z", answer, **night), 0
    yield event("n-4", "tool_call", "2026-03-04T00:00:02.000001Z", {"gen_ai.tool.name": "lookup", "audit.tool.phase": None, "audit.cost.amount": "0.25",
                "audit.cost.currency": "USD", "gen_ai.tool.call.arguments": "{}"}, **night), 0
    yield event("h-0", "handoff", "2026-03-02T12:00:00Z", {}), 1
    yield event("c-0", "output", "2026-03-02T12:00:00Z", {"audit.cost.amount": 1, "audit.status": "ok"}), 1
    act = {"audit.action.name": "refund.create", "audit.action.target": "ledger", "audit.action.resource": "order/x", "audit.action.effect": "planned",
           "audit.idempotency_key": "kx", "audit.status": "ok"}
    # The copy that came first says the 5th, the one at the lower place the 2nd.
    yield event("a-0", "action", "2026-03-05T09:00:00Z", act, tenant="acme", agentname="clerk"), 1
    yield event("a-0", "action", "2026-03-02T09:00:00Z", act, tenant="acme", agentname="clerk"), 0


def main():
    offsets, out = [100, 0, 0], sys.stdout
    for i, (e, p) in enumerate([*records(), *odd()]):
        if p == 1 and offsets[p] in (50, 51, 120):
            offsets[p] += 1  # missing
        value = json.dumps(e, ensure_ascii=False) if e else ["not json", '{"specversion":"1.0"}', "\u0000"][i % 3]
        row = {"topic": "agent-events", "partition": p, "offset": offsets[p], "ingest_time": stamp(datetime(2026, 3, 7, tzinfo=timezone.utc) + timedelta(seconds=i)), "value": value}
        if e is None:
            row["dead"] = ["not_json", "missing", "not_json"][i % 3]
        elif i in (77, 300):
            row["copies"] = 2  # the row landed twice
        elif i == 200:
            row["also_dead"] = "bad_time"  # the record is in both tables
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
        offsets[p] += 1


if __name__ == "__main__":
    main()
