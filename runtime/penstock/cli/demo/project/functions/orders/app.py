"""A function as it is written for Kinesis: it gets a batch of one shard, in order."""

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

LEDGER = Path(os.environ["LEDGER"])


def handler(event: dict[str, Any], context: Any) -> None:
    """Write each order into the ledger. One order is slow, and one can not be processed at all."""
    lines = []
    for record in event["Records"]:
        order = json.loads(base64.b64decode(record["kinesis"]["data"]))
        if order["kind"] == "poison":
            print(f"order {order['number']} can not be processed, request {context.aws_request_id}")
            raise ValueError(f"order {order['number']} is poison")
        if order["kind"] == "slow":
            time.sleep(2)
        lines.append(f"order {order['number']}\n")
    LEDGER.mkdir(exist_ok=True)
    with (LEDGER / f"orders-{os.getpid()}").open("a") as ledger:
        ledger.writelines(lines)
