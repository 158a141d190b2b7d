from types import SimpleNamespace

import pytest

from penstock.core.views import DeliveryView, QueueView
from penstock.shell.idle_watch import IdleWatch
from penstock.shell.inspection import problem_of_queue

QUIET = {
    "state": "running",
    "waiting": 0,
    "in_flight": (),
    "settling": 0,
    "last_error": "",
    "next_try_ms": None,
    "is_idle": True,
}


def letter(last_error, *, refused=False):
    return DeliveryView(
        condition="MaximumReceiveCountExceeded",
        first="m-1",
        last="m-1",
        records=1,
        tries=2,
        since_ms=0,
        next_try_ms=10,
        last_error=last_error,
        refused=refused,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"sending_away": 1, "delivering": letter("")}, ""),
        (
            {"sending_away": 3, "delivering": letter("no broker answers")},
            "3 dead letters waiting for the target: no broker answers",
        ),
        (
            {"sending_away": 1, "delivering": letter("too large", refused=True)},
            "1 dead letter refused by the target: too large",
        ),
        (
            {"held": 10, "is_full": True, "blocked_groups": ("a", "b")},
            "nothing more is received: 10 messages are held behind those that failed of the groups a, b",
        ),
        ({"held": 10, "blocked_groups": ("a",)}, ""),
    ],
)
def test_what_keeps_a_queue_from_going_on_is_said(given, said):
    assert problem_of_queue(QueueView(**(QUIET | given))) == said


def test_a_queue_whose_dead_letters_are_refused_will_never_be_idle_by_itself():
    watch = IdleWatch([], SimpleNamespace())
    view = QueueView(**(QUIET | {"sending_away": 1, "delivering": letter("too large", refused=True)}))

    part = watch._queue("letters.FromJobs", view)

    assert part.refusal == "too large"
    assert part.waits_for == "dead letters wait for their target"
