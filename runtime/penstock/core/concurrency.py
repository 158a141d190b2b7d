"""Grants environments to machines, fairly, under each function's cap and the node's (D24).

A free environment goes to the waiting mapping that has the fewest; among equals to the one whose turn was longest ago.
So one busy mapping never keeps a quiet one waiting for longer than one invocation. Pure: requests and returns come in,
grants go out.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Mapping:
    function: str
    waiting: deque[Hashable] = field(default_factory=deque)
    held: int = 0
    last_turn: int = 0


class Concurrency:
    """One per node. A requester is any hashable that stands for one request of one machine."""

    def __init__(self, *, node_max: int) -> None:
        """Take how many environments the node may run at once."""
        assert node_max >= 1
        self.node_max = node_max
        self.held = 0
        self._function_max: dict[str, int] = {}
        self._function_held: dict[str, int] = {}
        self._mappings: dict[str, _Mapping] = {}
        self._holders: dict[Hashable, str] = {}
        self._waiting: dict[Hashable, str] = {}
        self._turn = 0

    def cap(self, function: str, environments_max: int | None) -> None:
        """Set how many environments a function may have; None: as many as the node."""
        self._function_max[function] = self.node_max if environments_max is None else environments_max

    def join(self, mapping: str, function: str) -> None:
        """Make a mapping known."""
        self._mappings.setdefault(mapping, _Mapping(function))

    def has_room(self, function: str) -> bool:
        """Tell whether an environment of this function would be granted right now."""
        return self.room(function) > 0

    def room(self, function: str) -> int:
        """Tell how many environments of this function would be granted right now."""
        of_function = self._function_cap(function) - self._function_held.get(function, 0)
        return max(0, min(self.node_max - self.held, of_function))

    def held_by(self, function: str) -> int:
        """Tell how many environments a function has now."""
        return self._function_held.get(function, 0)

    def request(self, requester: Hashable, mapping: str) -> list[Hashable]:
        """Ask for one environment. Gives the requesters that are granted one now, this one or none."""
        assert requester not in self._holders
        if requester not in self._waiting:
            self._waiting[requester] = mapping
            self._mappings[mapping].waiting.append(requester)
        return self._grant()

    def give_back(self, requester: Hashable) -> list[Hashable]:
        """Take back what a requester holds or waits for; harmless when it is neither. Gives who is granted one now."""
        waiting = self._waiting.pop(requester, None)
        if waiting is not None:
            self._mappings[waiting].waiting.remove(requester)
            return []
        holding = self._holders.pop(requester, None)
        if holding is None:
            return []
        mapping = self._mappings[holding]
        mapping.held -= 1
        self.held -= 1
        self._function_held[mapping.function] -= 1
        return self._grant()

    def _grant(self) -> list[Hashable]:
        granted: list[Hashable] = []
        while self.held < self.node_max:
            name = self._next_mapping()
            if name is None:
                break
            mapping = self._mappings[name]
            requester = mapping.waiting.popleft()
            del self._waiting[requester]
            self._holders[requester] = name
            mapping.held += 1
            self.held += 1
            self._function_held[mapping.function] = self._function_held.get(mapping.function, 0) + 1
            self._turn += 1
            mapping.last_turn = self._turn
            granted.append(requester)
        return granted

    def _next_mapping(self) -> str | None:
        names = dict.fromkeys(self._waiting.values())  # in the order of asking, so that equals have an order too
        able = [name for name in names if self.has_room(self._mappings[name].function)]
        return min(able, key=lambda name: (self._mappings[name].held, self._mappings[name].last_turn), default=None)

    def _function_cap(self, function: str) -> int:
        return min(self._function_max.get(function, self.node_max), self.node_max)
