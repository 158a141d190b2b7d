"""Kafka sources in trouble: what is wrong with each, what Penstock says of it, and what mends it."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from brokers import PrivateKafka, create_topic
from brokers.clients import admin, delete_topics
from brokers.fixtures import KafkaBroker, SaslListener

MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A source that does not work, and how it would."""

    topic: str
    source: Mapping[str, Any]
    """As it stands in the configuration."""
    means: str
    """What is wrong, in Penstock's words."""
    reason: str
    """A part of what the broker or its client say."""
    code: int
    """How a command that needs the source ends."""
    broker: str
    """Where its records are put from outside."""
    mend: Callable[[], object]

    def is_said_by(self, message: str) -> bool:
        """Tell whether a message is the one sentence that this trouble deserves."""
        place = f"topic '{self.topic}' on {self.source['BootstrapServers']}"
        sentence = rf"{re.escape(place)}: {re.escape(self.means)} \([^\n]*{re.escape(self.reason)}[^\n]*\)"
        return re.fullmatch(sentence, message) is not None

    @property
    def secrets(self) -> list[str]:
        """What may be seen nowhere."""
        return [self.source["Sasl"]["Password"]] if "Sasl" in self.source else []


class Troubles:
    """Makes troubles on the session's broker; what they leave there is removed on leaving."""

    def __init__(self, kafka: KafkaBroker, sasl: SaslListener, stranger_ca_file: Path, folder: Path) -> None:
        self._kafka, self._sasl, self._stranger_ca_file, self._folder = kafka, sasl, stranger_ca_file, folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def missing_topic(self) -> Trouble:
        name = self._name("absent")
        return Trouble(
            topic=name,
            source={"Type": "kafka", "BootstrapServers": self._kafka.address, "Topic": name},
            means="the topic does not exist",
            reason="Unknown topic or partition",
            code=2,
            broker=self._kafka.address,
            mend=lambda: self._create(name),
        )

    def closed_port(self) -> Trouble:
        private = PrivateKafka()
        self._stack.callback(private.remove)
        return Trouble(
            topic="orders",
            source={"Type": "kafka", "BootstrapServers": private.address, "Topic": "orders"},
            means="no broker answers",
            reason=f"Connect to ipv4#{private.address} failed: Connection refused",
            code=3,
            broker=private.address,
            mend=lambda: (self._stack.enter_context(private), create_topic(private.address, "orders")),
        )

    def unknown_authority(self) -> Trouble:
        name = self._create(self._name("acl-stranger"))
        ca_file = self._folder / f"{name}.pem"
        shutil.copy(self._stranger_ca_file, ca_file)
        return Trouble(
            topic=name,
            source=self.secured(name, ca_file=ca_file),
            means="the TLS handshake failed",
            reason="certificate verify failed",
            code=2,
            broker=self._kafka.address,
            mend=lambda: shutil.copy(self._sasl.ca_file, ca_file),
        )

    def wrong_password(self) -> Trouble:
        name = self._create(self._name("acl-password"))
        user, password = self._name("user"), uuid.uuid4().hex
        self.allow(user, topic=name, groups="acl-")
        self._set_password(user, "another-one")
        self._stack.callback(self._remove_user, user)
        return Trouble(
            topic=name,
            source=self.secured(name, user=user, password=password),
            means="the broker refused the credentials",
            reason=f"invalid credentials with SASL mechanism {MECHANISM}",
            code=2,
            broker=self._kafka.address,
            mend=lambda: self._set_password(user, password),
        )

    def missing_right(self) -> Trouble:
        name = self._create(self._name("closed"))
        return Trouble(
            topic=name,
            source=self.secured(name),
            means="the user has no right to this topic",
            reason="Topic authorization failed; the user is 'reader'",
            code=2,
            broker=self._kafka.address,
            mend=lambda: self.allow("reader", topic=name),
        )

    def secured(
        self, topic: str, *, user: str = "reader", password: str | None = None, ca_file: Path | None = None
    ) -> dict[str, Any]:
        """A source on the listener with SASL over TLS."""
        return {
            "Type": "kafka",
            "BootstrapServers": self._sasl.address,
            "Topic": topic,
            "Sasl": {"Mechanism": MECHANISM, "Username": user, "Password": password or self._sasl.passwords[user]},
            "Tls": {"CaFile": str(ca_file or self._sasl.ca_file)},
        }

    def allow(self, user: str, *, topic: str, groups: str = "") -> None:
        """Give a user READ on a topic, and on the groups that begin so."""
        self._allow(user, ResourceType.TOPIC, topic, ResourcePatternType.LITERAL)
        if groups:
            self._allow(user, ResourceType.GROUP, groups, ResourcePatternType.PREFIXED)

    def _allow(self, user: str, kind: ResourceType, name: str, pattern: ResourcePatternType) -> None:
        client, entry = admin(self._kafka.address), (f"User:{user}", "*", AclOperation.READ, AclPermissionType.ALLOW)
        right = AclBinding(kind, name, pattern, *entry)
        client.create_acls([right])[right].result(timeout=10)
        taken = AclBindingFilter(kind, name, pattern, *entry)
        self._stack.callback(lambda: client.delete_acls([taken])[taken].result(timeout=10))

    def _set_password(self, user: str, password: str) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        self._change_user(user, change)

    def _remove_user(self, user: str) -> None:
        change = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
        self._change_user(user, change)

    def _change_user(self, user: str, change: UserScramCredentialUpsertion | UserScramCredentialDeletion) -> None:
        client = admin(self._kafka.address)  # it has to live until the broker has answered
        client.alter_user_scram_credentials([change])[user].result(timeout=10)

    def _create(self, name: str) -> str:
        create_topic(self._kafka.address, name)
        self._stack.callback(delete_topics, self._kafka.address, [name])
        return name

    def _name(self, prefix: str) -> str:
        return f"{prefix}-{uuid.uuid4().hex[:12]}"
