"""Giving up a static member's place in its group, which closing the consumer alone keeps."""

import contextlib
import time

from penstock_kafka.client import Consumer, KafkaException, consume

LEAVE_S = 3.0
"""How long to wait for the group's word. Without it the place lapses with the session."""

_LIST_RECORDS_MAX = 1000


def leave_group(consumer: Consumer) -> None:
    """Leave, and return when the group knows it. On the consumer's thread; what it still reads is thrown away.

    librdkafka takes a consumer that is closed while it is subscribed for one that comes back; one that has unsubscribed
    has gone, and then it forgets its member's id.
    """
    deadline_s = time.monotonic() + LEAVE_S
    with contextlib.suppress(KafkaException, RuntimeError):  # what is broken can only be closed
        consumer.unsubscribe()
        while consumer.memberid() and time.monotonic() < deadline_s:
            consume(consumer, _LIST_RECORDS_MAX, 0.02)
