"""Debian packages for what the native brokers need, installed without starting a service of the system's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_brokers.process import BrokerError, run, say

_POLICY = Path("/usr/sbin/policy-rc.d")
_START_NO_SERVICE = "#!/bin/sh\nexit 101\n"


def install(alternatives: Iterable[tuple[str, ...]]) -> None:
    """Install one package of each tuple: the first that this release of Debian has.

    Raises:
        BrokerError: the machine has no apt, or we are not root.
    """
    wanted = list(alternatives)
    names = " ".join(choices[0] for choices in wanted)
    if shutil.which("apt-get") is None:
        raise BrokerError(f"install what these packages of Debian hold, then try again: {names}")
    if os.geteuid() != 0:
        raise BrokerError(f"run this once as root, or try again after: sudo apt-get install {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    say(f"installing with apt-get: {names}")
    run(["apt-get", "update", "-qq"], what="apt-get update", environment=environment)
    chosen = [_first_known(choices) for choices in wanted]
    with _no_service_starts():
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *chosen],
            what=f"apt-get install {' '.join(chosen)}",
            environment=environment,
        )


def _first_known(choices: tuple[str, ...]) -> str:
    for choice in choices[:-1]:
        if "Candidate: (none)" not in (policy := run(["apt-cache", "policy", choice], what="apt-cache")) and policy:
            return choice
    return choices[-1]


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep the packages from starting a broker as a service: ours runs on its own ports with its own data."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_START_NO_SERVICE)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
