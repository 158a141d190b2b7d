"""A function as it is written for SQS: it gets messages, and those of a batch that failed come back."""

import json
import os
from pathlib import Path
from typing import Any

LEDGER = Path(os.environ["LEDGER"])


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - Lambda's signature
    """Write each invoice into the ledger. One of them fails when it is received for the first time."""
    invoices = [(record, json.loads(record["body"])) for record in event["Records"]]
    for record, invoice in invoices:
        if invoice["kind"] == "shaky" and record["attributes"]["ApproximateReceiveCount"] == "1":
            raise ConnectionError(f"invoice {invoice['number']}: the printer is out of paper")
    LEDGER.mkdir(exist_ok=True)
    with (LEDGER / f"invoices-{os.getpid()}").open("a") as ledger:
        ledger.writelines(f"invoice {invoice['number']}\n" for _, invoice in invoices)
