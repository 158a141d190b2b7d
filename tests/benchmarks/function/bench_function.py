"""The function of the benchmarks: walks through the event, and writes down when it ran.

`decode` decodes the JSON value of every record, with orjson where the interpreter has it, as the bootstrap does with
the event; `touch` looks at every record and leaves its value alone; `sleep` sleeps 5 ms for every record. A stream's
values are base64, a queue's bodies are text.

`RESPONSE` says what is returned: nothing, `partial` (a list of failures without any) or `state` (a window's state).

Each line of the ledger is one invocation: when it began and ended (nanoseconds of the machine's monotonic clock, the
same in every process) and how many records it had.
"""

import os
import time
from base64 import b64decode

try:
    from orjson import loads
except ImportError:
    from json import loads

RESPONSE = os.environ.get("RESPONSE", "")
LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def values(event):
    if "Records" not in event:
        return [record["value"] for records in event["records"].values() for record in records], b64decode
    records = event["Records"]
    if records and "body" in records[0]:
        return [record["body"] for record in records], str
    return [record["kinesis"]["data"] for record in records], b64decode


def decode(event, _context):
    begin_ns = time.monotonic_ns()
    texts, raw = values(event)
    for text in texts:
        loads(raw(text))
    return end(event, begin_ns, len(texts))


def touch(event, _context):
    begin_ns = time.monotonic_ns()
    return end(event, begin_ns, len(values(event)[0]))


def sleep(event, _context):
    begin_ns = time.monotonic_ns()
    texts, _ = values(event)
    for _ in texts:
        time.sleep(0.005)
    return end(event, begin_ns, len(texts))


def end(event, begin_ns, count):
    if count:
        os.write(LEDGER, b"%d %d %d\n" % (begin_ns, time.monotonic_ns(), count))
    if RESPONSE == "partial":
        return {"batchItemFailures": []}
    if RESPONSE == "state":
        return {"state": {"count": event["state"].get("count", 0) + count}}
    return None
