from __future__ import annotations

from typing import Any

import pytest

from penstock.api import Message
from penstock.core.invocation_record import Answer
from penstock.core.outcome import Failed, Succeeded
from penstock.core.queue_response import Reported
from penstock.core.settings import QueueSettings
from penstock.core.verdict import Verdict, judge
from unit.core.driving import grouped, message

TIMEOUT_MS = 30_000
FAILED = Failed("E", "m", 5)


def reported(*places: int, **delays_ms: int) -> Reported:
    chosen: dict[int, int | None] = dict.fromkeys(places)
    chosen.update({int(place.removeprefix("at")): delay_ms for place, delay_ms in delays_ms.items()})
    return Reported(dict(sorted(chosen.items())), 5, Answer(function_error=None))


def show(verdict: Verdict) -> tuple[str, dict[str, int | None], str]:
    again = {one.message_id: delay_ms for one, delay_ms in verdict.again}
    return "".join(one.message_id for one in verdict.done), again, "".join(one.message_id for one in verdict.dead)


def verdict(messages: list[Message], found: Any, **settings: Any) -> tuple[str, dict[str, int | None], str]:
    return show(judge(messages, found, QueueSettings(visibility_timeout_ms=TIMEOUT_MS, **settings)))


STANDARD = [message(name) for name in "abcd"]
MIXED = [grouped("a", "g"), grouped("x", "h"), grouped("b", "g"), grouped("y", "h"), grouped("c", "g")]


def test_a_success_deletes_everything():
    assert verdict(STANDARD, Succeeded(5)) == ("abcd", {}, "")


def test_a_failure_brings_everything_back_after_the_visibility_timeout():
    assert verdict(STANDARD, FAILED) == ("", dict.fromkeys("abcd", TIMEOUT_MS), "")


def test_reported_messages_come_back_each_after_its_own_delay():
    assert verdict(STANDARD, reported(0, at2=5_000)) == ("bd", {"a": TIMEOUT_MS, "c": 5_000}, "")


@pytest.mark.parametrize(("count", "dead"), [(1, ""), (2, ""), (3, "a"), (7, "a")])
def test_a_message_is_dead_when_the_run_that_failed_was_its_last(count: int, dead: str):
    found = verdict([message("a", receive_count=count)], FAILED, receive_count_max=3, has_dead_letters=True)

    assert found[2] == dead


@pytest.mark.parametrize("settings", [{"receive_count_max": 3}, {"has_dead_letters": True}])
def test_without_a_target_or_an_end_to_its_runs_it_returns_for_ever(settings: dict[str, Any]):
    assert verdict([message("a", receive_count=99)], FAILED, **settings) == ("", {"a": TIMEOUT_MS}, "")


def test_a_failure_holds_back_the_later_ones_of_its_group_and_of_no_other():
    assert verdict(MIXED, reported(2), is_fifo=True) == ("axy", {"b": TIMEOUT_MS, "c": None}, "")


def test_a_later_one_that_was_reported_too_keeps_its_own_delay():
    assert verdict(MIXED, reported(0, at4=9_000), is_fifo=True) == ("xy", {"a": TIMEOUT_MS, "b": None, "c": 9_000}, "")


def test_as_on_aws_exactly_what_was_reported_stays():
    assert verdict(MIXED, reported(2), is_fifo=True, group_failure_mode="aws") == ("axyc", {"b": TIMEOUT_MS}, "")


def test_what_is_only_held_back_is_never_dead_however_often_it_was_run():
    messages = [grouped("a", "g", receive_count=3), grouped("b", "g", receive_count=3)]

    found = verdict(messages, reported(0), is_fifo=True, receive_count_max=3, has_dead_letters=True)

    assert found == ("", {"b": None}, "a")


def test_a_batch_that_fails_as_a_whole_is_all_held_and_what_is_used_up_of_it_dead():
    messages = [grouped("a", "g", receive_count=3), grouped("b", "g"), grouped("x", "h")]

    found = verdict(messages, FAILED, is_fifo=True, receive_count_max=3, has_dead_letters=True)

    assert found == ("", {"b": TIMEOUT_MS, "x": TIMEOUT_MS}, "a")


def test_the_first_to_come_back_says_when():
    settings = QueueSettings(visibility_timeout_ms=TIMEOUT_MS)

    assert judge(STANDARD, reported(0, at2=5_000), settings).retry_in_ms == 5_000
    assert judge(STANDARD, Succeeded(5), settings).retry_in_ms is None
