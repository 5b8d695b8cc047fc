"""What the replay queries are defined to answer."""
import json
from collections import defaultdict
from datetime import timedelta

from log import Refusal, agent, in_window, show, text_of, when


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
    runs = defaultdict(list)
    for e in log.events(p):
        if e.get("runid") == p["run"]:
            runs[e.get("tenant")].append(e)
    return [row for tenant in sorted(runs, key=lambda t: (t is not None, t or "")) for row in timeline(in_sequence(runs[tenant]), p)]


def timeline(run, p):
    out, before = [], None
    for i, e in enumerate(run):
        ms = e.data.get("audit.duration_ms")
        out.append({"seq": i + 1, "time": show(e.time), "class": e.cls, "summary": cut(summary(e), int(p.get("summary_chars", 200))), "status": e.data.get("audit.status"),
                    "duration_ms": None if ms is None else float(ms), "gap_ms": None if before is None else (e.time - before) / timedelta(milliseconds=1),
                    "agent": agent(e), "tenant": e.get("tenant"), "event_id": e.get("id"), "source": e.get("source"), "kafka_topic": e.place[0],
                    "kafka_partition": e.place[1], "kafka_offset": e.place[2]})
        before = e.time
    return out


def in_sequence(run):
    """A run's events in order."""
    ordered = all(e.get("sequence") is not None for e in run)
    return sorted(run, key=lambda e: (int(e.get("sequence")) if ordered else 0, e.time, e.place))


def begun(log, p):
    """The runs that began in the window, each with its events: {(tenant, run): events}. A run is followed for a day beyond it."""
    days = {"from": -1, "to": 1}
    wide = {k: show(when(v) + timedelta(days=days[k])) if k in days else v for k, v in p.items() if k in ("from", "to", "tenant")}
    runs = defaultdict(list)
    for e in log.events(wide):
        if e.get("runid") is not None:
            runs[e.get("tenant"), e.get("runid")].append(e)
    return {k: run for k, run in runs.items() if in_window(min(e.time for e in run), p)}


def lacking(run, asked_by):
    """What a run lacks: for behaviour, and beyond that for byte."""
    of = lambda *classes: [e for e in run if e.cls in classes]
    holds = lambda e, key: isinstance(e.data, dict) and e.data.get(key) is not None
    has = lambda events, *keys: any(holds(e, k) for e in events for k in keys)
    phase = lambda e: e.data.get("audit.tool.phase") if e.data.get("audit.tool.phase") in ("request", "result") else None
    part = lambda what, n, total: [f"{what} ({n} of {total})"] if n else []
    prompts, outputs, calls, inputs, found = of("prompt"), of("output"), of("tool_call"), of("input"), of("context_retrieval")
    halves = defaultdict(lambda: [0, 0])
    for e in calls:
        if phase(e):
            id = e.data.get("gen_ai.tool.call.id")
            halves[(id, None) if id is not None else (None, e.data.get("gen_ai.tool.name"))][phase(e) == "result"] += 1
    whole = sum(min(h) for h in halves.values())
    asked = [key for key, (a, b) in halves.items() for _ in range(a - b)]
    answered = [key for key, (a, b) in halves.items() for _ in range(b - a)]
    for one, other in ((asked, answered), (answered, asked)):
        while (None, None) in one and other:  # names nothing: with whatever is left
            one.remove((None, None))
            other.pop()
            whole += 1
    unasked, unanswered = len(answered), len(asked)
    n_calls = sum(phase(e) is None for e in calls) + whole + unasked + unanswered
    result = lambda e: holds(e, "gen_ai.tool.call.result") or (e.data.get("audit.status", "ok") != "ok" and holds(e, "error.type"))

    def documents(e, enough):
        docs, count = e.data.get("gen_ai.retrieval.documents"), e.data.get("audit.retrieval.document_count")
        return count == 0 or (isinstance(docs, list) and len(docs) >= (count or 0) and all(isinstance(d, dict) and enough(d) for d in docs))

    behaviour = []
    if prompts:
        silent = sum(not holds(e, "gen_ai.input.messages") for e in prompts)
        behaviour += [f"request ({silent} of {len(prompts)} prompts)"] if silent else []
    elif not has(inputs + outputs, "gen_ai.input.messages") and not has(inputs, "gen_ai.tool.call.arguments") and not any(
            c.get("runid") != e.get("runid") and (c.cls == "tool_call" or c.cls == "handoff" and holds(c, "gen_ai.input.messages"))
            for e in run if e.get("parentrunid") is not None for c in [asked_by.get((e.get("causationsource") or e.get("source"), e.get("causationid")))] if c):
        behaviour.append("request")
    behaviour += [] if outputs else ["outputs"]
    behaviour += part("output messages", sum(not holds(e, "gen_ai.output.messages") for e in outputs), len(outputs))
    behaviour += part("tool arguments", sum(phase(e) != "result" and not holds(e, "gen_ai.tool.call.arguments") for e in calls) + unasked, n_calls)
    behaviour += part("tool results", sum(phase(e) != "request" and not result(e) for e in calls) + unanswered, n_calls)
    behaviour += part("documents", sum(not documents(e, lambda d: d.get("id") is not None) for e in found), len(found))
    byte = part("model version", sum(not holds(e, "gen_ai.response.model") for e in outputs), len(outputs))
    for name in ("seed", "temperature"):
        if not has(inputs, "gen_ai.request." + name):
            byte += part(name, sum(not holds(e, "gen_ai.request." + name) for e in outputs), len(outputs))
    if not has(run, "audit.prompt.sha256") and not has(inputs + outputs, "gen_ai.system_instructions"):
        byte.append("prompt")
    if calls and not has(run, "audit.tools.sha256") and not has(inputs + outputs, "gen_ai.tool.definitions"):
        byte.append("tool definitions")
    byte += part("document content", sum(not documents(e, lambda d: d.get("content") is not None or d.get("sha256") is not None) for e in found), len(found))
    byte += part("sequence", sum(e.get("sequence") is None for e in run), len(run))
    return behaviour, byte, n_calls


def replayability(log, p):
    out = []
    days = {"from": -1, "to": 1}
    everything = {e.key: e for e in log.events({k: show(when(v) + timedelta(days=days[k])) for k, v in p.items() if k in days})}
    for (tenant, name), run in begun(log, p).items():
        if p.get("run", name) != name or (p.get("agent") and not any(p["agent"] in (e.get("agentid"), e.get("agentname")) for e in run)) \
                or (p.get("environment") and not any(e.get("environment") == p["environment"] for e in run)):
            continue
        behaviour, byte, n_calls = lacking(run, everything)
        out.append({"tenant": tenant, "run_id": name, "agent": min(filter(None, map(agent, run)), default=None), "began": show(min(e.time for e in run)), "events": len(run),
                    "outputs": sum(e.cls == "output" for e in run), "tool_calls": n_calls, "retrievals": sum(e.cls == "context_retrieval" for e in run),
                    "grade": "none" if behaviour else "behaviour" if byte else "byte", "missing": ", ".join(behaviour + byte) or None})
    return sorted(out, key=lambda r: (when(r["began"]), r["tenant"] is not None, r["tenant"] or "", r["run_id"]))


def step(e):
    """What of an event must be the same in two runs: tool, arguments, result, text."""
    d = e.data
    get, text = d.get, lambda key: text_of(d.get(key))
    tool = arguments = outcome = said = None
    if e.cls == "tool_call":
        tool, arguments, outcome = words(text("gen_ai.tool.name"), get("audit.tool.phase")), text("gen_ai.tool.call.arguments"), text("gen_ai.tool.call.result")
    elif e.cls == "action":
        target = get("audit.action.target")
        tool, arguments, outcome = get("audit.action.name"), words(target and "on " + target, get("audit.action.resource")), get("audit.action.effect")
    elif e.cls == "context_retrieval":
        docs = get("gen_ai.retrieval.documents") or []
        tool, arguments = get("gen_ai.data_source.id"), get("gen_ai.retrieval.query.text")
        outcome = ", ".join(words(*(x.get(k) for k in ("id", "version", "sha256"))) if isinstance(x, dict) else "" for x in docs if not isinstance(docs, str))
    elif e.cls == "evaluation":
        score = get("gen_ai.evaluation.score.value")
        tool, outcome = get("gen_ai.evaluation.name"), words(None if score is None else number(score), get("gen_ai.evaluation.score.label"))
    elif e.cls == "input":
        sampling = [f"{k} {f(get('gen_ai.request.' + k))}" for k, f in (("temperature", number), ("top_p", number), ("top_k", number), ("seed", int)) if get("gen_ai.request." + k) is not None]
        arguments = words(get("gen_ai.request.model"), *sampling, *map(get, ("gen_ai.prompt.name", "audit.prompt.version", "audit.prompt.sha256", "audit.tools.sha256")))
        said = text("gen_ai.system_instructions")
    elif e.cls in ("prompt", "output"):
        said = messages(d, "gen_ai.input.messages" if e.cls == "prompt" else "gen_ai.output.messages")
    return tool, arguments, words(get("audit.status"), get("error.type"), outcome), said


def replay_diff(log, p):
    events = log.events({k: v for k, v in p.items() if k in ("from", "to")})
    tenants = {"a": p.get("tenant"), "b": p.get("tenant_b") or p.get("tenant")}
    runs = [in_sequence([e for e in events if e.get("runid") == p["run_" + side] and tenants[side] in (None, e.get("tenant"))]) for side in "ab"]
    for side, run in zip("ab", runs):
        if len({e.get("tenant") for e in run} - {None}) > 1:
            raise Refusal(f"run_{side} is in several tenants: name one with --tenant")
    for side, run, other in zip("ab", runs, runs[::-1]):
        if other and not run:
            raise Refusal(f"there is no run {p['run_' + side]} (run_{side})")
    out, same, chars = [], True, int(p.get("chars", 200))
    for i in range(max(map(len, runs))):
        pair = [run[i] if i < len(run) else None for run in runs]
        facts = [e and step(e) for e in pair]
        if None in pair:
            kind = "missing"
        elif pair[0].cls != pair[1].cls:
            kind = "class"
        else:
            kind = next((k for k, x, y in zip(("tool", "arguments", "result", "text"), *facts) if x != y), "same")

        def line(e, fact):
            if e is None:
                return ""
            tool, arguments, result, said = fact
            shown = {"arguments": [arguments and f"({arguments})"], "result": ["-> " + result], "text": [said]}.get(kind, [None if arguments is None else f"({arguments})", said])
            return words(e.cls, tool, *shown)[:chars]

        out.append({"step": i + 1, "kind": kind, "first": same and kind != "same", "a": line(pair[0], facts[0]), "b": line(pair[1], facts[1]),
                    "time_a": pair[0] and show(pair[0].time), "time_b": pair[1] and show(pair[1].time), "event_a": pair[0] and pair[0].get("id"), "event_b": pair[1] and pair[1].get("id")})
        same = same and kind == "same"
    return out


CASES = {
    replayability: [
        ("base", {"from": "2026-03-03", "to": "2026-03-05"}),
        ("base", {}),
        ("base", {"run": "night", "from": "2026-03-03", "to": "2026-03-04"}),
        ("base", {"run": "night", "from": "2026-03-04"}),
        ("base", {"agent": "billing", "environment": "staging"}),
        ("edge", {}),
        ("edge", {"tenant": "globex", "agent": "desk"}),
        ("one", {}),
        ("empty", {}),
        ("runs", {}),
        ("runs", {"from": "2026-05-02", "to": "2026-05-03"}),
        ("runs", {"tenant": "globex", "run": "full"}),
        ("runs", {"environment": "test"}),
        ("crossed", {}),
        ("crossed", {"run": "cancel", "from": "2026-07-08", "to": "2026-07-09"}),
        ("crossed", {"run": "quiet result"}),
        ("crossed", {"run": "quiet request"}),
    ],
    replay_diff: [
        ("base", {"run_a": "r8", "run_b": "r20"}),
        ("base", {"run_a": "r8", "run_b": "r8"}),
        ("base", {"run_a": "r8", "run_b": "nobody"}),
        ("base", {"run_a": "r8", "run_b": "r20", "to": "2026-03-03T11:40:02Z", "chars": "9"}),
        ("runs", {"run_a": "left", "run_b": "right"}),
        ("runs", {"run_a": "right", "run_b": "left", "tenant": "acme"}),
        ("runs", {"run_a": "x", "run_b": "y", "tenant": "acme"}),
        ("runs", {"run_a": "full", "run_b": "full", "tenant": "acme", "tenant_b": "globex"}),
        ("runs", {"run_a": "full", "run_b": "text-for-list", "tenant": "acme"}),
        ("runs", {"run_a": "two-events", "run_b": "list-of-texts", "tenant": "acme"}),
        ("edge", {"run_a": "ra", "run_b": "ra", "tenant": "acme", "tenant_b": "globex"}),
        ("one", {"run_a": "ra", "run_b": "rb"}),
        ("empty", {"run_a": "ra", "run_b": "rb"}),
        ("crossed", {"run_a": "same", "run_b": "other"}),
        ("crossed", {"run_a": "other", "run_b": "same"}),
        ("crossed", {"run_a": "same", "run_b": "other", "tenant": "acme"}),
        ("crossed", {"run_a": "same", "run_b": "same", "tenant": "acme", "tenant_b": "globex"}),
        ("crossed", {"run_a": "nobody", "run_b": "other"}),
        ("crossed", {"run_a": "same", "run_b": "other", "tenant": "globex"}),
        ("crossed", {"run_a": "nobody", "run_b": "noone"}),
        ("crossed", {"run_a": "half named", "run_b": "other"}),
        ("crossed", {"run_a": "half named", "run_b": "half named", "tenant_b": "acme"}),
    ],
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
        ("crossed", {"run": "same"}),
        ("crossed", {"run": "same", "tenant": "globex"}),
    ],
}
