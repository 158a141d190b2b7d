"""How a run of a node is ended, at some moment, and what it has said until then. Streams and queues share it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness import Node

ALIVE_MS = (0, 3000)
"""How long after it has started a run of the node is ended."""
EARLY_PART, EARLY_MS = 0.2, (50, 1200)
"""Some are killed so long after their process began, wherever that finds them."""
ORDERLY_PART = 0.1
"""Some are asked to end instead, and drain."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Strike:
    """When and how a run of a node is ended; `after_s` counts from its start, or from that of its process."""

    after_s: float
    is_early: bool
    is_orderly: bool

    @classmethod
    def draw(cls, chance: random.Random, *, orderly_part: float = ORDERLY_PART) -> Strike:
        """Let chance decide."""
        is_early, is_orderly = chance.random() < EARLY_PART, chance.random() < orderly_part
        after_s = chance.randint(*(EARLY_MS if is_early else ALIVE_MS)) / 1000
        return cls(after_s, is_early, is_orderly and not is_early)

    def await_moment(self, node: Node) -> None:
        """Return when it is time; the node must run by then."""
        if not self.is_early:
            node.wait_log("node started", timeout_seconds=60)
        # This is the torture: nothing is waited for.
        time.sleep(self.after_s)
        assert node.is_running, f"the node has ended by itself:\n{node.stderr()[-4000:]}"

    def end(self, node: Node) -> None:
        """End it, and see that it is gone; what drains has to end well."""
        if not self.is_orderly:
            node.kill()
            return
        node.terminate()
        code = node.wait()
        assert code == 0, f"the node ended with {code}:\n{node.stderr()[-4000:]}"

    def __str__(self) -> str:
        how, when = "ended" if self.is_orderly else "killed", "its process began" if self.is_early else "it had started"
        return f"{how} {self.after_s:.2f} s after {when}"


def internal_errors(node: Node) -> list[str]:
    """List what a run of the node said of bugs of its own."""
    found = [line for line in node.log() if "exception" in line or "internal error" in str(line.get("reason"))]
    return [f"{node.name} said: {line}" for line in found]
