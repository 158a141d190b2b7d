import asyncio
import signal
import time

from contract.queue_contract import QueueSubject
from contract.stream_contract import MANY_BYTES, StreamSubject
from penstock.api import Outgoing, Start, Want
from penstock.embedded import inotify
from penstock.embedded.plugin import QUEUE, STREAM
from plugins.embedded.children import child


async def _wants(reader, start="LATEST"):
    positions = {shard: await reader.source.resolve(shard, Start(start)) for shard in reader.held}
    return [Want(shard, position, 100, MANY_BYTES) for shard, position in positions.items()]


def test_an_idle_stream_and_an_idle_queue_ask_the_file_for_nothing(stream_source, queue_source):
    async def scenario():
        settings = {**stream_source.settings, "LeaseSeconds": 10}
        source = type(stream_source)(project="tests", name="orders", settings=settings, data_dir=stream_source.data_dir)
        subject, queue = StreamSubject(type=STREAM, source=source), QueueSubject(type=QUEUE, source=queue_source)
        async with subject.reader() as reader, queue.receiver() as receiver:
            await reader.until(lambda: len(reader.held) == 4)
            wants = await _wants(reader)
            await reader.source.fetch(wants, wait_ms=0)
            await receiver.receive(messages_max=10, wait_ms=0)
            file = reader.source._file
            before = (file.reads_count, file.transactions_count)
            for _ in range(20):
                await asyncio.gather(
                    reader.source.fetch(wants, wait_ms=50), receiver.receive(messages_max=10, wait_ms=50)
                )
            assert file is receiver._file
            # One round of lease renewals may fall into this second, and one look at a stream's age.
            assert file.reads_count - before[0] <= 1
            assert file.transactions_count - before[1] <= 1
            assert file.looks_count <= 20

    asyncio.run(scenario())


def test_what_another_process_writes_wakes_a_reader(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.reader() as reader:
            await reader.until(lambda: len(reader.held) == 4)
            wants = await _wants(reader)
            waiting = asyncio.create_task(reader.source.fetch(wants, wait_ms=20_000))
            await asyncio.sleep(0.05)
            async with child("child_writer.py", stream_source.data_dir, "stream") as writer:
                await writer.until(lambda lines: lines)
                writer.signal(signal.SIGSTOP)
                # Well before the second line, the look that comes every few seconds.
                async with asyncio.timeout(3):
                    assert await waiting

    asyncio.run(scenario())


def test_without_inotify_the_file_is_looked_at_from_time_to_time(queue_source, monkeypatch):
    monkeypatch.setattr(inotify.FileWatch, "start", lambda _: False)

    async def scenario():
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.receiver() as receiver:
            waiting = asyncio.create_task(receiver.receive(messages_max=10, wait_ms=20_000))
            await asyncio.sleep(0.05)
            async with child("child_writer.py", queue_source.data_dir, "queue"), asyncio.timeout(10):
                assert await waiting

    asyncio.run(scenario())


def test_a_nack_of_another_receiver_wakes_a_waiting_one(queue_source):
    async def scenario():
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.writer() as writer, subject.receiver() as first, subject.receiver("node-2") as second:
            await writer.send([Outgoing(value=b"v")])
            (message,) = await subject.receive(first, 1)
            waiting = asyncio.create_task(second.receive(messages_max=1, wait_ms=20_000))
            await asyncio.sleep(0.05)
            begin = time.monotonic()
            await first.nack([message.receipt], delay_ms=0, counted=True)
            (again,) = await waiting
            assert again.receive_count == 2
            assert time.monotonic() - begin < 10

    asyncio.run(scenario())


def test_many_small_writes_at_once_share_commits(queue_source):
    async def scenario():
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.writer() as writer, subject.receiver() as receiver:
            before = writer._file.transactions_count
            await asyncio.gather(*(writer.send([Outgoing(value=b"v")]) for _ in range(200)))
            assert writer._file.transactions_count - before < 20
            assert (await receiver.backlog()).count == 200

    asyncio.run(scenario())
