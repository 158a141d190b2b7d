"""What becomes of each message of a batch, once the function has had it (`lambda-semantics.md §4.2, §4.3`, D21–D23)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.api import Message
from penstock.core.outcome import Failed, Succeeded
from penstock.core.queue_response import Reported
from penstock.core.settings import QueueSettings

Again = tuple[Message, int | None]
"""A message that is run again, and after how long; None: together with the one of its group before it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every message of the batch is in one of the three, each of which keeps the batch's order."""

    done: tuple[Message, ...] = ()
    again: tuple[Again, ...] = ()
    dead: tuple[Message, ...] = ()

    @property
    def retry_in_ms(self) -> int | None:
        """Tell when the first of them is run again; None: none is."""
        return min((delay_ms for _, delay_ms in self.again if delay_ms is not None), default=None)


def judge(messages: Sequence[Message], found: Succeeded | Reported | Failed, settings: QueueSettings) -> Verdict:
    """Decide. Only what failed itself can be a dead letter; what it holds back was its victim."""
    timeout_ms = settings.visibility_timeout_ms
    if isinstance(found, Succeeded):
        return Verdict(done=tuple(messages))
    if isinstance(found, Failed):
        delays_ms = dict.fromkeys(range(len(messages)), timeout_ms)
    else:
        delays_ms = {place: timeout_ms if delay_ms is None else delay_ms for place, delay_ms in found.delays_ms.items()}
    held_back = _held_back(messages, delays_ms) if settings.is_fifo and settings.group_failure_mode == "group" else ()
    done: list[Message] = []
    again: list[Again] = []
    dead: list[Message] = []
    for place, message in enumerate(messages):
        if place in held_back:
            again.append((message, None))
        elif place not in delays_ms:
            done.append(message)
        elif is_used_up(message, settings):
            dead.append(message)
        else:
            again.append((message, delays_ms[place]))
    return Verdict(tuple(done), tuple(again), tuple(dead))


def is_used_up(message: Message, settings: QueueSettings) -> bool:
    """Tell whether a message that failed was its last run (D22)."""
    most = settings.receive_count_max
    return settings.has_dead_letters and most is not None and message.receive_count >= most


def _held_back(messages: Sequence[Message], failed: Mapping[int, int]) -> set[int]:
    """Find what comes behind a failed message of its group and was not reported itself (D23)."""
    failed_groups = set()
    held_back = set()
    for place, message in enumerate(messages):
        if place in failed:
            failed_groups.add(message.group)
        elif message.group in failed_groups:
            held_back.add(place)
    return held_back
