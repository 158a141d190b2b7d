"""A list from the client as records of ours, in runs of one partition. This is the hot path: one pass, no dict.

A run's records are in order. What is no record (an end of partition, an error) is handed back as it came.
"""

from typing import NamedTuple

from penstock.api import Record, TimestampType
from penstock_kafka.client import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE, Received


class Run(NamedTuple):
    """Records of one partition that came together, and the size of their keys, values and headers."""

    partition: int
    records: list[Record]
    bytes_count: int


def split(messages: list[Received]) -> tuple[list[Run], list[Received]]:
    """Give the runs of records in a list, and the messages that hold none."""
    runs: list[Run] = []
    others: list[Received] = []
    current, size = -1, 0
    records: list[Record] = []
    append = records.append
    for message in messages:
        if message.error() is not None:
            others.append(message)
            continue
        partition = message.partition()
        if partition != current:
            if records:
                runs.append(Run(current, records, size))
            current, size, records = partition, 0, []
            append = records.append
        value, key = message.value(), message.key()
        if value is not None:
            size += len(value)
        if key is not None:
            size += len(key)
        kind, timestamp_ms = message.timestamp()
        headers = message.headers()
        if headers is None and kind == TIMESTAMP_CREATE_TIME:
            append(Record(message.offset(), value, key, timestamp_ms))
        else:
            named = tuple(headers or ())
            size += sum(len(name) + len(content or b"") for name, content in named)
            if kind == TIMESTAMP_NOT_AVAILABLE:  # written in a format older than timestamps
                timestamp_ms = 0
            stamp: TimestampType = "LOG_APPEND_TIME" if kind == TIMESTAMP_LOG_APPEND_TIME else "CREATE_TIME"
            append(Record(message.offset(), value, key, timestamp_ms, named, stamp))
    if records:
        runs.append(Run(current, records, size))
    return runs, others
