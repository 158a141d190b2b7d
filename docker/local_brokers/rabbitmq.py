"""RabbitMQ as a process of its own, with a name daemon of its own, so that it meets no other Erlang on the machine."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from local_brokers.process import BrokerError, ServerProcess

PORT = 5672
_STARTS_WITHIN_SECONDS = 120
_INSTALLED = Path("/usr/lib/rabbitmq/lib")


@dataclass(frozen=True)
class RabbitMqPorts:
    """The ports on 127.0.0.1: AMQP's, the name daemon's and the one that nodes of a cluster would use."""

    amqp: int
    names: int
    cluster: int


@dataclass
class RabbitMq:
    directory: Path
    ports: RabbitMqPorts

    def __post_init__(self) -> None:
        self.process = ServerProcess("RabbitMQ", self.directory)
        self.names = ServerProcess("Erlang's name daemon", self.directory / "epmd")

    def start(self) -> None:
        """Start the broker and return at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.ports.amqp}\n")
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "env.conf").touch()
        environment = self._environment()
        self.names.start(
            ["epmd", "-port", str(self.ports.names), "-address", "127.0.0.1"],
            environment=environment,
        )
        self.names.wait_until(lambda: _accepts(self.ports.names), timeout_seconds=10)
        self.process.start([str(_program())], environment=environment)

    def wait_ready(self) -> None:
        """Return when the broker answers."""
        self.process.wait_until(self.answers, timeout_seconds=_STARTS_WITHIN_SECONDS)

    def answers(self) -> bool:
        """Say whether the broker speaks AMQP."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports.amqp), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def exports(self) -> list[tuple[str, str]]:
        """List the variable by which the tests find the server."""
        return [("PENSTOCK_TEST_RABBITMQ", f"amqp://guest:guest@127.0.0.1:{self.ports.amqp}")]

    def remove(self) -> None:
        """Stop the broker and remove everything it wrote."""
        self.process.stop()
        self.names.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        here = self.directory
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        # Told to notify nobody, but started as systemd would: then the pid we hold is the broker's, not a shell's.
        environment.pop("NOTIFY_SOCKET", None)
        return environment | {
            "RUNNING_UNDER_SYSTEMD": "true",
            "HOME": str(here),
            "ERL_EPMD_PORT": str(self.ports.names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"penstock-{self.ports.amqp}@localhost",
            "RABBITMQ_DIST_PORT": str(self.ports.cluster),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(here / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(here / "data"),
            "RABBITMQ_LOG_BASE": str(here / "logs"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "generated"),
            "RABBITMQ_PID_FILE": str(here / "erlang.pid"),
            "RABBITMQ_LOGS": "-",
        }


def installed() -> bool:
    """Say whether RabbitMQ is on this machine."""
    try:
        _program()
    except BrokerError:
        return False
    return shutil.which("epmd") is not None


def _program() -> Path:
    # Debian's own script in the PATH changes to another user; the broker's script behind it does not.
    scripts = sorted(_INSTALLED.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if scripts:
        return scripts[-1]
    if found := shutil.which("rabbitmq-server"):
        return Path(found)
    raise BrokerError("RabbitMQ is not installed")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
