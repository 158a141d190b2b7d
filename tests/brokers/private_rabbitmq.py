"""A RabbitMQ that belongs to one test, which may break it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from local_brokers.kinds import install_missing, kind_named
from local_brokers.process import pick_ports
from local_brokers.rabbitmq import CERTIFIED_USER, PASSWORDS, RabbitMq, RabbitMqPorts

from brokers.private_server import PrivateServer


class PrivateRabbitMq(PrivateServer):
    """A broker with a directory and ports of its own; both stay the same when it is stopped and started again.

        with PrivateRabbitMq(config={"consumer_timeout": "5000"}) as rabbitmq:
            rabbitmq.kill()
            rabbitmq.start()
            rabbitmq.wait_ready()

    `generation` is the broker to start: `rabbitmq` (what this machine's packages hold) or `rabbitmq-4`. `config` are
    lines of `rabbitmq.conf`. Entering starts it and waits until it answers; leaving ends it and removes its data.
    """

    passwords = PASSWORDS

    def __init__(
        self,
        *,
        generation: str = "rabbitmq",
        tls: bool = False,
        management: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> None:
        kind = kind_named(generation)
        directory = Path(tempfile.mkdtemp(prefix="penstock-rabbitmq-"))
        amqp, names, cluster, tls_port, management_port = pick_ports(0, 0, 0, 0, 0)
        ports = RabbitMqPorts(amqp, names, cluster, tls_port if tls else 0, management_port if management else 0)
        self._rabbitmq = RabbitMq(directory, ports, config=dict(config or {}), system=kind.system)
        super().__init__(self._rabbitmq, directory, partial(install_missing, [kind]))

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._rabbitmq.ports.amqp}"

    @property
    def tls_url(self) -> str:
        """The address of the TLS listener, without a user."""
        assert self._rabbitmq.ports.tls, "this broker was made without tls=True"
        return f"amqps://127.0.0.1:{self._rabbitmq.ports.tls}"

    @property
    def management_url(self) -> str:
        assert self._rabbitmq.ports.management, "this broker was made without management=True"
        return f"http://127.0.0.1:{self._rabbitmq.ports.management}"

    @property
    def ca_file(self) -> Path:
        return self._rabbitmq.certificates.authority

    @property
    def client_files(self) -> tuple[Path, Path]:
        """The certificate and the key of the user `certified`, who has no password."""
        return self._rabbitmq.certificates.client(CERTIFIED_USER)

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on the broker, as its operator does, and return what it printed.

        rabbitmq.control("set_vm_memory_high_watermark", "0")  # a memory alarm, until it is 0.4 again
        """
        return self._rabbitmq.control(*arguments)

    def remove(self) -> None:
        """End the broker at once and remove its data."""
        self._rabbitmq.process.kill()
        self._rabbitmq.remove()
        super().remove()
