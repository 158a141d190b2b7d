"""The function of the end-to-end tests. It appends to a ledger what it is given and when, and does what records say.

A record is `{"key": …, "number": …}`, perhaps with a `plan`: what the function does when it sees the record for the
first time, the second, and so on (the last step stands for all further times):

- `raise`: fails
- `hold`: works until the file `<ledger>.release` is there
- `sleep:SECONDS`: works for so long

While it works it writes a sign of life every 20 ms, so that the ledger shows when a killed invocation ended.
`WORK_SECONDS` makes every invocation take so long.
"""

import base64
import json
import os
import time
from pathlib import Path

PATH = Path(os.environ["LEDGER"])
RELEASE = PATH.with_name(PATH.name + ".release")
LEDGER = os.open(PATH, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
NODE = os.environ.get("LEDGER_NODE", "")
WORK_S = float(os.environ.get("WORK_SECONDS", "0"))
EVERY_S = 0.02


class PlannedError(Exception):
    """A record's plan wanted this."""


def handler(event, context):
    """Write down the batch, work, write down the end."""
    request = context.aws_request_id
    batches = [batch for batch in event["records"].values() if batch]
    orders = [json.loads(base64.b64decode(record["value"])) for batch in batches for record in batch]
    write(
        begin=request,
        shards=[f"{batch[0]['topic']}-{batch[0]['partition']}" for batch in batches],
        offsets=[record["offset"] for batch in batches for record in batch],
        records=[[order["key"], order["number"]] for order in orders],
        node=NODE,
        pid=os.getpid(),
    )
    try:
        if WORK_S:
            work(request, WORK_S)
        for order in orders:
            if "plan" in order:
                follow(order, request)
    except PlannedError:
        write(end=request, outcome="raised")
        raise
    write(end=request, outcome="returned")


def write(**line):
    """Append one line in one write; it begins on a line of its own, whatever a killed process left half written."""
    line["at_s"] = time.monotonic()
    os.write(LEDGER, b"\n" + json.dumps(line).encode() + b"\n")


def follow(order, request):
    """Do what the plan says for this time."""
    step = order["plan"][min(times_seen([order["key"], order["number"]]), len(order["plan"])) - 1]
    action, _, argument = step.partition(":")
    if action == "raise":
        raise PlannedError(f"the plan of {order['key']} number {order['number']}")
    if action == "hold":
        work(request, None)
    elif action == "sleep":
        work(request, float(argument))


def times_seen(identity):
    """Count how often a record was handed to the function, this time included."""
    lines = [line for line in PATH.read_bytes().splitlines() if line.startswith(b'{"begin"')]
    count = 0
    for line in lines:
        try:
            count += identity in json.loads(line)["records"]
        except ValueError:
            continue
    return count


def work(request, seconds):
    """Take time, showing signs of life; without a number of seconds until it is released."""
    ends_s = None if seconds is None else time.monotonic() + seconds
    while ends_s is None or time.monotonic() < ends_s:
        if ends_s is None and RELEASE.exists():
            return
        write(alive=request)
        time.sleep(EVERY_S if ends_s is None else max(0.0, min(EVERY_S, ends_s - time.monotonic())))
