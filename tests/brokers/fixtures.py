"""The fixtures. A broker that is missing makes a test fail, never pass unseen."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from local_brokers import fleet, kafka_wire
from local_brokers.certificates import make_authority
from local_brokers.kafka import PASSWORDS
from local_brokers.kinds import KINDS
from local_brokers.process import BrokerError

from brokers.clients import create_topic, delete_topics
from brokers.private_kafka import PrivateKafka
from brokers.private_redis import PrivateRedis


@dataclass(frozen=True)
class KafkaBroker:
    """The session's Kafka, whose plain listener allows everything."""

    address: str


@dataclass(frozen=True)
class SaslListener:
    """A listener with SASL over TLS. `reader` may READ topics and groups that begin with `acl-`; `admin` everything."""

    address: str
    ca_file: Path
    passwords: Mapping[str, str]

    def client_config(self, user: str = "reader", mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """What librdkafka wants to know to connect here."""
        return {
            "bootstrap.servers": self.address,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": self.passwords[user],
            "ssl.ca.location": str(self.ca_file),
        }


@dataclass(frozen=True)
class RedisBroker:
    """The session's Redis, which asks nobody who they are."""

    url: str


@dataclass(frozen=True)
class SecuredRedis:
    """A Redis with users over TLS. `limited` may do what the plugin needs to keys that begin with `acl-`."""

    url: str
    ca_file: Path
    passwords: Mapping[str, str]


class MakeTopic(Protocol):
    def __call__(
        self, *, partitions: int = 1, prefix: str = "test", config: Mapping[str, str] | None = None
    ) -> str: ...


class MakePrivateKafka(Protocol):
    def __call__(self, *, sasl: bool = False, config: Mapping[str, str] | None = None) -> PrivateKafka: ...


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    """The Kafka that `PENSTOCK_TEST_KAFKA` names, else that of `make brokers`, which is started if it is not up."""
    given = os.environ.get("PENSTOCK_TEST_KAFKA")
    if given:
        if not kafka_wire.answers(*_host_and_port(given)):
            pytest.fail(f"PENSTOCK_TEST_KAFKA names {given}, where no Kafka answers")
        yield KafkaBroker(given)
        return
    kinds = [kind for kind in KINDS if kind.name == "kafka"]
    try:
        started = fleet.up(kinds)
    except BrokerError as error:
        pytest.fail(f"there is no Kafka to test against: {error}")
    try:
        yield KafkaBroker(dict(fleet.exports(kinds))["PENSTOCK_TEST_KAFKA"])
    finally:
        fleet.down(started)


@pytest.fixture(scope="session")
def kafka_sasl(kafka: KafkaBroker) -> Iterator[SaslListener]:
    """The SASL listener of the session's Kafka; where that was given without one, a private broker's."""
    found = {**dict(fleet.exports()), **os.environ}
    if "PENSTOCK_TEST_KAFKA_SASL" in found and found["PENSTOCK_TEST_KAFKA"] == kafka.address:
        passwords = {user: found[f"PENSTOCK_TEST_KAFKA_{user.upper()}_PASSWORD"] for user in PASSWORDS}
        yield SaslListener(found["PENSTOCK_TEST_KAFKA_SASL"], Path(found["PENSTOCK_TEST_KAFKA_CA"]), passwords)
        return
    with PrivateKafka(sasl=True) as private:
        yield SaslListener(private.sasl_address, private.ca_file, private.passwords)


@pytest.fixture(scope="session")
def stranger_ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of an authority that has signed nothing of ours."""
    folder = tmp_path_factory.mktemp("stranger")
    make_authority("A stranger", folder / "ca.pem", folder / "ca.key")
    return folder / "ca.pem"


@pytest.fixture
def topic(kafka: KafkaBroker) -> Iterator[MakeTopic]:
    """Makes topics of unique names, which are deleted after the test."""
    made: list[str] = []

    def make(*, partitions: int = 1, prefix: str = "test", config: Mapping[str, str] | None = None) -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        made.append(name)
        create_topic(kafka.address, name, partitions=partitions, config=config)
        return name

    yield make
    delete_topics(kafka.address, made)


@pytest.fixture
def private_kafka() -> Iterator[Callable[..., PrivateKafka]]:
    """Starts brokers that the test may break; they are gone after it."""
    with ExitStack() as stack:

        def start(*, sasl: bool = False, config: Mapping[str, str] | None = None) -> PrivateKafka:
            return stack.enter_context(PrivateKafka(sasl=sasl, config=config))

        yield start


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisBroker]:
    """The Redis that `PENSTOCK_TEST_REDIS` names, else that of `make brokers`, which is started if it is not up."""
    given = os.environ.get("PENSTOCK_TEST_REDIS")
    if given:
        yield RedisBroker(given)
        return
    kinds = [kind for kind in KINDS if kind.name == "redis"]
    try:
        started = fleet.up(kinds)
    except BrokerError as error:
        pytest.fail(f"there is no Redis to test against: {error}")
    try:
        yield RedisBroker(dict(fleet.exports(kinds))["PENSTOCK_TEST_REDIS"])
    finally:
        fleet.down(started)


@pytest.fixture(scope="session")
def redis_tls(redis: RedisBroker) -> Iterator[SecuredRedis]:
    """The session's Redis with users over TLS; where none was given, a private one."""
    found = {**dict(fleet.exports()), **os.environ}
    if "PENSTOCK_TEST_REDIS_TLS" in found and found["PENSTOCK_TEST_REDIS"] == redis.url:
        passwords = {user: found[f"PENSTOCK_TEST_REDIS_{user.upper()}_PASSWORD"] for user in PrivateRedis.passwords}
        yield SecuredRedis(found["PENSTOCK_TEST_REDIS_TLS"], Path(found["PENSTOCK_TEST_REDIS_CA"]), passwords)
        return
    with PrivateRedis(persistent=False, tls=True) as private:
        yield SecuredRedis(private.url, private.ca_file, private.passwords)


@pytest.fixture
def private_redis() -> Iterator[Callable[..., PrivateRedis]]:
    """Starts servers that the test may break; they are gone after it."""
    with ExitStack() as stack:

        def start(
            *, persistent: bool = True, tls: bool = False, config: Mapping[str, str] | None = None
        ) -> PrivateRedis:
            return stack.enter_context(PrivateRedis(persistent=persistent, tls=tls, config=config))

        yield start


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.partition(",")[0].rpartition(":")
    return host, int(port)
