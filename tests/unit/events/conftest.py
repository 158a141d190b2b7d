"""What the tests of layouts share: an origin, and an independent way back from an event to what it was made of."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.events import Origin

Decode = Callable[[bytes], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def origin() -> Origin:
    return Origin(
        source_arn="arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        region="us-east-1",
        role_arn="arn:aws:iam::000000000000:role/billing",
        shard="orders-3",
        topic="orders",
        partition=3,
        bootstrap_servers="b-1:9092,b-2:9092",
    )


@pytest.fixture(scope="session")
def queue_origin() -> Origin:
    return Origin(source_arn="arn:aws:sqs:us-east-1:000000000000:invoices", region="us-east-1")


@pytest.fixture(scope="session")
def decode() -> Decode:
    """Read an event with the standard library, as a function would: its records, whatever the layout."""

    def decode(event: bytes) -> list[dict[str, Any]]:
        document = json.loads(event)
        if "Records" in document:
            return document["Records"]
        [records] = document["records"].values()
        return [
            {
                **record,
                "key": _bytes(record["key"]),
                "value": _bytes(record["value"]),
                "headers": [
                    (name, bytes(byte % 256 for byte in value))
                    for header in record["headers"]
                    for name, value in header.items()
                ],
            }
            for record in records
        ]

    return decode


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
