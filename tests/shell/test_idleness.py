from dataclasses import replace

from penstock.shell.health import Trouble
from penstock.shell.idleness import Idleness, MappingObservation, PartObservation, Verdict

IDLE = PartObservation(name="s-0", is_idle=True, backlog=0)
DONE = MappingObservation(name="tally.From", phase="reading", is_ready=True, activity=0, parts=(IDLE,))
AWAY = Trouble("unavailable", "the broker is away", since_ms=0)


def idleness(*, timeout_ms: int | None = None, fail_on_dropped: bool = False) -> Idleness:
    return Idleness(idle_ms=3_000, timeout_ms=timeout_ms, fail_on_dropped=fail_on_dropped, started_ms=0)


def test_it_is_over_when_everything_has_been_idle_for_long_enough():
    decider = idleness()

    assert [decider.observe([DONE], now_ms) for now_ms in (0, 2_999, 3_000)] == [None, None, Verdict(0)]


def test_a_node_without_mappings_is_idle():
    decider = idleness()

    assert [decider.observe([], now_ms) for now_ms in (0, 3_000)] == [None, Verdict(0)]


def test_what_came_and_went_between_two_looks_begins_the_wait_anew():
    decider = idleness()
    decider.observe([DONE], 0)
    busy = replace(DONE, activity=7)

    assert [decider.observe([busy], now_ms) for now_ms in (2_900, 5_800, 5_900)] == [None, None, Verdict(0)]


def test_nothing_is_over_while_the_broker_has_not_said_that_it_has_nothing():
    for backlog in (None, 4):
        decider = idleness()
        waiting = replace(DONE, parts=(replace(IDLE, backlog=backlog),))

        assert [decider.observe([waiting], now_ms) for now_ms in (0, 60_000)] == [None, None]


def test_nothing_is_over_while_a_shard_has_no_position():
    decider = idleness()
    unready = replace(DONE, is_ready=False)

    assert [decider.observe([unready], now_ms) for now_ms in (0, 60_000)] == [None, None]


def test_one_mapping_that_works_keeps_all_from_being_over():
    decider = idleness()
    working = replace(DONE, name="tally.Other", parts=(replace(IDLE, is_idle=False),))

    assert [decider.observe([DONE, working], now_ms) for now_ms in (0, 60_000)] == [None, None]


def test_when_the_time_is_over_what_is_left_is_named():
    decider = idleness(timeout_ms=20_000)
    poisoned = replace(
        DONE, parts=(replace(IDLE, is_idle=False, backlog=None, attempts=5, last_error="KeyError: 'id'"),)
    )

    assert decider.observe([poisoned], 19_999) is None
    assert decider.observe([poisoned], 20_000) == Verdict(
        1,
        (
            "not idle after 20 s; this is left:",
            "mapping 'tally.From', shard s-0: 5 attempts have failed; last error: KeyError: 'id'",
        ),
    )


def test_a_mapping_that_has_stopped_ends_it_with_1_at_once():
    stopped = replace(DONE, phase="failed", failure="internal error, AssertionError")

    assert idleness().observe([DONE, stopped], 0) == Verdict(
        1, ("mapping 'tally.From' has stopped: internal error, AssertionError",)
    )


def test_a_shard_that_is_held_ends_it_with_1_at_once():
    held = replace(DONE, parts=(replace(IDLE, is_idle=False, is_held=True, last_error="a note of version 9"),))

    assert idleness().observe([held], 0) == Verdict(
        1, ("mapping 'tally.From', shard s-0 is held: a note of version 9",)
    )


def test_what_somebody_has_to_mend_ends_it_with_2_at_once():
    for kind in ("wrong", "broken"):
        missing = replace(DONE, is_ready=False, trouble=Trouble(kind, "topic 'orders' is not there", 0))

        assert idleness().observe([missing], 0) == Verdict(2, ("mapping 'tally.From': topic 'orders' is not there",))


def test_a_broker_that_stays_away_ends_it_with_3():
    decider = idleness()
    away = replace(DONE, is_ready=False, trouble=AWAY, parts=())

    assert decider.observe([away], 9_999) is None
    assert decider.observe([away], 10_000) == Verdict(3, ("mapping 'tally.From': the broker is away",))


def test_a_broker_that_is_away_does_not_end_what_goes_on_elsewhere():
    decider = idleness()
    away = replace(DONE, is_ready=False, trouble=AWAY, parts=())
    working = replace(DONE, name="tally.Other", parts=(replace(IDLE, is_idle=False),))

    assert decider.observe([away, working], 60_000) is None
    assert decider.observe([away, replace(working, parts=(IDLE,))], 60_001) is not None


def test_a_time_that_is_over_while_a_broker_is_away_is_a_3():
    decider = idleness(timeout_ms=5_000)
    away = replace(DONE, is_ready=False, trouble=AWAY, parts=())

    verdict = decider.observe([away], 5_000)

    assert verdict is not None
    assert verdict.exit_code == 3


def test_records_given_up_are_a_1_where_that_was_asked_for():
    dropped = replace(DONE, dropped=3)
    for fail_on_dropped, expected in (
        (False, Verdict(0)),
        (True, Verdict(1, ("mapping 'tally.From': 3 records were given up",))),
    ):
        decider = idleness(fail_on_dropped=fail_on_dropped)
        decider.observe([dropped], 0)

        assert decider.observe([dropped], 3_000) == expected


def test_records_that_a_destination_has_were_given_up_all_the_same():
    decider = idleness(fail_on_dropped=True)
    dropped = replace(DONE, dropped=3, delivered=3)
    decider.observe([dropped], 0)

    assert decider.observe([dropped], 3_000) == Verdict(
        1, ("mapping 'tally.From': 3 records were given up (those that a destination took count, too)",)
    )


def test_a_destination_that_refuses_ends_it_with_2_at_once():
    refused = replace(DONE, parts=(replace(IDLE, is_idle=False, refusal="topic 'failed' is not there"),))

    assert idleness().observe([refused], 0) == Verdict(
        2, ("mapping 'tally.From', shard s-0: its destination refuses a document: topic 'failed' is not there",)
    )


def test_what_waits_for_a_destination_is_waited_for_and_named_in_the_end():
    decider = idleness(timeout_ms=60_000)
    waiting = replace(DONE, parts=(replace(IDLE, is_idle=False, waits_for="waiting for its destination: it is away"),))

    assert [decider.observe([waiting], now_ms) for now_ms in (0, 30_000)] == [None, None]
    assert decider.observe([waiting], 60_000) == Verdict(
        1,
        (
            "not idle after 60 s; this is left:",
            "mapping 'tally.From', shard s-0: waiting for its destination: it is away",
        ),
    )


def test_a_time_that_is_over_a_moment_too_early_says_so():
    decider = idleness(timeout_ms=5_000)
    decider.observe([DONE], 4_000)

    assert decider.observe([DONE], 5_000) == Verdict(
        1, ("nothing is left after 5 s, but that is so for too short a time yet",)
    )
