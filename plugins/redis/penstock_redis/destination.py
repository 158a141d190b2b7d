"""Writing to Redis queues: every message is in the server's memory (and log, as it is configured) on return."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from penstock.api import Outgoing, RecordRefused, SourceContext
from penstock_redis.client import Client
from penstock_redis.entries import BODY, DEDUPLICATION, GROUP, SENT, fields_of, packed
from penstock_redis.keys import Keys
from penstock_redis.scripts import SEND
from penstock_redis.server import Server
from penstock_redis.settings import DELAY_MAX_S, ListSettings, QueueSettings
from penstock_redis.values import value_of

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""The largest message that is taken: more than any event can carry."""
_PORTION_BYTES = 4 * 1024 * 1024
_PORTION_COUNT = 500


class RedisDestination(ABC):
    """What sending to a stream and to a list have in common. See `penstock.api.Destination`."""

    kind: ClassVar[str]

    def __init__(self, settings: QueueSettings | ListSettings) -> None:
        """Take the settings; nothing is connected to before `open`."""
        self._place = settings.place
        self._delay_ms = settings.delay_ms
        self._server = Server(Client(settings.address, settings.place))
        keys = Keys(settings.key, "")
        self._keys = (settings.key, keys.shared_key("delayed"), keys.shared_key("wake"))

    async def open(self) -> None:
        await self._server.look(warns=False)
        await self._send([])

    async def close(self) -> None:
        await self._server.close()

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        answers = [self._refusal(record) for record in records]
        portion: list[bytes | int] = []
        size = 0
        for record, answer in zip(records, answers, strict=True):
            if answer is not None:
                continue
            delay_ms = record.delay_ms or self._delay_ms
            # Equal messages that are delayed are told apart by the name.
            carrier = packed([uuid.uuid4().bytes if delay_ms else b"", *self._parts(record)])
            portion += (delay_ms, carrier)
            size += len(carrier)
            if size > _PORTION_BYTES or len(portion) >= 2 * _PORTION_COUNT:
                await self._send(portion)
                portion, size = [], 0
        if portion:
            await self._send(portion)
        return answers

    async def _send(self, portion: Sequence[bytes | int]) -> None:
        await self._server.client.run(SEND, self._keys, (self.kind, SENT, *portion))

    @abstractmethod
    def _parts(self, record: Outgoing) -> Sequence[bytes]:
        """Give what the script writes: the fields of an entry, or a command and its value."""

    def _refusal(self, record: Outgoing) -> RecordRefused | None:
        if record.value is None:
            return RecordRefused(f"{self._place}: a message needs a body")
        if record.key is not None or record.headers:
            return RecordRefused(f"{self._place}: a message has no key and no headers; attributes can carry them")
        if not 0 <= record.delay_ms <= DELAY_MAX_S * 1000:
            return RecordRefused(f"{self._place}: a delay of {record.delay_ms} ms is not between 0 and {DELAY_MAX_S} s")
        size = len(record.value) + sum(len(name) + len(item.value) for name, item in record.attributes.items())
        if size > MESSAGE_BYTES_MAX:
            return RecordRefused(
                f"{self._place}: {size} bytes are too many; the most is {MESSAGE_BYTES_MAX}", too_large=True
            )
        return None


class QueueDestination(RedisDestination):
    """Sends to a queue on a stream."""

    kind = "stream"

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before `open`."""
        settings = QueueSettings.of(source)
        super().__init__(settings)
        self._is_fifo = settings.is_fifo
        self._group_field = settings.group_from
        self._reserved = {BODY.decode(), SENT.decode()}
        if self._is_fifo:
            self._reserved |= {settings.group_from or GROUP.decode(), DEDUPLICATION.decode()}

    def _parts(self, record: Outgoing) -> Sequence[bytes]:
        return fields_of(record, group_field=self._group_field)

    def _refusal(self, record: Outgoing) -> RecordRefused | None:
        if not self._is_fifo and (record.group is not None or record.deduplication_id is not None):
            return RecordRefused(f"{self._place}: only a queue with `FifoQueue: true` has groups and deduplication ids")
        if taken := self._reserved & record.attributes.keys():
            return RecordRefused(
                f"{self._place}: an attribute can not be called {min(taken)!r}; a field of that name is"
            )
        return super()._refusal(record)


class ListDestination(RedisDestination):
    """Pushes to a list, at the end that is taken from last."""

    kind = "list"

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before `open`."""
        settings = ListSettings.of(source)
        super().__init__(settings)
        self._push = b"LPUSH" if settings.take_from == "right" else b"RPUSH"

    def _parts(self, record: Outgoing) -> Sequence[bytes]:
        return self._push, value_of(record)

    def _refusal(self, record: Outgoing) -> RecordRefused | None:
        if record.group is not None or record.deduplication_id is not None:
            return RecordRefused(f"{self._place}: a list has no message groups and no deduplication ids")
        return super()._refusal(record)
