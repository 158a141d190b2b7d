"""Writing to a queue. A message is sent when the broker has confirmed it."""

import time
import uuid
from collections.abc import Sequence
from functools import partial

from penstock.api import Outgoing, RecordRefused, SourceContext
from penstock_rabbitmq.messages import DEDUPLICATION, HIDDEN, properties_of
from penstock_rabbitmq.publisher import Publication, Publisher
from penstock_rabbitmq.queue import look
from penstock_rabbitmq.settings import NAME_BYTES_MAX, ROUTING_KEY, Settings

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""What a broker takes unless it is told otherwise (4.x), and more than any event can carry."""
HEADER_BYTES_MAX = 100_000
"""All headers are in one frame, and a frame has 131,072 bytes."""


class RabbitDestination:
    """Publishes to a queue by its name, as mandatory and persistent. See `penstock.api.Destination`."""

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before `open`."""
        self._settings = settings = Settings.of(source)
        self._place = settings.place
        self._publisher = Publisher(settings.addresses, place=settings.place, name="penstock sender")

    async def open(self) -> None:
        await self._publisher.open(partial(look, settings=self._settings))

    async def close(self) -> None:
        await self._publisher.close()

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        answers = [self._refusal(record) for record in records]
        taken = [record for record, answer in zip(records, answers, strict=True) if answer is None]
        await self._publisher.send([self._publication(record) for record in taken])
        return answers

    def _publication(self, record: Outgoing) -> Publication:
        properties = properties_of(
            record,
            message_id=uuid.uuid4().hex,
            group_from=self._settings.group_from,
            now_ms=time.time_ns() // 1_000_000,
        )
        assert record.value is not None
        return Publication(self._settings.queue, record.value, properties)

    # What can not be sent.

    def _refusal(self, record: Outgoing) -> RecordRefused | None:
        settings = self._settings
        if record.value is None:
            return self._refused("a message needs a body")
        if record.key is not None or record.headers:
            return self._refused("a message has no key and no headers; attributes can carry them")
        if record.delay_ms:
            return self._refused("a message can not be sent with a delay")
        if not settings.is_fifo and (record.group is not None or record.deduplication_id is not None):
            return self._refused("only a queue with `FifoQueue: true` has groups and deduplication ids")
        if record.group is not None and settings.group_from == ROUTING_KEY:
            return self._refused("its groups are routing keys, and what is sent to a queue itself has its name as key")
        return self._refusal_of_names(record) or self._refusal_of_size(record)

    def _refusal_of_names(self, record: Outgoing) -> RecordRefused | None:
        settings = self._settings
        reserved = HIDDEN | ({settings.group_from, DEDUPLICATION} if settings.is_fifo else set())
        if taken := reserved & record.attributes.keys():
            return self._refused(f"an attribute can not be called {min(taken)!r}; a header of that name is")
        names = [*record.attributes]
        if settings.group_from.startswith("properties."):
            names.append(record.group or "")
        if long := next((name for name in names if len(name.encode()) > NAME_BYTES_MAX), None):
            return self._refused(f"{long[:40]!r}… has more than {NAME_BYTES_MAX} bytes")
        return None

    def _refusal_of_size(self, record: Outgoing) -> RecordRefused | None:
        headers = sum(len(name.encode()) + len(item.value) + 40 for name, item in record.attributes.items())
        if headers > HEADER_BYTES_MAX:
            return self._refused(
                f"attributes of {headers} bytes are too many; the most is {HEADER_BYTES_MAX}", too_large=True
            )
        size = len(record.value or b"")
        if size > MESSAGE_BYTES_MAX:
            return self._refused(f"{size} bytes are too many; the most is {MESSAGE_BYTES_MAX}", too_large=True)
        return None

    def _refused(self, why: str, *, too_large: bool = False) -> RecordRefused:
        return RecordRefused(f"{self._place}: {why}", too_large=too_large)
