"""A real Apache Kafka in one process: KRaft, a plain listener, and one with SASL over TLS."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_brokers import kafka_wire
from local_brokers.certificates import Certificates
from local_brokers.java import JAVA_VERSION_MIN, find_java
from local_brokers.process import BrokerError, ServerProcess, run

PLAIN_PORT, SASL_PORT, CONTROLLER_PORT = 9092, 9093, 9094
PASSWORDS = {"admin": "admin-secret", "reader": "reader-secret"}
READER_PREFIX = "acl-"
_HOST = "127.0.0.1"
_STARTS_WITHIN_SECONDS = 90

_RIGHTS = (
    kafka_wire.ReadRight("User:reader", READER_PREFIX),
    kafka_wire.ReadRight("User:reader", READER_PREFIX, on_groups=True),
)

_LOG4J = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c{1})%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


@dataclass(frozen=True)
class KafkaPorts:
    """The ports on 127.0.0.1; `sasl` is 0 for a broker without the listener with SASL over TLS."""

    plain: int
    controller: int
    sasl: int = 0


@dataclass
class Kafka:
    """One broker in a directory of its own. Its data stay there over a restart, and its ports stay the same."""

    directory: Path
    jars: Path
    ports: KafkaPorts
    overrides: Mapping[str, str] = field(default_factory=dict)
    heap: str = "768m"

    def __post_init__(self) -> None:
        self.process = ServerProcess("Kafka", self.directory)
        self.certificates = Certificates(self.directory / "tls")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.plain}"

    @property
    def sasl_address(self) -> str:
        return f"127.0.0.1:{self.ports.sasl}"

    def start(self) -> None:
        """Start the broker and return at once; `wait_ready` says when it can be used."""
        self._prepare()
        self.process.start(self._java("kafka.Kafka", str(self._properties_file)))

    def wait_ready(self) -> None:
        """Return when the broker handles requests and its users have their rights."""
        self.process.wait_until(self.answers, timeout_seconds=_STARTS_WITHIN_SECONDS)
        if self.ports.sasl:
            self.grant_rights()

    def answers(self) -> bool:
        """Say whether the broker handles requests."""
        return kafka_wire.answers(_HOST, self.ports.plain)

    def exports(self, variable: str) -> list[tuple[str, str]]:
        """List the variables by which the tests find the broker and its users."""
        return [
            (variable, self.address),
            (f"{variable}_SASL", self.sasl_address),
            (f"{variable}_CA", str(self.certificates.authority)),
            *[(f"{variable}_{user.upper()}_PASSWORD", password) for user, password in PASSWORDS.items()],
        ]

    def grant_rights(self) -> None:
        """Give the users of the SASL listener what they may do."""
        kafka_wire.grant(_HOST, self.ports.plain, _RIGHTS)

    def remove(self) -> None:
        """Stop the broker and remove everything it wrote."""
        self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.ports.sasl:
            self.certificates.ensure()
        (self.directory / "log4j2.properties").write_text(_LOG4J)
        properties = {**self._properties(), **self.overrides}
        self._properties_file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        if not (self._data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        users = [
            f"{mechanism}=[name={user},password={password}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for user, password in PASSWORDS.items()
            if self.ports.sasl
        ]
        scram = [argument for user in users for argument in ("--add-scram", user)]
        arguments = ["format", "--standalone", "-t", "cGVuc3RvY2stdGVzdHMtMQ", "-c", str(self._properties_file), *scram]
        run(self._java("kafka.tools.StorageTool", *arguments), what="formatting Kafka's data directory")

    def _java(self, main: str, *arguments: str) -> list[str]:
        java = find_java()
        if java is None:
            raise BrokerError(f"Kafka needs Java {JAVA_VERSION_MIN} or later, and there is none on this machine")
        options = [
            f"-Xmx{self.heap}",
            # A test broker lives for minutes: starting fast is worth more than the last optimisation.
            *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true"),
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}",
        ]
        return [str(java), *options, "-cp", f"{self.jars}/*", main, *arguments]

    def _properties(self) -> dict[str, str]:
        listeners = [f"PLAINTEXT://127.0.0.1:{self.ports.plain}"]
        if self.ports.sasl:
            listeners.append(f"SASL_SSL://127.0.0.1:{self.ports.sasl}")
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.ports.controller}",
            "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{self.ports.controller}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._data),
            **_SINGLE_NODE,
        }
        if self.ports.sasl:
            properties |= _security(self.certificates)
        return properties


# `auto.create.topics.enable` is deliberately left at Kafka's default, true: the tests prove that nothing of ours
# creates a topic by accident, which a broker that creates none could not show.
_SINGLE_NODE = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}


def _security(certificates: Certificates) -> dict[str, str]:
    plain_users = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
    module = "org.apache.kafka.common.security"
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required {plain_users};",
        **{
            f"listener.name.sasl_ssl.{mechanism}.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;"
            for mechanism in ("scram-sha-256", "scram-sha-512")
        },
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",
    }
