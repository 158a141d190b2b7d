"""A project in a folder of its own, and the installed command run on it."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PENSTOCK = (sys.executable, "-m", "penstock")

APP = """
import json, os, sys, time

FOLDER = os.path.dirname(os.environ["LAMBDA_TASK_ROOT"])

with open(os.path.join(FOLDER, "pids"), "a") as pids:
    pids.write(f"{os.getpid()}\\n")

def note(line):
    with open(os.path.join(FOLDER, "ledger"), "a") as ledger:
        ledger.write(line + "\\n")

def texts(event):
    import base64
    for record in event["Records"]:
        yield record["body"] if "body" in record else base64.b64decode(record["kinesis"]["data"]).decode()

def handler(event, context):
    for text in texts(event):
        note(text)

def poison(event, context):
    for text in texts(event):
        note(text)
        raise KeyError("id")

def slow(event, context):
    for text in texts(event):
        note(text)
    time.sleep(60)
"""

CONFIG = """
Name: {name}
Sources:
  ticks: {{Type: sqlite-stream, Stream: ticks, Shards: 1, Create: true}}
  jobs:  {{Type: sqlite-queue, Queue: jobs, VisibilityTimeout: 100, Create: true}}
Functions:
  tally:
    CodeUri: fn
    Handler: app.{handler}
    Timeout: 70
    Events:
      Ticks: {{Source: ticks, StartingPosition: TRIM_HORIZON, BatchSize: 10, MaximumRetryAttempts: {retries}}}
      Jobs:  {{Source: jobs}}
"""


class Project:
    """A folder with a configuration and a function, made for one test."""

    def __init__(self, folder: Path, *, handler: str = "handler", retries: int = -1, config: str = CONFIG) -> None:
        self.folder = folder
        self.file = folder / "penstock.yaml"
        self.data_dir = folder / ".penstock"
        (folder / "fn").mkdir(parents=True)
        (folder / "fn" / "app.py").write_text(APP)
        self.file.write_text(config.format(name=folder.name, handler=handler, retries=retries))

    @property
    def ledger(self) -> list[str]:
        ledger = self.folder / "ledger"
        return ledger.read_text().split() if ledger.exists() else []

    @property
    def environments(self) -> list[int]:
        """The processes that ever ran the function and are still alive."""
        pids = self.folder / "pids"
        return [pid for pid in map(int, pids.read_text().split() if pids.exists() else ()) if is_alive(pid)]

    @property
    def endpoint(self) -> str:
        return (self.data_dir / "run" / "endpoint").read_text().strip()

    def command(self, name: str, *arguments: str) -> list[str]:
        return [*PENSTOCK, name, *arguments]

    def run(self, name: str, *arguments: str, cwd: Path | str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on the configuration to its end."""
        command = self.command(name, "-f", str(self.file), *arguments)
        where = cwd or self.folder
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=where, check=False)

    def up(self, *options: str, cwd: Path | str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a node to its end."""
        return self.run("up", "--listen=127.0.0.1:0", "--log-format=json", *options, cwd=cwd)

    def send(self, source: str, *texts: str) -> None:
        sent = self.run("send", source, *texts)
        assert sent.returncode == 0, sent.stderr

    def status(self) -> Any:
        """Ask the running node."""
        command = self.command("status", "--json", "--endpoint", self.endpoint)
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout)

    @contextmanager
    def node(self, *options: str) -> Iterator["RunningNode"]:
        """Run a node until the test is done with it."""
        command = self.command("up", "-f", str(self.file), "--listen=127.0.0.1:0", "--log-format=json", *options)
        log = self.folder / "node.log"
        with log.open("ab") as stderr, subprocess.Popen(command, stderr=stderr, cwd=self.folder) as process:
            node = RunningNode(self, process, log)
            try:
                yield node
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(10)
                if process.poll() is None:
                    process.kill()


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class RunningNode:
    """A node in a process of its own."""

    def __init__(self, project: Project, process: subprocess.Popen[bytes], log: Path) -> None:
        self.project = project
        self.process = process
        self.log = log

    @property
    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def until(self, condition: Callable[[], object], *, seconds: float = 20.0) -> None:
        """Wait until something holds; fail when the node ends or the time is over."""
        deadline_s = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the node has ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline_s, f"it did not come true in time:\n{self.log.read_text()}"
            time.sleep(0.02)

    def until_started(self) -> None:
        self.until(lambda: any(event["event"] == "node started" for event in self.events))

    def stop(self, *, seconds: float = 20.0) -> int:
        """Ask it to end; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)
