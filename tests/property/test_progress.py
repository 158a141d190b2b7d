"""The checkpoint against a broker that stores or not, and answers or not."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.api import Checkpoint
from penstock.core.progress import ANSWER_MS, UNCOMMITTED_MAX, Progress

BACK_OFF_MS = 700


class Committing(RuleBasedStateMachine):
    @initialize(is_stored=st.booleans())
    def begin(self, is_stored: bool) -> None:  # noqa: FBT001 - drawn
        self.now_ms = 0
        self.ids = count(1)
        self.progress = Progress(Checkpoint(-1), is_stored=is_stored, back_off_ms=lambda _tries: BACK_OFF_MS)
        self.settled = [Checkpoint(-1)]
        self.stored = [Checkpoint(-1)] if is_stored else []
        self.sent: dict[int, Checkpoint] = {}
        self.current: int | None = None
        self.sent_ms = 0
        self.wait_until_ms = 0
        self.uncommitted = 0
        self.failures = 0

    @rule(step=st.integers(0, 5), note=st.sampled_from(("", "one", "two")))
    def settle(self, step: int, note: str) -> None:
        checkpoint = Checkpoint(self.settled[-1].position + step, note)
        self.progress.settle(checkpoint.position, note)
        self.settled.append(checkpoint)

    @rule(duration_ms=st.sampled_from((1, BACK_OFF_MS, ANSWER_MS // 2, ANSWER_MS)))
    def pass_time(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    @rule(is_stored=st.booleans())
    def ask(self, is_stored: bool) -> None:  # noqa: FBT001 - drawn
        asked = self.progress.next(self.now_ms, lambda: next(self.ids))
        is_answer_late = self.current is not None and self.now_ms >= self.sent_ms + ANSWER_MS
        is_free = self.current is None and self.now_ms >= self.wait_until_ms
        is_due = self.progress.committed != self.settled[-1] or not self.progress.has_committed
        assert (asked is not None) == (is_answer_late or (is_free and is_due))
        if asked is not None:
            self.current, checkpoint = asked
            assert checkpoint == self.settled[-1], "the newest goes next"
            assert self.current not in self.sent, "each try has an id of its own"
            self.sent[self.current] = checkpoint
            self.sent_ms = self.now_ms
            if is_stored:
                self.stored.append(checkpoint)

    @precondition(lambda self: self.current is not None)
    @rule()
    def answer(self) -> None:
        checkpoint = self.sent[self.current]
        self.progress.on_committed(self.current)
        self.stored.append(checkpoint)
        self.current = None
        assert self.progress.committed == checkpoint

    @precondition(lambda self: self.current is not None)
    @rule(refused=st.booleans())
    def fail(self, refused: bool) -> None:  # noqa: FBT001 - drawn
        before = self.progress.committed
        assert self.progress.on_failed(self.current, "away", refused=refused, now_ms=self.now_ms) == BACK_OFF_MS
        self.current = None
        self.wait_until_ms = self.now_ms + BACK_OFF_MS
        assert self.progress.committed == before
        assert self.progress.must_hold or not refused

    @precondition(lambda self: any(one != self.current for one in self.sent))
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        stale = data.draw(st.sampled_from([one for one in self.sent if one != self.current]))
        before = (self.progress.committed, self.progress.is_clean, self.progress.deadline_ms())
        self.progress.on_committed(stale)
        assert self.progress.on_failed(stale, "away", refused=True, now_ms=self.now_ms) is None
        assert (self.progress.committed, self.progress.is_clean, self.progress.deadline_ms()) == before

    @invariant()
    def never_goes_back_and_never_beyond_what_is_settled(self) -> None:
        positions = [checkpoint.position for checkpoint in self.stored]
        assert positions == sorted(positions)
        assert self.progress.committed.position <= self.settled[-1].position
        assert self.progress.committed in {*self.stored, Checkpoint(-1)}
        assert self.progress.settled == self.settled[-1]

    @invariant()
    def is_clean_only_when_all_is_stored_and_answered(self) -> None:
        if self.progress.is_clean:
            assert self.current is None
            assert self.stored[-1] == self.settled[-1]

    @invariant()
    def wakes_only_for_what_it_waits_for(self) -> None:
        deadline_ms = self.progress.deadline_ms()
        if self.current is not None:
            assert deadline_ms == self.sent_ms + ANSWER_MS
        elif deadline_ms is not None:
            assert deadline_ms == self.wait_until_ms

    def teardown(self) -> None:
        """Once the broker answers, one commit after the last is all that it takes."""
        if not hasattr(self, "progress"):
            return
        self.now_ms += 2 * ANSWER_MS
        for _ in range(2):
            asked = self.progress.next(self.now_ms, lambda: next(self.ids))
            if asked is not None:
                self.progress.on_committed(asked[0])
        assert self.progress.is_clean
        assert self.progress.committed == self.settled[-1]
        assert not self.progress.must_hold
        assert UNCOMMITTED_MAX > 1


TestCommitting = Committing.TestCase
