"""A node as an operator runs it: `penstock up`, a process with a log, an endpoint and a data directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import psutil

from brokers import until

LogLine = dict[str, Any]


class Project(Protocol):
    """What a node runs: a folder, whose name it is known by, and the configuration in it."""

    folder: Path
    file: Path


class Node:
    """One run of one node. `again` starts it once more, with the same data directory."""

    def __init__(self, project: Project, folder: Path, *, name: str, run: int, options: tuple[str, ...]) -> None:
        self.name = f"{name}-{run}"
        """How the ledger calls this run."""
        self.project = project
        self._folder, self._name, self._run, self._options = folder, name, run, options
        self.data_dir = folder / f"data-{name}"
        self._endpoint = ""
        self._frozen: list[psutil.Process] = []
        self._stderr = folder / f"{self.name}.stderr"
        self._stdout = folder / f"{self.name}.stdout"
        command = [sys.executable, "-m", "penstock", "up", "--file", str(project.file)]
        command += ["--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0"]
        command += ["--log-format", "json", "--log-level", "debug", *options]
        with self._stderr.open("wb") as stderr, self._stdout.open("wb") as stdout:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "LEDGER_NODE": self.name},
                start_new_session=True,
            )

    # What it says.

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stderr(self) -> str:
        return self._stderr.read_text(errors="replace")

    def log(self, event: str | None = None, **fields: Any) -> list[LogLine]:
        """Give the lines of its log, or those of an event with these fields."""
        lines = []
        for text in self.stderr().splitlines():
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and (event is None or line.get("event") == event):
                    lines.append(line)
        return [line for line in lines if fields.items() <= line.items()]

    def messages(self) -> str:
        """Give what it wrote to stderr besides its log."""
        return "\n".join(text for text in self.stderr().splitlines() if not text.startswith("{"))

    def wait_log(self, event: str, *, timeout_seconds: float = 30, **fields: Any) -> LogLine:
        """Wait for the first line of an event with these fields."""
        return self._until(
            lambda: self.log(event, **fields),
            what=f"'{event}' {fields or ''} in the log",
            timeout_seconds=timeout_seconds,
        )[0]

    def status(self) -> dict[str, Any]:
        """Ask its endpoint."""
        self._endpoint = self._endpoint or self.wait_log("node started")["endpoint"]
        with urllib.request.urlopen(f"{self._endpoint}/penstock/v1/status", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def mapping(self) -> dict[str, Any]:
        """Give the status of its one mapping, as soon as it has it."""
        found: dict[str, Any] = self._until(lambda: self.status()["mappings"], what="it has its mapping")[0]
        return found

    def shards(self) -> set[str]:
        """Tell which shards it reads."""
        return {shard["shard"] for shard in self.mapping()["shards"] if shard["state"] in {"running", "retrying"}}

    def wait_shards(self, count: int, *, timeout_seconds: float = 30) -> set[str]:
        """Wait until it reads so many shards."""
        self._until(
            lambda: len(self.shards()) == count, what=f"it reads {count} shards", timeout_seconds=timeout_seconds
        )
        return self.shards()

    # What is done to it.

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def wait(self, *, timeout_seconds: float = 60) -> int:
        """Wait for its end and give its exit code."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {timeout_seconds:g} s:\n{self._tail()}") from None

    def kill(self) -> None:
        """Send SIGKILL, and see that nothing that it started lives on."""
        family = self.descendants()
        self._process.kill()
        self._process.wait()
        until(lambda: not any(map(_is_alive, family)), what="nothing of a killed node lives on", timeout_seconds=5)

    def freeze(self, *, everything: bool = False) -> None:
        """Send SIGSTOP to the node's own process, or to everything below it too; else its environments run on."""
        os.kill(self.pid, signal.SIGSTOP)
        if everything:
            # The node makes no more of them now.
            self._frozen = self.descendants()
            for process in self._frozen:
                process.suspend()

    def thaw(self) -> None:
        """Let what is frozen go on; functions first, so that they say what they have to say while the node wakes."""
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._frozen = []
        os.kill(self.pid, signal.SIGCONT)

    def descendants(self) -> list[psutil.Process]:
        """List the processes below it: templates and environments."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def again(self, *options: str) -> Node:
        """Make the next run of the same node: its data directory, its project; other options if given."""
        return Node(self.project, self._folder, name=self._name, run=self._run + 1, options=options or self._options)

    def end(self) -> None:
        """End it in whatever state it is, with everything below it."""
        if self.is_running:
            self.thaw()
            self.kill()

    def _until(self, get: Callable[[], Any], *, what: str, timeout_seconds: float = 30) -> Any:
        def alive() -> Any:
            found = get()
            assert found or self.is_running, f"{self.name} ended with {self._process.poll()}, before {what}"
            return found

        try:
            return until(alive, what=f"{self.name}: {what}", timeout_seconds=timeout_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe end of its log:\n{self._tail()}") from None

    def _tail(self) -> str:
        return "\n".join(self.stderr().splitlines()[-20:])


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Nodes:
    """Starts nodes in a folder, and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Node] = []

    def start(self, project: Project, *options: str, name: str = "node") -> Node:
        """Run `penstock up` with these options; `name` tells nodes apart, each has a data directory of its own."""
        return self._keep(Node(project, self._folder, name=f"{project.folder.name}-{name}", run=1, options=options))

    def restart(self, node: Node, *options: str) -> Node:
        """Start a node that ended once more."""
        assert not node.is_running, f"{node.name} still runs"
        return self._keep(node.again(*options))

    def run(self, project: Project, *options: str, name: str = "node", timeout_seconds: float = 90) -> Node:
        """Run a node to its end and see that it ended with 0."""
        node = self.start(project, *options, name=name)
        code = node.wait(timeout_seconds=timeout_seconds)
        assert code == 0, f"{node.name} ended with {code}:\n{node.stderr()[-4000:]}"
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self._started:
            node.end()

    def _keep(self, node: Node) -> Node:
        self._started.append(node)
        return node
