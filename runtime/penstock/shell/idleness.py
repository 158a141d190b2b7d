"""When a node that runs `--until-idle` is done, and with which exit code. Pure: observations in, a verdict out.

0 when everything has been idle for long enough; 1 when the time is over, or a mapping has failed for good; 2 when a
source is refused or missing or a destination refuses a document, so that somebody has to change something; 3 when a
broker can not be reached. What waits for a destination that is down is waited for, until the time is over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from penstock.shell.health import Phase, Trouble

UNREACHABLE_MS = 10_000
"""A broker that has been away for so long, while nothing else can be done, is given up."""

DONE = 0
FAILED = 1
WRONG = 2
UNREACHABLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PartObservation:
    """One shard of a stream mapping, or a queue (`name` is empty then).

    `backlog` is the broker's own figure for what lies beyond, or None while nobody asked since something changed.
    """

    name: str
    is_idle: bool
    is_held: bool = False
    refusal: str = ""
    """Why its destination will never take what it was sent."""
    waits_for: str = ""
    """What else keeps it from being idle: a destination, an open window."""
    backlog: int | None = None
    attempts: int = 0
    in_flight: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingObservation:
    """One mapping. `is_ready`: it knows its shards, and every one is anchored."""

    name: str
    phase: Phase
    is_ready: bool
    activity: int
    """Grows with everything that happens, so that nothing that came and went in between is missed."""
    dropped: int = 0
    delivered: int = 0
    failure: str = ""
    trouble: Trouble | None = None
    parts: tuple[PartObservation, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Nothing is going on in the node; what the broker has is another matter."""
        return self.is_ready and self.trouble is None and all(part.is_idle for part in self.parts)

    @property
    def is_done(self) -> bool:
        """Nothing is going on, and the broker has nothing more."""
        return self.is_quiet and all(part.backlog == 0 for part in self.parts)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The exit code, and what to tell the user: nothing, or what is left."""

    exit_code: int
    lines: tuple[str, ...] = ()


class Idleness:
    """Decides from one observation after another."""

    def __init__(self, *, idle_ms: int, timeout_ms: int | None, fail_on_dropped: bool, started_ms: int) -> None:
        """Take how long everything must be idle, when to give up, and the present."""
        self._idle_ms = idle_ms
        self._give_up_ms = None if timeout_ms is None else started_ms + timeout_ms
        self._timeout_ms = timeout_ms
        self._fail_on_dropped = fail_on_dropped
        self._idle_since_ms: int | None = None
        self._activity = -1

    def observe(self, mappings: Sequence[MappingObservation], now_ms: int) -> Verdict | None:
        """Take in how things stand; None: go on."""
        verdict = _hopeless(mappings)
        if verdict is not None:
            return verdict
        if self._has_been_idle(mappings, now_ms):
            return self._done(mappings)
        unreachable = [each for each in mappings if _is_unreachable(each, now_ms)]
        if unreachable and all(each.trouble is not None or each.is_quiet for each in mappings):
            return Verdict(UNREACHABLE, tuple(_describe_trouble(each) for each in unreachable))
        if self._give_up_ms is not None and now_ms >= self._give_up_ms:
            return self._timed_out(mappings)
        return None

    def _has_been_idle(self, mappings: Sequence[MappingObservation], now_ms: int) -> bool:
        activity = sum(each.activity for each in mappings)
        if activity != self._activity or not all(each.is_done for each in mappings):
            self._activity = activity
            self._idle_since_ms = None
        if self._idle_since_ms is None and all(each.is_done for each in mappings):
            self._idle_since_ms = now_ms
        return self._idle_since_ms is not None and now_ms - self._idle_since_ms >= self._idle_ms

    def _done(self, mappings: Sequence[MappingObservation]) -> Verdict:
        # A record that a destination has was given up all the same: the function never took it.
        dropped = tuple(_describe_dropped(each) for each in mappings if each.dropped)
        return Verdict(FAILED, dropped) if dropped and self._fail_on_dropped else Verdict(DONE)

    def _timed_out(self, mappings: Sequence[MappingObservation]) -> Verdict:
        left = tuple(line for each in mappings if not each.is_done for line in _describe(each))
        is_unreachable = any(each.trouble is not None and each.trouble.kind == "unavailable" for each in mappings)
        timeout_s = (self._timeout_ms or 0) / 1000
        if not left:
            return Verdict(FAILED, (f"nothing is left after {timeout_s:g} s, but that is so for too short a time yet",))
        heading = f"not idle after {timeout_s:g} s; this is left:"
        return Verdict(UNREACHABLE if is_unreachable else FAILED, (heading, *left))


def _hopeless(mappings: Sequence[MappingObservation]) -> Verdict | None:
    failed = tuple(f"mapping '{each.name}' has stopped: {each.failure}" for each in mappings if each.phase == "failed")
    if failed:
        return Verdict(FAILED, failed)
    refused = tuple(
        _describe_trouble(each) for each in mappings if each.trouble is not None and each.trouble.kind != "unavailable"
    )
    if refused:
        return Verdict(WRONG, refused)
    refusals = tuple(
        f"mapping '{each.name}'{_named(part)}: its destination refuses a document: {part.refusal}"
        for each in mappings
        for part in each.parts
        if part.refusal
    )
    if refusals:
        return Verdict(WRONG, refusals)
    held = tuple(
        f"mapping '{each.name}'{_named(part)} is held: {part.last_error}"
        for each in mappings
        for part in each.parts
        if part.is_held
    )
    return Verdict(FAILED, held) if held else None


def _is_unreachable(mapping: MappingObservation, now_ms: int) -> bool:
    return mapping.trouble is not None and now_ms - mapping.trouble.since_ms >= UNREACHABLE_MS


def _describe_trouble(mapping: MappingObservation) -> str:
    assert mapping.trouble is not None
    return f"mapping '{mapping.name}': {mapping.trouble.reason}"


def _describe_dropped(mapping: MappingObservation) -> str:
    # Where `OnSuccess` is told too, nobody counts which of the two a document was about.
    delivered = " (those that a destination took count, too)" if mapping.delivered else ""
    return f"mapping '{mapping.name}': {mapping.dropped} records were given up{delivered}"


def _describe(mapping: MappingObservation) -> Iterator[str]:
    if mapping.trouble is not None:
        yield _describe_trouble(mapping)
        return
    if not mapping.is_ready and all(part.is_idle for part in mapping.parts):
        yield f"mapping '{mapping.name}': it has not begun to read all of its source"
        return
    for part in mapping.parts:
        if not part.is_idle or part.backlog:
            yield f"mapping '{mapping.name}'{_named(part)}: {_describe_part(part)}"


def _describe_part(part: PartObservation) -> str:
    words = []
    if part.in_flight:
        words.append(f"{part.in_flight} records with the function")
    if part.backlog:
        words.append(f"{part.backlog} records waiting")
    if part.attempts:
        words.append(f"{part.attempts} attempts have failed")
    if part.waits_for:
        words.append(part.waits_for)
    if part.last_error:
        words.append(f"last error: {part.last_error}")
    return "; ".join(words) or "it is still at work"


def _named(part: PartObservation) -> str:
    return f", shard {part.name}" if part.name else ""
