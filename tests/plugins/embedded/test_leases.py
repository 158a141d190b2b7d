import asyncio
import signal
import time

from contract.stream_contract import StreamSubject
from penstock.api import Checkpoint, CommitRefused, MappingContext, ShardsAssigned, ShardsLost, ShardsRevoked
from penstock.embedded.plugin import STREAM
from penstock.embedded.shares import Share, share
from plugins.embedded.children import child


def test_shares_differ_by_one_at_most_and_nothing_moves_without_need():
    owners = {0: "a", 1: "a", 2: "a", 3: None, 4: None}
    assert share("a", {"a"}, owners) == Share(take=(3, 4), give=())
    assert share("a", {"a", "b"}, owners) == Share(take=(), give=())
    assert share("b", {"a", "b"}, owners) == Share(take=(3, 4), give=())
    assert share("a", {"a", "b", "c"}, owners) == Share(take=(), give=(2,))
    assert share("b", {"a", "b", "c"}, owners) == Share(take=(3, 4), give=())
    assert share("c", {"a", "b", "c"}, owners) == Share(take=(3,), give=())


def test_a_node_more_than_there_are_shards_stands_by():
    assert share("b", {"a", "b"}, {0: "a"}) == Share(take=(), give=())
    assert share("a", {"a", "b"}, {0: "a"}) == Share(take=(), give=())


def test_any_number_of_nodes_settles_on_fair_shares():
    for shards_count in range(1, 12):
        owners: dict[int, str | None] = dict.fromkeys(range(shards_count))
        for nodes_count in (1, 2, 3, 5, 4, 2, 7):
            nodes = [f"node-{index}" for index in range(nodes_count)]
            owners = {shard: owner if owner in nodes else None for shard, owner in owners.items()}
            for _ in range(4):
                for node in nodes:
                    part = share(node, nodes, owners)
                    owners |= dict.fromkeys(part.take, node) | dict.fromkeys(part.give)
            counts = [list(owners.values()).count(node) for node in nodes]
            assert sum(counts) == shards_count
            assert max(counts) - min(counts) <= 1
            assert all(share(node, nodes, owners) == Share((), ()) for node in nodes)


def test_a_killed_node_loses_its_shards_to_another_within_its_lease(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with child("child_node.py", stream_source.data_dir, "doomed", subject.uuid) as doomed:
            await doomed.until(lambda _: len(doomed.held()) == 4)
            async with subject.reader("heir") as heir:
                await heir.until(lambda: len(heir.held) == 2)
                await doomed.until(lambda _: len(doomed.held()) == 2)
                left = min(doomed.held())
                await doomed.tell(f"{left} 41")
                await doomed.until(lambda lines: f"committed {left}" in lines)
                doomed.signal(signal.SIGKILL)
                begin = time.monotonic()
                await heir.until(lambda: len(heir.held) == 4)
                assert time.monotonic() - begin < 5
                assert heir.held[left].checkpoint == Checkpoint(41, "child")

    asyncio.run(scenario())


def test_a_killed_node_that_is_started_again_has_its_shards_at_once(stream_source):
    settings = {**stream_source.settings, "LeaseSeconds": 300}
    source = type(stream_source)(project="tests", name="orders", settings=settings, data_dir=stream_source.data_dir)

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)
        async with child("child_node.py", source.data_dir, "phoenix", subject.uuid) as phoenix:
            await phoenix.until(lambda _: len(phoenix.held()) == 4)
        async with subject.reader("phoenix") as reader:
            await reader.until(lambda: len(reader.held) == 4)

    asyncio.run(scenario())


def test_a_node_stopped_past_its_lease_and_woken_changes_nothing(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with child("child_node.py", stream_source.data_dir, "sleeper", subject.uuid) as sleeper:
            await sleeper.until(lambda _: len(sleeper.held()) == 4)
            async with subject.reader("awake") as awake:
                await awake.until(lambda: len(awake.held) == 2)
                await sleeper.until(lambda _: len(sleeper.held()) == 2)
                moved = min(sleeper.held())
                sleeper.signal(signal.SIGSTOP)
                await awake.until(lambda: len(awake.held) == 4)
                await awake.source.commit(moved, Checkpoint(9, "awake"))
                await sleeper.tell(f"{moved} 3")
                sleeper.signal(signal.SIGCONT)
                await sleeper.until(lambda lines: f"refused {moved}" in lines)
                await sleeper.until(lambda lines: any(line.startswith("lost") and moved in line for line in lines))
                await awake.until(lambda: len(awake.held) == 2)
            async with subject.reader("looking on") as reader:
                await sleeper.end()
                await reader.until(lambda: moved in reader.held)
                assert reader.held[moved].checkpoint == Checkpoint(9, "awake")

    asyncio.run(scenario())


def test_a_node_stopped_past_its_lease_knows_at_once_that_it_can_not_be_sure(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with child("child_node.py", stream_source.data_dir, "sleeper", subject.uuid) as sleeper:
            await sleeper.until(lambda _: len(sleeper.surely_held()) == 4)
            sleeper.signal(signal.SIGSTOP)
            async with subject.reader("awake") as awake:
                await awake.until(lambda: len(awake.held) == 4)
                stopped = len(sleeper.lines)
                sleeper.signal(signal.SIGCONT)
                await sleeper.until(lambda lines: any(line.startswith("lost") for line in lines))
                since = sleeper.lines[stopped:]
                # The clock told it before the file could.
                assert since[0] == "holds"
                assert since[1].startswith("lost")
                # What is given back to it is surely its own again, and until then nothing is.
                await sleeper.until(lambda _: len(sleeper.surely_held()) == 2)
                assert sleeper.surely_held().isdisjoint(awake.held)

    asyncio.run(scenario())


def test_a_node_stopped_past_its_lease_that_nobody_took_goes_on(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with child("child_node.py", stream_source.data_dir, "alone", subject.uuid) as alone:
            await alone.until(lambda _: len(alone.surely_held()) == 4)
            alone.signal(signal.SIGSTOP)
            await asyncio.sleep(1.5)  # not a wait for anything: this is how long it stands still, for a lease of 1 s
            alone.signal(signal.SIGCONT)
            # Whether it doubts for a moment depends on what comes first, its next look or its renewed lease.
            shard = min(alone.held())
            await alone.tell(f"{shard} 9")
            await alone.until(lambda lines: f"committed {shard}" in lines)
            await alone.until(lambda _: len(alone.surely_held()) == 4)
            assert not any(line.startswith("lost") for line in alone.lines)

    asyncio.run(scenario())


def test_a_node_that_leaves_frees_its_shards_at_once(stream_source):
    settings = {**stream_source.settings, "LeaseSeconds": 300}
    source = type(stream_source)(project="tests", name="orders", settings=settings, data_dir=stream_source.data_dir)

    async def scenario():
        subject = StreamSubject(type=STREAM, source=source)
        async with (
            subject.reader("staying") as staying,
            child("child_node.py", source.data_dir, "leaving", subject.uuid) as leaving,
        ):
            await leaving.until(lambda _: len(leaving.held()) == 2)
            leaving.process.stdin.close()
            await staying.until(lambda: len(staying.held) == 4)

    asyncio.run(scenario())


def test_a_revoked_shard_stays_ours_until_it_is_released(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        slow = STREAM.open_stream(stream_source, subject.mapping("slow"))
        await slow.open()
        told = slow.assignments()
        assigned = await anext(told)
        assert isinstance(assigned, ShardsAssigned)
        revocation = asyncio.create_task(anext(told))
        async with subject.reader("new") as new:
            async with asyncio.timeout(10):
                revoked = await revocation
            assert isinstance(revoked, ShardsRevoked)
            assert len(revoked.shards) == 2
            assert revoked.grace_ms == 10_000
            for shard in revoked.shards:
                await slow.commit(shard, Checkpoint(5, "finished within the grace"))
            assert not new.held
            await slow.release(revoked.shards)
            await new.until(lambda: set(new.held) == set(revoked.shards))
            assert {held.checkpoint for held in new.held.values()} == {Checkpoint(5, "finished within the grace")}
        await told.aclose()
        await slow.close()

    asyncio.run(scenario())


def test_a_revoked_shard_that_is_never_released_is_lost_after_the_grace(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        mapping = MappingContext(
            mapping="f.e",
            uuid=subject.uuid,
            node="stubborn",
            settings={"RevocationGraceSeconds": 0.2},
            buffer_bytes_max=1,
        )
        stubborn = STREAM.open_stream(stream_source, mapping)
        await stubborn.open()
        told = stubborn.assignments()
        await anext(told)
        following = asyncio.create_task(anext(told))
        async with subject.reader("new") as new:
            revoked = await following
            assert isinstance(revoked, ShardsRevoked)
            async with asyncio.timeout(10):
                assert await anext(told) == ShardsLost(revoked.shards)
            await new.until(lambda: set(new.held) == set(revoked.shards))
            try:
                await stubborn.commit(revoked.shards[0], Checkpoint(5, "too late"))
            except CommitRefused:
                pass
            else:
                raise AssertionError("a commit after the grace was taken")
        await told.aclose()
        await stubborn.close()

    asyncio.run(scenario())


def test_a_second_session_of_one_node_takes_everything_from_the_first(stream_source):
    async def scenario():
        subject = StreamSubject(type=STREAM, source=stream_source)
        async with subject.reader("same") as first:
            await first.until(lambda: len(first.held) == 4)
            async with subject.reader("same") as second:
                await second.until(lambda: len(second.held) == 4)
                await first.until(lambda: not first.held)
                assert len(first.lost) == 4

    asyncio.run(scenario())
