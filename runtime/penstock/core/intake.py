"""What becomes of messages when they come: filtered, found too large, or waiting to be run (D13, D25)."""

from collections.abc import Sequence

from penstock.api import Message
from penstock.core import reports
from penstock.core.fates import Fates
from penstock.core.filtering import Filtering
from penstock.core.gathering import Gathering, divide_by_size
from penstock.core.groups import Groups
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.queue_context import QueueContext


class Intake:
    """The stage between a receive and what waits: with `groups` messages wait there, without in `gathering`."""

    def __init__(
        self,
        context: QueueContext,
        fates: Fates,
        *,
        gathering: Gathering,
        groups: Groups | None,
        record_filter: RecordFilter[Message] | None,
    ) -> None:
        """Take what it shares with the machine, and the mapping's filter."""
        self._context = context
        self._fates = fates
        self._gathering = gathering
        self._groups = groups
        self._filtering = Filtering(record_filter)

    def take_in(self, messages: Sequence[Message], now_ms: int) -> None:
        """Take what was received: it is held and extended from now on, until its fate is decided."""
        self._fates.leases.hold((message.receipt for message in messages), now_ms)
        kept = self._sift(messages, now_ms)
        if self._groups is None:
            self._gathering.add(kept, now_ms)
            self.fit(now_ms)
            return
        fitting, too_large = divide_by_size(self._context.layout, kept, self._context.settings.event_bytes_max)
        self._on_too_large(too_large, now_ms)
        added = self._groups.add(fitting, now_ms)
        self._context.counters.returned += len(added.outdated)
        self._fates.leases.let_go(added.outdated)
        self._fates.give_back_barred(added.barred, now_ms)

    def fit(self, now_ms: int) -> None:
        """Take out of what waits what no event can hold, and see whether one can hold all of it."""
        event_bytes_max = self._context.settings.event_bytes_max
        self._on_too_large(self._gathering.drop_too_large(event_bytes_max), now_ms)
        self._gathering.close_if_full(event_bytes_max)

    def _sift(self, messages: Sequence[Message], now_ms: int) -> Sequence[Message]:
        """Give what the filters match, and settle the rest."""
        sifted = self._filtering.sift(messages)
        settings = self._context.settings
        if settings.on_filtered == "delete" and self._filtering.takes_suspicion():
            self._context.announce(reports.NothingMatches(self._filtering.polled))
        self._context.counters.filtered += len(sifted.left_out)
        match settings.on_filtered:
            case "keep":
                self._fates.bring_again(sifted.left_out, counted=False, now_ms=now_ms)
            case "dead-letter":
                self._fates.send_away("Filtered", sifted.left_out, now_ms)
            case "delete":
                self._fates.delete(sifted.left_out, now_ms)
        return sifted.kept

    def _on_too_large(self, messages: Sequence[Message], now_ms: int) -> None:
        """Send away what no event can hold; without a target it comes back after its timeout, and blocks nothing."""
        if not messages:
            return
        context, settings = self._context, self._context.settings
        condition, error = "MaximumPayloadSizeExceeded", f"its event is larger than {settings.event_bytes_max} bytes"
        context.last_error = f"{condition}: {error}"
        if settings.has_dead_letters:
            context.counters.dropped_before += len(messages)
            self._fates.send_away("MaximumPayloadSizeExceeded", messages, now_ms, error=(condition, error))
            return
        timeout_ms = settings.visibility_timeout_ms
        context.counters.returned += len(messages)
        self._fates.bring_again(messages, counted=True, now_ms=now_ms)
        span = messages[0].message_id, messages[-1].message_id, len(messages)
        attempt = max(message.receive_count for message in messages)
        context.announce(reports.BatchFailed("", *span, attempt, 0, condition, error, timeout_ms))
