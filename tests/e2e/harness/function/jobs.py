"""The function of the end-to-end tests on queues. It appends to a ledger what it is given and when.

A message's body is `{"key": …, "number": …}`, perhaps with a `plan` as in `app`, where here each message stands for
itself: `report` reports this one and no other, `report:SECONDS` wants it back after so long. With `GATED` set an
environment is not there before the file `<ledger>.gate` is.
"""

import json
import os
import time

from app import EVERY_S, NODE, PATH, RECORD_S, REPORTS, WORK_S, PlannedError, follow, next_step, work, write

while os.environ.get("GATED") and not PATH.with_name(PATH.name + ".gate").exists():
    time.sleep(EVERY_S)


def handler(event, context):
    """Write down the batch, work, write down the end."""
    request = context.aws_request_id
    records = event["Records"]
    orders = [json.loads(record["body"]) for record in records]
    write(
        begin=request,
        source=records[0]["eventSourceARN"].rpartition(":")[2],
        jobs=[job_of(order, record) for order, record in zip(orders, records, strict=True)],
        node=NODE,
        pid=os.getpid(),
    )
    steps = [next_step(order) if "plan" in order else "" for order in orders]
    try:
        if WORK_S:
            work(request, WORK_S)
        failures = do_all(records, orders, steps, request)
    except PlannedError:
        write(end=request, outcome="raised")
        raise
    write(end=request, outcome="reported" if failures else "returned", failed=list(failures))
    return {"batchItemFailures": list(failures.values())}


def job_of(order, record):
    """Say of a message what the ledger keeps."""
    attributes = record["attributes"]
    count = int(attributes["ApproximateReceiveCount"])
    return [order["key"], order["number"], record["messageId"], count, attributes.get("MessageGroupId")]


def do_all(records, orders, steps, request):
    """Go through the messages in order; gives what is reported, by its place."""
    failures = {}
    for place, (record, order, step) in enumerate(zip(records, orders, steps, strict=True)):
        if RECORD_S:
            work(request, RECORD_S)
        action, _, delay = step.partition(":")
        if action == "report" and REPORTS:
            failures[place] = {"itemIdentifier": record["messageId"]}
            if delay:
                failures[place]["retryAfterSeconds"] = float(delay)
        elif step:
            follow(order, step, request)
    return failures
