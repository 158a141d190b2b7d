"""The kinds of broker, under one face: what they need on the machine, which ports they like, how to make one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from local_brokers import debian, kafka, rabbitmq, redis
from local_brokers.java import fetch_kafka_jars, find_java, kafka_jars_in
from local_brokers.systems import THIS_MACHINE, System, packages_missing_to_make_one, root_file_system_in

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / ".brokers"
KAFKA_JARS = kafka_jars_in(HOME)
NEWER_SYSTEM = root_file_system_in(HOME)

Packages = list[tuple[str, ...]]


class Server(Protocol):
    """A broker in a directory and on ports of its own. Making one touches nothing; `start` does.

    `exports` lists the variables by which the tests find it, all of them beginning with the one that is given.
    """

    def start(self) -> None: ...
    def wait_ready(self) -> None: ...
    def answers(self) -> bool: ...
    def exports(self, variable: str) -> list[tuple[str, str]]: ...
    def remove(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """One kind of broker. `variable` tells the tests where it is; `ports_preferred` has 0 for any free port.

    A kind that can be had `instead_of` another speaks the same protocol, and comes from `system`.
    """

    name: str
    variable: str
    ports_preferred: tuple[int, ...]
    packages_missing: Callable[[], Packages]
    make: Callable[[Path, Sequence[int]], Server]
    system: System = THIS_MACHINE
    instead_of: str = ""


def kind_named(name: str) -> Kind:
    """Return the kind of this name."""
    return next(kind for kind in KINDS if kind.name == name)


def kinds_instead_of(name: str) -> dict[str, str]:
    """List which of a broker can be had: what `make brokers` calls it, and the name of its kind."""
    others = [kind.name for kind in KINDS if kind.instead_of == name]
    return {"system": name, **{other.removeprefix(f"{name}-"): other for other in others}}


def install_missing(kinds: Sequence[Kind]) -> None:
    """Bring what these kinds need to run as processes of this machine: packages, Kafka's jars, newer programs."""
    missing = [package for kind in kinds for package in kind.packages_missing()]
    if missing:
        debian.install(dict.fromkeys(missing))
    tasks: list[Callable[[], None]] = []
    if any(kind.name == "kafka" for kind in kinds):
        tasks.append(partial(fetch_kafka_jars, KAFKA_JARS))
    if any(kind.system is NEWER_SYSTEM for kind in kinds):
        tasks.append(NEWER_SYSTEM.ensure)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def _make_kafka(directory: Path, ports: Sequence[int]) -> kafka.Kafka:
    plain, sasl, controller = ports
    return kafka.Kafka(directory, KAFKA_JARS, kafka.KafkaPorts(plain=plain, sasl=sasl, controller=controller))


def _make_rabbitmq(system: System, directory: Path, ports: Sequence[int]) -> rabbitmq.RabbitMq:
    return rabbitmq.RabbitMq(directory, rabbitmq.RabbitMqPorts(*ports), system=system)


def _make_redis(program: redis.Program, directory: Path, ports: Sequence[int]) -> redis.Redis:
    plain, tls = ports
    return redis.Redis(directory, plain, tls, program)


def _kafka_misses() -> Packages:
    missing: Packages = []
    if find_java() is None:
        missing.append(("openjdk-21-jre-headless", "openjdk-17-jre-headless", "default-jre-headless"))
    for program, package in (("mvn", "maven"), ("openssl", "openssl")):
        if shutil.which(program) is None:
            missing.append((package,))
    return missing


def _rabbitmq_misses() -> Packages:
    missing: Packages = [] if rabbitmq.installed() else [("rabbitmq-server",)]
    return missing if shutil.which("openssl") else [*missing, ("openssl",)]


def _redis_misses() -> Packages:
    programs = (("redis-server", "redis-server"), ("openssl", "openssl"))
    return [(package,) for program, package in programs if shutil.which(program) is None]


# By the name of their kind.
REDIS_PROGRAMS = {
    "redis": redis.Program(),
    "redis-8": redis.Program("redis-server", NEWER_SYSTEM),
    "valkey": redis.Program("valkey-server", NEWER_SYSTEM),
}

# In the order of starting: RabbitMQ takes longest to answer.
KINDS = (
    Kind(
        "rabbitmq",
        "PENSTOCK_TEST_RABBITMQ",
        (rabbitmq.PORT, 0, 0, rabbitmq.TLS_PORT, rabbitmq.MANAGEMENT_PORT),
        _rabbitmq_misses,
        partial(_make_rabbitmq, THIS_MACHINE),
    ),
    Kind(
        "rabbitmq-4",
        "PENSTOCK_TEST_RABBITMQ_4",
        (rabbitmq.PORT + 1000, 0, 0, rabbitmq.TLS_PORT + 1000, rabbitmq.MANAGEMENT_PORT + 1),
        packages_missing_to_make_one,
        partial(_make_rabbitmq, NEWER_SYSTEM),
        NEWER_SYSTEM,
        instead_of="rabbitmq",
    ),
    Kind(
        "kafka",
        "PENSTOCK_TEST_KAFKA",
        (kafka.PLAIN_PORT, kafka.SASL_PORT, kafka.CONTROLLER_PORT),
        _kafka_misses,
        _make_kafka,
    ),
    Kind(
        "redis",
        "PENSTOCK_TEST_REDIS",
        (redis.PORT, redis.TLS_PORT),
        _redis_misses,
        partial(_make_redis, REDIS_PROGRAMS["redis"]),
    ),
    Kind(
        "redis-8",
        "PENSTOCK_TEST_REDIS_8",
        (redis.PORT + 1, redis.TLS_PORT + 1),
        packages_missing_to_make_one,
        partial(_make_redis, REDIS_PROGRAMS["redis-8"]),
        NEWER_SYSTEM,
        instead_of="redis",
    ),
    Kind(
        "valkey",
        "PENSTOCK_TEST_VALKEY",
        (redis.PORT + 2, redis.TLS_PORT + 2),
        packages_missing_to_make_one,
        partial(_make_redis, REDIS_PROGRAMS["valkey"]),
        NEWER_SYSTEM,
        instead_of="redis",
    ),
)
# What `make brokers` starts, unless it is told to start another in the place of one.
USUAL = tuple(kind for kind in KINDS if not kind.instead_of)
