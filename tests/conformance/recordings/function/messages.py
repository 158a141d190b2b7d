"""The function of every case of a queue: it does what its plan says, and writes down what it was given and what it did.

The plan is an object of these, all optional: `sleep_s`; `takes_one` (more messages than one are an error, and so is a
body without `destination`); `raises_while` and `reports_while` (it raises or reports a message as long as that was not
received more often than its body's `fail_attempts` says); `raises` (the name of an exception); `echoes`; `returns`.
"""

import builtins
import json
import os
import time

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
PLAN = json.loads(os.environ["PLAN"])


def handler(event, context):
    line = {"request_id": context.aws_request_id, "at_s": time.monotonic(), "event": event}
    if PLAN.get("raises_while"):
        line["told"] = {"error": error_of(event["Records"])}
    if PLAN.get("reports_while"):
        line["told"] = {"result": PLAN.get("returns", report(event["Records"]))}
    os.write(LEDGER, json.dumps(line).encode() + b"\n")
    time.sleep(PLAN.get("sleep_s", 0))
    if line.get("told", {}).get("error"):
        raise RuntimeError(line["told"]["error"])
    if "raises" in PLAN:
        raise getattr(builtins, PLAN["raises"])("as it was recorded")
    if "told" in line:
        return line["told"].get("result")
    return event if PLAN.get("echoes") else PLAN.get("returns")


def error_of(records):
    if PLAN.get("takes_one") and len(records) != 1:
        return "expected exactly one record"
    for record in records:
        try:
            wanted = json.loads(record["body"])
        except ValueError:
            return "a body that is no JSON"
        if "destination" not in wanted:
            return "a body without a destination"
        if wanted["fail_attempts"] >= count_of(record):
            return "failed attempt"
    return None


def report(records):
    failed = [record for record in records if json.loads(record["body"])["fail_attempts"] >= count_of(record)]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def count_of(record):
    return int(record["attributes"]["ApproximateReceiveCount"])
