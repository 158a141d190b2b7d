"""Records for topics: JSON, with a number that counts up per key."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from brokers import Produced

Order = tuple[str, int]
"""What tells one record from all others: its key, and its number among those of the key."""


def orders(
    count: int,
    *,
    start: int = 0,
    keys: int = 50,
    partitions: int | None = None,
    plans: Mapping[int, Sequence[str]] | None = None,
) -> list[Produced]:
    """Make so many records, going round `keys` keys; a key always goes to one partition.

    Without `partitions` Kafka chooses by the key. `start` continues where other records ended; `plans` maps the place
    of a record (0 is the first one ever) to what the function does with it.
    """
    made = []
    for place in range(start, start + count):
        key, number = f"key-{place % keys}", place // keys
        value: dict[str, object] = {"key": key, "number": number}
        if plans and place in plans:
            value["plan"] = list(plans[place])
        partition = None if partitions is None else place % keys % partitions
        made.append(Produced(json.dumps(value).encode(), key=key.encode(), partition=partition))
    return made


def identities(records: Iterable[Produced]) -> Counter[Order]:
    """Tell what a ledger should say of these records."""
    values = [json.loads(record.value or b"{}") for record in records]
    return Counter((value["key"], value["number"]) for value in values)


def lane_of(key: str, factor: int) -> int:
    """Tell in which of so many lanes a partition's records with this key are run, as it is documented (D6)."""
    return zlib.crc32(key.encode()) % factor
