import asyncio
import json
from dataclasses import replace

import pytest

from penstock.api import (
    Checkpoint,
    FunctionFailed,
    Invocation,
    InvocationResult,
    PenstockError,
    Returned,
    SourceUnavailable,
    Start,
    StillRead,
)
from penstock.core.settings import StreamSettings
from penstock.shell.idleness import Idleness, Verdict
from penstock.shell.machine_driver import clock_ms
from penstock.shell.refusals import NotKnown, NotNow, WrongRequest
from shell.node_of_twins import Seekable, node_of_twins, seekable_config, values
from shell.twins import QUICK, QueueBroker, never, queue_config, run, stream_config, until

NAME = "tally.From"


class Gate:
    """A function that waits until it is let through, each time."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()

    async def __call__(self, _: Invocation) -> InvocationResult:
        await self.is_open.wait()
        return Returned(b"null", 1)


def numbered(count: int, *, start: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(start, start + count)]


def latest() -> StreamSettings:
    return StreamSettings(start=Start("LATEST"), batch_size=10, backoff=QUICK)


def test_a_disabled_mapping_lets_what_runs_end_and_be_committed_and_goes_on_exactly_there(tmp_path):
    async def scenario() -> None:
        broker, gate = Seekable(), Gate()
        broker.put(*numbered(30))
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=gate) as node:
            await until(lambda: node.executor.running)

            shown = await node.mappings.disable(NAME)
            assert shown.state == "Disabling"
            gate.is_open.set()
            await until(lambda: node.state(NAME) == "Disabled")

            assert (values(node.executor), broker.committed()) == ([str(n) for n in range(10)], 9)
            fetches = len(broker.fetches)
            broker.put(*numbered(5, start=30))
            await asyncio.sleep(0.1)
            assert (len(broker.fetches), broker.closed, broker.left) == (fetches, 1, 1)

            assert (await node.mappings.enable(NAME)).state == "Enabling"
            await until(lambda: broker.committed() == 34)
            assert node.state(NAME) == "Enabled"
            assert values(node.executor) == [str(n) for n in range(35)]
            assert node.status(NAME)["counters"]["processed"] == 35

    run(scenario())


def test_what_outlasts_the_drain_is_ended_and_tried_again_uncounted_when_it_is_enabled(tmp_path):
    async def scenario() -> None:
        broker, gate = Seekable(), Gate()
        broker.put(b"one")
        config = seekable_config(broker)
        async with node_of_twins(tmp_path / "d", config, handler=gate, drain_timeout_s=0.1) as node:
            await until(lambda: node.executor.running)
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            assert (node.executor.ended, broker.committed()) == (1, -1)

            gate.is_open.set()
            await node.mappings.enable(NAME)
            await until(lambda: broker.committed() == 0)
            assert node.log("batch failed") == []
            assert broker.checkpoints["s-0"] == Checkpoint(0)

    run(scenario())


def test_what_a_command_disabled_stays_so_after_a_restart_until_a_command_enables_it(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: node.state(NAME) == "Enabled")
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            since = node.status(NAME)["state_reason"]
            assert since.startswith("disabled by a command, since 20")

        opened = broker.opened
        broker.put(b"one")
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: node.node.is_ready)
            assert (node.state(NAME), node.status(NAME)["state_reason"]) == ("Disabled", since)
            assert [line["mapping"] for line in node.log("disabled by a command")] == [NAME]
            assert (broker.opened, node.executor.started) == (opened, [])
            await node.mappings.enable(NAME)
            await until(lambda: broker.committed() == 0)
            assert node.status(NAME)["state_reason"] == ""

        assert json.loads((tmp_path / "d" / "overrides.json").read_text()) == {"version": 1, "mappings": {}}
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: node.state(NAME) == "Enabled")

    run(scenario())


def test_what_the_configuration_has_off_can_be_enabled_and_stays_on_until_it_is_disabled(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        off = replace(seekable_config(broker), enabled=False)
        async with node_of_twins(tmp_path / "d", off) as node:
            assert node.status(NAME)["state_reason"] == "Enabled is false in the configuration"
            await node.mappings.enable(NAME)
            await until(lambda: node.state(NAME) == "Enabled")
        async with node_of_twins(tmp_path / "d", off) as node:
            await until(lambda: node.state(NAME) == "Enabled")
            assert node.status(NAME)["state_reason"].startswith("enabled by a command, since 20")
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            assert node.status(NAME)["state_reason"] == "Enabled is false in the configuration"

    run(scenario())


def test_a_command_is_over_when_the_configuration_says_the_same(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        on = seekable_config(broker)
        off = replace(on, enabled=False)
        async with node_of_twins(tmp_path / "d", on) as node:
            await node.mappings.disable(NAME)
        async with node_of_twins(tmp_path / "d", off) as node:
            assert node.status(NAME)["state_reason"] == "Enabled is false in the configuration"
        async with node_of_twins(tmp_path / "d", on) as node:
            await until(lambda: node.state(NAME) == "Enabled")

    run(scenario())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"version": 2, "mappings": {}}', r"overrides.json has version 2, and this Penstock reads versions up to 1"),
        ('{"version": 1, "mapp', r"overrides.json is damaged \(.*\); remove it to forget which mappings were"),
    ],
)
def test_a_file_of_commands_that_can_not_be_relied_on_keeps_the_node_from_starting(tmp_path, text, sentence):
    (tmp_path / "overrides.json").write_text(text)

    async def scenario() -> None:
        with pytest.raises(PenstockError, match=sentence):
            async with node_of_twins(tmp_path, seekable_config(Seekable())):
                pass

    run(scenario())


def test_one_that_is_enabled_while_it_is_let_go_of_begins_anew_when_that_is_done(tmp_path):
    async def scenario() -> None:
        broker, gate = Seekable(), Gate()
        broker.put(*numbered(20))
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=gate) as node:
            await until(lambda: node.executor.running)
            await node.mappings.disable(NAME)
            assert (await node.mappings.enable(NAME)).state == "Disabling"
            gate.is_open.set()
            await until(lambda: broker.committed() == 19)
            assert (values(node.executor), broker.opened) == ([str(n) for n in range(20)], 2)

    run(scenario())


def test_one_whose_source_can_not_be_opened_is_disabled_at_once(tmp_path):
    async def scenario() -> None:
        broker = Seekable(failure=SourceUnavailable("the broker is away"))
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: broker.opened)
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            opened, broker.failure = broker.opened, None
            await asyncio.sleep(0.7)
            assert broker.opened == opened

            await node.mappings.enable(NAME)
            await until(lambda: node.state(NAME) == "Enabled")

    run(scenario())


@pytest.mark.parametrize("during", ["while it reads", "while it lets go"])
def test_one_whose_source_fails_is_disabled_and_reads_no_more(tmp_path, during):
    async def scenario() -> None:
        broker = Seekable()
        broker.put(*numbered(20))
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=never) as node:
            await until(lambda: node.executor.running)
            assert broker.assignments is not None
            if during == "while it reads":
                broker.assignments.put_nowait(SourceUnavailable("the broker went away"))
                await until(lambda: broker.opened == 2)
                await until(lambda: node.executor.running)
            await node.mappings.disable(NAME)
            broker.assignments.put_nowait(SourceUnavailable("the broker went away"))

            await until(lambda: node.state(NAME) == "Disabled", seconds=2)

            assert broker.opened == broker.closed == 1 + (during == "while it reads")
            assert node.executor.running == 0

    run(scenario())


def test_one_that_has_failed_runs_again_when_it_is_enabled_and_can_be_disabled(tmp_path):
    async def scenario() -> None:
        broker = Seekable(failure=RuntimeError("a bug"))
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: "RuntimeError" in node.status(NAME)["state_reason"])
            await node.mappings.enable(NAME)
            await until(lambda: broker.opened == 2 and node.state(NAME) == "Disabled")

            await node.mappings.disable(NAME)
            assert node.status(NAME)["state_reason"].startswith("disabled by a command")

            broker.failure = None
            await node.mappings.enable(NAME)
            await until(lambda: node.state(NAME) == "Enabled")

    run(scenario())


def test_a_queue_that_is_disabled_settles_what_runs_returns_the_rest_and_goes_on_when_it_is_enabled(tmp_path):
    async def scenario() -> None:
        broker, gate = QueueBroker(), Gate()
        broker.put(*numbered(12))
        async with node_of_twins(tmp_path / "d", queue_config(broker), handler=gate) as node:
            await until(lambda: node.executor.running == 4)
            await node.mappings.disable(NAME)
            await until(lambda: len(broker.nacked) + len(broker.ready) == 4)
            assert [(delay_ms, counted) for _, delay_ms, counted in broker.nacked] == [(0, False)] * len(broker.nacked)
            gate.is_open.set()
            await until(lambda: node.state(NAME) == "Disabled")
            assert (len(broker.acked), broker.held) == (8, {})

            receives = broker.receives
            await asyncio.sleep(0.1)
            assert broker.receives == receives
            await node.mappings.enable(NAME)
            # What was returned stays with this broker.
            left = 12 - len(broker.nacked)
            await until(lambda: node.status(NAME)["counters"]["processed"] == len(broker.acked) == left)
            assert broker.ready == []

    run(scenario())


def test_nothing_written_after_enabled_was_reported_is_missed_where_it_begins_at_the_end(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        broker.put(b"old")
        config = replace(seekable_config(broker, settings=latest()), enabled=False)
        async with node_of_twins(tmp_path / "d", config) as node:
            await node.mappings.enable(NAME)
            await until(lambda: node.state(NAME) == "Enabled")
            broker.put(b"new")
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            broker.put(b"newer")
            await node.mappings.enable(NAME)
            await until(lambda: broker.committed() == 2)

            assert values(node.executor) == ["new", "newer"]

    run(scenario())


def test_who_waits_for_idleness_does_not_wait_for_a_disabled_mapping(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        broker.put(b"one")
        idleness = Idleness(
            idle_ms=200,
            timeout_ms=10_000,
            fail_on_dropped=False,
            started_ms=clock_ms(asyncio.get_running_loop()),
        )
        stuck, other = seekable_config(broker), stream_config(Seekable(), name="tally.Other")
        async with node_of_twins(
            tmp_path / "d", stuck, other, handler=never, idleness=idleness, drain_timeout_s=0.1
        ) as node:
            await until(lambda: node.executor.running)
            await node.mappings.disable(NAME)

            assert await node.task == Verdict(0)

    run(scenario())


def test_a_seek_moves_a_disabled_mapping_and_drops_the_note(tmp_path):
    async def fail(_: Invocation) -> InvocationResult:
        return FunctionFailed("RuntimeError", "boom", b"{}", 1)

    async def scenario() -> None:
        broker = Seekable(shards={"s-0": [], "s-1": []})
        broker.put(*numbered(10))
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=fail) as node:
            await until(lambda: broker.checkpoints.get("s-0", Checkpoint(-1)).note)
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            before = dict(broker.checkpoints)

            moves = await node.mappings.seek(NAME, 4, ["s-0"], dry_run=True)
            [move] = moves
            assert (move.shard, move.before, move.after, move.drops_note) == ("s-0", 0, 4, True)
            assert broker.checkpoints == before

            assert await node.mappings.seek(NAME, 4, ["s-0"], dry_run=False) == moves
            assert broker.checkpoints == before | {"s-0": Checkpoint(3)}
            [line] = node.log("position moved")
            assert (line["shard"], line["before"], line["after"]) == ("s-0", 0, 4)

            both = await node.mappings.seek(NAME, Start("LATEST"), [], dry_run=False)
            assert [(each.shard, each.before, each.after) for each in both] == [("s-0", 4, 10), ("s-1", 0, 0)]

    run(scenario())


def test_a_seek_is_refused_while_the_mapping_is_enabled_here_or_read_elsewhere(tmp_path):
    async def scenario() -> None:
        broker, gate = Seekable(), Gate()
        broker.put(b"one")
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=gate) as node:
            await until(lambda: node.executor.running)
            with pytest.raises(NotNow, match=f"{NAME} is Enabled on this node; disable it first"):
                await node.mappings.seek(NAME, 0, [], dry_run=False)
            await node.mappings.disable(NAME)
            with pytest.raises(NotNow, match=f"{NAME} is Disabling on this node; disable it first"):
                await node.mappings.seek(NAME, 0, [], dry_run=False)
            gate.is_open.set()
            await until(lambda: node.state(NAME) == "Disabled")

            broker.still_read = StillRead("node b reads it")
            with pytest.raises(StillRead, match="node b reads it"):
                await node.mappings.seek(NAME, 0, [], dry_run=False)
            assert broker.committed() == 0

    run(scenario())


def test_a_mapping_that_is_enabled_during_a_seek_begins_where_it_was_moved_to(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        broker.put(*numbered(10))
        config = replace(seekable_config(broker), enabled=False)
        async with node_of_twins(tmp_path / "d", config) as node:
            broker.holds_writes.clear()
            seeking = asyncio.create_task(node.mappings.seek(NAME, 7, [], dry_run=False))
            await asyncio.sleep(0.02)
            await node.mappings.enable(NAME)
            await asyncio.sleep(0.05)
            assert (node.state(NAME), broker.opened) == ("Enabling", 0)

            broker.holds_writes.set()
            await seeking
            await until(lambda: broker.committed() == 9)
            assert values(node.executor) == ["7", "8", "9"]

    run(scenario())


def test_what_can_not_be_moved_to_is_refused_with_what_is_there(tmp_path):
    far_ms = 9_999_999_999_999

    async def scenario() -> None:
        broker = Seekable(shards={"s-0": [], "s-1": []})
        broker.put(b"a", b"b")
        plain = stream_config(Seekable(), name="tally.Plain")
        queue = queue_config(QueueBroker(), name="tally.Queue")
        configs = [replace(each, enabled=False) for each in (seekable_config(broker), plain, queue)]
        async with node_of_twins(tmp_path / "d", *configs) as node:
            for name, target, shards, sentence in (
                (NAME, 3, ["s-0"], "shard s-0 has no position 3: its oldest record is at 0, and its next one will be"),
                (NAME, 1, [], "shard s-1 has no position 1"),
                (NAME, Start("LATEST"), ["s-7"], "there is no shard s-7; the nearest name is s-"),
                (NAME, Start("AT_TIMESTAMP", 1), [], "a source of type twin can not seek by time"),
                ("tally.Plain", 0, [], "can not tell or move positions: its plugin has no `open_positions`"),
                ("tally.Queue", 0, [], "reads the queue twin, and a queue has no position"),
            ):
                with pytest.raises(WrongRequest, match=sentence):
                    await node.mappings.seek(name, target, shards, dry_run=True)
            assert broker.checkpoints == {}

        seekable_by_time = replace(
            configs[0].source.type, capabilities=replace(configs[0].source.type.capabilities, seekable_by_time=True)
        )
        config = replace(configs[0], source=replace(configs[0].source, type=seekable_by_time))
        async with node_of_twins(tmp_path / "d", config) as node:
            with pytest.raises(WrongRequest, match="the time is in the future"):
                await node.mappings.seek(NAME, Start("AT_TIMESTAMP", far_ms), [], dry_run=True)

    run(scenario())


def test_a_name_that_is_not_known_is_answered_with_the_nearest_and_a_uuid_is_a_name(tmp_path):
    async def scenario() -> None:
        async with node_of_twins(tmp_path / "d", seekable_config(Seekable())) as node:
            assert node.mappings.status(f"uuid of {NAME}").name == NAME
            with pytest.raises(NotKnown, match=f"there is no mapping taly.From; the nearest name is {NAME}"):
                node.mappings.status("taly.From")
            with pytest.raises(NotKnown, match=f"there is no mapping xyz; there are {NAME}"):
                await node.mappings.enable("xyz")

    run(scenario())


def test_nothing_is_commanded_of_a_node_that_is_stopping(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        broker.put(b"one")
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=never) as node:
            await until(lambda: node.executor.running)
            node.node.stop("the test")
            await until(lambda: node.state(NAME) == "Disabling")
            for command in (node.mappings.enable, node.mappings.disable):
                with pytest.raises(NotNow, match="the node is stopping"):
                    await command(NAME)

    run(scenario())


def test_one_that_keeps_its_place_is_not_told_to_leave_when_the_node_ends(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: node.state(NAME) == "Enabled")
            node.node.stop("the test")
            await node.task
        assert (broker.closed, broker.left) == (1, 0)

    run(scenario())
