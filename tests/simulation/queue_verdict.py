"""What has to become of a batch of messages, told a second time (`lambda-semantics.md §4.2, §4.3`, D21-D23)."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api import FunctionFailed, Returned
from penstock.core.settings import QueueSettings
from simulation.queue_hand import Kept, after
from simulation.queue_responses import Meaning, read


def meaning_of(result: Returned | FunctionFailed, batch: Sequence[Kept], settings: QueueSettings) -> Meaning:
    """Say what an answer means to this mapping."""
    if isinstance(result, FunctionFailed):
        return Meaning("failure")
    if not settings.reports_item_failures:
        return Meaning("success")
    return read(result.payload, [kept.message.message_id for kept in batch])


def decide(batch: Sequence[Kept], meaning: Meaning, settings: QueueSettings, now_ms: int) -> None:
    """Give every message of a batch its fate."""
    failed_groups: set[str | None] = set()
    for place, kept in enumerate(batch):
        has_failed = meaning.kind == "failure" or place in meaning.delays_ms
        asked_ms = meaning.delays_ms.get(place)
        delay_ms = settings.visibility_timeout_ms if asked_ms is None else asked_ms
        if not has_failed and kept.message.group in failed_groups:
            kept.standing, kept.due_ms = "spent", None
        elif not has_failed:
            kept.standing = "done"
        else:
            if settings.is_fifo and settings.group_failure_mode == "group":
                failed_groups.add(kept.message.group)
            _fail(kept, delay_ms, settings, now_ms)


def _fail(kept: Kept, delay_ms: int, settings: QueueSettings, now_ms: int) -> None:
    most = settings.receive_count_max
    if settings.has_dead_letters and most is not None and kept.count >= most:
        kept.standing, kept.condition, kept.ended_ms = "leaving", "MaximumReceiveCountExceeded", now_ms
    elif settings.is_fifo or not settings.is_delayed:
        kept.standing, kept.due_ms = "spent", now_ms + delay_ms
    else:
        kept.standing, kept.back = "back", after(delay_ms, counted=True)
