#!/usr/bin/env python3
"""Writes numeric.ndjson: 1,400 outputs of two weeks, more than Evidently tests by p. Fixed rules, no chance.

In the second week (the last quarter) outputs take half as long again, other numbers stay as they were. Durations have many values, tokens few.
"""
import json
from datetime import datetime, timedelta, timezone

START = datetime(2026, 8, 1, tzinfo=timezone.utc)
for n in range(1400):
    late = n >= 1050
    data = {"gen_ai.usage.input_tokens": 100 + n * n % 17, "gen_ai.usage.output_tokens": 30 + n * 7919 % 463, "audit.duration_ms": (200 + n * 7907 % 1009 / 4) * (1.5 if late else 1)}
    event = {"specversion": "1.0", "source": "/n", "id": str(n), "type": "agent.output", "time": (START + timedelta(minutes=14 * n)).strftime("%Y-%m-%dT%H:%M:%SZ"), "data": data}
    print(json.dumps({"topic": "t", "partition": 0, "offset": n, "ingest_time": "2026-08-20T00:00:00Z", "value": json.dumps(event)}))
