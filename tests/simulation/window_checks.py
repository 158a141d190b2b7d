"""Tumbling windows: each record is counted once, in one window, and a checkpoint names a state that is stored (D11).

The function adds the position of every record that it takes to the state, so a state says what it counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from penstock.api import FunctionFailed, Returned
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import RecordBatch
from penstock.core.events.window import WindowFrame
from simulation.books import Books
from simulation.destination import StateStore
from simulation.responses import STATE_BYTES_MAX
from simulation.shard_model import Lane, Segment, WindowModel

NAME = re.compile(r"\d{5}-\d{6}")
"""A state's version, as `DrivenStream` names them."""


class WindowChecks:
    def __init__(self, books: Books, stores: Sequence[StateStore]) -> None:
        self._books = books
        self._stores = stores
        self._save_id: int | None = None
        self._waiting: WindowModel | None = None
        """What is true once the state is stored."""
        self._named: str | None = None
        """The version that the newest checkpoint whose answer was heard names."""
        self._commits: dict[int, str] = {}
        self._is_lost = False

    @property
    def _size_ms(self) -> int:
        return self._books.settings.tumbling_window_ms

    # Invocations.

    def on_invoke(self, command: do.Invoke, lane: Lane, now_ms: int) -> bool:
        """Check the window that an invocation sees, and tell whether it is the window's last."""
        books, frame, batch = self._books, command.window, command.batch
        assert isinstance(batch, RecordBatch)
        if (frame is not None) != books.scenario.has_window:
            books.fail(f"invokes with the window {frame}")
        if frame is None:
            return False
        self._check_frame(frame, batch, now_ms)
        if frame.is_final:
            self._check_final(command, frame, lane, now_ms)
        else:
            self._check_records(frame, batch)
        return frame.is_final

    def _check_frame(self, frame: WindowFrame, batch: RecordBatch, now_ms: int) -> None:
        books = self._books
        if self._is_lost:
            books.fail("goes on without the state of its window")
        if self._waiting is not None:
            books.fail("goes on before the state of its window is stored")
        if frame.start_ms % self._size_ms or frame.end_ms != frame.start_ms + self._size_ms:
            books.fail(f"opens a window {frame.start_ms}..{frame.end_ms}")
        start_ms = books.model.window.start_ms
        if start_ms is None:
            self._open(frame, batch, now_ms)
        elif frame.start_ms != start_ms:
            books.fail(f"invokes in the window of {frame.start_ms}, while that of {start_ms} is open")
        seen = tuple(json.loads(frame.state).get("seen", ()))
        if seen != books.model.window.seen:
            books.fail(f"invokes with a state that counts {seen}, not {books.model.window.seen}")
        if not batch.records and not frame.is_final:
            books.fail("invokes an empty batch that is not the last of a window")

    def _open(self, frame: WindowFrame, batch: RecordBatch, now_ms: int) -> None:
        """A window may have been opened for records that were then given up, so it may be an earlier one."""
        books, model = self._books, self._books.model
        first = batch.records[0].timestamp_ms if batch.records else frame.start_ms
        start_ms = max(self._start_of(first), model.window.floor_ms)
        is_out_of_order = self._are_clocks_off and frame.start_ms > start_ms
        if not model.window.floor_ms <= frame.start_ms <= start_ms and not is_out_of_order:
            books.fail(f"opens the window of {frame.start_ms}, where that of {start_ms} is next")
        if frame.start_ms > books.unix_ms(now_ms) and not self._are_clocks_off:
            books.fail(f"opens the window of {frame.start_ms}, which is to come")
        model.window = replace(model.window, start_ms=frame.start_ms, seen=(), state=b"{}", is_early=False)

    def _check_records(self, frame: WindowFrame, batch: RecordBatch) -> None:
        books = self._books
        again = [record.position for record in batch.records if record.position in books.model.window.seen]
        if again:
            books.fail(f"counts {again} a second time")
        beyond = [record.position for record in batch.records if record.timestamp_ms >= frame.end_ms]
        if beyond and not self._are_clocks_off:
            books.fail(f"puts {beyond} into the window before theirs")

    def _check_final(self, command: do.Invoke, frame: WindowFrame, lane: Lane, now_ms: int) -> None:
        books, window = self._books, self._books.model.window
        assert isinstance(command.batch, RecordBatch)
        if command.batch.records:
            books.fail("hands records to the last invocation of a window")
        if books.model.at_hand(lane) is not None and not (self._are_clocks_off or window.is_early):
            books.fail("closes a window in the middle of a batch")
        if command.attempt != window.attempts_ended + 1:
            books.fail(f"calls it attempt {command.attempt} to close, after {window.attempts_ended}")
        if frame.is_terminated_early != window.is_early:
            books.fail(f"closes a window of {len(window.state)} bytes with {frame.is_terminated_early=}")
        if not window.is_early and books.unix_ms(now_ms) < frame.end_ms and not self._are_clocks_off:
            books.fail(f"closes a window at {books.unix_ms(now_ms)}, before it ends at {frame.end_ms}")
        later = any(kept.record.timestamp_ms >= frame.end_ms for kept in books.model.undone())
        idle_ms = books.settings.tumbling_idle_ms
        if not (window.is_early or later or self._are_clocks_off) and books.unix_ms(now_ms) < frame.end_ms + idle_ms:
            books.fail(f"closes a quiet window at {books.unix_ms(now_ms)}, which ended at {frame.end_ms}")

    @property
    def _are_clocks_off(self) -> bool:
        return self._books.scenario.clock_jumps > 0 or self._books.scenario.faults.late_record > 0

    def _start_of(self, timestamp_ms: int) -> int:
        return timestamp_ms // self._size_ms * self._size_ms

    def may_take_in_two(self, segment: Segment | None) -> bool:
        """Tell whether a window may end within a batch that another machine began, since clocks differ."""
        if segment is None or not segment.is_resumed:
            return False
        return self._books.scenario.has_window and self._are_clocks_off

    def ends_within(self, segment: Segment, lane: Lane, batch: RecordBatch) -> bool:
        """Tell whether a batch that was begun is cut by the end of a window, which has come in between."""
        if not self.may_take_in_two(segment) or batch.last >= segment.end:
            return False
        following = list(self._books.model.undone_of(lane, until=segment.end))
        count = len(batch.records)
        return [kept.record for kept in following[:count]] == list(batch.records) and len(following) > count

    # Answers.

    def waits_for_store(self, result: Returned, done: list[int]) -> bool:
        """Take in what a response says of the state; True where it has to be stored before anything is done.

        Where nothing was done the state counts nothing new, whatever it says.
        """
        window = self._books.model.window
        if not self._books.scenario.has_window or not done:
            return False
        state = json.dumps(json.loads(result.payload)["state"]).encode()
        if state == window.state or not done:
            self._books.model.window_before = None
            return False
        self._waiting = replace(window, state=state, seen=(*window.seen, *done), is_early=len(state) > STATE_BYTES_MAX)
        return True

    def on_final_ended(self, lane: Lane, result: Returned | FunctionFailed, now_ms: int) -> None:
        books, model = self._books, self._books.model
        window = model.window
        if isinstance(result, FunctionFailed):
            model.window = replace(window, attempts_ended=window.attempts_ended + 1)
            lane.not_before_ms = now_ms + books.wait_least_ms(window.attempts_ended + 1)
            return
        assert window.start_ms is not None
        floor_ms = window.start_ms if window.is_early else window.start_ms + self._size_ms
        model.window = WindowModel(floor_ms=floor_ms, closed=(*window.closed, *window.seen))

    # The store.

    def on_save(self, command: do.SaveState) -> None:
        books = self._books
        if self._waiting is None:
            books.fail(f"stores {command.version} out of turn")
        if command.state != self._waiting.state:
            books.fail(f"stores {command.state[:100]!r} as {command.version}")
        self._save_id = command.id

    def on_saved(self, fact: facts.StateSaved) -> bool:
        if self._waiting is None or fact.id != self._save_id:
            return False
        model = self._books.model
        model.window_before, model.window = model.window, self._waiting
        self._waiting = self._save_id = None
        return True

    def on_missing(self) -> None:
        self._is_lost = True

    def on_loaded(self) -> None:
        self._is_lost = False

    def on_forget(self, command: do.ForgetState) -> None:
        books = self._books
        if self._named is None or self._named == command.version:
            books.fail(f"forgets {command.version} while the checkpoint that it knows of may name it")
        stored = books.shard.stored
        if books.is_owner and stored is not None and command.version in NAME.findall(stored.note):
            books.fail(f"forgets {command.version}, which the checkpoint names")

    # Checkpoints.

    def on_commit(self, command: do.Commit) -> None:
        """What a checkpoint names must be durable, and count what is settled by it."""
        books, window = self._books, self._books.model.window_settled
        names = NAME.findall(command.checkpoint.note)
        self._commits[command.id] = names[0] if names else ""
        if not books.scenario.has_window or not books.is_owner:
            return
        if len(names) > 1:
            books.fail(f"names the states {names} in a checkpoint")
        found = [store.states[names[0]] for store in self._stores if names and names[0] in store.states]
        state = found[0] if found else b"{}"
        if names and not found:
            books.fail(f"names the state {names[0]}, which is not stored")
        seen = tuple(json.loads(state).get("seen", ()))
        if seen != window.seen:
            books.fail(f"writes a checkpoint with a state that counts {seen}, not {window.seen}")

    def on_committed(self, fact: facts.Committed) -> None:
        self._named = self._commits.get(fact.id, self._named)
