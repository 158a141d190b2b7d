"""The three kinds of broker, under one face: what they need on the machine, which ports they like, how to make one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local_brokers import debian, kafka, rabbitmq, redis
from local_brokers.java import fetch_kafka_jars, find_java, kafka_jars_in

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / ".brokers"
KAFKA_JARS = kafka_jars_in(HOME)

Packages = list[tuple[str, ...]]


class Server(Protocol):
    """A broker in a directory and on ports of its own. Making one touches nothing; `start` does."""

    def start(self) -> None: ...
    def wait_ready(self) -> None: ...
    def answers(self) -> bool: ...
    def exports(self) -> list[tuple[str, str]]: ...
    def remove(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """One kind of broker. `variable` tells the tests where it is; `ports_preferred` has 0 for any free port."""

    name: str
    variable: str
    ports_preferred: tuple[int, ...]
    packages_missing: Callable[[], Packages]
    make: Callable[[Path, Sequence[int]], Server]


def make_kafka(directory: Path, ports: Sequence[int]) -> kafka.Kafka:
    plain, sasl, controller = ports
    return kafka.Kafka(directory, KAFKA_JARS, kafka.KafkaPorts(plain=plain, sasl=sasl, controller=controller))


def make_rabbitmq(directory: Path, ports: Sequence[int]) -> rabbitmq.RabbitMq:
    amqp, names, cluster = ports
    return rabbitmq.RabbitMq(directory, rabbitmq.RabbitMqPorts(amqp=amqp, names=names, cluster=cluster))


def make_redis(directory: Path, ports: Sequence[int]) -> redis.Redis:
    # Servers that an earlier checkout started have one port.
    return redis.Redis(directory, ports[0], ports[1] if len(ports) > 1 else 0)


def install_missing(kinds: Sequence[Kind]) -> None:
    """Install what these kinds need to run as processes of this machine, Kafka's jars included."""
    missing = [package for kind in kinds for package in kind.packages_missing()]
    if missing:
        debian.install(missing)
    if any(kind.name == "kafka" for kind in kinds):
        fetch_kafka_jars(KAFKA_JARS)


def _kafka_misses() -> Packages:
    missing: Packages = []
    if find_java() is None:
        missing.append(("openjdk-21-jre-headless", "openjdk-17-jre-headless", "default-jre-headless"))
    for program, package in (("mvn", "maven"), ("openssl", "openssl")):
        if shutil.which(program) is None:
            missing.append((package,))
    return missing


def _rabbitmq_misses() -> Packages:
    return [] if rabbitmq.installed() else [("rabbitmq-server",)]


def _redis_misses() -> Packages:
    programs = (("redis-server", "redis-server"), ("openssl", "openssl"))
    return [(package,) for program, package in programs if shutil.which(program) is None]


# In the order of starting: RabbitMQ takes longest to answer.
KINDS = (
    Kind("rabbitmq", "PENSTOCK_TEST_RABBITMQ", (rabbitmq.PORT, 0, 0), _rabbitmq_misses, make_rabbitmq),
    Kind(
        "kafka",
        "PENSTOCK_TEST_KAFKA",
        (kafka.PLAIN_PORT, kafka.SASL_PORT, kafka.CONTROLLER_PORT),
        _kafka_misses,
        make_kafka,
    ),
    Kind("redis", "PENSTOCK_TEST_REDIS", (redis.PORT, redis.TLS_PORT), _redis_misses, make_redis),
)
