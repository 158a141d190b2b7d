"""The tumbling windows of one shard: which is open, with what state, when it closes (D11, `lambda-semantics.md §3.7`).

A state is stored under a new version before a checkpoint may name it, and the one before is forgotten when a checkpoint
that no longer names it is stored. So a crash goes back to a state and a position that belong together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from penstock.api import Record
from penstock.core.commands import LoadState, SaveState
from penstock.core.events.window import WindowFrame
from penstock.core.note import WindowNote
from penstock.core.views import WindowView

EMPTY_STATE = b"{}"
STATE_BYTES_MAX = 1024 * 1024
"""A window whose state grows beyond is terminated early."""
ANSWER_MS = 30_000


@dataclass(slots=True)
class _Asked:
    command: SaveState | LoadState
    due_ms: int
    answer_by_ms: int | None = None
    tries: int = 0


class Tumbling:
    """Keeps the open window. Its times are Unix milliseconds; only its dealings with the store know the machine's."""

    def __init__(self, note: WindowNote | None, *, now_ms: int, take_id: Callable[[], int]) -> None:
        """Go on from a checkpoint's note; a state that it names is loaded first."""
        self.is_open = note is not None and note.end_ms > 0
        self.start_ms = note.start_ms if note is not None else 0
        self.end_ms = note.end_ms if note is not None else 0
        self.state = EMPTY_STATE
        self.is_closing_early = note is not None and note.is_closing_early
        self.lost_because = ""
        """The state that the checkpoint names is not in this node's store."""
        self.last_error = ""
        self._store = note.store if note is not None else ""
        self._version = note.version if note is not None else ""
        self._saved: tuple[str, str] | None = None
        """Store and version of a state that is durable, and whose records wait for a destination."""
        self._was_closing_early = False
        """Of the state before that one, which a checkpoint names until then."""
        self._is_called_off = False
        self._take_id = take_id
        self._asked: _Asked | None = None
        self._retiring: list[str] = []
        self._retired: list[tuple[int, str]] = []
        if self._version:
            self._asked = _Asked(LoadState(take_id(), self._store, self._version), now_ms)

    @property
    def is_ready(self) -> bool:
        """Nothing is asked of the store, and nothing is lost."""
        return self._asked is None and not self.lost_because

    @property
    def has_to_forget(self) -> bool:
        """Some version is in the store that a stored checkpoint may still name, and a later one will not."""
        return bool(self._retiring or self._retired)

    def note(self) -> WindowNote | None:
        """Say what the checkpoint's note must hold; None before the first window."""
        if self.is_open:
            is_early = self.is_closing_early if self._saved is None else self._was_closing_early
            return WindowNote(self.start_ms, self.end_ms, self._store, self._version, is_early)
        return WindowNote(self.start_ms) if self.start_ms else None

    def open_for(self, record: Record, size_ms: int, unix_ms: int) -> None:
        """Open the window of a record: that of its time, but none that is closed, and none in the future."""
        start_ms = min(record.timestamp_ms, unix_ms) // size_ms * size_ms
        start_ms = max(start_ms, self.start_ms)
        self.start_ms, self.end_ms, self.is_open = start_ms, (start_ms // size_ms + 1) * size_ms, True
        self.state, self._store, self._version, self.is_closing_early = EMPTY_STATE, "", "", False

    def ends_batches_at(self, unix_ms: int) -> int | None:
        """Tell from which time on records belong to a later window; None while that time is still to come."""
        return self.end_ms if self.is_open and unix_ms >= self.end_ms else None

    def is_over(self, first: Record | None, unix_ms: int) -> bool:
        """Tell whether the window has to close, since its state is too large or the next record is beyond it."""
        if not self.is_open:
            return False
        is_beyond = first is not None and unix_ms >= self.end_ms and first.timestamp_ms >= self.end_ms
        return self.is_closing_early or is_beyond

    def frame(self, *, is_final: bool = False) -> WindowFrame:
        """Say what an invocation sees of it."""
        return WindowFrame(
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            state=self.state,
            is_final=is_final,
            is_terminated_early=is_final and self.is_closing_early,
        )

    def end_early(self) -> None:
        """Close the open window as soon as its batch is settled, whatever its time and its state."""
        self._is_called_off = self.is_closing_early = self._was_closing_early = self.is_open

    def close(self) -> None:
        """Its final invocation succeeded. After an early end the same window opens again, empty, if it has to."""
        if self._version:
            self._retiring.append(self._version)
        self.start_ms = self.start_ms if self.is_closing_early else self.end_ms
        self.is_open = self.is_closing_early = self._is_called_off = False
        self.state, self._store, self._version = EMPTY_STATE, "", ""

    # The store.

    def begin_save(self, state: bytes, version: str, now_ms: int) -> bool:
        """Have a new state stored; False when there is nothing to store."""
        if state == self.state:
            return False
        self._asked = _Asked(SaveState(self._take_id(), version, state), now_ms)
        return True

    def next(self, now_ms: int) -> SaveState | LoadState | None:
        """Tell what to ask of the store now, if anything."""
        asked = self._asked
        if asked is None or self.lost_because:
            return None
        if asked.answer_by_ms is not None and now_ms >= asked.answer_by_ms:
            # The answer was lost. The same again is harmless, under an id of its own.
            asked.command = replace(asked.command, id=self._take_id())
        elif asked.answer_by_ms is not None or now_ms < asked.due_ms:
            return None
        asked.answer_by_ms = now_ms + ANSWER_MS
        return asked.command

    def on_saved(self, fact_id: int, store: str) -> bool:
        """Take in that a state is durable; False for a stale answer."""
        asked = self._answered(fact_id)
        if asked is None or not isinstance(asked.command, SaveState):
            return False
        self._was_closing_early = self.is_closing_early
        self.state, self._saved = asked.command.state, (store, asked.command.version)
        self.is_closing_early = self._is_called_off or len(self.state) > STATE_BYTES_MAX
        return True

    def adopt(self) -> None:
        """What the newest state counts is settled: from now on it is the one that a checkpoint names."""
        if self._saved is None:
            return
        if self._version:
            self._retiring.append(self._version)
        (self._store, self._version), self._saved = self._saved, None

    def on_loaded(self, fact_id: int, state: bytes) -> None:
        """Take in the state that the checkpoint names."""
        if self._answered(fact_id) is not None:
            self.state = state

    def on_missing(self, fact_id: int, reason: str) -> bool:
        """Take in that the state is not to be had here: the shard is held, and never starts empty."""
        if self._answered(fact_id) is None:
            return False
        self.lost_because = reason
        return True

    def on_failed(self, fact_id: int, reason: str, back_off_ms: Callable[[int], int], now_ms: int) -> int | None:
        """Take in that the store could not do it now; gives the wait, or None for a stale answer."""
        asked = self._asked
        if asked is None or asked.command.id != fact_id or asked.answer_by_ms is None:
            return None
        asked.tries += 1
        wait_ms = back_off_ms(asked.tries)
        asked.command = replace(asked.command, id=self._take_id())
        asked.due_ms, asked.answer_by_ms = now_ms + wait_ms, None
        self.last_error = reason
        return wait_ms

    def deadline_ms(self) -> int | None:
        """Tell when to ask `next` again, if nothing happens before."""
        if self._asked is None or self.lost_because:
            return None
        return self._asked.due_ms if self._asked.answer_by_ms is None else self._asked.answer_by_ms

    def on_settled(self, number: int) -> None:
        """Hear under which number of the progress the note that names the newest version was settled."""
        self._retired += [(number, version) for version in self._retiring]
        self._retiring.clear()

    def take_forgotten(self, is_stored: Callable[[int], bool]) -> list[str]:
        """Give the versions that no stored checkpoint names any more."""
        if not self._retired:
            return []
        forgotten = [version for number, version in self._retired if is_stored(number)]
        self._retired = [(number, version) for number, version in self._retired if version not in forgotten]
        return forgotten

    def view(self) -> WindowView | None:
        """Show the open window."""
        if not self.is_open:
            return None
        return WindowView(
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            state_bytes=len(self.state),
            is_closing=self.is_closing_early,
        )

    def _answered(self, fact_id: int) -> _Asked | None:
        asked = self._asked
        if asked is None or asked.command.id != fact_id:
            return None
        self._asked, self.last_error = None, ""
        return asked
