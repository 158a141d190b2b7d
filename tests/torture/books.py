"""What must be true when the torture is over: the ledgers of the functions beside what was written and what was sent.

Every check gives the sentences of what it found wrong.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from harness import Invocation, Ledger, letters
from harness.letters import messages
from harness.order import out_of_order, overlapping
from harness.orders import Order
from harness.project import ends_of

from brokers import committed_offsets
from torture.flow import Flow
from torture.project import MAPPINGS, ORDERS, RETRIES, TICKS, WINDOW_S, Mapping, TortureProject

COMMIT_S = 2.0
"""How long what a function did may wait to be committed; usual are some tens of milliseconds."""
SHOWN_MAX = 5
_NO_STATE: dict[str, Any] = {"offsets": [], "total": None}


@dataclass(slots=True)
class Told:
    """What the documents of one mapping say: which records they are about, why, and how often each was tried."""

    conditions: dict[Order, set[str]] = field(default_factory=lambda: defaultdict(set))
    counts: dict[Order, set[int]] = field(default_factory=lambda: defaultdict(set))
    documents: int = 0
    without_payload: int = 0

    def add(self, document: dict[str, Any], about: Collection[Order]) -> None:
        """Take in a document."""
        self.documents += 1
        self.without_payload += "payload" not in document
        context = document["requestContext"]
        for order in about:
            self.conditions[order].add(context["condition"].replace("RetriesExhausted", "RetryAttemptsExhausted"))
            self.counts[order].add(context["approximateInvokeCount"])


class Books:
    """Everything that is known in the end.

    `killed_s` says for each run of the node when it was killed. `has_late`: the flow was held up somewhere for so long
    that records came after their window was closed, and count in another one.
    """

    def __init__(self, project: TortureProject, flow: Flow, killed_s: dict[str, float], *, has_late: bool) -> None:
        self._project = project
        self._flow = flow
        self._killed_s = killed_s
        self._has_late = has_late
        self.told: dict[str, Told] = {}

    def problems(self) -> list[str]:
        """Check everything, and list what is wrong."""
        return [f"{mapping.name}: {problem}" for mapping in MAPPINGS for problem in self._of(mapping)]

    def summary(self) -> list[str]:
        """Tell in numbers what the books hold."""
        lines = []
        for mapping in MAPPINGS:
            ledger = self._project.ledgers[mapping.name]
            outcomes = Counter(each.outcome or "never ended" for each in ledger.read())
            counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
            told = self.told.get(mapping.name)
            documents = f"; {told.documents} documents, {told.without_payload} without their payload" if told else ""
            lines.append(
                f"{mapping.name}: {outcomes.total()} invocations ({counts}), {ledger.repeats()} records given out again"
                f"{documents}"
            )
        return lines

    def _of(self, mapping: Mapping) -> Iterator[str]:
        ledger = self._project.ledgers[mapping.name]
        yield from self._check_checkpoint(mapping)
        yield from self._check_repeats(ledger)
        if mapping.source == TICKS:
            yield from self._check_ticks(ledger)
            return
        told = self.told[mapping.name] = self._documents(mapping.letters)
        yield from self._check_fates(mapping, ledger, told)
        yield from self._check_order(mapping, ledger, told.conditions.keys())
        if mapping.isolates:
            yield from self._check_attempts(ledger, told)
        if mapping.told:
            done = self._documents(mapping.told).conditions.keys()
            yield from _list("done, and its destination was not told", ledger.handled().keys() - done)

    # Every record has found its fate, and the right one.

    def _check_checkpoint(self, mapping: Mapping) -> Iterator[str]:
        address, topic = self._project.address, self._project.topic(mapping.source)
        committed = committed_offsets(address, self._project.group(mapping), topic)
        positions = {partition: position for partition, (position, _) in committed.items()}
        if positions != ends_of(address, topic):
            yield f"its checkpoints are {positions}, and the topic ends at {ends_of(address, topic)}"

    def _check_fates(self, mapping: Mapping, ledger: Ledger, told: Told) -> Iterator[str]:
        fates, handled = self._flow.fates, ledger.handled().keys()
        by_fate: defaultdict[str, set[Order]] = defaultdict(set)
        for order, fate in fates.items():
            by_fate[fate].add(order)
        yield from _list("neither done nor given up", fates.keys() - handled - told.conditions.keys())
        yield from _list("never written", (handled | told.conditions.keys()) - fates.keys())
        yield from _list("too old, and given to the function", by_fate["old"] & ledger.handed_out().keys())
        yield from _list("done, though it always fails", by_fate["poison"] & handled)
        for order, conditions in told.conditions.items():
            wanted = "RecordAgeExceeded" if fates.get(order) == "old" else "RetryAttemptsExhausted"
            if conditions != {wanted}:
                yield f"{order} was given up for {conditions}, not {wanted}"
            # One that is too old may be cut again, after a kill, out of a batch that has been tried since.
            counts = set(range(1, RETRIES + 2)) if wanted == "RecordAgeExceeded" else {RETRIES + 1}
            if not told.counts[order] <= counts:
                yield f"{order} was given up after {told.counts[order]} attempts, not {counts}"
        if mapping.isolates:
            yield from _list("given up, though it can be done", told.conditions.keys() & by_fate["done"])

    def _documents(self, destination: str) -> Told:
        told = Told()
        if destination.startswith("file:"):
            # What a killed node was still writing is hidden, and no document.
            for path in (each for each in self._project.failed.rglob("[!.]*") if each.is_file()):
                document = json.loads(path.read_text())
                told.add(document, [self._order_at[place] for place in _places_of(document)])
            return told
        for letter in letters(self._project.letters_address, self._project.topic(destination)):
            told.add(letter.document, [self._order_at[letter.partition, letter.offset]])
        return told

    @cached_property
    def _order_at(self) -> dict[tuple[int, int], Order]:
        """Tell which record is where on the topic that all mappings with destinations read."""
        found = {}
        for message in messages(self._project.address, self._project.topic(ORDERS)):
            value = json.loads(message.value())
            found[message.partition(), message.offset()] = (value["key"], value["number"])
        return found

    # In order, and not again.

    def _check_order(self, mapping: Mapping, ledger: Ledger, given_up: Collection[Order]) -> Iterator[str]:
        runs = ledger.by_key() if mapping.is_keyed else ledger.by_shard()
        for name, invocations in runs.items():
            for check in (_order_check(given_up), overlapping):
                yield from (f"{name}: {problem}" for problem in list(check(invocations))[:SHOWN_MAX])

    def _check_attempts(self, ledger: Ledger, told: Told) -> Iterator[str]:
        """A record that is alone in its batch is tried as often as the mapping says, and once more for each kill."""
        alone: defaultdict[Order, list[Invocation]] = defaultdict(list)
        for each in ledger.read():
            if len(each.records) == 1:
                alone[each.records[0]].append(each)
        for order, conditions in told.conditions.items():
            nodes = {each.node for each in alone[order]}
            if "RetryAttemptsExhausted" not in conditions:
                continue
            if not RETRIES + 1 <= len(alone[order]) <= RETRIES + len(nodes):
                yield f"{order} was tried {len(alone[order])} times alone, by {len(nodes)} runs of the node"

    def _check_repeats(self, ledger: Ledger) -> Iterator[str]:
        """What was done is done again only if it was done right before a kill, too late to be committed."""
        done: dict[Order, Invocation] = {}
        for each in ledger.read():
            for before in {id(done[order]): done[order] for order in each.handled if order in done}.values():
                killed_s = self._killed_s.get(before.node)
                if before.node == each.node or killed_s is None or before.seen_s < killed_s - COMMIT_S:
                    yield f"{before}, killed at {killed_s}, was done, and again by {each}"
            done |= dict.fromkeys(each.handled, each)

    # The windows' totals.

    def _check_ticks(self, ledger: Ledger) -> Iterator[str]:
        numbers: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for partition, time_ms, number in self._flow.ticks:
            start = datetime.fromtimestamp(time_ms // 1000 // WINDOW_S * WINDOW_S, tz=UTC)
            numbers[f"{self._project.topic(TICKS)}-{partition}", start.strftime("%Y-%m-%dT%H:%M:%SZ")].append(number)
        states = ledger.window_states()
        for window in sorted(numbers.keys() | states.keys()) if not self._has_late else ():
            state = states.get(window, _NO_STATE)
            found = len(state["offsets"]), state["total"]
            if found != (len(numbers[window]), sum(numbers[window])):
                yield f"window {window} counts {found}, not {len(numbers[window]), sum(numbers[window])}"
        counted = Counter((shard, offset) for (shard, _), state in states.items() for offset in state["offsets"])
        yield from _list("counted twice", {place for place, count in counted.items() if count > 1})
        found = counted.total(), sum(state["total"] for state in states.values())
        wanted = len(self._flow.ticks), sum(number for _, _, number in self._flow.ticks)
        if found != wanted:
            yield f"all windows together count {found}, not {wanted}"


def _order_check(given_up: Collection[Order]) -> Callable[[list[Invocation]], Iterator[str]]:
    return lambda invocations: out_of_order(invocations, given_up=given_up)


def _places_of(document: dict[str, Any]) -> list[tuple[int, int]]:
    """Tell which records a document with a whole event of the `kinesis` layout is about."""
    records = json.loads(document["payload"])["Records"]
    return [
        (int(record["eventID"].partition(":")[0].removeprefix("shardId-")), int(record["kinesis"]["sequenceNumber"]))
        for record in records
    ]


def _list(what: str, found: Collection[Any]) -> Iterator[str]:
    if found:
        yield f"{len(found)} records were {what}, such as {sorted(found)[:SHOWN_MAX]}"
