"""The fixtures. A broker that is missing makes a test fail, never pass unseen."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from local_brokers import fleet, kafka_wire
from local_brokers.certificates import make_authority
from local_brokers.kafka import PASSWORDS
from local_brokers.kinds import kind_named
from local_brokers.process import BrokerError
from local_brokers.rabbitmq import PASSWORDS as RABBITMQ_PASSWORDS

from brokers.clients import create_topic, delete_topics
from brokers.generations import PrivateRedisOf
from brokers.private_kafka import PrivateKafka
from brokers.private_rabbitmq import PrivateRabbitMq
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


@dataclass(frozen=True)
class RabbitMqBroker:
    """The session's RabbitMQ; `url` names the user `guest`, who may do everything.

    `management` is the address of its HTTP API, where its management plugin runs, for the same users.
    """

    url: str
    management: str


@dataclass(frozen=True)
class SecuredRabbitMq:
    """A listener over TLS. `admin` may do everything, `limited` read and write but not configure.

    `client_files` are the certificate and the key of a user without a password, `certified`, who may do everything.
    """

    url: str
    ca_file: Path
    client_files: tuple[Path, Path]
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
    with _found("kafka") as addresses:
        address = addresses["PENSTOCK_TEST_KAFKA"]
        if not kafka_wire.answers(*_host_and_port(address)):
            pytest.fail(f"PENSTOCK_TEST_KAFKA names {address}, where no Kafka answers")
        yield KafkaBroker(address)


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
def redis_generation() -> str:
    """Which Redis the fixtures are of; a folder whose tests are to run on several overrides this with parameters."""
    return "redis"


@pytest.fixture(scope="session")
def redis(redis_generation: str) -> Iterator[RedisBroker]:
    """The Redis that `PENSTOCK_TEST_REDIS` names, else that of `make brokers`, which is started if it is not up.

    Of another generation: `PENSTOCK_TEST_REDIS_8`, `PENSTOCK_TEST_VALKEY`.
    """
    with _found(redis_generation) as addresses:
        yield RedisBroker(addresses[kind_named(redis_generation).variable])


@pytest.fixture(scope="session")
def redis_tls(redis: RedisBroker, redis_generation: str) -> Iterator[SecuredRedis]:
    """The session's Redis with users over TLS; where none was given, a private one."""
    variable = kind_named(redis_generation).variable
    found = {**dict(fleet.exports()), **os.environ}
    if f"{variable}_TLS" in found and found[variable] == redis.url:
        passwords = {user: found[f"{variable}_{user.upper()}_PASSWORD"] for user in PrivateRedis.passwords}
        yield SecuredRedis(found[f"{variable}_TLS"], Path(found[f"{variable}_CA"]), passwords)
        return
    with PrivateRedisOf(redis_generation, persistent=False, tls=True) as private:
        yield SecuredRedis(private.url, private.ca_file, private.passwords)


@pytest.fixture
def private_redis(redis_generation: str) -> Iterator[Callable[..., PrivateRedis]]:
    """Starts servers that the test may break; they are gone after it."""
    with ExitStack() as stack:

        def start(
            *, persistent: bool = True, tls: bool = False, config: Mapping[str, str] | None = None
        ) -> PrivateRedis:
            private = PrivateRedisOf(redis_generation, persistent=persistent, tls=tls, config=config)
            return stack.enter_context(private)

        yield start


@pytest.fixture(scope="session")
def rabbitmq_generation() -> str:
    """Which RabbitMQ the fixtures are of; a folder whose tests are to run on both overrides this with parameters."""
    return "rabbitmq"


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_generation: str) -> Iterator[RabbitMqBroker]:
    """The RabbitMQ that `PENSTOCK_TEST_RABBITMQ` (or `…_4`) names, else that of `make brokers`, started if not up."""
    variable = kind_named(rabbitmq_generation).variable
    with _found(rabbitmq_generation) as addresses:
        yield RabbitMqBroker(addresses[variable], addresses.get(f"{variable}_MANAGEMENT", ""))


@pytest.fixture(scope="session")
def rabbitmq_tls(rabbitmq: RabbitMqBroker, rabbitmq_generation: str) -> Iterator[SecuredRabbitMq]:
    """The TLS listener of the session's RabbitMQ; where that was given without one, a private broker's."""
    variable = kind_named(rabbitmq_generation).variable
    found = {**dict(fleet.exports()), **os.environ}
    if f"{variable}_TLS" in found and found[variable] == rabbitmq.url:
        files = (Path(found[f"{variable}_CLIENT_CERTIFICATE"]), Path(found[f"{variable}_CLIENT_KEY"]))
        passwords = {user: found[f"{variable}_{user.upper()}_PASSWORD"] for user in RABBITMQ_PASSWORDS}
        yield SecuredRabbitMq(found[f"{variable}_TLS"], Path(found[f"{variable}_CA"]), files, passwords)
        return
    with PrivateRabbitMq(generation=rabbitmq_generation, tls=True) as private:
        yield SecuredRabbitMq(private.tls_url, private.ca_file, private.client_files, private.passwords)


@pytest.fixture
def private_rabbitmq(rabbitmq_generation: str) -> Iterator[Callable[..., PrivateRabbitMq]]:
    """Starts brokers that the test may break; they are gone after it."""
    with ExitStack() as stack:

        def start(
            *, tls: bool = False, management: bool = False, config: Mapping[str, str] | None = None
        ) -> PrivateRabbitMq:
            private = PrivateRabbitMq(generation=rabbitmq_generation, tls=tls, management=management, config=config)
            return stack.enter_context(private)

        yield start


@contextmanager
def _found(name: str) -> Iterator[Mapping[str, str]]:
    """Say where the broker of this kind is: as the environment says, else as started by us, now if it is not up."""
    kind = kind_named(name)
    if os.environ.get(kind.variable):
        yield os.environ
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(fleet.borrowed([kind]))
        except BrokerError as error:
            pytest.fail(f"there is no {name} to test against: {error}")
        yield dict(fleet.exports([kind]))


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.partition(",")[0].rpartition(":")
    return host, int(port)
