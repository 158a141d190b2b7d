"""Concurrency against the rules it is to keep: caps, no idle environment while one waits, and fairness."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.core.concurrency import Concurrency

FUNCTIONS = ("f", "g")
MAPPINGS = {f"{function}/{index}": function for function in FUNCTIONS for index in range(2)}


class Granting(RuleBasedStateMachine):
    @initialize(node_max=st.integers(1, 5), caps=st.tuples(*[st.none() | st.integers(1, 4)] * len(FUNCTIONS)))
    def begin(self, node_max: int, caps: tuple[int | None, ...]) -> None:
        self.concurrency = Concurrency(node_max=node_max)
        self.node_max = node_max
        self.caps = {function: min(cap or node_max, node_max) for function, cap in zip(FUNCTIONS, caps, strict=True)}
        for function, cap in zip(FUNCTIONS, caps, strict=True):
            self.concurrency.cap(function, cap)
        for mapping, function in MAPPINGS.items():
            self.concurrency.join(mapping, function)
        self.waiting: list[tuple[str, int]] = []
        self.holding: list[tuple[str, int]] = []
        self.asked = 0
        self.overtaken: dict[str, dict[str, int]] = {}
        """For each mapping that waits with nothing, how often each other one was served meanwhile."""

    def _held(self, mapping: str) -> int:
        return sum(name == mapping for name, _ in self.holding)

    def _function_held(self, function: str) -> int:
        return sum(MAPPINGS[name] == function for name, _ in self.holding)

    def _is_able(self, mapping: str) -> bool:
        function = MAPPINGS[mapping]
        return len(self.holding) < self.node_max and self._function_held(function) < self.caps[function]

    def _take_in(self, granted: list[Hashable]) -> None:
        for requester in granted:
            assert requester in self.waiting, "only who waits is served"
            mapping = requester[0]
            able = {name for name, _ in self.waiting if self._is_able(name)}
            assert mapping in able, "caps are kept"
            assert self._held(mapping) == min(map(self._held, able)), "who has the fewest is served first"
            oldest = next(one for one in self.waiting if one[0] == mapping)
            assert requester == oldest, "a mapping's requests are served in their order"
            for other in able - {mapping}:
                if self._held(other) == 0:
                    served = self.overtaken.setdefault(other, {})
                    served[mapping] = served.get(mapping, 0) + 1
                    assert served[mapping] == 1, f"{mapping} is served twice while {other} has none"
            self.overtaken.pop(mapping, None)
            self.waiting.remove(requester)
            self.holding.append(requester)

    @rule(mapping=st.sampled_from(list(MAPPINGS)), times=st.integers(1, 4))
    def request(self, mapping: str, times: int) -> None:
        for _ in range(times):
            self.asked += 1
            self.waiting.append((mapping, self.asked))
            self._take_in(self.concurrency.request((mapping, self.asked), mapping))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def request_again(self, data: st.DataObject) -> None:
        requester = data.draw(st.sampled_from(self.waiting))
        assert self.concurrency.request(requester, requester[0]) == []

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        # Some at a time, so that those who wait get their turns.
        for _ in range(data.draw(st.integers(1, 6))):
            if self.holding:
                requester = data.draw(st.sampled_from(self.holding))
                self.holding.remove(requester)
                self._take_in(self.concurrency.give_back(requester))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        requester = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(requester)
        if all(name != requester[0] for name, _ in self.waiting):
            self.overtaken.pop(requester[0], None)
        assert self.concurrency.give_back(requester) == []

    @rule()
    def give_back_nothing(self) -> None:
        assert self.concurrency.give_back("nobody") == []

    @invariant()
    def keeps_the_caps(self) -> None:
        assert self.concurrency.held == len(self.holding) <= self.node_max
        for function in FUNCTIONS:
            assert self.concurrency.held_by(function) == self._function_held(function) <= self.caps[function]

    @invariant()
    def lets_nothing_idle(self) -> None:
        assert not [name for name, _ in self.waiting if self._is_able(name)]

    @invariant()
    def tells_of_room(self) -> None:
        for mapping, function in MAPPINGS.items():
            assert self.concurrency.has_room(function) == self._is_able(mapping)


TestGranting = Granting.TestCase
