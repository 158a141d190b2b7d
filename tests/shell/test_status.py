import time
from dataclasses import fields

import pytest

from penstock.api import SourceUnavailable
from penstock.core.views import Counters, DeliveryView, InFlightView, LaneView, StreamView, WindowView
from penstock.plugins import Registry
from penstock.shell.budget import Budget
from penstock.shell.composition import Composition
from penstock.shell.environments import Environments
from penstock.shell.idle_watch import IdleWatch
from penstock.shell.idleness import Idleness
from penstock.shell.inspection import inspect_mapping, inspect_shard, problem_of
from penstock.shell.logs import make_log
from penstock.shell.services import Services
from penstock.shell.status import CountersStatus
from penstock.shell.wall_clock import WallClock
from shell.twins import StreamBroker, project, run, stream_config

NOW_MS = 1_000_000
WALL_S = 1_700_000_000.0
LANE = {
    "settled": 9,
    "buffered": 0,
    "oldest": None,
    "oldest_timestamp_ms": None,
    "in_flight": None,
    "segments": 0,
    "attempts_ended": 0,
    "last_error": "",
    "blocked_since_ms": None,
    "next_try_ms": None,
    "delivering": None,
}
VIEW = {
    "state": "running",
    "committed": 9,
    "reached": 9,
    "buffered": 0,
    "buffered_bytes": 0,
    "lag": 0,
    "in_flight": None,
    "attempts_ended": 0,
    "last_error": "",
    "blocked_since_ms": None,
    "next_try_ms": None,
    "is_anchored": True,
    "is_idle": True,
}


def lane(number=0, **given):
    return LaneView(lane=number, **(LANE | given))


def view(**given):
    return StreamView(**(VIEW | given))


def in_flight(records=10, attempt=1):
    return InFlightView(
        request_id="id", first="10", last="19", records=records, attempt=attempt, since_ms=NOW_MS - 2_000
    )


def delivery(*, tries=3, error="the broker is away", refused=False, since_ms=NOW_MS - 30_000):
    return DeliveryView(
        condition="RetryAttemptsExhausted",
        first="10",
        last="12",
        records=3,
        tries=tries,
        since_ms=since_ms,
        next_try_ms=NOW_MS + 4_000,
        last_error=error,
        refused=refused,
    )


def shown(machine):
    return inspect_shard("s-0", machine, WallClock(NOW_MS, wall_s=WALL_S))


class Bench:
    """A stream mapping whose machines show what the test says."""

    def __init__(self, views):
        services = Services(
            environments=Environments(node_max=1),
            budget=Budget(bytes_max=1_000_000),
            log=make_log(log_format="text", level="error"),
            log_level="error",
        )
        config = stream_config(StreamBroker())
        composition = Composition(project(config), Registry(), node_id="n", services=services, now_ms=lambda: NOW_MS)
        self.mapping = composition.mapping(config)
        self.mapping.views = lambda: views
        self.mapping.health.phase = "reading"

    def status(self):
        return inspect_mapping(self.mapping, NOW_MS)


def status_of(**views):
    async def scenario():
        return Bench(views).status()

    return run(scenario())


def test_every_counter_is_shown():
    names = {one.name for one in fields(Counters)}

    assert set(CountersStatus.__struct_fields__) == names | {"buffered", "let_go"}


def test_what_was_polled_is_accounted_for():
    async def scenario():
        counters = Counters(polled=100, filtered=20, invoked_first=60, invoked=90, dropped_before=5)
        bench = Bench({"s-0": view(buffered=15, counters=counters), "s-1": view(counters=Counters())})
        # A shard that went to another node with six records that were read for nothing.
        bench.mapping.health.keep(Counters(polled=10, filtered=1, invoked_first=3))
        return bench.status().counters

    found = run(scenario())
    assert (found.polled, found.buffered, found.let_go) == (110, 15, 6)
    assert found.polled == found.filtered + found.invoked_first + found.dropped_before + found.buffered + found.let_go


def test_a_shard_shows_every_lane():
    lanes = (
        lane(0, in_flight=in_flight(10), oldest=10, oldest_timestamp_ms=int(WALL_S * 1000) - 4_000),
        lane(1, in_flight=in_flight(5), oldest=12, oldest_timestamp_ms=int(WALL_S * 1000) - 9_500),
        lane(2, segments=2, attempts_ended=4, blocked_since_ms=NOW_MS - 60_000, last_error="KeyError: 'id'"),
    )
    found = shown(view(lanes=lanes, in_flight=in_flight(10)))

    assert [each.lane for each in found.lanes] == [0, 1, 2]
    assert (found.in_flight_records, found.oldest_age_s) == (15, 9.5)
    assert found.lanes[1].oldest == 12
    blocked = found.lanes[2]
    assert (blocked.segments, blocked.attempts, blocked.last_error) == (2, 4, "KeyError: 'id'")
    assert blocked.blocked_since == "2023-11-14T22:12:20.000Z"


def test_a_record_from_the_future_is_new():
    found = shown(view(lanes=(lane(oldest=1, oldest_timestamp_ms=int(WALL_S * 1000) + 60_000),)))

    assert found.oldest_age_s == 0


def test_the_document_that_waits_for_the_longest_is_the_shards():
    lanes = (lane(0, delivering=delivery()), lane(1, delivering=delivery(since_ms=NOW_MS - 90_000)), lane(2))
    found = shown(view(lanes=lanes))

    assert found.delivering is not None
    assert (found.delivering.since, found.delivering.next_try) == (
        "2023-11-14T22:11:50.000Z",
        "2023-11-14T22:13:24.000Z",
    )
    assert (found.delivering.condition, found.delivering.tries) == ("RetryAttemptsExhausted", 3)


def test_an_open_window_is_shown():
    window = WindowView(start_ms=1_596_128_400_000, end_ms=1_596_128_520_000, state_bytes=213, is_closing=True)
    found = shown(view(window=window)).window

    assert found is not None
    assert (found.start, found.end) == ("2020-07-30T17:00:00Z", "2020-07-30T17:02:00Z")
    assert (found.state_bytes, found.closing) == (213, True)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (view(), ""),
        (view(state="held", last_error="StateLost: gone"), "is held: StateLost: gone"),
        (
            view(lanes=(lane(delivering=delivery()),)),
            "waits for its destination, which does not take a document: the broker is away",
        ),
        (
            view(lanes=(lane(delivering=delivery()), lane(1, delivering=delivery(error="too long", refused=True)))),
            "waits for its destination, which refuses a document: too long",
        ),
        # It is on its way for the first time.
        (view(lanes=(lane(delivering=delivery(tries=0, error="")),)), ""),
    ],
)
def test_what_a_shard_waits_for_is_named(machine, expected):
    assert problem_of(machine) == expected


def test_a_destination_that_is_away_is_the_mappings_problem_until_it_is_back():
    waiting = view(lanes=(lane(delivering=delivery()),), blocked_since_ms=NOW_MS - 30_000)

    away = status_of(**{"s-0": view(), "s-1": waiting})
    back = status_of(**{"s-0": view(), "s-1": view()})

    assert away.last_result == (
        "PROBLEM: shard s-1 waits for its destination, which does not take a document: the broker is away"
    )
    assert (away.delivering, away.blocked_since is not None) == (1, True)
    assert (back.last_result, back.delivering, back.blocked_since) == ("No records processed", 0, None)


def test_a_held_shard_is_the_mappings_problem():
    found = status_of(**{"s-0": view(state="held", last_error="StateLost: the store 'x' has no window state 'v'")})

    assert found.last_result == "PROBLEM: shard s-0 is held: StateLost: the store 'x' has no window state 'v'"


def test_a_source_that_is_away_comes_before_a_destination():
    async def scenario():
        bench = Bench({"s-0": view(lanes=(lane(delivering=delivery()),))})
        bench.mapping.health.on_trouble(SourceUnavailable("the broker of the source is away"))
        return bench.status().last_result

    assert run(scenario()) == "PROBLEM: the broker of the source is away"


def observed(**machine):
    async def scenario():
        watch = IdleWatch([], Idleness(idle_ms=1, timeout_ms=None, fail_on_dropped=False, started_ms=0))
        return watch._observe(Bench({"s-0": view(**machine)}).mapping)

    [part] = run(scenario()).parts
    return part


def test_until_idle_waits_for_a_destination_and_says_so():
    part = observed(is_idle=False, lanes=(lane(delivering=delivery()),))

    assert (part.is_idle, part.refusal) == (False, "")
    assert part.waits_for == "waiting for its destination: the broker is away"


def test_until_idle_does_not_wait_for_a_destination_that_refuses():
    part = observed(is_idle=False, lanes=(lane(delivering=delivery(error="too long", refused=True)),))

    assert part.refusal == "too long"


def test_until_idle_waits_for_an_open_window():
    window = WindowView(start_ms=0, end_ms=60_000, state_bytes=2, is_closing=False)
    part = observed(is_idle=False, window=window)

    assert (part.is_idle, part.waits_for) == (False, "a window is open that ends at 1970-01-01T00:01:00Z")


def test_until_idle_counts_what_every_lane_has_with_the_function():
    part = observed(is_idle=False, lanes=(lane(0, in_flight=in_flight(3)), lane(1, in_flight=in_flight(4))))

    assert part.in_flight == 7


def test_the_present_is_the_systems():
    before_s = time.time()
    found = inspect_shard("s-0", view(blocked_since_ms=NOW_MS), WallClock(NOW_MS))

    assert found.blocked_since is not None
    assert found.blocked_since >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before_s))
