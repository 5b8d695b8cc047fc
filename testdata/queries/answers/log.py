"""Reads a test log, and what the definitions of all queries share. Nothing but the standard library."""
import json
import os
from datetime import datetime, timezone
from decimal import Decimal

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "logs")


class Refusal(Exception):
    """The query answers with an error that has this text in it."""


def when(text):
    """A time as a producer writes it, or as a parameter has it: a date is its first moment, UTC."""
    t = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return t if t.tzinfo else t.replace(tzinfo=timezone.utc)


def show(t):
    s = t.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return s + "Z"


class Event:
    """A row of the table: the record it stood in, and the event as it was sent."""

    def __init__(self, row):
        self.row, self.raw = row, json.loads(row["value"], parse_float=Decimal)
        self.data = self.raw.get("data") or {}
        self.cls = self.raw["type"].split("agent.")[1]
        self.time = when(self.raw["time"])
        self.key = (self.raw["source"], self.raw["id"])
        self.place = (row["topic"], row["partition"], row["offset"])

    def get(self, attribute):
        return self.raw.get(attribute)


class Log:
    """rows are those of agent_log, dead the records that are in dead_letters, maintenance the rows of maintenance_log."""

    def __init__(self, name):
        with open(os.path.join(FOLDER, name + ".ndjson"), encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        self.maintenance = [r["maintenance"] for r in lines if "maintenance" in r]
        lines = [r for r in lines if "maintenance" not in r]
        self.rows = [Event(r) for r in lines if "dead" not in r for _ in range(r.get("copies", 1))]
        self.dead = [r for r in lines if "dead" in r or "also_dead" in r]

    def events(self, p):
        """Each event once, of the window and the filters that p holds. The window comes first: an event counts if its
        row in the window is the first there."""
        return within(once([e for e in self.rows if in_window(e.time, p)]), p)


def in_window(t, p):
    return (not p.get("from") or t >= when(p["from"])) and (not p.get("to") or t < when(p["to"]))


def once(rows):
    first = {}
    for e in rows:
        if e.key not in first or e.place < first[e.key].place:
            first[e.key] = e
    return list(first.values())


def within(events, p):
    return [e for e in events if in_window(e.time, p)
            and (not p.get("agent") or p["agent"] in (e.get("agentid"), e.get("agentname")))
            and all(not p.get(k) or e.get(k) == p[k] for k in ("environment", "tenant"))]


def agent(e):
    return e.get("agentid") or e.get("agentname")


def worker(events):
    """Agent and version of a run: of the first event, by who did the work before the judge, then by name, that names an agent; else of any."""
    named = [e for e in events if agent(e)]
    for some in ([e for e in named if e.cls != "evaluation"], named, [e for e in events if e.cls != "evaluation"], events):
        if some:
            who = agent(min(some, key=lambda e: agent(e) or ""))
            return who, min((e.get("agentversion") for e in some if agent(e) == who and e.get("agentversion") is not None), default=None)
    return None, None


def text_of(value):
    """An attribute as text, as a query gets it: a text as it is, anything else as JSON without blanks."""
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
