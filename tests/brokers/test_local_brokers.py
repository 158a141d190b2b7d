from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from local_brokers import containers, debian, kafka
from local_brokers.kinds import KINDS
from local_brokers.process import BrokerError, ServerProcess, pick_ports

ROOT = Path(__file__).resolve().parent.parent.parent
_SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
_DEAF_SLEEPER = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


def test_a_taken_port_is_replaced_and_a_free_one_kept():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (free,) = pick_ports(0)

        kept, replaced = pick_ports(free, port)

    assert kept == free
    assert replaced not in {port, free}


def test_a_server_that_heeds_no_request_to_end_is_ended_all_the_same(tmp_path):
    server = ServerProcess("deaf", tmp_path)
    server.start(_DEAF_SLEEPER)
    server.wait_until(lambda: "deaf" in server.log_tail(), timeout_seconds=10)

    server.stop(timeout_seconds=0.2)

    assert server.pid() is None
    assert not server.pid_file.exists()


def test_a_server_that_ends_while_starting_is_reported_with_its_last_words(tmp_path):
    server = ServerProcess("Short", tmp_path)
    server.start([sys.executable, "-c", "print('no such setting'); raise SystemExit(3)"])

    with pytest.raises(BrokerError, match=r"Short ended while starting[\s\S]*no such setting"):
        server.wait_until(lambda: False, timeout_seconds=10)


def test_a_process_that_inherited_the_pid_of_ours_is_left_alone(tmp_path):
    with subprocess.Popen(_SLEEPER) as stranger:
        server = ServerProcess("gone", tmp_path)
        server.pid_file.write_text(f"{stranger.pid} 1\n")

        server.stop()

        assert stranger.poll() is None
        os.kill(stranger.pid, signal.SIGKILL)


def test_a_server_started_by_one_process_is_found_and_ended_by_another(tmp_path):
    script = (
        "import sys; from pathlib import Path; from local_brokers.process import ServerProcess;"
        "ServerProcess('s', Path(sys.argv[1])).start(sys.argv[2:])"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *_SLEEPER],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "docker")},
    )
    server = ServerProcess("s", tmp_path)
    pid = server.pid()
    assert pid is not None

    server.stop()

    assert server.pid() is None


def test_the_container_has_the_settings_and_users_of_the_native_broker():
    script = (ROOT / "docker/start-kafka.sh").read_text()
    settings = [f"{name}={value}\n" for name, value in kafka._SINGLE_NODE.items()]
    users = [f'user_{user}="{password}"' for user, password in kafka.PASSWORDS.items()] + [
        f"{mechanism}=[name={user},password={password}]"
        for user, password in kafka.PASSWORDS.items()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
    ]

    assert [expected for expected in settings + users if expected not in script] == []


def test_the_container_has_the_kafka_that_maven_fetches():
    version = (ROOT / "docker/pom.xml").read_text().partition("<kafka.version>")[2].partition("<")[0]

    assert f"image: apache/kafka:{version}\n" in (ROOT / "docker/compose.yaml").read_text()


def test_every_kind_of_broker_has_a_container_that_opens_its_first_port():
    services = (ROOT / "docker/compose.yaml").read_text()

    assert [kind.name for kind in KINDS if f"\n  {kind.name}:" not in services] == []
    assert [kind.name for kind in KINDS if not 1 <= containers.ports_published(kind) <= len(kind.ports_preferred)] == []


def test_on_a_machine_without_apt_what_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(BrokerError, match="redis-server"):
        debian.install([("redis-server",)])
