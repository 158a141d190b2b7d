"""The function of the end-to-end tests. It appends to a ledger what it is given and when, and does what records say.

A record is `{"key": …, "number": …}`, perhaps with a `plan`: what the function does when it is handed the record for
the first time, the second, and so on (the last step stands for all further times):

- `raise`: fails
- `report`: returns, and reports this record as the first that it has not done; where `REPORTS` is `no` it fails
- `exit`: ends its process in the middle
- `hold`: works until the file `<ledger>.release` is there
- `stick`: fails until that file is there
- `sleep:SECONDS`: works for so long

While it works it writes a sign of life every 20 ms, so that the ledger shows when a killed invocation ended.
`WORK_SECONDS` makes every invocation take so long, `RECORD_SECONDS` each record besides.

In a tumbling window its state says which records it counts, and the sum of their numbers.
"""

import base64
import json
import os
import time
from pathlib import Path

PATH = Path(os.environ["LEDGER"])
RELEASE = PATH.with_name(PATH.name + ".release")
SEEN = PATH.with_name(PATH.name + ".seen")
LEDGER = os.open(PATH, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
NODE = os.environ.get("LEDGER_NODE", "")
WORK_S = float(os.environ.get("WORK_SECONDS", "0"))
RECORD_S = float(os.environ.get("RECORD_SECONDS", "0"))
REPORTS = os.environ.get("REPORTS", "yes") == "yes"
EVERY_S = 0.02
written_s = [0.0]


class PlannedError(Exception):
    """A record's plan wanted this."""


def handler(event, context):
    """Write down the batch, work, write down the end."""
    request = context.aws_request_id
    shards, offsets, identifiers, texts = read(event)
    orders = [json.loads(base64.b64decode(text)) for text in texts]
    told = {} if "window" not in event else window_of(event)
    write(
        begin=request,
        shards=shards,
        offsets=offsets,
        records=[[order["key"], order["number"]] for order in orders],
        node=NODE,
        pid=os.getpid(),
        **told,
    )
    steps = [next_step(order) if "plan" in order else "" for order in orders]
    try:
        if WORK_S:
            work(request, WORK_S)
        done = do_all(orders, steps, request)
    except PlannedError:
        write(end=request, outcome="raised", done=0)
        raise
    response = {"state": add(event["state"], offsets[:done], orders[:done])} if told else {}
    if done < len(orders):
        response["batchItemFailures"] = [{"itemIdentifier": identifiers[done]}]
    write(end=request, outcome="returned" if done == len(orders) else "reported", done=done)
    return response


def read(event):
    """Take an event apart: the shards, and of each record its position, its identifier and its value."""
    if "Records" in event:
        records = event["Records"]
        shards = sorted({record["eventID"].partition(":")[0] for record in records} or {event["shardId"]})
        data = [record["kinesis"] for record in records]
        numbers = [each["sequenceNumber"] for each in data]
        return shards, [int(number) for number in numbers], numbers, [each["data"] for each in data]
    shards = list(event["records"])
    records = [record for batch in event["records"].values() for record in batch]
    identifiers = [{"partition": shards[0], "offset": record["offset"]} for record in records]
    return shards, [record["offset"] for record in records], identifiers, [record["value"] for record in records]


def window_of(event):
    """Say of the window what the ledger keeps."""
    return {
        "window": [event["window"]["start"], event["window"]["end"]],
        "state": event["state"],
        "final": event["isFinalInvokeForWindow"],
        "early": event["isWindowTerminatedEarly"],
    }


def add(state, offsets, orders):
    """Count records."""
    return {
        "offsets": state.get("offsets", []) + offsets,
        "total": state.get("total", 0) + sum(order["number"] for order in orders),
    }


def write(**line):
    """Append one line in one write; it begins on a line of its own, whatever a killed process left half written."""
    line["at_s"] = written_s[0] = time.monotonic()
    os.write(LEDGER, b"\n" + json.dumps(line).encode() + b"\n")


def next_step(order):
    """Tell what the plan says for this time; whoever is handed the record counts as one time."""
    SEEN.mkdir(exist_ok=True)
    with (SEEN / f"{order['key']}-{order['number']}").open("ab", buffering=0) as seen:
        seen.write(b".")
        times = seen.tell()
    return order["plan"][min(times, len(order["plan"])) - 1]


def do_all(orders, steps, request):
    """Go through the records in order; gives how many were done."""
    for index, (order, step) in enumerate(zip(orders, steps, strict=True)):
        if RECORD_S:
            work(request, RECORD_S)
        if step == "report" and REPORTS:
            return index
        if step:
            follow(order, step, request)
    return len(orders)


def follow(order, step, request):
    """Do one step of a plan."""
    action, _, argument = step.partition(":")
    if action in {"raise", "report"} or (action == "stick" and not RELEASE.exists()):
        raise PlannedError(f"the plan of {order['key']} number {order['number']}")
    if action == "exit":
        os._exit(1)
    elif action == "hold":
        work(request, None)
    elif action == "sleep":
        work(request, float(argument))


def work(request, seconds):
    """Take time, showing signs of life; without a number of seconds until it is released."""
    ends_s = None if seconds is None else time.monotonic() + seconds
    while ends_s is None or time.monotonic() < ends_s:
        if ends_s is None and RELEASE.exists():
            return
        if time.monotonic() >= written_s[0] + EVERY_S:
            write(alive=request)
        time.sleep(EVERY_S if ends_s is None else max(0.0, min(EVERY_S, ends_s - time.monotonic())))
