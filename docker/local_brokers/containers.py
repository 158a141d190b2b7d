"""The same brokers as containers, through `docker/compose.yaml`, where a Docker engine answers and has the images."""

# ruff: noqa: S603 - the one program started here is the user's own `docker`

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_brokers.kafka import Kafka
from local_brokers.kinds import Kind, Server
from local_brokers.process import BrokerError, say

_COMPOSE = ("docker", "compose", "--file", str(Path(__file__).resolve().parent.parent / "compose.yaml"))
_PULL_SECONDS = 300
# The order of a kind's ports, as far as its container publishes them.
_PORT_VARIABLES: Mapping[str, Sequence[str]] = {
    "kafka": ("KAFKA_PORT", "KAFKA_SASL_PORT"),
    "rabbitmq": ("RABBITMQ_PORT",),
    "rabbitmq-4": ("RABBITMQ_4_PORT",),
    "redis": ("REDIS_PORT",),
    "redis-8": ("REDIS_8_PORT",),
    "valkey": ("VALKEY_PORT",),
}


def available(kinds: Sequence[Kind]) -> bool:
    """Say whether a Docker engine answers and these brokers' images are here or can be pulled."""
    if shutil.which("docker") is None or not _succeeds("docker", "version", timeout_seconds=15):
        return False
    if not _succeeds(*_COMPOSE, "version", timeout_seconds=15):
        say("a Docker engine answers, but it has no `docker compose`; starting the brokers natively")
        return False
    say("fetching the brokers' images")
    names = [kind.name for kind in kinds]
    if not _succeeds(*_COMPOSE, "pull", "--quiet", "--policy", "missing", *names, timeout_seconds=_PULL_SECONDS):
        say("the images cannot be pulled; starting the brokers natively")
        return False
    return True


def ports_published(kind: Kind) -> int:
    """Say how many of the kind's ports its container opens; they are the first."""
    return len(_PORT_VARIABLES[kind.name])


def start(kind: Kind, server: Server, ports: Sequence[int]) -> None:
    """Start one broker's container and return when it answers.

    Raises:
        BrokerError: it did not; with what Docker said.
    """
    published = zip(_PORT_VARIABLES[kind.name], ports, strict=False)
    environment = {**os.environ, **{f"PENSTOCK_{name}": str(port) for name, port in published}}
    _compose("up", "--detach", "--wait", kind.name, environment=environment)
    if isinstance(server, Kafka):
        authority = server.certificates.authority
        authority.parent.mkdir(parents=True, exist_ok=True)
        _compose("cp", "kafka:/tmp/penstock/ca.pem", str(authority))
        server.grant_rights()


def remove(kind: Kind) -> None:
    """Stop one broker's container and remove it with its data."""
    _compose("rm", "--stop", "--force", "--volumes", kind.name)


def _compose(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [*_COMPOSE, *arguments],
        env=None if environment is None else dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BrokerError(f"docker compose {' '.join(arguments)} failed:\n{done.stderr.strip()[-2000:]}")


def _succeeds(*command: str, timeout_seconds: float) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
