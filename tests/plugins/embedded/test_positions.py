"""Looking at a mapping's checkpoints from outside, and moving them while nobody reads."""

import asyncio
import contextlib
import signal
import time

import pytest

from contract.stream_contract import StreamSubject
from penstock.api import Checkpoint, Outgoing, Positions, SourceMissing, Start, StillRead
from penstock.embedded.plugin import STREAM
from plugins.embedded.children import child

NAMES = [f"shardId-{number:012d}" for number in range(4)]


@contextlib.asynccontextmanager
async def positions(subject, node="node-1"):
    opened: Positions = STREAM.open_positions(subject.source, subject.mapping(node))
    try:
        yield opened
    finally:
        await opened.close()


def test_every_shard_is_told_with_what_is_committed_for_it(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.reader() as reader:
            await reader.until(lambda: len(reader.held) == 4)
            await reader.source.commit(NAMES[2], Checkpoint(7, "a note"))

        async with positions(subject) as opened:
            assert await opened.committed() == dict.fromkeys(NAMES) | {NAMES[2]: Checkpoint(7, "a note")}

    asyncio.run(scenario())


def test_a_moved_position_is_what_the_next_reader_is_given_without_the_note(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.reader() as reader:
            await reader.until(lambda: len(reader.held) == 4)
            await reader.source.commit(NAMES[0], Checkpoint(7, "a note"))

        async with positions(subject) as opened:
            await opened.write({NAMES[0]: Checkpoint(2), NAMES[3]: Checkpoint(-1)})

        async with subject.reader("node-2") as reader:
            await reader.until(lambda: len(reader.held) == 4)
            found = {name: shard.checkpoint for name, shard in reader.held.items() if shard.checkpoint is not None}
            assert found == {NAMES[0]: Checkpoint(2), NAMES[3]: Checkpoint(-1)}

    asyncio.run(scenario())


def test_starts_are_resolved_as_for_a_reader(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.writer() as writer:
            await writer.send([Outgoing(b"v", key=b"one key") for _ in range(5)])
        async with positions(subject) as opened, subject.reader() as reader:
            await reader.until(lambda: len(reader.held) == 4)
            for start in (Start("TRIM_HORIZON"), Start("LATEST"), Start("AT_TIMESTAMP", 0)):
                asked = [await opened.resolve(name, start) for name in NAMES]
                assert asked == [await reader.source.resolve(name, start) for name in NAMES]

    asyncio.run(scenario())


def test_nothing_moves_while_another_node_reads_and_the_refusal_names_it(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.reader("node-2") as reader, positions(subject) as opened:
            await reader.until(lambda: len(reader.held) == 4)
            with pytest.raises(StillRead, match="still read for this mapping by the node node-2; disable the mapping"):
                await opened.write({NAMES[0]: Checkpoint(2)})
            assert await opened.committed() == dict.fromkeys(NAMES)

        async with positions(subject) as opened:
            await opened.write({NAMES[0]: Checkpoint(2)})

    asyncio.run(scenario())


def test_what_a_killed_node_left_keeps_others_out_for_its_lease_and_that_node_itself_not_at_all(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with child("child_node.py", stream_source.data_dir, "killed", subject.uuid) as killed:
            await killed.until(lambda _: len(killed.held()) == 4)
            killed.signal(signal.SIGKILL)
            await killed.process.wait()
            async with positions(subject, "killed") as own, positions(subject, "other") as other:
                with pytest.raises(StillRead):
                    await other.write({NAMES[0]: Checkpoint(3)})
                await own.write({NAMES[0]: Checkpoint(2)})
                deadline_s = time.monotonic() + 10
                while True:
                    try:
                        await other.write({NAMES[0]: Checkpoint(3)})
                        break
                    except StillRead:
                        assert time.monotonic() < deadline_s
                        await asyncio.sleep(0.05)
                assert (await own.committed())[NAMES[0]] == Checkpoint(3)

    asyncio.run(scenario())


def test_a_reader_of_another_mapping_is_no_hindrance_and_keeps_its_own_position(stream_source):
    async def scenario():
        subject, other = (StreamSubject(type=STREAM, source=stream_source) for _ in range(2))
        async with other.reader("node-2") as reader, positions(subject) as opened, positions(other) as others:
            await reader.until(lambda: len(reader.held) == 4)
            await opened.write({NAMES[0]: Checkpoint(2)})
            assert await others.committed() == dict.fromkeys(NAMES)

    asyncio.run(scenario())


def test_a_shard_that_is_not_there_is_named_with_those_that_are(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with positions(subject) as opened:
            for name in ("shardId-000000000004", "orders-0"):
                with pytest.raises(SourceMissing, match=rf"no shard '{name}'; it has {NAMES[0]} to {NAMES[3]}"):
                    await opened.write({name: Checkpoint(2)})

    asyncio.run(scenario())
