"""What becomes of the messages that a queue machine holds: deleted, run again, given back, or sent away (D21-D23).

Promises: what is sent away is deleted only after its target has it; whatever is owed to the queue is said until it was
answered, or until the message is the queue's again by its lease; what is held is extended. Which of these a message
meets is decided elsewhere (`verdict.py`).
"""

from collections.abc import Iterable, Sequence

from penstock.api import Message
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.dead_letter import DeadLetter, DeadLetterCondition
from penstock.core.groups import Groups
from penstock.core.hiding import Hiding
from penstock.core.leases import Leases
from penstock.core.queue_context import QueueContext
from penstock.core.sending_away import SendingAway
from penstock.core.settlement import Settlement, Settling
from penstock.core.verdict import Verdict

LETTERS_MAX = 1_000
"""With so many dead letters on their way nothing more is received."""
LAST_EXTENSION_MS = 1_000
"""An extension that was asked for just before may reach the queue so much later."""

Receipts = tuple[str, ...]


class Fates:
    """One per machine. With `groups` what failed stays there; without, it goes back to the queue."""

    def __init__(self, context: QueueContext, groups: Groups | None) -> None:
        """Take what it shares with the machine."""
        self._context = context
        self._groups = groups
        self.leases = Leases(lease_ms=context.settings.lease_ms)
        self.away = SendingAway(back_off_ms=context.back_off_ms)
        self._settlement = Settlement(back_off_ms=context.back_off_ms)
        self._hiding = Hiding()
        self._given_up: set[str] = set()
        """Receipts of what is to be given back, as soon as it is known how often it counts."""

    @property
    def settling(self) -> int:
        """How many messages are being deleted or given back."""
        return len(self._settlement)

    @property
    def is_settled(self) -> bool:
        """Nothing is owed, and nothing is on its way."""
        return not len(self._settlement) and not len(self.away) and not self._given_up

    @property
    def hidden(self) -> int:
        """How many messages are held although nobody will run them here, until they may come again."""
        return len(self._hiding)

    @property
    def is_full(self) -> bool:
        """So many dead letters wait for their target that no more may come."""
        return len(self.away) >= LETTERS_MAX

    # What becomes of messages.

    def delete(self, messages: Sequence[Message], now_ms: int) -> None:
        """Delete what is done, or matches no filter."""
        if messages:
            receipts = tuple(message.receipt for message in messages)
            self.leases.let_go(receipts)
            self._owe(do.Ack(self._context.new_id(), receipts), now_ms)

    def decide(self, verdict: Verdict, error: tuple[str, str], now_ms: int) -> None:
        """Do what was decided of a batch that was run."""
        self.delete(verdict.done, now_ms)
        if self._groups is not None and not self._is_crowded(self._groups):
            self._groups.hold_back(verdict.again, now_ms)
        else:
            delays_ms: dict[int, list[str]] = {}
            for message, delay_ms in verdict.again:
                delays_ms.setdefault(delay_ms or 0, []).append(message.receipt)
            for delay_ms, receipts in delays_ms.items():
                self._give_back(tuple(receipts), delay_ms, counted=True, now_ms=now_ms)
        self.send_away("MaximumReceiveCountExceeded", verdict.dead, now_ms, error=error)

    def send_away(
        self,
        condition: DeadLetterCondition,
        messages: Sequence[Message],
        now_ms: int,
        *,
        error: tuple[str, str] = ("", ""),
    ) -> None:
        """Send messages to the dead letters; they are held until they are there."""
        if not messages:
            return
        context = self._context
        was_run = condition == "MaximumReceiveCountExceeded"
        letters = [
            DeadLetter(
                message=message,
                condition=condition,
                runs=message.receive_count if was_run else message.receive_count - 1,
                error_type=error[0],
                error_message=error[1],
                first_received_ms=message.first_received_ms,
                ended_ms=context.unix_ms(now_ms),
            )
            for message in messages
        ]
        self.away.add(letters, now_ms)
        if condition == "Filtered":
            return
        context.counters.dropped += len(letters)
        runs = max(letter.runs for letter in letters)
        span = messages[0].message_id, messages[-1].message_id, len(messages)
        context.announce(reports.RecordsDropped(condition, *span, runs, *error))

    def hide(self, messages: Sequence[Message], delay_ms: int, *, counted: bool, now_ms: int) -> None:
        """Give messages back, to be received again after a delay."""
        if messages:
            self._give_back(tuple(message.receipt for message in messages), delay_ms, counted=counted, now_ms=now_ms)

    def bring_again(self, messages: Sequence[Message], *, counted: bool, now_ms: int) -> None:
        """Have messages come again after the visibility timeout that are not run.

        A queue that can not hide them would bring them again at once, and may count that until they vanish (D26).
        """
        settings = self._context.settings
        if settings.is_delayed or (self._groups is not None and self._is_crowded(self._groups)):
            counted = counted and settings.is_delayed
            self.hide(messages, settings.visibility_timeout_ms, counted=counted, now_ms=now_ms)
        elif messages:
            receipts = [message.receipt for message in messages]
            self._hiding.hide(receipts, now_ms + settings.visibility_timeout_ms)

    def give_back(self, messages: Sequence[Message], reason: str, now_ms: int, *, counted: bool = False) -> None:
        """Give messages back at once; uncounted where they were not run."""
        if messages:
            self.hide(messages, 0, counted=counted, now_ms=now_ms)
            self._context.announce(reports.MessagesReturned(len(messages), reason))

    def give_back_barred(self, receipts: Receipts, now_ms: int) -> None:
        """Give back what came of a group that is on its way back."""
        if receipts:
            self._context.counters.returned += len(receipts)
            self._give_back(receipts, 0, counted=False, now_ms=now_ms)

    def give_up_groups(self, receipts: Iterable[str] | None, reason: str, now_ms: int) -> None:
        """Give back what is held of the groups of these (None: of all)."""
        if self._groups is None:
            return
        given_up = self._groups.give_up(receipts, now_ms)
        # What was run stands before the rest of its group. The rest goes first, so that a queue that puts back what
        # it gets before all others has them in order again.
        if given_up.unspent:
            self._context.counters.returned += given_up.unrun
            self._give_back(given_up.unspent, 0, counted=False, now_ms=now_ms)
        delays_ms: dict[int, list[str]] = {}
        for receipt, delay_ms in given_up.spent:
            delays_ms.setdefault(delay_ms, []).append(receipt)
        for delay_ms, spent in delays_ms.items():
            self._give_back(tuple(spent), delay_ms, counted=True, now_ms=now_ms)
        # Whether the next run of these is counted by now is not known before it was answered.
        self._given_up.update(given_up.counting)
        count = len(given_up.unspent) + len(given_up.spent) + len(given_up.counting)
        if count:
            self._context.announce(reports.MessagesReturned(count, reason))

    def count(self, counts: dict[int, Receipts], now_ms: int) -> None:
        """Count the next run of messages that stay held."""
        for receive_count, receipts in counts.items():
            self._owe(do.Count(self._context.new_id(), receipts, receive_count), now_ms)

    # What comes in.

    def on_settled(self, fact: facts.Settled, now_ms: int) -> Receipts:
        """Take in an answer of the source. Gives the receipts that may stand for nothing any more, if they are held."""
        doubtful = self.leases.on_extended(fact.id, now_ms, expired=fact.expired)
        if doubtful is not None:
            return doubtful
        command = self._settlement.on_settled(fact.id)
        if command is None:
            return ()
        if isinstance(command, do.Count):
            assert self._groups is not None
            # Also where some have expired: the others are counted.
            self._groups.counted(command.receipts, now_ms)
            self._give_back_counted(command.receipts, now_ms)
        if fact.expired:
            self._on_lost(command, now_ms)
            return ()
        if isinstance(command, do.Ack):
            self._context.counters.deleted += len(command.receipts)
        if not isinstance(command, do.Count):
            self._finish(command.receipts, now_ms)
        return ()

    def on_settle_failed(self, fact: facts.SettleFailed, now_ms: int) -> None:
        """Take in that the source could not."""
        if self.leases.on_failed(fact.id):
            self._context.last_error = fact.reason
            return
        failed = self._settlement.on_failed(fact.id, now_ms)
        if failed is None:
            return
        command, wait_ms = failed
        self._context.last_error = fact.reason
        if wait_ms is None:
            self._on_lost(command, now_ms)
            return
        action = {do.Ack: "ack", do.Nack: "return"}.get(type(command), "count")
        self._context.announce(reports.SourceTroubled(action, fact.reason, wait_ms))

    def on_delivery_answered(self, fact: facts.Delivered | facts.DeliveryFailed, now_ms: int) -> None:
        """Take in what became of a dead letter: what its target has is deleted here."""
        if isinstance(fact, facts.Delivered):
            letter = self.away.on_delivered(fact.id)
            if letter is not None:
                self._context.counters.delivered += 1
                self._context.announce(reports.RecordDelivered(*letter.span(), fact.shrunk))
                self.delete((letter.message,), now_ms)
            return
        failed = self.away.on_failed(fact.id, fact.reason, refused=fact.refused, now_ms=now_ms)
        if failed is not None:
            letter, wait_ms = failed
            self._context.announce(reports.DeliveryTroubled(*letter.span(), fact.reason, fact.refused, wait_ms))

    # What goes out.

    def give_up_lost(self, now_ms: int) -> None:
        """Wait no longer for answers about what is not ours any more. Comes first: it may let groups go on."""
        for command in self._settlement.give_up(now_ms):
            self._on_lost(command, now_ms)

    def advance(self, now_ms: int) -> None:
        """Say what is due."""
        context = self._context
        due = self._hiding.take_due(now_ms)
        if due:
            self._give_back(due, 0, counted=False, now_ms=now_ms)
        for extend in self.leases.due(now_ms, context.new_id):
            context.do(extend)
        for letter in self.away.next(now_ms, context.new_id):
            context.do(letter)
        for settling in self._settlement.next(now_ms, context.new_id):
            context.do(settling)

    def stop(self, now_ms: int, *, is_over: bool) -> None:
        """Give back what is hidden, and the dead letters that can not be sent while a stop lasts.

        At its end, all letters that are left.
        """
        hidden = self._hiding.take_all()
        if hidden:
            self._give_back(hidden, 0, counted=False, now_ms=now_ms)
        letters = self.away.drop_failed()
        if is_over:
            left, sent = self.away.clear()
            letters += left
            for command_id in sent:
                self._context.do(do.Cancel(command_id))
        run = [letter.message for letter in letters if letter.condition == "MaximumReceiveCountExceeded"]
        unrun = [letter.message for letter in letters if letter.condition != "MaximumReceiveCountExceeded"]
        self.hide(run, 0, counted=True, now_ms=now_ms)
        self.hide(unrun, 0, counted=False, now_ms=now_ms)

    def deadline_ms(self) -> int | None:
        """Tell when something is due."""
        times = (
            self.leases.deadline_ms(),
            self.away.deadline_ms(),
            self._settlement.deadline_ms(),
            self._hiding.deadline_ms(),
        )
        return min((time for time in times if time is not None), default=None)

    # Small change.

    def _is_crowded(self, groups: Groups) -> bool:
        """Failures that wait here take half of the room: more of them go back, so that others can come (D26)."""
        settings = self._context.settings
        failed = groups.held - groups.unrun + len(self._hiding)
        is_half = failed * 2 >= settings.held_max or groups.bytes_count * 2 >= settings.held_bytes_max
        return is_half and not settings.is_fifo

    def _give_back(self, receipts: Receipts, delay_ms: int, *, counted: bool, now_ms: int) -> None:
        self.leases.let_go(receipts)
        if self._groups is not None:
            self._groups.bar(receipts)
        self._owe(do.Nack(self._context.new_id(), receipts, delay_ms, counted), now_ms)

    def _give_back_counted(self, receipts: Receipts, now_ms: int) -> None:
        given_up = tuple(receipt for receipt in receipts if receipt in self._given_up)
        if given_up:
            self._given_up.difference_update(given_up)
            self._give_back(given_up, 0, counted=False, now_ms=now_ms)

    def _owe(self, command: Settling, now_ms: int) -> None:
        settings = self._context.settings
        lasts = isinstance(command, do.Count) or not settings.is_leased
        give_up_ms = None if lasts else now_ms + settings.lease_ms + LAST_EXTENSION_MS
        self._settlement.owe(command, give_up_ms=give_up_ms, now_ms=now_ms)

    def _on_lost(self, command: Settling, now_ms: int) -> None:
        """Some of these are the queue's again. What is held of their groups has to come behind them."""
        self._context.announce(reports.LeasesExpired(len(command.receipts)))
        self.give_up_groups(command.receipts, "others of their groups were lost", now_ms)
        if not isinstance(command, do.Count):
            self._finish(command.receipts, now_ms)

    def _finish(self, receipts: Receipts, now_ms: int) -> None:
        if self._groups is not None:
            self._groups.finish(receipts, now_ms)
