"""A Kafka that belongs to one test, which may break it."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from local_brokers.kafka import PASSWORDS, Kafka, KafkaPorts
from local_brokers.kinds import KAFKA_JARS, KINDS, install_missing
from local_brokers.process import pick_ports

# A broker that was killed is let in again only when its earlier session has run out: 9 s by Kafka's default.
_QUICK_RETURN = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


class PrivateKafka:
    """A broker with a data directory and ports of its own; both stay the same when it is stopped and started again.

        with PrivateKafka(config={"offset.metadata.max.bytes": "64"}) as kafka:
            kafka.kill()
            kafka.start()
            kafka.wait_ready()

    Entering starts it and waits until it answers; leaving ends it and removes its data.
    """

    passwords = PASSWORDS

    def __init__(self, *, sasl: bool = False, config: Mapping[str, str] | None = None) -> None:
        plain, controller, sasl_port = pick_ports(0, 0, 0)
        self._directory = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
        self._config = {**_QUICK_RETURN, **(config or {})}
        self._kafka = Kafka(
            self._directory,
            KAFKA_JARS,
            KafkaPorts(plain=plain, controller=controller, sasl=sasl_port if sasl else 0),
            overrides=self._config,
            heap="384m",
        )

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

    @property
    def pid(self) -> int | None:
        return self._kafka.process.pid()

    def configure(self, config: Mapping[str, str]) -> None:
        """Set properties of the broker, which it reads when it is started next."""
        self._config.update(config)

    def start(self) -> None:
        """Start the broker, if it is not running, and return at once."""
        if self.pid is None:
            self._kafka.start()

    def wait_ready(self) -> None:
        """Return when the broker handles requests."""
        self._kafka.wait_ready()

    def stop(self) -> None:
        """End the broker in order, as an operator does, and return when it is gone."""
        self._kafka.process.stop()

    def kill(self) -> None:
        """End the broker by SIGKILL."""
        self._kafka.process.kill()

    def freeze(self) -> None:
        """Stop the broker in its tracks: connections stay open and nothing answers, until `thaw`."""
        self._kafka.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._kafka.process.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        install_missing([kind for kind in KINDS if kind.name == "kafka"])
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """End the broker at once and remove its data."""
        self._kafka.process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
