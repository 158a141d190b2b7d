"""The function of the queues' torture. It appends to a ledger what it is given and when, and does what messages say.

A message is `{"key": …, "number": …}`, perhaps with a `plan`: what the function does when it is handed the message for
the first time, the second, and so on (the last step stands for all further times):

- `return`: is done
- `report`: returns, and reports the message
- `later:SECONDS`: reports it with `retryAfterSeconds`
- `raise`: fails with the whole batch
- `exit`: ends its process in the middle
- `hang`: works until somebody ends it
- `sleep:SECONDS`: works for so long, and is done

`REPORTS`: `no` fails instead of reporting; `items` reports what has failed; `rest` reports what comes behind it in its
message group too. On a FIFO queue nothing is done behind a message of its group that has failed.

While it works it writes a sign of life every 20 ms, so that the ledger shows when a killed invocation ended.
"""

import json
import os
import time
from pathlib import Path

PATH = Path(os.environ["LEDGER"])
SEEN = PATH.with_name(PATH.name + ".seen")
LEDGER = os.open(PATH, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
NODE = os.environ.get("LEDGER_NODE", "")
MESSAGE_S = float(os.environ["MESSAGE_SECONDS"])
REPORTS = os.environ["REPORTS"]
EVERY_S = 0.02
FOR_EVER_S = 3600.0
written_s = [0.0]


class PlannedError(Exception):
    """A message's plan wanted this."""


def handler(event, context):
    """Write down the batch, work, write down the end."""
    request, records = context.aws_request_id, event["Records"]
    messages = [json.loads(record["body"]) for record in records]
    handed = [
        [each["key"], each["number"], record["messageId"], int(record["attributes"]["ApproximateReceiveCount"])]
        for each, record in zip(messages, records, strict=True)
    ]
    write(begin=request, messages=handed, node=NODE, pid=os.getpid())
    steps = [next_step(each) if "plan" in each else "return" for each in messages]
    done, failed, failures, failed_groups = [], [], [], set()
    try:
        for each, record, step in zip(messages, records, steps, strict=True):
            order, group = [each["key"], each["number"]], record["attributes"].get("MessageGroupId")
            failure = {} if REPORTS == "rest" else None
            if group is None or group not in failed_groups:
                work(request, MESSAGE_S)
                failure = follow(each, step, request)
                if failure is None:
                    done.append(order)
                    continue
                failed_groups.add(group)
            if failure is not None:
                failed.append(order)
                failures.append({"itemIdentifier": record["messageId"], **failure})
    except PlannedError:
        write(end=request, outcome="raised", done=[], failed=[])
        raise
    write(end=request, outcome="reported" if failures else "returned", done=done, failed=failed)
    return {"batchItemFailures": failures}


def write(**line):
    """Append one line in one write; it begins on a line of its own, whatever a killed process left half written."""
    line["at_s"] = written_s[0] = time.monotonic()
    os.write(LEDGER, b"\n" + json.dumps(line).encode() + b"\n")


def next_step(message):
    """Tell what the plan says for this time; whoever is handed the message counts as one time."""
    SEEN.mkdir(exist_ok=True)
    with (SEEN / f"{message['key']}-{message['number']}").open("ab", buffering=0) as seen:
        seen.write(b".")
        times = seen.tell()
    return message["plan"][min(times, len(message["plan"])) - 1]


def follow(message, step, request):
    """Do one step of a plan. Gives what to report of the message besides its id, or None where it is done."""
    action, _, argument = step.partition(":")
    if action == "raise" or (action in {"report", "later"} and REPORTS == "no"):
        raise PlannedError(f"the plan of {message['key']} number {message['number']}")
    if action == "exit":
        os._exit(1)
    if action == "hang":
        work(request, FOR_EVER_S)
    if action == "sleep":
        work(request, float(argument))
    if action == "later":
        return {"retryAfterSeconds": float(argument)}
    return {} if action == "report" else None


def work(request, seconds):
    """Take time, showing signs of life."""
    ends_s = time.monotonic() + seconds
    while (left_s := ends_s - time.monotonic()) > 0:
        if time.monotonic() >= written_s[0] + EVERY_S:
            write(alive=request)
        time.sleep(min(EVERY_S, left_s))
