"""A server of ours: a process with a pid file, a log, and an end that touches nobody else's process."""

# ruff: noqa: S603 - the programs started here are named in this package, never by a user's input

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class BrokerError(Exception):
    """A broker cannot be had; the message is for the person who asked for it."""


# Servers are meant to outlive who started them; tests outlive their servers, and must reap them.
_children: dict[int, subprocess.Popen[bytes]] = {}


class ServerProcess:
    """One server: started detached from the terminal, found again by its pid file, ended by its pid.

    The pid file also holds the time the process was started, as the kernel counts it: a pid that was given to another
    process since is not ours, and is left alone.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.pid_file = directory / "pid"
        self.log_file = directory / "log.txt"

    def start(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start the command in a session of its own, its output appended to the log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children[process.pid] = process
        self.pid_file.write_text(f"{process.pid} {_started_at_ticks(process.pid)}\n")

    def pid(self) -> int | None:
        """Say the pid of the running server, or None when it is not running."""
        try:
            pid, started_at_ticks = map(int, self.pid_file.read_text().split())
        except (OSError, ValueError):
            return None
        if pid in _children and _children[pid].poll() is not None:
            del _children[pid]
        return pid if _started_at_ticks(pid) == started_at_ticks else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it is running."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, number)

    def stop(self, *, timeout_seconds: float = 30) -> None:
        """Ask the server to end, insist when it does not, and return when it is gone."""
        self.signal(signal.SIGTERM)
        if not _until(lambda: self.pid() is None, timeout_seconds=timeout_seconds):
            self.kill()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the server at once, as a crash would, and return when it is gone."""
        self.signal(signal.SIGKILL)
        if not _until(lambda: self.pid() is None, timeout_seconds=10):
            raise BrokerError(f"{self.name} does not end, not even by SIGKILL (pid {self.pid()})")
        self.pid_file.unlink(missing_ok=True)

    def wait_until(self, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return when the server answers.

        Raises:
            BrokerError: it ended, or did not answer in time; with the end of its log.
        """
        if _until(lambda: ready() or self.pid() is None, timeout_seconds=timeout_seconds) and self.pid() is not None:
            return
        state = "ended while starting" if self.pid() is None else f"gave no answer within {timeout_seconds:.0f} s"
        raise BrokerError(f"{self.name} {state}; the end of {self.log_file}:\n{self.log_tail()}")

    def log_tail(self, lines_max: int = 25) -> str:
        """Return the last lines of the server's log."""
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines_max:])
        except OSError:
            return "(there is no log)"


def run(
    command: Sequence[str], *, what: str, environment: Mapping[str, str] | None = None, input_text: str = ""
) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        BrokerError: it is not there or failed; `what` says what was being done, and its output follows.
    """
    env = None if environment is None else dict(environment)
    try:
        done = subprocess.run(command, env=env, input=input_text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BrokerError(f"{what}: there is no program {command[0]!r} on this machine") from None
    if done.returncode != 0:
        raise BrokerError(f"{what} failed ({done.returncode}):\n{(done.stdout + done.stderr).strip()[-4000:]}")
    return done.stdout


def say(text: str) -> None:
    """Tell the person waiting what is being done; standard output belongs to the addresses."""
    sys.stderr.write(f"brokers: {text}\n")
    sys.stderr.flush()


def pick_ports(*preferred: int) -> list[int]:
    """Return one port of the loopback address for each that is preferred, another where it is taken (or 0).

    The others lie below the range from which the kernel serves outgoing connections, so that a broker which is stopped
    and started again finds its port still free.
    """
    ports: list[int] = []
    for wish in preferred:
        port = wish
        while port in ports or not _is_free(port):
            port = 20_000 + secrets.randbelow(12_000)
        ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _started_at_ticks(pid: int) -> int | None:
    process = Path(f"/proc/{pid}")
    try:
        # The name stands in parentheses and may hold spaces; after it, field 3 is the state and field 22 the start.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        # A dying process may look dead while its other threads still hold its ports and files.
        dead = fields[0] in "ZX" and len(list((process / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if dead else int(fields[19])


def _until(happened: Callable[[], bool], *, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
