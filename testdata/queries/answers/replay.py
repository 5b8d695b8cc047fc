"""What the replay queries are defined to answer."""
import json
from datetime import timedelta

from log import agent, show


def number(x):
    """A double as text, as SQL writes it."""
    return repr(float(x))


def messages(d, key):
    def message(m):
        parts = [q["content"] if q["type"] == "text" else f"[call {q['name']} {json.dumps(q['arguments'], separators=(',', ':'))}]" for q in m["parts"]]
        return m["role"] + ": " + " ".join(parts)

    return "\n".join(map(message, d[key])) if key in d else None


def words(*texts):
    return " ".join(t for t in texts if t is not None)


def summary(e):
    d = e.data
    if e.cls == "prompt":
        return messages(d, "gen_ai.input.messages")
    if e.cls == "output":
        return messages(d, "gen_ai.output.messages")
    if e.cls == "input":
        return words(d.get("gen_ai.request.model"), d.get("gen_ai.prompt.name"), d.get("audit.prompt.version"))
    if e.cls == "tool_call":
        name = d.get("gen_ai.tool.name", "?")
        if d.get("audit.tool.phase") == "result":
            return f"{name} -> {d.get('gen_ai.tool.call.result', '')}"
        return f"{name}({d.get('gen_ai.tool.call.arguments', '')})"
    if e.cls == "context_retrieval":
        source, count = d.get("gen_ai.data_source.id"), d.get("audit.retrieval.document_count")
        return words(source and source + ":", d.get("gen_ai.retrieval.query.text"), None if count is None else f"[{count} documents]")
    if e.cls == "action":
        target, effect = d.get("audit.action.target"), d.get("audit.action.effect")
        return words(d.get("audit.action.name"), target and "on " + target, d.get("audit.action.resource"), effect and f"[{effect}]")
    if e.cls == "evaluation":
        score = d.get("gen_ai.evaluation.score.value")
        return words(d.get("gen_ai.evaluation.name"), None if score is None else number(score), d.get("gen_ai.evaluation.score.label"))
    return e.get("type")


def cut(text, n):
    return None if text is None else text[:n]


def run_timeline(log, p):
    run = [e for e in log.events(p) if e.get("runid") == p["run"]]
    ordered = all(e.get("sequence") is not None for e in run)
    run.sort(key=lambda e: (int(e.get("sequence")) if ordered else 0, e.time, e.place))
    out, before = [], None
    for i, e in enumerate(run):
        ms = e.data.get("audit.duration_ms")
        out.append({"seq": i + 1, "time": show(e.time), "class": e.cls, "summary": cut(summary(e), int(p.get("summary_chars", 200))), "status": e.data.get("audit.status"),
                    "duration_ms": None if ms is None else float(ms), "gap_ms": None if before is None else (e.time - before) / timedelta(milliseconds=1),
                    "agent": agent(e), "event_id": e.get("id"), "source": e.get("source"), "kafka_topic": e.place[0],
                    "kafka_partition": e.place[1], "kafka_offset": e.place[2]})
        before = e.time
    return out


CASES = {
    run_timeline: [
        ("base", {"run": "r5"}),
        ("base", {"run": "r47"}),
        ("base", {"run": "r32", "summary_chars": "12"}),
        ("base", {"run": "r3", "from": "2026-03-04"}),
        ("base", {"run": "night"}),
        ("base", {"run": "none"}),
        ("edge", {"run": "ra", "tenant": "acme"}),
        ("edge", {"run": "ra", "tenant": "globex"}),
        ("one", {"run": "ra"}),
        ("empty", {"run": "ra"}),
    ],
}
