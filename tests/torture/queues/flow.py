"""What is sent while nodes are tortured, and what has to become of each message."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from harness.orders import Order

from torture.queues.kinds import Sending
from torture.queues.project import Mapping

TURN_S = 0.1
MESSAGES_PER_TURN = 4
MESSAGES_PER_SURGE = 100
"""More than nodes run at once, so that they hold some that wait."""
KEYS = 20
"""On a FIFO queue each is a message group."""
FAILURES_MAX = 2
"""As often a message that can be done may fail; a node that dies may use up one more receive of those it has."""

Fate = Literal["done", "poison"]

_WAYS = ("report", "report", "later:0.3", "raise", "exit", "hang")
_ODDS = (30, 30, 25, 10, 4, 1)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is on its queue."""

    fate: Fate
    body: bytes
    sent_s: float
    """Before it was sent, by the machine's monotonic clock."""


class Flow:
    """Sends to all queues, turn after turn, from one seed. The numbers of a key count up."""

    def __init__(self, mappings: list[Mapping], seed: int) -> None:
        self.sent: dict[str, dict[Order, Sent]] = defaultdict(dict)
        """By mapping."""
        self._mappings = mappings
        self._chances = {mapping.name: random.Random(f"{seed} {mapping.name}") for mapping in mappings}
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    @property
    def count(self) -> int:
        """How many messages were sent."""
        return sum(map(len, list(self.sent.values())))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send in the background; whatever was begun is sent when this ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
        if self._error is not None:
            raise self._error

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing meanwhile: of what is sent while a broker goes down, nobody knows whether it is there."""
        with self._turn:
            yield

    def surge(self) -> None:
        """Send many at once, and return when they are on their queues."""
        for mapping in self._mappings:
            with self._turn:
                mapping.kind.send(mapping.name, self._messages(mapping, MESSAGES_PER_SURGE))

    def _run(self) -> None:
        try:
            while not self._stop.wait(TURN_S):
                for mapping in self._mappings:
                    with self._turn:
                        mapping.kind.send(mapping.name, self._messages(mapping, MESSAGES_PER_TURN))
        except BaseException as error:  # noqa: BLE001 - whoever waits for the flow hears of it
            self._error = error

    def _messages(self, mapping: Mapping, count: int) -> list[Sending]:
        sent, chance = self.sent[mapping.name], self._chances[mapping.name]
        sending: list[Sending] = []
        for place in range(len(sent), len(sent) + count):
            key, number = f"key-{place % KEYS}", place // KEYS
            value: dict[str, object] = {"key": key, "number": number}
            fate = self._plan(value, chance)
            body = json.dumps(value).encode()
            sent[key, number] = Sent(fate, body, time.monotonic())
            if not mapping.kind.is_fifo:
                sending.append(Sending(body))
                continue
            is_twice = chance.random() < 0.02
            one = Sending(body, key, f"{key}-{number}" if is_twice else None)
            # Sent twice under one deduplication id, it is one message.
            sending += [one, one] if is_twice else [one]
        return sending

    def _plan(self, value: dict[str, object], chance: random.Random) -> Fate:
        luck = chance.random()
        if luck < 0.008:
            value["plan"] = chance.choices(_WAYS, _ODDS)
            return "poison"
        if luck < 0.04:
            value["plan"] = [*chance.choices(_WAYS, _ODDS, k=chance.randint(1, FAILURES_MAX)), "return"]
        elif luck < 0.045:
            value["plan"] = ["sleep:0.3"]
        return "done"
