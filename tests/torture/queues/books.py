"""What must be true of a mapping when the torture is over: its ledger beside what was sent and what is at the broker.

Every check gives the sentences of what it found wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

from harness.orders import Order

from torture.queues.flow import Sent
from torture.queues.ledger import Handed, Run
from torture.queues.letters import Letter
from torture.queues.order import by_group, out_of_order, overlapping
from torture.queues.project import RECEIVES_MAX
from torture.queues.troubles import Troubles

SHOWN_MAX = 5


class Books:
    """Everything that is known of one mapping."""

    def __init__(
        self,
        sent: Mapping[Order, Sent],
        runs: list[Run],
        letters: list[Letter],
        troubles: Troubles,
        *,
        is_fifo: bool,
    ) -> None:
        self._sent = sent
        self._runs = runs
        self._troubles = troubles
        self._is_fifo = is_fifo
        self._letters: defaultdict[Order, list[Letter]] = defaultdict(list)
        for letter in letters:
            self._letters[letter.order].append(letter)
        self._handed: defaultdict[Order, list[tuple[Run, Handed]]] = defaultdict(list)
        for run in runs:
            for handed in run.messages:
                self._handed[handed.order].append((run, handed))

    def problems(self) -> Iterator[str]:
        """Check everything, and say what is wrong."""
        yield from self._check_fates()
        yield from self._check_letters()
        for order in self._handed.keys() & self._sent.keys():
            yield from self._check_counts(order)
            yield from self._check_repeats(order)
        if self._is_fifo:
            for key, parts in by_group(self._runs).items():
                yield from out_of_order(key, parts, self._letters.keys())
                yield from overlapping(parts, self._troubles)

    def summary(self) -> str:
        """Tell in numbers what the books hold."""
        outcomes = Counter(run.outcome or "never ended" for run in self._runs)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        dead = sum(self._sent[order].fate == "poison" for order in self._letters if order in self._sent)
        twice = sum(map(len, self._letters.values())) - len(self._letters)
        unrun = sum(self._unrun(handed) for handed in self._handed.values())
        return (
            f"{len(self._sent):,} messages, {outcomes.total():,} invocations ({counts}), {len(self._letters)} dead "
            f"letters, {len(self._letters) - dead} of them victims, {twice} there twice; "
            f"{self._repeats()} done again, {unrun} receives of the dead"
        )

    # Every message has found its fate.

    def _check_fates(self) -> Iterator[str]:
        done = {order for run in self._runs for order in run.done}
        known = done | self._letters.keys()
        poison = {order for order, sent in self._sent.items() if sent.fate == "poison"}
        yield from _list("neither done nor dead-lettered", self._sent.keys() - known)
        yield from _list("never sent", (known | self._handed.keys()) - self._sent.keys())
        yield from _list("done, though they always fail", done & poison)

    def _check_letters(self) -> Iterator[str]:
        for order, letters in self._letters.items():
            handed = self._handed.get(order, [])
            if order not in self._sent or not handed:
                yield f"{_name(order)} is a dead letter, and was never run"
                continue
            if not any(run.has_failed(order) for run, each in handed if each.receive_count >= RECEIVES_MAX):
                yield f"{_name(order)} is a dead letter, and has not failed in its last run: {_runs(handed)}"
            for letter in letters:
                yield from self._check_letter(order, letter, handed)
            if len(letters) - 1 > self._troubles_since(handed):
                yield f"{_name(order)} is {len(letters)} dead letters, without a reason: {_runs(handed)}"

    def _check_letter(self, order: Order, letter: Letter, handed: list[tuple[Run, Handed]]) -> Iterator[str]:
        sent = self._sent[order]
        if letter.body != sent.body:
            yield f"the dead letter of {_name(order)} has the body {letter.body!r}, not {sent.body!r}"
        if letter.about.get("condition") != "MaximumReceiveCountExceeded":
            yield f"the dead letter of {_name(order)} says of its condition {letter.about.get('condition')!r}"
        if not letter.about.get("error-message"):
            yield f"the dead letter of {_name(order)} has no error: {letter.about}"
        if letter.receive_count not in {each.receive_count for _, each in handed}:
            yield f"the dead letter of {_name(order)} says {letter.receive_count} receives: {_runs(handed)}"
        if letter.receive_count < RECEIVES_MAX:
            yield f"{_name(order)} is a dead letter after {letter.receive_count} receives"
        if letter.about.get("message-id") not in {each.message_id for _, each in handed}:
            yield f"the dead letter of {_name(order)} is about the message {letter.about.get('message-id')!r}"
        if self._is_fifo and letter.group != order[0]:
            yield f"the dead letter of {_name(order)} has the group {letter.group!r}"

    # Runs, receive counts and repeats.

    def _check_counts(self, order: Order) -> Iterator[str]:
        """Runs so far <= the receive count <= runs so far + deaths while it was held."""
        handed = self._handed[order]
        if len({each.message_id for _, each in handed}) > 1:
            yield f"{_name(order)} was run under several ids: {_runs(handed)}"
        first_run, first = handed[0]
        if not 1 <= first.receive_count <= 1 + self._troubles.deaths(self._sent[order].sent_s, first_run.began_s):
            yield f"{_name(order)} began with {first.receive_count} receives: {_runs(handed)}"
        for (before_run, before), (run, each) in pairwise(handed):
            deaths = self._troubles.deaths(before_run.began_s, run.began_s)
            if not before_run.outcome and self._troubles.ended(before_run.node, before_run.began_s, run.began_s):
                # The run that died is counted as one itself.
                deaths -= 1
            if not 1 <= each.receive_count - before.receive_count <= 1 + deaths:
                two = _runs([(before_run, before), (run, each)])
                yield f"{_name(order)} has wrong counts, with {deaths} deaths: {two}"

    def _check_repeats(self, order: Order) -> Iterator[str]:
        """What was done, or failed for the last time, is run again only after trouble; and never twice at once."""
        for (before_run, before), (run, each) in pairwise(self._handed[order]):
            failed_last = before_run.has_failed(order) and before.receive_count >= RECEIVES_MAX
            if (order in before_run.done or failed_last) and not self._troubles.explains_repeat(
                before_run.node, before_run.seen_s
            ):
                yield f"{_name(order)} was settled and run again: {_runs([(before_run, before), (run, each)])}"
            if run.began_s < before_run.seen_s and not self._troubles.stood_still(
                before_run.node, before_run.began_s, run.began_s
            ):
                yield f"{_name(order)} was run twice at once: {_runs([(before_run, before), (run, each)])}"

    # Numbers.

    def _troubles_since(self, handed: list[tuple[Run, Handed]]) -> int:
        since_s = min((run.began_s for run, each in handed if each.receive_count >= RECEIVES_MAX), default=0.0)
        return self._troubles.all_since(since_s)

    def _repeats(self) -> int:
        return sum(order in before.done for handed in self._handed.values() for order, before in _befores(handed))

    def _unrun(self, handed: list[tuple[Run, Handed]]) -> int:
        return max(each.receive_count for _, each in handed) - len(handed)


def _befores(handed: list[tuple[Run, Handed]]) -> Iterator[tuple[Order, Run]]:
    return ((each.order, run) for run, each in handed[:-1])


def _name(order: Order) -> str:
    return f"{order[0]}/{order[1]}"


def _runs(handed: list[tuple[Run, Handed]]) -> str:
    return "; ".join(
        f"receive {each.receive_count} at {run.node} {run.began_s:.3f}-{run.seen_s:.3f} "
        f"{'done' if each.order in run.done else run.outcome or 'never ended'}"
        for run, each in handed
    )


def _list(what: str, found: Collection[Any]) -> Iterator[str]:
    if found:
        yield f"{len(found)} messages were {what}, such as {sorted(found)[:SHOWN_MAX]}"
