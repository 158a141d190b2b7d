"""`penstock status` against an endpoint that shows what the test says."""

import asyncio
import re

import pytest

from penstock.control.app import make_app
from penstock.control.server import listen, serving, url_of
from penstock.shell.status import (
    CountersStatus,
    DeliveryStatus,
    InFlightStatus,
    LaneStatus,
    MappingStatus,
    NodeStatus,
    QueueStatus,
    ShardStatus,
    WindowStatus,
)

COLUMNS = 100
# The node has run for a thousand seconds: it is 2026-01-01T00:16:40Z there.
NODE = {
    "project": "shop",
    "version": "1",
    "pid": 7,
    "state": "running",
    "started": "2026-01-01T00:00:00.000Z",
    "uptime_s": 1000.0,
    "endpoint": None,
    "data_dir": "/d",
    "concurrency_in_use": 2,
    "concurrency_max": 4,
    "functions": [],
}
MAPPING = {
    "name": "billing.FromOrders",
    "uuid": "u",
    "function": "billing",
    "source": "orders",
    "source_type": "kafka",
    "state": "Enabled",
    "state_reason": "",
    "last_result": "OK",
    "last_error": "",
    "lag": 0,
    "in_flight": 0,
    "counters": CountersStatus(),
}
SHARD = {
    "shard": "orders-3",
    "state": "running",
    "committed": 9,
    "reached": 9,
    "lag": 0,
    "buffered": 0,
    "in_flight": None,
    "attempts": 0,
    "blocked_since": None,
    "last_error": "",
    "next_try": None,
}
LANE = {
    "settled": 9,
    "buffered": 0,
    "oldest": None,
    "oldest_age_s": None,
    "in_flight": None,
    "segments": 0,
    "attempts": 0,
    "blocked_since": None,
    "last_error": "",
    "next_try": None,
    "delivering": None,
}
BATCH = InFlightStatus(request_id="id", first="10", last="19", records=10, attempt=1, since="2026-01-01T00:16:00Z")
WAITING = DeliveryStatus(
    condition="RetryAttemptsExhausted",
    first="10",
    last="12",
    records=3,
    tries=4,
    since="2026-01-01T00:16:00.000Z",
    next_try="2026-01-01T00:16:44.000Z",
    last_error="the broker is away",
    refused=False,
)


def mapping(**given):
    return MappingStatus(**(MAPPING | given))


def shard(**given):
    return ShardStatus(**(SHARD | given))


def lane(number=0, **given):
    return LaneStatus(lane=number, **(LANE | given))


@pytest.fixture
def shown(run):
    """Show these mappings with the command, and give its lines."""

    def show(*mappings, options=()):
        class Node:
            is_ready = True

            def status(self):
                return NodeStatus(**NODE, mappings=list(mappings))

        async def scenario():
            opened = listen("127.0.0.1:0")
            async with serving(make_app(Node(), loopback_only=True), opened):
                return await asyncio.to_thread(run, "status", "--endpoint", url_of(opened), *options)

        result = asyncio.run(scenario())
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    return show


def table(lines):
    """Give the rows of the table by column, and the lines below it."""
    header = lines[1]
    names = ("MAPPING", "STATE", "SOURCE", "SHARD", "LAG", "IN FLIGHT", "BLOCKED", "LAST RESULT")
    starts = [header.index(name) for name in names]
    ends = [*starts[1:], None]
    rows = [line for line in lines[2:] if not re.match(r"    \S|\S+: |\S+, shard ", line)]
    cells = [[row[start:end].strip() for start, end in zip(starts, ends, strict=True)] for row in rows]
    return [dict(zip(names, row, strict=True)) for row in cells], [line for line in lines[2:] if line not in rows]


def test_a_mapping_at_rest_is_one_row(shown):
    lines = shown(mapping(shards=[shard(lanes=[lane()])]))

    assert lines[0] == "shop: running, up 16 min 40 s, pid 7, 2 of 4 environments in use"
    [row], below = table(lines)
    assert row == {
        "MAPPING": "billing.FromOrders",
        "STATE": "Enabled",
        "SOURCE": "orders",
        "SHARD": "orders-3",
        "LAG": "0",
        "IN FLIGHT": "0",
        "BLOCKED": "",
        "LAST RESULT": "OK",
    }
    assert below == []


def test_the_table_fits_into_a_hundred_columns(shown):
    busy = shard(
        lag=123_456,
        oldest_age_s=7_300.0,
        in_flight_records=1_000,
        blocked_since="2026-01-01T00:00:30.000Z",
        lanes=[lane(number, in_flight=BATCH) for number in range(10)],
    )
    away = mapping(name="billing.FromRefunds", last_result="PROBLEM: " + "the broker is away; " * 20)

    lines = shown(mapping(shards=[busy] * 3), away)

    rows, _ = table(lines)
    assert [len(line) for line in lines[1 : 2 + len(rows)] if len(line) > COLUMNS] == []
    assert (rows[0]["LAG"], rows[0]["IN FLIGHT"], rows[0]["BLOCKED"]) == ("123456 (2 h)", "1000 (10 lanes)", "16 min")
    assert (rows[0]["MAPPING"], rows[1]["MAPPING"]) == ("billing.FromOrders", "")
    assert rows[3]["LAST RESULT"] == "PROBLEM"


def test_what_was_polled_is_accounted_for(shown):
    counters = CountersStatus(
        polled=1_200,
        filtered=200,
        invoked_first=890,
        dropped_before=10,
        buffered=100,
        invoked=950,
        failed_invocations=3,
        processed=880,
        dropped=13,
        delivered=12,
        late=1,
    )
    _, below = table(shown(mapping(counters=counters, shards=[shard(lanes=[lane()])])))

    assert below == [
        "billing.FromOrders: 1200 polled = 200 filtered out + 890 invoked + 10 never invoked + 100 buffered",
        "    880 processed, 13 given up, 3 failed invocations, 12 delivered, 1 late",
    ]
    assert max(map(len, below)) <= COLUMNS


def test_a_blocked_lane_is_named_with_its_error_and_its_next_try(shown):
    blocked = lane(
        4,
        attempts=5,
        blocked_since="2026-01-01T00:13:20.000Z",
        last_error="KeyError: 'id'",
        next_try="2026-01-01T00:16:44.000Z",
    )
    held_up = shard(lanes=[lane(0), blocked], blocked_since="2026-01-01T00:13:20.000Z", last_error="KeyError: 'id'")
    result = {"last_result": "PROBLEM: Function call failed"}

    [row], below = table(shown(mapping(shards=[held_up], **result)))

    assert (row["BLOCKED"], row["LAST RESULT"]) == ("3 min", "PROBLEM")
    [line] = below
    assert line == (
        "billing.FromOrders, shard orders-3, lane 4: blocked for 3 min 20 s, 5 attempts: KeyError: 'id'"
        "; next try in 4 s"
    )


def test_a_shard_that_waits_for_its_destination_says_since_when_and_why(shown):
    waiting = shard(lanes=[lane(delivering=WAITING)], delivering=WAITING)
    result = {"last_result": "PROBLEM: shard orders-3 waits for its destination, which …", "delivering": 1}

    _, below = table(shown(mapping(shards=[waiting], **result)))

    [line] = below
    assert line == (
        "billing.FromOrders, shard orders-3: waits for its destination for 40 s: RetryAttemptsExhausted of 3 records, "
        "10 to 12, not taken: the broker is away; next try in 4 s"
    )


def test_a_held_shard_says_why(shown):
    reason = "StateLost: the window's state is in the store 'abc'"
    held = shard(state="held", last_error=reason)

    [row], below = table(shown(mapping(shards=[held], last_result=f"PROBLEM: shard orders-3 is held: {reason}")))

    assert (row["BLOCKED"], row["LAST RESULT"]) == ("held", "PROBLEM")
    assert below == [f"billing.FromOrders, shard orders-3: held: {reason}"]


def test_a_source_that_is_away_is_named_below(shown):
    _, below = table(shown(mapping(state="Enabling", last_result="PROBLEM: the broker is away")))

    assert below == ["billing.FromOrders: PROBLEM: the broker is away"]


def test_a_mapping_that_does_not_run_says_why(shown):
    by_hand = mapping(state="Disabled", state_reason="disabled by a command, since 2026-01-01T00:00:00Z")
    failed = mapping(state="Disabled", state_reason="internal error", last_result="PROBLEM: internal error")

    _, below = table(shown(by_hand, failed))

    assert below == [
        "billing.FromOrders: disabled by a command, since 2026-01-01T00:00:00Z",
        "billing.FromOrders: internal error",
    ]


def test_a_failure_that_is_over_is_named_until_a_batch_succeeds(shown):
    result = {"last_result": "PROBLEM: Function call failed", "last_error": "KeyError: 'id'"}

    _, below = table(shown(mapping(shards=[shard(lanes=[lane()])], **result)))

    assert below == ["billing.FromOrders: PROBLEM: Function call failed: KeyError: 'id'"]


def test_an_open_window_is_shown(shown):
    window = WindowStatus(start="2026-01-01T00:16:00Z", end="2026-01-01T00:17:00Z", state_bytes=213, closing=False)

    _, below = table(shown(mapping(shards=[shard(window=window, lanes=[lane()])])))

    assert below == [
        "billing.FromOrders, shard orders-3: window 2026-01-01T00:16:00Z to 2026-01-01T00:17:00Z, 213 bytes of state"
    ]


def test_a_queue_is_one_row(shown):
    queue = QueueStatus(
        state="running", waiting=0, in_flight=[BATCH], settling=0, last_error="KeyError: 'id'", next_try=None
    )
    jobs = mapping(
        name="billing.Jobs",
        source="jobs",
        lag=None,
        in_flight=10,
        queue=queue,
        last_result="No records processed",
        counters=CountersStatus(polled=10, invoked=10),
    )

    [row], below = table(shown(jobs))

    assert (row["SHARD"], row["LAG"], row["IN FLIGHT"], row["LAST RESULT"]) == ("", "", "10", "none yet")
    assert below == [
        "billing.Jobs: 10 polled, 0 filtered out, 10 invoked, 0 processed, 0 given up",
        "billing.Jobs: KeyError: 'id'",
    ]
