"""The function of every case: it writes down what it is given, and does what its plan says.

The plan is an object of these, all optional: `sleep_s`, `raises` (the name of an exception), `reports` (the records
whose data has this member true are reported as failed), `echoes`, `returns`.
"""

import base64
import builtins
import json
import os
import time

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
PLAN = json.loads(os.environ["PLAN"])


def handler(event, context):
    line = {"request_id": context.aws_request_id, "at_s": time.monotonic(), "event": event}
    os.write(LEDGER, json.dumps(line).encode() + b"\n")
    time.sleep(PLAN.get("sleep_s", 0))
    if "raises" in PLAN:
        raise getattr(builtins, PLAN["raises"])("as it was recorded")
    if "reports" in PLAN:
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failing(event["Records"])]}
    return event if PLAN.get("echoes") else PLAN.get("returns")


def failing(records):
    for record in records:
        data = json.loads(base64.b64decode(record["kinesis"]["data"]))
        if data[PLAN["reports"]]:
            yield record["kinesis"]["sequenceNumber"]
