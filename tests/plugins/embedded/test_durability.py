import asyncio
import contextlib
import signal
import sqlite3

import pytest

from contract.queue_contract import QueueSubject
from contract.stream_contract import StreamSubject
from penstock.api import Outgoing, SourceBroken, SourceContext, SourceDenied, SourceMissing, SourceUnavailable
from penstock.embedded import database
from penstock.embedded.plugin import QUEUE, STREAM
from penstock.embedded.schema import SCHEMA_VERSION
from plugins.embedded.children import child


@pytest.mark.parametrize("acknowledged_count", [1, 40, 150])
def test_a_killed_writer_loses_no_acknowledged_record(stream_source, acknowledged_count):
    async def scenario():
        async with child("child_writer.py", stream_source.data_dir, "stream") as writer:
            await writer.until(lambda lines: lines and int(lines[-1]) >= acknowledged_count)
            writer.signal(signal.SIGKILL)
            await writer.end()
            acknowledged = int(writer.lines[-1])
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.reader() as reader:
            await reader.until(lambda: len(reader.held) == 4)
            by_shard = await reader.read(acknowledged)
        for records in by_shard.values():
            numbers = [int(record.value) for record in records]
            assert numbers == sorted(numbers)
        numbers = sorted(int(record.value) for records in by_shard.values() for record in records)
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged

    asyncio.run(scenario())
    with contextlib.closing(sqlite3.connect(stream_source.data_dir / "sources.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_killed_sender_loses_no_acknowledged_message(queue_source):
    async def scenario():
        async with child("child_writer.py", queue_source.data_dir, "queue") as writer:
            await writer.until(lambda lines: lines and int(lines[-1]) >= 60)
            writer.signal(signal.SIGKILL)
            await writer.end()
            acknowledged = int(writer.lines[-1])
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.receiver() as receiver:
            messages = await subject.receive(receiver, acknowledged)
            assert [int(message.body) for message in messages] == list(range(acknowledged))

    asyncio.run(scenario())


def test_a_newer_format_is_refused_with_both_numbers(stream_source):
    path = stream_source.data_dir / "sources.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 6}")
    with pytest.raises(SourceBroken, match=rf"format {SCHEMA_VERSION + 6}\b.* up to {SCHEMA_VERSION}\b"):
        asyncio.run(STREAM.operate(stream_source).check())
    with pytest.raises(SourceBroken, match="format"):
        asyncio.run(STREAM.operate(stream_source).create())


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"these are notes, not a database\n" * 400)
    source = SourceContext(project="tests", name="orders", settings={"Path": path}, data_dir=tmp_path)
    for attempt in (STREAM.operate(source).check(), STREAM.operate(source).create()):
        with pytest.raises(SourceBroken, match=r"notes\.txt is not an SQLite database"):
            asyncio.run(attempt)
    assert path.read_bytes() == b"these are notes, not a database\n" * 400


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    before = path.read_bytes()
    source = SourceContext(project="tests", name="jobs", settings={"Path": path}, data_dir=tmp_path)
    with pytest.raises(SourceBroken, match="another program"):
        asyncio.run(QUEUE.operate(source).create())
    assert path.read_bytes() == before


def test_what_is_missing_is_named_and_nothing_is_created_by_accident(tmp_path, stream_source):
    absent = SourceContext(project="tests", name="orders", settings={"Path": tmp_path / "no.db"}, data_dir=tmp_path)
    with pytest.raises(SourceMissing, match=r"no\.db is not there"):
        asyncio.run(STREAM.operate(absent).check())
    assert not (tmp_path / "no.db").exists()
    nameless = SourceContext(project="tests", name="others", settings={}, data_dir=stream_source.data_dir)
    with pytest.raises(SourceMissing, match=r"stream 'others' is not in .*sources\.db"):
        asyncio.run(STREAM.operate(nameless).check())
    with pytest.raises(SourceMissing, match=r"queue 'others' is not in .*sources\.db"):
        asyncio.run(QUEUE.operate(nameless).check(write=True))
    nowhere = SourceContext(project="tests", name="x", settings={"Path": tmp_path / "a" / "b.db"}, data_dir=tmp_path)
    with pytest.raises(SourceMissing, match="is not there"):
        asyncio.run(STREAM.operate(nowhere).create())
    destination = STREAM.open_destination(absent)

    async def open_and_close():
        try:
            await destination.open()
        finally:
            await destination.close()

    with pytest.raises(SourceMissing):
        asyncio.run(open_and_close())


def test_another_number_of_shards_is_refused(stream_source):
    settings = {"Shards": 9}
    source = SourceContext(project="tests", name="orders", settings=settings, data_dir=stream_source.data_dir)
    assert not asyncio.run(STREAM.operate(source).create())
    with pytest.raises(SourceBroken, match=r"4 shards, and Shards is 9"):
        asyncio.run(STREAM.operate(source).check())


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    source = SourceContext(project="tests", name="orders", settings={"Path": tmp_path}, data_dir=tmp_path)
    with pytest.raises((SourceBroken, SourceDenied), match="not a file"):
        asyncio.run(STREAM.operate(source).check())


def test_creating_twice_changes_nothing(queue_source):
    async def scenario():
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.writer() as writer:
            await writer.send([Outgoing(value=b"kept")])
        assert not await QUEUE.operate(queue_source).create()
        async with subject.receiver() as receiver:
            assert [message.body for message in await subject.receive(receiver, 1)] == [b"kept"]

    asyncio.run(scenario())


def test_a_file_locked_for_too_long_is_unavailable_and_then_usable_again(queue_source, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 100)

    async def scenario():
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.writer() as writer, subject.receiver() as receiver:
            other = sqlite3.connect(queue_source.data_dir / "sources.db", isolation_level=None)
            with contextlib.closing(other):
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(SourceUnavailable, match="locked by another process"):
                    await writer.send([Outgoing(value=b"not now")])
                other.execute("ROLLBACK")
            assert await writer.send([Outgoing(value=b"now")]) == [None]
            assert [message.body for message in await subject.receive(receiver, 1)] == [b"now"]

    asyncio.run(scenario())


def test_a_write_that_fails_takes_no_other_with_it(queue_source):
    def fail(_):
        raise ValueError("a bug of ours")

    async def scenario():
        subject = QueueSubject(type=QUEUE, source=queue_source)
        async with subject.writer() as writer, subject.receiver() as receiver:
            writes = [writer.send([Outgoing(value=str(index).encode())]) for index in range(50)]
            answers = await asyncio.gather(*writes, writer._file.write(fail), return_exceptions=True)
            assert answers[:50] == [[None]] * 50
            assert isinstance(answers[50], ValueError)
            messages = await subject.receive(receiver, 50)
            assert sorted(int(message.body) for message in messages) == list(range(50))
            assert not await receiver.receive(messages_max=1, wait_ms=0)

    asyncio.run(scenario())
