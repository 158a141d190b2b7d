"""The note that travels with a checkpoint: what beyond it is done, and what before that is not over yet (D2, D6, D48).

A shard with nothing of that kind has an empty note. One that has lanes says for each how far it is done, how many
attempts of its next batch have ended, and where that batch and the parts of a split behind it end, so that a node that
takes over repeats nothing that is settled, builds the same batches and goes on counting. An open tumbling window is
named with the store and the version of its state (D11).

Written as JSON; each lane is one text, `<done>[:<attempts>[r]:<end>+<end>…]`, its numbers in base 36 and counted from
the checkpoint's position, so that ten lanes with a split each fit into the kilobyte that a note may have.
"""

from dataclasses import dataclass, replace

import msgspec

from penstock.api import NOTE_BYTES_MAX

VERSION = 2
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class LaneNote:
    """One lane. All its records up to `settled` are done.

    `ends` are the positions of the last records of the batch at hand and of those that were split off behind it.
    `attempts_ended` belong to the first of them; `was_response` says that the last of these ended with a response that
    was or reported a failure, and not with an error.
    """

    settled: int
    attempts_ended: int = 0
    was_response: bool = False
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowNote:
    """The window that is open, or opens next at `start_ms` or later. Without a `version` its state is empty.

    `end_ms` is 0 where none is open. Times are Unix milliseconds.
    """

    start_ms: int
    end_ms: int = 0
    store: str = ""
    version: str = ""
    is_closing_early: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What goes with a checkpoint; there is one `LaneNote` for each lane."""

    lanes: tuple[LaneNote, ...]
    window: WindowNote | None = None


@dataclass(frozen=True, slots=True)
class UnknownNote:
    """A note that a newer Penstock wrote; this one must not act on it."""

    version: int


class _Versioned(msgspec.Struct):
    v: int


class _Written(msgspec.Struct, omit_defaults=True):
    v: int
    l: list[str] = []  # noqa: E741 - one letter is what a note has room for
    w: list[str] = []


class _First(msgspec.Struct):
    """Version 1: one batch."""

    v: int
    a: int
    e: int


def write(note: Note, position: int) -> str:
    """Write a note that goes with a checkpoint at `position`, as short ASCII text; nothing where it says nothing.

    Where a kilobyte is too short for all parts of split batches the last parts are left out: after a crash they are
    one batch again.
    """
    while len(text := _encode(note, position)) > NOTE_BYTES_MAX:
        note = _shortened(note)
    return text


def read(text: str, position: int) -> Note | UnknownNote | None:
    """Read the note of a checkpoint at `position`. None: there is none, or it is not one of ours."""
    if not text:
        return None
    try:
        # The version alone first: what else a newer note holds may have any shape.
        version = msgspec.json.decode(text, type=_Versioned).v
        if version > VERSION:
            return UnknownNote(version)
        if version == 1:
            return _read_first(text, position)
        written = msgspec.json.decode(text, type=_Written)
        if not written.l and not written.w:
            return None
        lanes = tuple(_read_lane(lane, position) for lane in written.l) or (LaneNote(position),)
        return Note(lanes, _read_window(written.w))
    except (msgspec.DecodeError, ValueError):
        return None


def _encode(note: Note, position: int) -> str:
    nothing = LaneNote(position)
    lanes = [] if all(lane == nothing for lane in note.lanes) else [_lane(lane, position) for lane in note.lanes]
    window = [] if note.window is None else _window(note.window)
    if not lanes and not window:
        return ""
    return msgspec.json.encode(_Written(v=VERSION, l=lanes, w=window)).decode("ascii")


def _lane(lane: LaneNote, position: int) -> str:
    done = _digits(max(lane.settled - position, 0))
    if not lane.ends:
        return done
    ends = "+".join(_digits(end - position) for end in lane.ends)
    return f"{done}:{lane.attempts_ended}{'r' if lane.was_response else ''}:{ends}"


def _shortened(note: Note) -> Note:
    longest = max(note.lanes, key=lambda lane: len(lane.ends))
    assert len(longest.ends) > 1, "one part of a batch for each lane always fits"
    return replace(
        note, lanes=tuple(replace(lane, ends=lane.ends[:-1]) if lane is longest else lane for lane in note.lanes)
    )


def _read_lane(text: str, position: int) -> LaneNote:
    done, *rest = text.split(":")
    settled = position + _number(done)
    if not rest:
        return LaneNote(settled)
    attempts, ends = rest
    return LaneNote(
        settled,
        attempts_ended=int(attempts.removesuffix("r")),
        was_response=attempts.endswith("r"),
        ends=tuple(position + _number(end) for end in ends.split("+")),
    )


def _window(window: WindowNote) -> list[str]:
    early = "e" if window.is_closing_early else ""
    return [_digits(window.start_ms), _digits(window.end_ms), window.store, window.version, early]


def _read_window(written: list[str]) -> WindowNote | None:
    if not written:
        return None
    start, end, store, version, early = written
    return WindowNote(_number(start), _number(end), store, version, is_closing_early=early == "e")


def _read_first(text: str, position: int) -> Note | None:
    written = msgspec.json.decode(text, type=_First)
    if written.a < 1:
        return None
    return Note((LaneNote(position, attempts_ended=written.a, ends=(written.e,)),))


def _number(text: str) -> int:
    if not text or not set(text) <= set(DIGITS):
        raise ValueError(text)
    return int(text, 36)


def _digits(number: int) -> str:
    assert number >= 0
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
        if not number:
            return text
