"""What is owed to a queue, against a list of debts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.core.commands import Ack, Count, Nack
from penstock.core.settlement import ANSWER_MS, Settlement, Settling

BACK_OFF_MS = 700


@dataclass
class Debt:
    command: Settling
    give_up_ms: int
    due_ms: int | None
    answer_by_ms: int | None = None


class Settling_(RuleBasedStateMachine):  # noqa: N801 - `Settling` is the type of what is settled
    @initialize()
    def begin(self) -> None:
        self.now_ms = 0
        self.ids = count(1)
        self.settlement = Settlement(back_off_ms=lambda _tries: BACK_OFF_MS)
        self.debts: dict[int, Debt] = {}
        self.over: list[int] = []

    @rule(
        kind=st.sampled_from((Ack, Nack, Count)),
        messages=st.integers(1, 3),
        lease_ms=st.sampled_from((0, 1_000, 45_000)),
    )
    def owe(self, kind: type, messages: int, lease_ms: int) -> None:
        number = next(self.ids)
        receipts = tuple(f"{number}/{index}" for index in range(messages))
        command = {
            Ack: lambda: Ack(number, receipts),
            Nack: lambda: Nack(number, receipts, 5, counted=True),
            Count: lambda: Count(number, receipts, 2),
        }[kind]()
        give_up_ms = self.now_ms + lease_ms
        self.settlement.owe(command, give_up_ms=give_up_ms, now_ms=self.now_ms)
        self.debts[number] = Debt(command, give_up_ms, self.now_ms)

    @rule(duration_ms=st.sampled_from((0, 1, BACK_OFF_MS, ANSWER_MS // 2, ANSWER_MS)))
    def step(self, duration_ms: int) -> None:
        """Let time pass and do what a machine does in each step."""
        self.now_ms += duration_ms
        lapsed = self.settlement.give_up(self.now_ms)
        sent = self.settlement.next(self.now_ms, lambda: next(self.ids))

        late = [
            debt for debt in self.debts.values() if debt.answer_by_ms is not None and debt.answer_by_ms <= self.now_ms
        ]
        expected_lapsed = []
        for debt in late:
            del self.debts[debt.command.id]
            self.over.append(debt.command.id)
            if self.now_ms >= debt.give_up_ms:
                expected_lapsed.append(debt.command)
                continue
            again = next(one for one in sent if one.receipts == debt.command.receipts)
            assert again.id not in self.debts
            assert again.id not in self.over
            debt.command = replace(debt.command, id=again.id)
            debt.due_ms, debt.answer_by_ms = self.now_ms, None
            self.debts[again.id] = debt
        assert lapsed == expected_lapsed
        due = [debt for debt in self.debts.values() if debt.due_ms is not None and debt.due_ms <= self.now_ms]
        assert sorted(one.id for one in sent) == sorted(debt.command.id for debt in due)
        for debt in due:
            debt.due_ms, debt.answer_by_ms = None, self.now_ms + ANSWER_MS

    @precondition(lambda self: self.debts)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(list(self.debts)))
        assert self.settlement.on_settled(number) == self.debts.pop(number).command
        self.over.append(number)

    @precondition(lambda self: any(debt.answer_by_ms is not None for debt in self.debts.values()))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        sent = [number for number, debt in self.debts.items() if debt.answer_by_ms is not None]
        number = data.draw(st.sampled_from(sent))
        debt = self.debts[number]
        is_over = self.now_ms >= debt.give_up_ms
        wait_ms = None if is_over else min(BACK_OFF_MS, debt.give_up_ms - self.now_ms)
        assert self.settlement.on_failed(number, self.now_ms) == (debt.command, wait_ms)
        if is_over:
            del self.debts[number]
            self.over.append(number)
        else:
            assert wait_ms is not None
            debt.due_ms, debt.answer_by_ms = self.now_ms + wait_ms, None

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.over))
        assert self.settlement.on_settled(number) is None
        assert self.settlement.on_failed(number, self.now_ms) is None

    @invariant()
    def owes_what_is_not_answered(self) -> None:
        settling = [debt.command for debt in self.debts.values() if not isinstance(debt.command, Count)]
        assert len(self.settlement) == sum(len(command.receipts) for command in settling)

    @invariant()
    def wakes_for_the_next_of_them(self) -> None:
        times = [time for debt in self.debts.values() for time in (debt.due_ms, debt.answer_by_ms) if time is not None]
        assert self.settlement.deadline_ms() == min(times, default=None)


TestSettling = Settling_.TestCase
