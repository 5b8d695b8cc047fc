#!/usr/bin/env python3
"""Works out the answers of the canned queries from the logs, with nothing but the standard library.

Writes golden/<query>.<case>.json: {"query", "log", "params", "rows"}. It shares no code and no SQL with the queries:
its modules, one for each surface (log.py: what they share), hold what they are defined to answer. CASES of a module says for each function, which
has its query's name, on which logs and with which parameters. Numbers that must be exact are written as strings.
"""
import glob
import importlib
import json
import os

from log import Log, Refusal

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(os.path.dirname(HERE), "golden")
MODULES = sorted({name[:-3] for name in os.listdir(HERE) if name.endswith(".py")} - {"__main__", "log"})


def main():
    os.makedirs(GOLDEN, exist_ok=True)
    for old in glob.glob(os.path.join(GOLDEN, "*.json")):
        os.remove(old)
    logs = {}
    for module in map(importlib.import_module, MODULES):
        for answer, cases in module.CASES.items():
            for i, (log, params) in enumerate(cases):
                if log not in logs:
                    logs[log] = Log(log)
                try:
                    write(answer.__name__, i, log, params, answer(logs[log], params))
                except Refusal as refusal:
                    write(answer.__name__, i, log, params, [], str(refusal))


def write(query, i, log, params, rows, error=None):
    with open(os.path.join(GOLDEN, f"{query}.{i}.json"), "w", encoding="utf-8") as f:
        f.write('{"query": %s, "log": %s, "params": %s, ' % tuple(map(json.dumps, (query, log, params))))
        f.write('"error": %s, ' % json.dumps(error) if error else "")
        f.write('"rows": [\n')
        f.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
