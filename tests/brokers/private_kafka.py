"""A Kafka that belongs to one test, which may break it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from local_brokers.kafka import PASSWORDS, Kafka, KafkaPorts
from local_brokers.kinds import KAFKA_JARS, install_missing, kind_named
from local_brokers.process import pick_ports

from brokers.private_server import PrivateServer

# A broker that was killed is let in again only when its earlier session has run out: 9 s by Kafka's default.
_QUICK_RETURN = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


class PrivateKafka(PrivateServer):
    """A Kafka with properties of its own: `PrivateKafka(config={"offset.metadata.max.bytes": "64"})`."""

    passwords = PASSWORDS

    def __init__(self, *, sasl: bool = False, config: Mapping[str, str] | None = None) -> None:
        plain, controller, sasl_port = pick_ports(0, 0, 0)
        directory = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
        self._config = {**_QUICK_RETURN, **(config or {})}
        self._kafka = Kafka(
            directory,
            KAFKA_JARS,
            KafkaPorts(plain=plain, controller=controller, sasl=sasl_port if sasl else 0),
            overrides=self._config,
            heap="384m",
        )
        super().__init__(self._kafka, directory, partial(install_missing, [kind_named("kafka")]))

    @property
    def address(self) -> str:
        return self._kafka.address

    @property
    def sasl_address(self) -> str:
        assert self._kafka.ports.sasl, "this broker was made without sasl=True"
        return self._kafka.sasl_address

    @property
    def ca_file(self) -> Path:
        return self._kafka.certificates.authority

    def configure(self, config: Mapping[str, str]) -> None:
        """Set properties of the broker, which it reads when it is started next."""
        self._config.update(config)
