"""What the mappings of a node share."""

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from penstock.shell.budget import Budget
from penstock.shell.deliveries import Deliveries
from penstock.shell.environments import Environments
from penstock.shell.logs import Log
from penstock.shell.message_runs import MessageRuns
from penstock.shell.window_states import WindowStates


def make_request_ids() -> Iterator[str]:
    """Make the ids that functions see, one after another."""
    while True:
        yield str(uuid.uuid4())


def make_jitter() -> Callable[[], float]:
    """Make the chance of every back-off: a number between -1 and 1."""
    return lambda: random.uniform(-1, 1)  # noqa: S311 - spreads retries, guards nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One per node. Chance and names come from here, so that a simulation can give its own.

    Without `states` no window's state can be kept, and shards that need one wait and say so. `runs` is needed where a
    queue does not count.
    """

    environments: Environments
    budget: Budget
    log: Log
    log_level: str
    deliveries: Deliveries = field(default_factory=Deliveries)
    states: WindowStates | None = None
    runs: MessageRuns | None = None
    jitter: Callable[[], float] = field(default_factory=make_jitter)
    request_ids: Iterator[str] = field(default_factory=make_request_ids)
