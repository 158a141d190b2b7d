"""Puts the tests' helpers and the broker scripts on the path, and offers the brokers' fixtures to every test."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

_TESTS = Path(__file__).resolve().parent

for _folder in (_TESTS, _TESTS.parent / "docker"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

pytest_plugins = ["brokers.fixtures"]

# How long an example takes says more of the machine than of the code.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")
