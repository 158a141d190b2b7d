from dataclasses import replace

import pytest

from penstock.api import FunctionFailed, Invocation, InvocationResult, ShardsLost, SourceUnavailable, Start
from penstock.core.settings import RetryBackoff, StreamSettings
from penstock.core.views import DeliveryView, InFlightView, LaneView
from penstock.shell.lane_words import describe_lane
from penstock.shell.wall_clock import WallClock, duration
from shell.node_of_twins import Seekable, node_of_twins, seekable_config
from shell.twins import QueueBroker, never, queue_config, run, succeed, until

NAME = "tally.From"
NOW_MS = 1_000_000
NOON_S = 1_767_268_800.0  # 2026-01-01T12:00:00Z
CLOCK = WallClock(NOW_MS, wall_s=NOON_S)
START = Start("TRIM_HORIZON")
TEN_RETRIES = StreamSettings(start=START, retry_attempts_max=10)
ENDLESS = StreamSettings(start=START)

IDLE = LaneView(
    lane=0,
    settled=56,
    buffered=0,
    oldest=None,
    oldest_timestamp_ms=None,
    in_flight=None,
    segments=0,
    attempts_ended=0,
    last_error="",
    blocked_since_ms=None,
    next_try_ms=None,
    delivering=None,
)
BLOCKED = replace(
    IDLE,
    oldest=57,
    buffered=40,
    attempts_ended=3,
    last_error="RuntimeError: boom",
    blocked_since_ms=NOW_MS - 16_000,
    next_try_ms=NOW_MS + 4_000,
)
BATCH = InFlightView(request_id="r", first="57", last="66", records=10, attempt=1, since_ms=NOW_MS - 2_000)
DELIVERY = DeliveryView(
    condition="RetryAttemptsExhausted",
    first="57",
    last="57",
    records=1,
    tries=2,
    since_ms=NOW_MS - 90_000,
    next_try_ms=NOW_MS + 5_000,
    last_error="no broker answers",
    refused=False,
)
STUCK = "blocked since 11:59:44Z (16 s) at record 57: RuntimeError: boom; "
LONG_AGO = "11:58:30Z (1 min 30 s)"
GIVEN_UP = "the RetryAttemptsExhausted record of record 57"


@pytest.mark.parametrize(
    ("lane", "settings", "sentence"),
    [
        (IDLE, ENDLESS, "idle"),
        (replace(IDLE, buffered=3), ENDLESS, "3 records wait for an environment"),
        (
            replace(IDLE, buffered=1),
            replace(ENDLESS, batching_window_ms=500),
            "1 record waits for the batch to fill, or for an environment",
        ),
        (
            replace(IDLE, in_flight=BATCH),
            ENDLESS,
            "10 records from 57 to 66 are with the function since 11:59:58Z (2 s), attempt 1",
        ),
        (
            BLOCKED,
            TEN_RETRIES,
            STUCK + "attempt 4 of 11 at 12:00:04Z",
        ),
        (
            BLOCKED,
            ENDLESS,
            STUCK + "attempt 4 (without end) at 12:00:04Z",
        ),
        (
            replace(BLOCKED, next_try_ms=None, segments=2),
            replace(ENDLESS, record_age_ms_max=60_000),
            STUCK
            + "attempt 4, until a record is 1 min 0 s old, waits for an environment; "
            + "2 more parts of the split batch after it",
        ),
        (
            replace(BLOCKED, in_flight=replace(BATCH, first="57", last="57", records=1, attempt=4), next_try_ms=None),
            TEN_RETRIES,
            STUCK + "record 57 is with the function since 11:59:58Z (2 s), attempt 4 of 11",
        ),
        (
            replace(IDLE, oldest=57, last_error="Rate exceeded", next_try_ms=NOW_MS + 500),
            TEN_RETRIES,
            "attempt 1 of 11 at 12:00:00Z, after Rate exceeded",
        ),
        (
            replace(BLOCKED, delivering=DELIVERY),
            TEN_RETRIES,
            f"waits for its destination since {LONG_AGO} with {GIVEN_UP}: no broker answers; try 3 at 12:00:05Z",
        ),
        (
            replace(BLOCKED, delivering=replace(DELIVERY, refused=True, next_try_ms=None, last_error="no right")),
            TEN_RETRIES,
            f"is refused by its destination since {LONG_AGO} with {GIVEN_UP}: no right; try 3 is on its way",
        ),
        (
            replace(IDLE, delivering=replace(DELIVERY, tries=0, next_try_ms=None, last_error="")),
            TEN_RETRIES,
            f"sends {GIVEN_UP} to its destination",
        ),
    ],
)
def test_a_lane_is_described_in_a_sentence(lane, settings, sentence):
    assert describe_lane(lane, settings, CLOCK) == sentence


def test_a_moment_of_another_day_has_its_date():
    assert CLOCK.at(NOW_MS - 13 * 3_600_000) == "2025-12-31 23:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h"), (-3, "0 s")],
)
def test_how_long_something_took_is_told_in_its_two_largest_units(seconds, words):
    assert duration(seconds) == words


async def boom(_: Invocation) -> InvocationResult:
    return FunctionFailed("RuntimeError", "boom", b"{}", 1)


def test_a_blocked_shard_is_explained_with_its_error_its_attempts_and_its_lag(tmp_path):
    settings = StreamSettings(
        start=START, batch_size=1, retry_attempts_max=4, backoff=RetryBackoff(initial_ms=60_000, maximum_ms=60_000)
    )

    async def scenario() -> None:
        broker = Seekable(shards={"s-0": [], "s-1": []})
        broker.put(b"a", b"b", b"c")
        async with node_of_twins(tmp_path / "d", seekable_config(broker, settings=settings), handler=boom) as node:
            await until(lambda: [one for one in node.status(NAME)["shards"] if one["next_try"]])

            found = await node.mappings.explain(NAME)

            blocked, idle = found.shards
            assert found.summary == "reads 2 shards: 1 blocked, 1 idle"
            assert (blocked.shard, blocked.committed, blocked.lag, blocked.attempts_max) == ("s-0", -1, 3, 5)
            assert blocked.summary.startswith("blocked since ")
            assert ": RuntimeError: boom; attempt 2 of 5 at " in blocked.summary
            assert blocked.status is not None
            assert (blocked.status.attempts, blocked.status.last_error) == (1, "RuntimeError: boom")
            assert (idle.shard, idle.summary, idle.lag) == ("s-1", "idle", 0)

    run(scenario())


def test_a_batch_that_is_with_the_function_is_told_with_its_records(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        broker.put(b"a", b"b")
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=never) as node:
            await until(lambda: node.executor.running)
            [shard] = (await node.mappings.explain(NAME)).shards
            assert shard.summary.startswith("2 records from 0 to 1 are with the function since ")

    run(scenario())


def test_what_keeps_a_whole_mapping_is_told_first(tmp_path):
    async def scenario() -> None:
        broker = Seekable(failure=SourceUnavailable("the broker is away"))
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: broker.opened)
            away = (await node.mappings.explain(NAME)).summary
            assert away.startswith("in trouble with its source since ")
            assert away.endswith(": the broker is away")

            broker.failure = None
            await node.mappings.disable(NAME)
            await node.mappings.enable(NAME)
            await until(lambda: node.state(NAME) == "Enabled")
            assert broker.assignments is not None
            broker.assignments.put_nowait(ShardsLost(("s-0",)))
            await until(lambda: not node.status(NAME)["shards"])
            assert (await node.mappings.explain(NAME)).summary == "no shard is this node's: other nodes have them all"

    run(scenario())


def test_a_disabled_mapping_is_explained_by_where_it_goes_on_and_what_waits_there(tmp_path):
    async def scenario() -> None:
        broker = Seekable(shards={"s-0": [], "s-1": []})
        broker.put(b"a", b"b", b"c")
        async with node_of_twins(tmp_path / "d", seekable_config(broker)) as node:
            await until(lambda: broker.committed() == 2)
            await node.mappings.disable(NAME)
            await until(lambda: node.state(NAME) == "Disabled")
            del broker.checkpoints["s-1"]
            broker.put(b"d", b"e")

            found = await node.mappings.explain(NAME)
            assert found.summary.startswith("Disabled: disabled by a command, since ")
            assert [(each.shard, each.lag, each.summary) for each in found.shards] == [
                ("s-0", 2, "goes on at record 3"),
                ("s-1", None, "nothing of it was settled yet: it begins at the mapping's StartingPosition"),
            ]

            broker.failure = SourceUnavailable("the broker is away")
            assert (await node.mappings.explain(NAME)).summary.endswith("not known: the broker is away")

    run(scenario())


def test_a_queue_is_explained_by_what_this_node_has_of_it_and_what_its_broker_has(tmp_path):
    async def scenario() -> None:
        broker = QueueBroker()
        async with node_of_twins(tmp_path / "d", queue_config(broker), handler=never) as node:
            await until(lambda: broker.receives)
            quiet = await node.mappings.explain(NAME)
            assert (quiet.summary, quiet.shards) == ("idle", [])

            broker.put(*(b"x" for _ in range(20)))
            await until(lambda: node.executor.running == 4)
            found = await node.mappings.explain(NAME)
            assert found.queue is not None
            assert found.summary.startswith("4 batches with 8 messages are with the function, the first since ")
            held = sum(batch.records for batch in found.queue.status.in_flight) + found.queue.status.waiting
            assert (found.queue.visible, found.queue.delayed) == (20 - held, held)

    run(scenario())


def test_a_source_that_does_not_say_what_waits_leaves_the_rest_explained(tmp_path):
    async def scenario() -> None:
        broker = Seekable()
        async with node_of_twins(tmp_path / "d", seekable_config(broker), handler=succeed) as node:
            await until(lambda: node.state(NAME) == "Enabled")
            broker.failure = SourceUnavailable("the broker is away")
            [shard] = (await node.mappings.explain(NAME)).shards
            assert (shard.committed, shard.lag, shard.problem) == (-1, None, "the broker is away")

    run(scenario())
