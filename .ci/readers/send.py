"""Sends events with the CloudEvents SDK for Python and confluent-kafka.

    python send.py BROKER TOPIC <BATCHES

A batch is one line of JSON: mode (binary or structured), codec, transaction (none,
commit or abort) and events. An event has attributes, and data in one of json, text
and base64, or none.
"""

import base64
import json
import sys
from datetime import datetime

from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer


def event(e):
    attributes = dict(e["attributes"])
    attributes["time"] = datetime.fromisoformat(attributes["time"].replace("Z", "+00:00"))
    data = None
    if "json" in e:
        data = e["json"]
    elif "text" in e:
        data = e["text"]
    elif "base64" in e:
        data = base64.b64decode(e["base64"])
    return CloudEvent(attributes, data)


def send(broker, topic, batch):
    transaction = batch["transaction"]
    config = {"bootstrap.servers": broker, "compression.type": batch["codec"], "enable.idempotence": True, "linger.ms": 20}
    if transaction != "none":
        config["transactional.id"] = "python-" + batch["events"][0]["attributes"]["id"]
    producer = Producer(config)
    failed = []
    if transaction != "none":
        producer.init_transactions(30)
        producer.begin_transaction()
    for e in batch["events"]:
        message = (to_binary if batch["mode"] == "binary" else to_structured)(event(e), JSONFormat())
        producer.produce(topic, value=message.value, key=message.key, headers=list(message.headers.items()),
                         on_delivery=lambda err, _: failed.append(err) if err else None)
    remaining = producer.flush(60)  # also what will be aborted is in the log
    if failed or remaining:
        raise SystemExit(f"not delivered: {failed}, {remaining} without an answer")
    if transaction == "commit":
        producer.commit_transaction(30)
    elif transaction == "abort":
        producer.abort_transaction(30)


for line in sys.stdin:
    send(sys.argv[1], sys.argv[2], json.loads(line))
