import asyncio
import time

from contract.stream_contract import MANY_BYTES, StreamSubject
from penstock.api import Gap, Outgoing, SourceContext, Start, Want
from penstock.embedded.plugin import STREAM

PATIENCE_S = 20.0


def _source(tmp_path, **settings):
    source = SourceContext(project="tests", name="orders", settings=settings, data_dir=tmp_path)
    assert asyncio.run(STREAM.operate(source).create())
    return source


async def _until(is_true):
    async with asyncio.timeout(PATIENCE_S):
        while not await is_true():  # noqa: ASYNC110 - nobody tells that a file was trimmed
            await asyncio.sleep(0.05)


def test_records_past_their_retention_are_trimmed_and_the_gap_is_told(tmp_path):
    source = _source(tmp_path, Shards=1, RetentionSeconds=1)

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)
        async with subject.writer() as writer, subject.reader() as reader:
            await reader.until(lambda: reader.held)
            (shard,) = reader.held
            await writer.send([Outgoing(value=str(index).encode()) for index in range(10)])
            assert await reader.source.resolve(shard, Start("TRIM_HORIZON")) == -1

            async def is_trimmed():
                return await reader.source.resolve(shard, Start("TRIM_HORIZON")) == 9

            await _until(is_trimmed)
            (empty,) = await reader.source.fetch([Want(shard, 2, 100, MANY_BYTES)], wait_ms=0)
            assert (empty.records, empty.position, empty.gap, empty.lag) == ([], 9, Gap(3, 9), 0)
            # Positions go on where they were, although nothing is left of what had them.
            await writer.send([Outgoing(value=b"ten"), Outgoing(value=b"eleven")])
            (fetched,) = await reader.source.fetch([Want(shard, 2, 100, MANY_BYTES)], wait_ms=1000)
            assert [(record.position, record.value) for record in fetched.records] == [(10, b"ten"), (11, b"eleven")]
            assert fetched.gap == Gap(3, 9)
            (going_on,) = await reader.source.fetch([Want(shard, 9, 100, MANY_BYTES)], wait_ms=0)
            assert going_on.gap is None

    asyncio.run(scenario())


def test_the_file_shrinks_after_retention(tmp_path):
    source = _source(tmp_path, Shards=2, RetentionSeconds=2)
    path = tmp_path / "sources.db"

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)

        async def size():
            return sum(file.stat().st_size for file in tmp_path.glob("sources.db*"))

        async def is_small():
            return await size() < 4_000_000

        async with subject.writer() as writer:
            begin = time.monotonic()
            for _ in range(20):
                await writer.send([Outgoing(value=b"v" * 10_000) for _ in range(100)])
            assert await size() > 20_000_000 or time.monotonic() - begin > 1.5
            await _until(is_small)
            await writer.send([Outgoing(value=b"still writing")])
        assert path.stat().st_size < 4_000_000

    asyncio.run(scenario())


def test_what_is_younger_than_the_retention_stays(tmp_path):
    source = _source(tmp_path, Shards=1, RetentionSeconds=2)

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)
        async with subject.writer() as writer, subject.reader() as reader:
            await reader.until(lambda: reader.held)
            (shard,) = reader.held
            sent_ms = []
            begin = time.monotonic()
            while time.monotonic() - begin < 3.5:
                await writer.send([Outgoing(value=b"v" * 3000)])
                sent_ms.append(time.time_ns() // 1_000_000)
                await asyncio.sleep(0.05)
            after = await reader.source.resolve(shard, Start("TRIM_HORIZON"))
            now_ms = time.time_ns() // 1_000_000
            assert 0 <= after < len(sent_ms) - 1
            first_young = next(index for index, ms in enumerate(sent_ms) if ms > now_ms - 2000)
            assert after < first_young

    asyncio.run(scenario())
