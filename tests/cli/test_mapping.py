"""`penstock mapping …` against a real node on the embedded stream."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

PENSTOCK = str(Path(sys.executable).with_name("penstock"))

PENSTOCK_YAML = """\
Name: shop
Sources:
  orders: {Type: sqlite-stream, Shards: 2}
  jobs: {Type: sqlite-queue}
Functions:
  hello:
    CodeUri: functions/hello
    Handler: app.handler
    Timeout: 10
    Events:
      FromOrders: {Source: orders, StartingPosition: TRIM_HORIZON, BatchSize: 7, MaximumRetryAttempts: 9}
      FromJobs: {Source: jobs}
      Later: {Source: orders, StartingPosition: LATEST, MaximumRetryAttempts: 9, Enabled: false}
"""

APP = """\
import base64, os

def handler(event, context):
    for record in event["Records"]:
        if "kinesis" in record:
            with open(os.environ["LAMBDA_TASK_ROOT"] + "/../../ledger", "a") as ledger:
                ledger.write(base64.b64decode(record["kinesis"]["data"]).decode() + "\\n")
            if base64.b64decode(record["kinesis"]["data"]) == b"bad":
                raise RuntimeError("boom")
"""

SHARDS = ["shardId-000000000000", "shardId-000000000001"]


class RunningNode:
    """A node of one project in a process of its own, and the command in this one."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.log = project.path / "node.log"
        project.write("penstock.yaml", PENSTOCK_YAML)
        project.write("functions/hello/app.py", APP)
        with self.log.open("wb") as log:
            command = [PENSTOCK, "up", "--file", str(project.file), "--listen", "127.0.0.1:0"]
            self.process = subprocess.Popen(command, stderr=log)
        self.endpoint = ""

    def until_ready(self) -> None:
        endpoint = self.project.path / ".penstock" / "run" / "endpoint"
        self.until(lambda: endpoint.exists() and endpoint.read_text().strip())
        self.endpoint = endpoint.read_text().strip()
        self.until(lambda: [each["state"] for each in self.ask("list")][:1] == ["Enabled"])

    @property
    def ledger(self) -> list[str]:
        ledger = self.project.path / "ledger"
        return ledger.read_text().split() if ledger.exists() else []

    def run(self, command: str, *args: str) -> Result:
        return self.project.run("mapping", command, *args, "--endpoint", self.endpoint)

    def ok(self, command: str, *args: str) -> str:
        result = self.run(command, *args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def ask(self, command: str, *args: str) -> Any:
        return json.loads(self.ok(command, *args, "--json"))

    def refused(self, command: str, *args: str) -> tuple[int, str]:
        result = self.run(command, *args)
        assert result.stdout == ""
        return result.exit_code, result.stderr.strip()

    def until(self, condition: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 20
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline_s, f"it did not come true in time:\n{self.log.read_text()}"
            time.sleep(0.02)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def node(project: Any) -> Iterator[RunningNode]:
    running = RunningNode(project)
    try:
        running.until_ready()
        yield running
    finally:
        running.end()


def test_mappings_are_listed_with_their_state_and_why_they_are_off(node):
    lines = node.ok("list").splitlines()

    assert lines[0].split() == ["MAPPING", "STATE", "SOURCE", "FUNCTION", "LAG", "IN", "FLIGHT", "LAST", "RESULT"]
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["hello.FromOrders", "Enabled", "orders", "hello"],
        ["hello.FromJobs", "Enabled", "jobs", "hello"],
        ["hello.Later", "Disabled", "orders", "hello"],
    ]
    assert lines[4:] == ["hello.Later: Enabled is false in the configuration"]


def test_one_is_shown_with_its_settings_as_they_are_understood_by_name_or_uuid(node):
    shown = node.ok("show", "hello.FromOrders")
    assert "State: Enabled\n" in shown
    assert "  BatchSize: 7\n" in shown
    assert "  BisectBatchOnFunctionError: false\n" in shown

    found = node.ask("show", "hello.FromOrders")
    assert (found["settings"]["BatchSize"], found["source_settings"]["Shards"]) == (7, 2)
    assert (found["function_settings"]["Timeout"], "Events" in found["function_settings"]) == (10, False)
    assert node.ask("show", found["uuid"])["name"] == "hello.FromOrders"


def test_one_that_is_not_there_is_2_with_the_nearest_name(node):
    for command in ("show", "enable", "disable", "explain"):
        assert node.refused(command, "hello.FromOrder") == (
            2,
            "Error: there is no mapping hello.FromOrder; the nearest name is hello.FromOrders",
        )
    assert node.refused("seek", "hello.FromOrder", "--to", "LATEST", "--dry-run")[0] == 2


def test_disabling_and_enabling_wait_until_it_is_so(node):
    assert node.ok("disable", "hello.FromOrders") == "hello.FromOrders is Disabled\n"
    node.project.ok("send", "orders", "one", "two")
    assert node.ask("disable", "hello.FromOrders")["state_reason"].startswith("disabled by a command, since 20")

    assert node.ok("enable", "hello.FromOrders") == "hello.FromOrders is Enabled\n"
    node.until(lambda: sorted(node.ledger) == ["one", "two"])
    assert node.ask("enable", "hello.Later")["state"] == "Enabled"
    assert node.ask("disable", "hello.FromOrders", "--no-wait")["state"] in {"Disabling", "Disabled"}


def test_waiting_has_an_end(node):
    assert node.ok("disable", "hello.FromOrders")
    node.project.write("functions/hello/app.py", "import time\ndef handler(event, context): time.sleep(4)\n")
    node.project.ok("send", "orders", "one")
    node.ok("enable", "hello.FromOrders")
    node.until(lambda: node.ask("show", "hello.FromOrders")["in_flight"])

    code, message = node.refused("disable", "hello.FromOrders", "--timeout", "0.3")

    assert code == 1
    assert message == "Error: hello.FromOrders is still Disabling after 0.3 s; the node goes on with it"


def test_a_blocked_shard_is_explained(node):
    node.project.ok("send", "orders", "--key", "k", "a", "bad", "c")
    node.until(lambda: any(each["status"]["attempts"] for each in node.ask("explain", "hello.FromOrders")["shards"]))

    lines = node.ok("explain", "hello.FromOrders").splitlines()

    assert lines[0] == "hello.FromOrders: Enabled; reads 2 shards: 1 blocked, 1 idle"
    [blocked] = [number for number, line in enumerate(lines) if "blocked since" in line]
    assert ": blocked since " in lines[blocked]
    assert "RuntimeError: boom; " in lines[blocked]
    assert " of 10" in lines[blocked]
    assert lines[blocked + 1].split(", ")[0].strip() == "nothing is settled yet"
    assert "lag 3" in lines[blocked + 1]


def test_a_disabled_mapping_and_a_queue_are_explained(node):
    node.ok("disable", "hello.FromOrders")
    lines = node.ok("explain", "hello.FromOrders").splitlines()
    assert lines[0].startswith("hello.FromOrders: Disabled: disabled by a command, since ")
    assert lines[1] == f"  {SHARDS[0]}: goes on at record 0"
    assert node.ok("explain", "hello.FromJobs").splitlines() == [
        "hello.FromJobs: Enabled; idle",
        "  0 messages visible, 0 delayed or held by somebody",
    ]


def test_a_seek_shows_what_moves_and_moves_it(node):
    node.project.ok("send", "orders", "--key", "k", *(f"r{number}" for number in range(6)))
    node.until(lambda: len(node.ledger) == 6)
    node.ok("disable", "hello.FromOrders")

    lines = node.ok("seek", "hello.FromOrders", "--to", "TRIM_HORIZON", "--dry-run").splitlines()
    assert lines[0].split("  ") == ["SHARD", *[""] * 7, " NEXT RECORD NOW", "NEXT RECORD THEN"]
    assert {tuple(line.split()) for line in lines[1:]} == {(SHARDS[0], "0", "0"), (SHARDS[1], "6", "0")}
    assert node.ask("explain", "hello.FromOrders")["shards"][1]["committed"] == 5

    moved = node.ask("seek", "hello.FromOrders", "--to", "4", "--shard", SHARDS[1], "--yes")
    assert moved["shards"] == [{"shard": SHARDS[1], "before": 6, "after": 4, "drops_note": False}]
    node.ok("enable", "hello.FromOrders")
    node.until(lambda: node.ledger[6:] == ["r4", "r5"])


def test_a_seek_of_what_is_enabled_or_can_not_be_is_refused(node):
    where = ("hello.FromOrders", "--to", "LATEST")
    assert node.refused("seek", *where) == (
        2,
        "Error: a seek repeats records or passes them over: say --yes where nobody can be asked",
    )
    assert node.refused("seek", *where, "--yes") == (
        1,
        "Error: hello.FromOrders is Enabled on this node; disable it first: penstock mapping disable hello.FromOrders",
    )
    for name, *how, sentence in (
        ("hello.FromOrders", "--to", "yesterday", "--to is 'yesterday'; TRIM_HORIZON, LATEST, a time such as"),
        ("hello.FromOrders", "--to", "7", "has no position 7: its oldest record is at 0"),
        ("hello.FromOrders", "--to", "LATEST", "--shard", "shardId-7", "there is no shard shardId-7"),
        ("hello.FromOrders", "--to", "2999-01-01", "the time is in the future; LATEST stands for the end"),
        ("hello.FromJobs", "--to", "LATEST", "a queue has no position"),
    ):
        code, message = node.refused("seek", name, *how, "--yes")
        assert (code, sentence in message) == (2, True), message


@pytest.mark.parametrize(("reply", "code", "committed"), [("y", 0, -1), ("n", 1, 2)])
def test_on_a_terminal_a_seek_asks_first(node, reply, code, committed):
    node.project.ok("send", "orders", "--key", "k", "a", "b", "c")
    node.until(lambda: len(node.ledger) == 3)
    node.ok("disable", "hello.FromOrders")
    ours, theirs = pty.openpty()
    command = [PENSTOCK, "mapping", "seek", "hello.FromOrders", "--to", "TRIM_HORIZON", "--endpoint", node.endpoint]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, f"{reply}\n".encode())
        _, said = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)

    assert process.returncode == code
    assert "Move the position?" in said
    assert ("nothing was moved" in said) == (reply == "n")
    assert node.ask("explain", "hello.FromOrders")["shards"][1]["committed"] == committed


def test_without_a_node_it_is_3(run):
    for command in (("list",), ("explain", "f.E"), ("disable", "f.E"), ("seek", "f.E", "--to", "LATEST", "--yes")):
        result = run("mapping", *command, "--endpoint", "http://127.0.0.1:9")
        assert (result.exit_code, "no node answers at http://127.0.0.1:9" in result.stderr) == (3, True)


def test_every_command_has_its_help_with_an_example(run):
    for command in ("list", "show", "enable", "disable", "seek", "explain"):
        result = run("mapping", command, "--help")
        assert (result.exit_code, f"penstock mapping {command}" in result.stdout) == (0, True)
