"""Virtual time: whole milliseconds and a heap of what happens when."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush


class Clock:
    """Events at one time happen in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._planned = 0
        self._heap: list[tuple[int, int, Callable[[], object]]] = []

    def after(self, delay_ms: int, act: Callable[..., object], *arguments: object) -> None:
        self._planned += 1
        heappush(self._heap, (self.now_ms + delay_ms, self._planned, partial(act, *arguments)))

    def run_until(self, end_ms: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end_ms:
            self.now_ms, _, act = heappop(heap)
            act()
        self.now_ms = end_ms
