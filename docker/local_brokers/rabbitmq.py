"""RabbitMQ as a process of its own, with a name daemon of its own, so that it meets no other Erlang on the machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_brokers.certificates import Certificates
from local_brokers.process import BrokerError, ServerProcess, run
from local_brokers.systems import THIS_MACHINE, System

PORT = 5672
TLS_PORT = 5671
MANAGEMENT_PORT = 15672
PASSWORDS = {"admin": "admin-secret", "limited": "limited-secret"}
# Who a client's certificate is for: a user without a password, known by the certificate alone.
CERTIFIED_USER = "certified"

_STARTS_WITHIN_SECONDS = 120
_INSTALLED = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"


@dataclass(frozen=True)
class RabbitMqPorts:
    """The ports on 127.0.0.1: AMQP's, the name daemon's and the one that nodes of a cluster would use.

    `tls` (AMQP over TLS) and `management` (the HTTP API of the management plugin) are open unless they are 0.
    """

    amqp: int
    names: int
    cluster: int
    tls: int = 0
    management: int = 0


@dataclass
class RabbitMq:
    """One broker; `config` are lines for its `rabbitmq.conf`, by their keys."""

    directory: Path
    ports: RabbitMqPorts
    config: Mapping[str, str] = field(default_factory=dict)
    system: System = THIS_MACHINE

    def __post_init__(self) -> None:
        self.certificates = Certificates(self.directory / "tls")
        self.process = ServerProcess("RabbitMQ", self.directory)
        self.names = ServerProcess("Erlang's name daemon", self.directory / "epmd")

    def start(self) -> None:
        """Start the broker and return at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        plugins = ["rabbitmq_auth_mechanism_ssl"] if self.ports.tls else []
        plugins += ["rabbitmq_management"] if self.ports.management else []
        (self.directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (self.directory / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in self._settings()))
        (self.directory / "definitions.json").write_text(json.dumps(_definitions()))
        (self.directory / "env.conf").touch()
        if self.names.pid() is None:
            names = ["epmd", "-port", str(self.ports.names), "-address", "127.0.0.1"]
            self.names.start(self._inside(names), environment=self._environment())
        self.names.wait_until(lambda: _accepts(self.ports.names), timeout_seconds=10)
        self.process.start(self._inside([_program("rabbitmq-server", self.system)]), environment=self._environment())

    def wait_ready(self) -> None:
        """Return when the broker answers."""
        self.process.wait_until(self.answers, timeout_seconds=_STARTS_WITHIN_SECONDS)

    def answers(self) -> bool:
        """Say whether the broker speaks AMQP, and its other ports are open."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports.amqp), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                if connection.recv(1) != b"\x01":
                    return False
        except OSError:
            return False
        return all(_accepts(port) for port in (self.ports.tls, self.ports.management) if port)

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on the broker and return what it printed."""
        command = self._inside([_program("rabbitmqctl", self.system), "--quiet", *arguments])
        return run(command, what=f"rabbitmqctl {' '.join(arguments)}", environment=self._environment())

    def exports(self, variable: str) -> list[tuple[str, str]]:
        """List the variables by which the tests find the server."""
        found = [(variable, f"amqp://guest:guest@127.0.0.1:{self.ports.amqp}")]
        if self.ports.management:
            found.append((f"{variable}_MANAGEMENT", f"http://127.0.0.1:{self.ports.management}"))
        if self.ports.tls:
            found += [
                (f"{variable}_TLS", f"amqps://127.0.0.1:{self.ports.tls}"),
                (f"{variable}_CA", str(self.certificates.authority)),
                (f"{variable}_CLIENT_CERTIFICATE", str(self.certificates.client(CERTIFIED_USER)[0])),
                (f"{variable}_CLIENT_KEY", str(self.certificates.client(CERTIFIED_USER)[1])),
                *((f"{variable}_{user.upper()}_PASSWORD", word) for user, word in PASSWORDS.items()),
            ]
        return found

    def remove(self) -> None:
        """Stop the broker and remove everything it wrote."""
        self.process.stop()
        self.names.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _inside(self, command: Sequence[str]) -> list[str]:
        return self.system.command(command, self.directory)

    def _settings(self) -> list[tuple[str, str]]:
        """List the lines of `rabbitmq.conf`."""
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.ports.amqp}",
            "load_definitions": str(self.directory / "definitions.json"),
        }
        if self.ports.tls:
            self.certificates.ensure_client(CERTIFIED_USER)
            settings |= {
                "listeners.ssl.1": f"127.0.0.1:{self.ports.tls}",
                "ssl_options.cacertfile": str(self.certificates.authority),
                "ssl_options.certfile": str(self.certificates.server),
                "ssl_options.keyfile": str(self.certificates.server),
                # A client may come without a certificate; one that brings one must be known to our authority.
                "ssl_options.verify": "verify_peer",
                "ssl_options.fail_if_no_peer_cert": "false",
                "ssl_cert_login_from": "common_name",
                "auth_mechanisms.1": "PLAIN",
                "auth_mechanisms.2": "AMQPLAIN",
                "auth_mechanisms.3": "EXTERNAL",
            }
        if self.ports.management:
            settings |= {"management.tcp.ip": "127.0.0.1", "management.tcp.port": str(self.ports.management)}
        return list((settings | dict(self.config)).items())

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


def _definitions() -> dict[str, object]:
    """Define who may do what. The broker's own `guest` has to be among them: given definitions, it makes no user."""
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    rights = {
        "guest": everything,
        "admin": everything,
        CERTIFIED_USER: everything,
        "limited": {**everything, "configure": "^$"},
    }
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {"name": "guest", "password": "guest", "tags": "administrator"},
            {"name": "admin", "password": PASSWORDS["admin"], "tags": "administrator"},
            {"name": "limited", "password": PASSWORDS["limited"], "tags": ""},
            {"name": CERTIFIED_USER, "password_hash": "", "tags": ""},
        ],
        "permissions": [{"user": user, "vhost": "/", **allowed} for user, allowed in rights.items()],
    }


def installed() -> bool:
    """Say whether RabbitMQ is on this machine."""
    try:
        _program("rabbitmq-server", THIS_MACHINE)
    except BrokerError:
        return False
    return shutil.which("epmd") is not None


def _program(name: str, system: System) -> str:
    # Debian's own script in the PATH changes to another user; the broker's script behind it does not.
    scripts = sorted(system.root.glob(f"{_INSTALLED}/{name}"))
    if scripts:
        return f"/{scripts[-1].relative_to(system.root)}"
    if system is THIS_MACHINE and (found := shutil.which(name)):
        return found
    raise BrokerError("RabbitMQ is not installed")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
