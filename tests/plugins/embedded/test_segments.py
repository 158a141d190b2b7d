import asyncio
import random

from contract.stream_contract import StreamSubject
from penstock.api import Outgoing, SourceContext, Start, Want
from penstock.embedded.plugin import STREAM


def _source(tmp_path):
    source = SourceContext(project="tests", name="orders", settings={"Shards": 1}, data_dir=tmp_path)
    assert asyncio.run(STREAM.operate(source).create())
    return source


def _random_records(chance, count):
    return [
        Outgoing(
            value=chance.choice([None, b"", chance.randbytes(chance.choice([3, 200, 9000]))]),
            key=chance.choice([None, b"", b"key"]),
            headers=chance.choice([(), (("name", None),), (("name", b"1"), ("name", b"2"))]),
        )
        for _ in range(count)
    ]


def test_whatever_is_sent_in_whatever_portions_is_read_in_whatever_portions(tmp_path):
    """A model: a list. Small sends are merged with what lies before them, large ones are cut; nobody can tell."""
    source = _source(tmp_path)
    chance = random.Random(7)

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)
        model: list[Outgoing] = []
        async with subject.writer() as writer, subject.reader() as reader:
            await reader.until(lambda: reader.held)
            (shard,) = reader.held
            for _ in range(150):
                records = _random_records(chance, chance.choice([1, 1, 1, 2, 30, 1200]))
                await writer.send(records)
                model += records
                after = chance.randrange(-1, len(model) - 1)
                want = Want(shard, after, chance.choice([1, 10, 5000]), chance.choice([1, 5000, 1 << 22]))
                (fetched,) = await reader.source.fetch([want], wait_ms=0)
                got = fetched.records
                expected = model[after + 1 : after + 1 + len(got)]
                assert [(r.value, r.key, r.headers) for r in got] == [(o.value, o.key, o.headers) for o in expected]
                assert [r.position for r in got] == list(range(after + 1, after + 1 + len(got)))
                sizes = [_size(o) for o in expected]
                assert fetched.bytes_count == sum(sizes)
                assert 1 <= len(got) <= want.records_max
                assert len(got) == 1 or sum(sizes) <= want.bytes_max
                is_full = len(got) == want.records_max or after + len(got) + 1 == len(model)
                assert is_full or sum(sizes) + _size(model[after + 1 + len(got)]) > want.bytes_max
                assert fetched.position == got[-1].position
                assert fetched.lag == len(model) - 1 - fetched.position
                assert fetched.gap is None

    asyncio.run(scenario())


def test_times_never_go_back_and_every_one_is_found(tmp_path):
    source = _source(tmp_path)

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)
        async with subject.writer() as writer, subject.reader() as reader:
            await reader.until(lambda: reader.held)
            (shard,) = reader.held
            for index in range(120):
                await writer.send([Outgoing(value=str(index).encode() * (1 + index % 90))])
                await asyncio.sleep(0.001)
            records = (await reader.read(120))[shard]
            times = [record.timestamp_ms for record in records]
            assert times == sorted(times)
            assert len(set(times)) > 50
            for time_ms in range(times[0] - 1, times[-1] + 1):
                after = await reader.source.resolve(shard, Start("AT_TIMESTAMP", time_ms))
                assert after == next(r.position for r in records if r.timestamp_ms >= time_ms) - 1

    asyncio.run(scenario())


def _size(record):
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers
