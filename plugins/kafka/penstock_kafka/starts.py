"""Where a start lies in a partition, as the broker says now."""

from penstock.api import Start
from penstock_kafka.client import Consumer, KafkaException, TopicPartition


def position_before(consumer: Consumer, topic: str, partition: int, start: Start, *, timeout_s: float) -> int:
    """Tell the position to read after for a start. Blocking; raises KafkaException."""
    part = TopicPartition(topic, partition)
    low, high = consumer.get_watermark_offsets(part, timeout=timeout_s)
    if start.position == "TRIM_HORIZON":
        return int(low) - 1
    if start.position == "LATEST":
        return int(high) - 1
    part.offset = start.timestamp_ms or 0
    found = consumer.offsets_for_times([part], timeout=timeout_s)[0]
    if found.error is not None:
        raise KafkaException(found.error)
    return (int(found.offset) if found.offset >= 0 else int(high)) - 1
