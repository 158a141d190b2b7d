"""What is written while the node is tortured, and what has to become of each record."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from harness.orders import Order

from brokers import Produced, produce
from torture.project import AGE_S, ORDERS, PARTITIONS, RETRIES, TICKS, TortureProject

TURN_S = 0.1
ORDERS_PER_TURN = 25
TICKS_PER_TURN = 10
KEYS = 100
FILLING = "x" * 20_000
"""More than a document with its payload may have on the topics for documents."""

Fate = Literal["done", "poison", "old"]

_WAYS = ("raise", "report", "exit")


class Flow:
    """Writes to both sources, turn after turn, from one seed. A key has one partition, and its numbers count up."""

    def __init__(self, project: TortureProject, seed: int) -> None:
        self.fates: dict[Order, Fate] = {}
        self.ticks: list[tuple[int, int, int]] = []
        """Of each record that windows count: its partition, its time in milliseconds and its number."""
        self.written = 0
        self._project = project
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write in the background; whatever was begun is written when this ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.wait(TURN_S):
                produce(self._project.address, self._project.topic(ORDERS), self._orders())
                produce(self._project.address, self._project.topic(TICKS), self._ticks())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the flow hears of it
            self._error = error

    def _orders(self) -> list[Produced]:
        return [self._order(place) for place in range(self.written, self.written + ORDERS_PER_TURN)]

    def _order(self, place: int) -> Produced:
        key, number = f"key-{place % KEYS}", place // KEYS
        value: dict[str, object] = {"key": key, "number": number}
        fate, timestamp_ms, luck = "done", 0, self._chance.random()
        if luck < 0.006:
            fate, value["plan"] = "poison", [self._chance.choice(_WAYS)]
            if luck < 0.002:
                value["filling"] = FILLING
        elif luck < 0.03:
            # As often as it may fail without being given up.
            value["plan"] = [*self._chance.choices(_WAYS, k=self._chance.randint(1, RETRIES)), "return"]
        elif luck < 0.035:
            value["plan"] = ["sleep:0.3"]
        elif luck < 0.04:
            fate, timestamp_ms = "old", int((time.time() - 2 * AGE_S) * 1000)
        self.fates[key, number] = fate  # type: ignore[assignment] # a literal, chosen above
        self.written = place + 1
        return Produced(
            json.dumps(value).encode(), key=key.encode(), partition=place % KEYS % PARTITIONS, timestamp_ms=timestamp_ms
        )

    def _ticks(self) -> list[Produced]:
        made = []
        for _ in range(TICKS_PER_TURN):
            number, now_ms = len(self.ticks), int(time.time() * 1000)
            value: dict[str, object] = {"key": "tick", "number": number}
            if self._chance.random() < 0.01:
                value["plan"] = [self._chance.choice(_WAYS), "return"]
            self.ticks.append((number % PARTITIONS, now_ms, number))
            made.append(Produced(json.dumps(value).encode(), partition=number % PARTITIONS, timestamp_ms=now_ms))
        return made
