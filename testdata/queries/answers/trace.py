"""What the trace queries are defined to answer."""
from collections import Counter, defaultdict
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal

from log import agent
from slo import rank

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def text(v):
    """Sorts texts, those that are not there first."""
    return v is not None, v or ""


def interval(e):
    """When the event began and ended, in microseconds."""
    at = (e.time - EPOCH) // (datetime.resolution)
    ms = e.data.get("audit.duration_ms")
    took = 0 if ms is None else int((min(max(Decimal(ms), Decimal(0)), Decimal(10) ** 13) * 1000).quantize(Decimal(1), ROUND_HALF_UP))
    return (at - took, at) if e.data.get("audit.tool.phase") == "result" else (at, at + took)


def spans(events):
    """Events by tenant, trace and span: each a list in order of time."""
    out = defaultdict(list)
    for e in sorted(events, key=lambda e: (e.time, e.place)):
        if e.get("traceparent"):
            _, trace, span, _ = e.get("traceparent").split("-")
            out[e.get("tenant"), trace, span].append(e)
    return out


class Span:
    def __init__(self, key, events):
        self.tenant, self.trace, self.id = self.key = key
        self.events = events
        self.begin, self.end = min(interval(e)[0] for e in events), max(interval(e)[1] for e in events)
        self.parent = None  # a Span

    def named(self, pick):
        """The parent that the events name, chosen of several by pick."""
        names = [e.get("parentspanid") for e in self.events if e.get("parentspanid") is not None]
        return pick(names) if names else None


def about(e):
    d = e.data
    if e.cls == "tool_call":
        return d.get("gen_ai.tool.name")
    if e.cls == "action":
        return d.get("audit.action.name")
    if e.cls == "context_retrieval":
        return d.get("gen_ai.data_source.id")
    if e.cls == "evaluation":
        return d.get("gen_ai.evaluation.name")
    return d.get("gen_ai.response.model") or d.get("gen_ai.request.model") or d.get("gen_ai.operation.name")


def union(intervals):
    """Length of the union of intervals."""
    total, until = 0, None
    for begin, end in sorted(intervals):
        if until is None or begin > until:
            total, until = total + end - begin, end
        elif end > until:
            total, until = total + end - until, end
    return total


def trace_tree(log, p):
    of_trace = {k: Span(k, v) for k, v in spans(log.events(p)).items() if k[1] == p["trace_id"].lower()}
    out = []
    for tenant in sorted({k[0] for k in of_trace}, key=text):
        mine = sorted((s for k, s in of_trace.items() if k[0] == tenant), key=lambda s: (s.begin, s.id))
        links = {}
        for s in mine:
            s.parent_id = s.named(lambda names: names[0])
            s.parent = of_trace.get((tenant, p["trace_id"].lower(), s.parent_id))
            links[s.id] = "child" if s.parent else "orphan" if s.parent_id else "root"
        for s in mine:  # the first of a circle is cut; the others then end there
            up, seen = s.parent, {s.id}
            while up and links[up.id] == "child" and up.id not in seen:
                seen.add(up.id)
                up = up.parent
            if up is s and links[s.id] == "child":
                links[s.id] = "cycle"

        def walk(s, depth):
            first, kids = s.events[0], [c for c in mine if c.parent is s and links[c.id] == "child"]
            timed = any(e.data.get("audit.duration_ms") is not None for e in s.events) or s.events[0].time < s.events[-1].time
            busy = union([(max(c.begin, s.begin), min(c.end, s.end)) for c in kids if c.begin < s.end and c.end > s.begin])
            states = [e.data["audit.status"] for e in s.events if "audit.status" in e.data]
            status = next((x for x in ("error", "denied", "cancelled", "ok") if x in states), min(states, default=None))
            out.append({"depth": depth, "name": "  " * depth + " ".join(filter(None, (first.cls, about(first)))), "start_ms": (s.begin - mine[0].begin) / 1000,
                        "total_ms": (s.end - s.begin) / 1000 if timed else None, "self_ms": (s.end - s.begin - busy) / 1000 if timed else None, "status": status,
                        "error_type": min((e.data["error.type"] for e in s.events if "error.type" in e.data), default=None), "link": links[s.id],
                        "agent": agent(first), "tenant": tenant, "span_id": s.id, "event_id": first.get("id")})
            for c in kids:
                walk(c, depth + 1)

        for s in mine:
            if links[s.id] != "child":
                walk(s, 0)
    return out


def critical_path(log, p):
    everything = {k: Span(k, v) for k, v in spans(log.events({k: v for k, v in p.items() if k != "agent"})).items() if p.get("trace_id", k[1]).lower() == k[1]}
    for s in everything.values():
        s.parent = everything.get((s.tenant, s.trace, s.named(min)))
        kinds = ((e.cls, e.data.get("gen_ai.tool.name") if e.cls == "tool_call" else e.data.get("gen_ai.tool.name") or e.data.get("audit.action.name") if e.cls == "action"
                  else e.data.get("gen_ai.data_source.id") if e.cls == "context_retrieval" else e.data.get("gen_ai.response.model") or e.data.get("gen_ai.request.model"), agent(e), not p.get("agent") or p["agent"] in (e.get("agentid"), e.get("agentname"))) for e in s.events)
        s.kind = min(kinds, key=lambda k: (*map(text, k[:3]), not k[3]))
    kids = defaultdict(list)
    for s in everything.values():
        up, seen = s.parent, 0
        while up and up.begin == up.end and seen < 64:
            up, seen = up.parent, seen + 1
        if s.begin < s.end and not (up and up.begin == up.end):
            kids[up or (s.tenant, s.trace)].append(s)
    time, count = Counter(), Counter()

    def back(parent, begin, end):
        """Walks back from end to begin: what runs last holds up what comes after. Gives the time in which nothing below runs."""
        idle, now = 0, end
        while now > begin:
            running = [c for c in kids[parent] if c.begin < now and c.end > begin]
            if not running:
                return idle + now - begin
            last = min(running, key=lambda c: (-min(c.end, end), max(c.begin, begin), c.id))
            until, since = min(last.end, now), max(last.begin, begin)
            idle += now - until
            count[last.kind] += 1
            own = back(last, since, until)  # first, since spans below may be of the same kind
            time[last.kind] += own
            now = since
        return idle

    for top in [k for k in kids if isinstance(k, tuple)]:
        back(top, min(s.begin for s in kids[top]), max(s.end for s in kids[top]))
    whole, cells = sum(time.values()), defaultdict(lambda: [0, 0])
    for (cls, what, who, wanted), n in count.items():
        if wanted:
            cells[cls, what][0] += n
            cells[cls, what][1] += time[cls, what, who, wanted]
    rows = [{"class": cls, "what": what, "spans": n, "path_ms": us / 1000, "share": us / whole, "mean_ms": us / 1000 / n} for (cls, what), (n, us) in cells.items()]
    return sorted(rows, key=lambda r: (-r["path_ms"], r["class"], text(r["what"])))


def tool_health(log, p):
    pairs, tools, events = defaultdict(lambda: ([], [])), defaultdict(set), [e for e in log.events(p) if e.cls == "tool_call"]
    call_of = lambda e: (e.get("tenant"), e.get("runid"), e.data.get("gen_ai.tool.call.id"))
    for e in events:
        if e.data.get("audit.tool.phase") in ("request", "result") and call_of(e)[2] is not None and e.data.get("gen_ai.tool.name") is not None:
            tools[call_of(e)].add(e.data["gen_ai.tool.name"])
    retry = lambda e: e.data.get("audit.attempt", 1) > 1 or "audit.retry_of" in e.data
    end = lambda e, tool, between: (tool, e.data.get("audit.status"), e.data.get("error.type"), e.data.get("audit.duration_ms", between))
    n, retries, ends = Counter(), Counter(), defaultdict(list)
    for e in events:
        d = e.data
        phase, tool, call = d.get("audit.tool.phase"), d.get("gen_ai.tool.name"), d.get("gen_ai.tool.call.id")
        if phase in ("request", "result"):
            pairs[e.get("tenant"), e.get("runid"), call, max(tools[call_of(e)], default=None) if tool is None else tool][phase == "result"].append(e)
        else:
            n[tool] += 1
            retries[tool] += retry(e)
            ends[tool].append(end(e, tool, None))
    for (*_, tool), (asked, answered) in pairs.items():
        n[tool] += max(len(asked), len(answered))
        retries[tool] += max(sum(map(retry, asked)), sum(map(retry, answered)))
        between = None
        if len(asked) == len(answered) == 1 and answered[0].time >= asked[0].time:
            between = (answered[0].time - asked[0].time) // datetime.resolution / 1000
        ends[tool] += [end(e, tool, between) for e in answered]
    out = []
    for tool in sorted(n, key=lambda t: (-n[t], text(t))):
        if p.get("tool", tool) != tool:
            continue
        done = [x for x in ends[tool] if x[1] is not None]
        bad = [x for x in done if x[1] == "error"]
        times = [float(x[3]) for x in done if x[3] is not None]
        kinds = sorted(Counter(x[2] or "unknown" for x in bad).items(), key=lambda kv: (-kv[1], kv[0]))[:5]
        out.append({"tool": tool, "calls": n[tool], "ended": len(done), "errors": len(bad), "error_pct": 100 * len(bad) / len(done) if done else None,
                    "refused": sum(x[1] in ("denied", "cancelled") for x in done), "retries": retries[tool], "retry_pct": 100 * retries[tool] / n[tool],
                    **{f"p{int(q * 100)}_ms": rank(times, q) if times else None for q in (0.5, 0.95, 0.99)},
                    "error_types": ", ".join(f"{k} {v}" for k, v in kinds) or None})
    return out


ONE, TWO, THREE = (f"{n:032x}" for n in (1, 2, 3))
EDGE = "4bf92f3577b34da6a3ce929d0e0e4736"
CASES = {
    trace_tree: [
        ("trace", {"trace_id": ONE}),
        ("trace", {"trace_id": ONE, "tenant": "globex"}),
        ("trace", {"trace_id": ONE, "from": "2026-06-01T12:00:01.5Z", "to": "2026-06-01T12:00:05Z"}),
        ("trace", {"trace_id": TWO}),
        ("trace", {"trace_id": THREE}),
        ("edge", {"trace_id": EDGE}),
        ("edge", {"trace_id": EDGE.upper(), "tenant": "acme", "from": "2026-03-11"}),
        ("base", {"trace_id": ONE}),
        ("one", {"trace_id": EDGE}),
        ("empty", {"trace_id": ONE}),
    ],
    critical_path: [
        ("trace", {}),
        ("trace", {"trace_id": ONE, "tenant": "acme"}),
        ("trace", {"trace_id": ONE.upper(), "tenant": "globex"}),
        ("trace", {"trace_id": TWO}),
        ("trace", {"trace_id": THREE}),
        ("trace", {"agent": "other"}),
        ("trace", {"from": "2026-06-01T12:00:01.5Z", "to": "2026-06-01T12:00:05Z"}),
        ("edge", {}),
        ("edge", {"environment": "none"}),
        ("base", {}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {}),
        ("crossed", {"agent": "Ada"}),
        ("crossed", {"agent": "a1"}),
        ("crossed", {"agent": "Cy"}),
        ("crossed", {"agent": "a3"}),
    ],
    tool_health: [
        ("base", {}),
        ("base", {"tenant": "acme", "agent": "support", "from": "2026-03-03", "to": "2026-03-04T00:00:00Z"}),
        ("base", {"tool": "refund", "environment": "prod"}),
        ("trace", {}),
        ("trace", {"tool": "pair"}),
        ("trace", {"tenant": "globex"}),
        ("trace", {"agent": "flaky"}),
        ("runs", {}),
        ("edge", {}),
        ("one", {}),
        ("empty", {}),
        ("crossed", {}),
        ("crossed", {"tool": "pay", "tenant": "acme"}),
    ],
}
