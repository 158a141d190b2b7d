"""Writing to embedded streams and queues."""

from collections.abc import Iterator, Sequence
from functools import partial

from penstock.api import Outgoing, RecordRefused, SourceContext
from penstock.embedded.file import SourceFile
from penstock.embedded.messages import Queue, send_messages
from penstock.embedded.queue import open_queue
from penstock.embedded.segments import record_bytes
from penstock.embedded.settings import DELAY_MAX_S, QueueSettings, StreamSettings
from penstock.embedded.stream import open_stream
from penstock.embedded.streams import Stream, append_records

RECORD_BYTES_MAX = 16 * 1024 * 1024
"""The largest record or message that is taken: more than any event can carry."""
_TRANSACTION_BYTES_MAX = 16 * 1024 * 1024
_TRANSACTION_RECORDS_MAX = 10_000


class EmbeddedStreamDestination:
    """Appends to a stream. See `penstock.api.Destination`."""

    def __init__(self, source: SourceContext) -> None:
        self._settings = StreamSettings.of(source)
        self._file: SourceFile | None = None
        self._stream: Stream | None = None

    async def open(self) -> None:
        self._file = await SourceFile.acquire(self._settings.path)
        self._stream = await open_stream(self._file, self._settings)
        self._file.housekeeper.keep(self._stream.id, retention_ms=self._settings.retention_ms)

    async def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            await file.release()

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        assert self._file is not None
        assert self._stream is not None
        answers = [_refused_by_stream(record) for record in records]
        for some in _portions(_accepted(records, answers)):
            await self._file.write(partial(append_records, stream=self._stream, records=some))
        return answers


class EmbeddedQueueDestination:
    """Sends to a queue. See `penstock.api.Destination`."""

    def __init__(self, source: SourceContext) -> None:
        self._settings = QueueSettings.of(source)
        self._file: SourceFile | None = None
        self._queue: Queue | None = None

    async def open(self) -> None:
        self._file = await SourceFile.acquire(self._settings.path)
        self._queue = await open_queue(self._file, self._settings)

    async def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            await file.release()

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        assert self._file is not None
        assert self._queue is not None
        answers = [_refused_by_queue(record, is_fifo=self._queue.is_fifo) for record in records]
        for some in _portions(_accepted(records, answers)):
            await self._file.write(
                partial(send_messages, queue=self._queue, messages=some, delay_ms=self._settings.delay_ms)
            )
        return answers


def _refused_by_stream(record: Outgoing) -> RecordRefused | None:
    if record.group is not None or record.deduplication_id is not None:
        return RecordRefused("an embedded stream has no message groups or deduplication ids")
    if record.attributes:
        return RecordRefused("an embedded stream has no message attributes; headers can carry them")
    if record.delay_ms:
        return RecordRefused("an embedded stream has no delays")
    return _too_large(record_bytes(record))


def _refused_by_queue(record: Outgoing, *, is_fifo: bool) -> RecordRefused | None:
    if record.value is None:
        return RecordRefused("a message of an embedded queue needs a body")
    if record.key is not None or record.headers:
        return RecordRefused("an embedded queue has no keys and no headers; attributes can carry them")
    if (refused := _refused_for_its_group(record, is_fifo=is_fifo)) is not None:
        return refused
    if not 0 <= record.delay_ms <= DELAY_MAX_S * 1000:
        return RecordRefused(f"a delay of {record.delay_ms} ms is not between 0 and {DELAY_MAX_S} s")
    attributes_bytes = sum(len(name) + len(item.value) for name, item in record.attributes.items())
    return _too_large(len(record.value) + attributes_bytes)


def _refused_for_its_group(record: Outgoing, *, is_fifo: bool) -> RecordRefused | None:
    if is_fifo and not record.group:
        return RecordRefused("a message of a FIFO queue needs a message group")
    if is_fifo and record.delay_ms:
        return RecordRefused("a message of a FIFO queue has no delay of its own; the queue's DelaySeconds is for all")
    if not is_fifo and (record.group is not None or record.deduplication_id is not None):
        return RecordRefused("a standard queue has no message groups and no deduplication ids; a FIFO queue has")
    return None


def _too_large(size: int) -> RecordRefused | None:
    if size <= RECORD_BYTES_MAX:
        return None
    return RecordRefused(f"{size} bytes are too many; the most is {RECORD_BYTES_MAX}", too_large=True)


def _accepted(records: Sequence[Outgoing], answers: Sequence[RecordRefused | None]) -> Sequence[Outgoing]:
    if not any(answers):
        return records
    return [record for record, answer in zip(records, answers, strict=True) if answer is None]


def _portions(records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Cut a long list into what one transaction should hold, so that nobody waits long for their own."""
    begin = 0
    size = 0
    for index, record in enumerate(records):
        size += len(record.value or b"")
        if index > begin and (size > _TRANSACTION_BYTES_MAX or index - begin >= _TRANSACTION_RECORDS_MAX):
            yield records[begin:index]
            begin, size = index, len(record.value or b"")
    if begin < len(records):
        yield records[begin:]
