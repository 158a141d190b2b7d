"""One planted bug."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One piece of a core module's source, and what takes its place."""

    bug: str
    world: str
    module: str
    right: str
    wrong: str
