"""What the lineage queries are defined to answer."""
import json
from collections import defaultdict

from log import agent, once, show
from replay import cut, summary


def place(e):
    return {"kafka_topic": e.place[0], "kafka_partition": e.place[1], "kafka_offset": e.place[2]}


def number(e):
    return int(e.get("sequence")) if e.get("sequence") is not None else None


def cause(e):
    """What an event says caused it: (source, id)."""
    return (e.get("causationsource") or e.get("source"), e.get("causationid")) if e.get("causationid") is not None else None


def run_of(e):
    return (e.get("tenant"), e.get("runid")) if e.get("runid") is not None else None


def before(a, b):
    """Whether a came before b, as the lineage queries see two events of one run."""
    return number(a) < number(b) if None not in (number(a), number(b)) else a.time <= b.time


def edges_of(event, by_id, runs, allowed):
    """The edges that lead back from an event: (strength, name, key of the other)."""
    run = runs.get(run_of(event), [])
    out, known = [], False
    for strength, name, key in ((1, "causation", cause(event)), (2, "retry_of", event.data.get("audit.retry_of") and (event.get("source"), event.data["audit.retry_of"]))):
        if key and name in allowed:
            out.append((strength, name, key))
            known = known or key in by_id
    call, phase = event.data.get("gen_ai.tool.call.id"), event.data.get("audit.tool.phase")
    for other in run:
        if "tool_call" in allowed and call is not None and other.cls == "tool_call" and other.data.get("gen_ai.tool.call.id") == call:
            if event.cls == "action" or (event.cls == "tool_call" and phase == "result" and other.data.get("audit.tool.phase") == "request"):
                out.append((3, "tool_call", other.key))
                known = True
    if known or not run:
        return out
    at = run.index(event)
    if at == 0 and event.get("parentrunid") not in (None, event.get("runid")):
        earlier = [e for e in runs.get((event.get("tenant"), event.get("parentrunid")), []) if e.time <= event.time]
        if earlier and "parent_run" in allowed:
            out.append((4, "parent_run", max(earlier, key=lambda e: (e.time, e.place)).key))
    if at > 0 and event.cls not in ("prompt", "input") and "sequence" in allowed:
        out.append((5, "sequence", run[at - 1].key))
    return out


def upstream(log, p):
    events = log.events(p)
    by_id, runs = {e.key: e for e in events}, defaultdict(list)
    for e in events:
        if run_of(e):
            runs[run_of(e)].append(e)
    for run in runs.values():
        ordered = all(number(e) is not None for e in run)
        run.sort(key=lambda e: (number(e) if ordered else 0, e.time, e.place))
    allowed = p.get("edges", "causation,retry_of,tool_call,parent_run,sequence").split(",")
    found = {e.key: (0, None, None) for e in events if e.get("id") == p["event_id"] and p.get("source") in (None, e.get("source"))}
    layer, out = list(found), []
    for depth in range(1, int(p.get("max_depth", 50)) + 1):
        ways = defaultdict(list)
        for key in layer:
            if key in by_id:
                for strength, name, other in edges_of(by_id[key], by_id, runs, allowed):
                    if other not in found:
                        ways[other].append((strength, key[1], name))
        for other, way in ways.items():
            strength, led_to, name = min(way)
            found[other] = (depth, name, led_to)
        layer = list(ways)
    for key, (depth, name, led_to) in found.items():
        e = by_id.get(key)
        row = {"depth": depth, "edge": name, "led_to": led_to, "event_id": key[1], "source": key[0]}
        rest = dict.fromkeys(["class", "time", "summary", "agent", "tenant", "run_id", "kafka_topic", "kafka_partition", "kafka_offset"])
        if e:
            rest = {"class": e.cls, "time": show(e.time), "summary": cut(summary(e), int(p.get("summary_chars", 120))), "agent": agent(e), "tenant": e.get("tenant"),
                    "run_id": e.get("runid"), **place(e)}
        out.append(((depth, e is None, e.time if e else 0, e.place if e else (), key), {**row, **rest}))
    return [row for _, row in sorted(out, key=lambda o: o[0])]


def versions(e, p):
    """The versions in which a retrieval found the document, or None if it did not."""
    sent = e.data.get("gen_ai.retrieval.documents")
    if isinstance(sent, str):
        try:
            sent = json.loads(sent)
        except ValueError:
            return None
    got = []
    for d in sent if isinstance(sent, list) else [sent]:
        text = lambda v: None if v is None else v if isinstance(v, str) else json.dumps(v, separators=(",", ":"))
        id, version = (text(d.get("id")), text(d.get("version"))) if isinstance(d, dict) else (text(d) if isinstance(sent, list) else None, None)
        if id == p["document"] and (not p.get("version") or version == p["version"]):
            got.append(version)
    return got or None


def document_blast_radius(log, p):
    window = {k: p[k] for k in ("from", "to") if k in p}
    events = log.events(window)
    hits = {e.key: (e, versions(e, p)) for e in log.events(p) if e.cls == "context_retrieval" and versions(e, p)}
    effects = defaultdict(list)
    for e in events:
        if cause(e):
            effects[cause(e)].append(e)
    caused, todo = set(hits), list(hits)
    while todo:
        for e in effects[todo.pop()]:
            if e.key not in caused:
                caused.add(e.key)
                todo.append(e.key)
    by_run = defaultdict(list)
    for e, _ in hits.values():
        if run_of(e):
            by_run[run_of(e)].append(e)
    after = []
    for e in events:
        if e.cls in ("output", "action"):
            via = "cause" if e.key in caused else "run" if any(before(r, e) for r in by_run.get(run_of(e), [])) else None
            if via:
                after.append((e, via))
    words = lambda many: ", ".join(sorted({v for v in many if v is not None})) or None
    blank = dict.fromkeys(["via", "what", "versions", "retrievals", "outputs", "actions", "event_id", "source", "kafka_topic", "kafka_partition", "kafka_offset"])
    out = []
    for run, got in by_run.items():
        mine = [e.cls for e, _ in after if run_of(e) == run]
        first = min(e.time for e in got)
        out.append(((1, first, run[0] is not None, run[0] or "", run[1]), {
            **blank, "kind": "run", "time": show(first), "tenant": run[0], "run_id": run[1], "agent": min((agent(e) for e in got if agent(e)), default=None),
            "versions": words(v for e in got for v in hits[e.key][1]), "retrievals": len(got), "outputs": mine.count("output"), "actions": mine.count("action")}))
    for e, via in [(e, None) for e, _ in hits.values()] + after:
        d = e.data
        name = lambda k: d.get("audit.action." + k)
        what = {"context_retrieval": d.get("gen_ai.data_source.id") or d.get("gen_ai.tool.name"), "output": d.get("gen_ai.response.model") or d.get("gen_ai.request.model"),
                "action": " ".join(v for v in (name("name"), name("target") and "on " + name("target"), name("resource"), name("effect") and f"[{name('effect')}]") if v)}[e.cls]
        kind = {"context_retrieval": "retrieval"}.get(e.cls, e.cls)
        out.append((({"retrieval": 2, "output": 3, "action": 4}[kind], e.time, e.get("tenant") is not None, e.get("tenant") or "", e.get("runid") is not None, e.get("runid") or "", e.place), {
            **blank, "kind": kind, "time": show(e.time), "via": via, "tenant": e.get("tenant"), "run_id": e.get("runid"), "agent": agent(e), "what": what,
            "versions": words(hits[e.key][1]) if via is None else None, "event_id": e.get("id"), "source": e.get("source"), **place(e)}))
    return [row for _, row in sorted(out, key=lambda o: o[0])]


def source_to_action(log, p):
    units = defaultdict(list)
    for e in log.events({k: v for k, v in p.items() if k != "agent"}):
        unit = e.get("sessionid" if p.get("within") == "session" else "runid")
        if unit is not None:
            units[e.get("tenant"), unit].append(e)
    fed = defaultdict(lambda: defaultdict(list))
    for unit, events in units.items():
        for a in events:
            if a.cls != "action" or (p.get("agent") and p["agent"] not in (a.get("agentid"), a.get("agentname"))):
                continue
            comes = (lambda r, a: r.time <= a.time) if p.get("within") == "session" else before
            for source in {r.data.get("gen_ai.data_source.id") or r.data.get("gen_ai.tool.name") for r in events if r.cls == "context_retrieval" and comes(r, a)}:
                fed[unit[0], source, a.data.get("audit.action.target")][unit].append(a)
    out = []
    for (tenant, source, target), runs in fed.items():
        actions = [a for run in runs.values() for a in run]
        out.append({"tenant": tenant, "data_source": source, "target": target, "runs": len(runs), "n": len(actions),
                    "committed": sum(a.data.get("audit.action.effect") == "committed" for a in actions),
                    "first_time": show(min(a.time for a in actions)), "last_time": show(max(a.time for a in actions))})
    return sorted(out, key=lambda r: (-r["n"], *((r[k] is not None, r[k] or "") for k in ("tenant", "data_source", "target"))))


CASES = {
    upstream: [
        ("lineage", {"event_id": "6", "source": "/b", "max_depth": "2"}),
        ("base", {"event_id": "e12-5"}),
        ("base", {"event_id": "e5-4", "edges": "sequence"}),
        ("base", {"event_id": "n-4"}),
        ("base", {"event_id": "none"}),
        ("lineage", {"event_id": "7"}),
        ("lineage", {"event_id": "6"}),
        ("lineage", {"event_id": "6", "source": "/b", "summary_chars": "9"}),
        ("lineage", {"event_id": "6", "source": "/b", "edges": "tool_call,parent_run"}),
        ("lineage", {"event_id": "c7"}),
        ("lineage", {"event_id": "c5"}),
        ("lineage", {"event_id": "c5", "edges": "causation,retry_of,tool_call"}),
        ("lineage", {"event_id": "d4"}),
        ("lineage", {"event_id": "e3"}),
        ("lineage", {"event_id": "e8"}),
        ("lineage", {"event_id": "e13"}),
        ("lineage", {"event_id": "e17"}),
        ("lineage", {"event_id": "f2", "from": "2026-05-03"}),
        ("lineage", {"event_id": "l120", "max_depth": "200"}),
        ("lineage", {"event_id": "m0"}),
        ("edge", {"event_id": "a6"}),
        ("edge", {"event_id": "g5"}),
        ("edge", {"event_id": "g3", "to": "2026-03-11"}),
        ("one", {"event_id": "a5"}),
        ("empty", {"event_id": "a5"}),
    ],
    document_blast_radius: [
        ("lineage", {"document": "d1", "version": "1"}),
        ("base", {"document": "doc-1"}),
        ("lineage", {"document": "d1"}),
        ("lineage", {"document": "d1", "version": "2", "tenant": "acme"}),
        ("lineage", {"document": "d1", "to": "2026-05-01T09:00:10Z"}),
        ("lineage", {"document": "d1", "agent": "boss", "environment": "prod"}),
        ("lineage", {"document": "42"}),
        ("lineage", {"document": "d3", "from": "2026-05-01T13:00:00Z"}),
        ("edge", {"document": "doc-1"}),
        ("edge", {"document": "doc-2", "version": "2"}),
        ("one", {"document": "doc-1"}),
        ("empty", {"document": "doc-1"}),
    ],
    source_to_action: [
        ("base", {}),
        ("base", {"from": "2026-03-02", "to": "2026-03-04", "agent": "support", "tenant": "acme", "environment": "prod"}),
        ("lineage", {}),
        ("lineage", {"within": "session"}),
        ("lineage", {"tenant": "globex"}),
        ("edge", {}),
        ("edge", {"within": "session"}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {"agent": "payer"}),
        ("crossed", {"agent": "finder"}),
    ],
}
