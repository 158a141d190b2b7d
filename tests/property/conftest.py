"""How long Hypothesis searches: bounded, and in CI the same examples each time."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("bounded", deadline=None, max_examples=100, stateful_step_count=40)
settings.register_profile("ci", settings.get_profile("bounded"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "bounded")
