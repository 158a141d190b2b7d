"""The note that travels with a checkpoint: what of a batch is not over yet (D2, D48).

It says how many attempts of the next batch have ended, and where that batch ends, so that a node that takes over builds
the same batch and goes on counting. A shard with nothing of that kind has an empty note.
"""

from dataclasses import dataclass

import msgspec

from penstock.api import NOTE_BYTES_MAX

VERSION = 1


@dataclass(frozen=True, slots=True)
class Note:
    """`attempts_ended` of the batch that begins after the checkpoint and ends at `batch_end`."""

    attempts_ended: int
    batch_end: int


@dataclass(frozen=True, slots=True)
class UnknownNote:
    """A note that a newer Penstock wrote; this one must not act on it."""

    version: int


class _Versioned(msgspec.Struct):
    v: int


class _Written(msgspec.Struct):
    v: int
    a: int
    e: int


def write(note: Note) -> str:
    """Write a note as short ASCII text."""
    text = msgspec.json.encode(_Written(v=VERSION, a=note.attempts_ended, e=note.batch_end)).decode("ascii")
    assert len(text) <= NOTE_BYTES_MAX
    return text


def read(text: str) -> Note | UnknownNote | None:
    """Read a note. None: there is none, or it is not one of ours."""
    if not text:
        return None
    try:
        # The version alone first: what else a newer note holds may have any shape.
        version = msgspec.json.decode(text, type=_Versioned).v
        if version > VERSION:
            return UnknownNote(version)
        written = msgspec.json.decode(text, type=_Written)
    except msgspec.DecodeError:
        return None
    if written.a < 1:
        return None
    return Note(attempts_ended=written.a, batch_end=written.e)
