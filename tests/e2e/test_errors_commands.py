"""The commands beside a running node: what they show, how they end, and what they never show."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from brokers import produce
from e2e.node_project import Project

pytestmark = pytest.mark.e2e

SAYING = """
import os

def handler(event, context):
    for record in event["Records"]:
        print("said", record.get("body"))
        if record.get("body") == "the password":
            raise ValueError(f"can not log in with {os.environ['DB_PASSWORD']}")
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "shop")


@contextmanager
def running(project, name, *arguments):
    """A command that goes on until it is interrupted; its stdout is read line by line."""
    command = project.command(name, *arguments, "--file", str(project.file))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process):
    """Press Ctrl-C; gives exit code, what was still written, and messages."""
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=10)
    return process.returncode, stdout, stderr.strip()


def test_a_node_is_shown_at_a_glance(project):
    with project.node() as node:
        node.until_started()
        project.send("ticks", "one")
        node.until(lambda: project.ledger == ["one"])
        node.until(lambda: [each["last_result"] for each in project.status()["mappings"]][:1] == ["OK"])
        shown = project.status()
        command = project.command("status", "--endpoint", project.endpoint)
        table = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)

    first, header, *rows = table.stdout.splitlines()
    assert table.stderr == ""
    assert first.startswith("shop: running, up ")
    assert f", pid {node.process.pid}, 0 of {shown['concurrency_max']} environments in use" in first
    assert header.split()[:5] == ["MAPPING", "STATE", "SOURCE", "SHARD", "LAG"]
    assert [row.split() for row in rows[:2]] == [
        ["tally.Ticks", "Enabled", "ticks", "shardId-000000000000", "0", "0", "OK"],
        ["tally.Jobs", "Enabled", "jobs", "0", "none", "yet"],
    ]
    assert rows[2:] == [
        "tally.Ticks: 1 polled = 0 filtered out + 1 invoked + 0 never invoked + 0 buffered",
        "    1 processed, 0 given up",
    ]
    assert (shown["project"], shown["state"], shown["pid"]) == ("shop", "running", node.process.pid)
    assert [function["name"] for function in shown["functions"]] == ["tally"]
    ticks = shown["mappings"][0]
    assert (ticks["name"], ticks["lag"], ticks["counters"]["processed"]) == ("tally.Ticks", 0, 1)


def test_every_list_can_be_had_as_json(project):
    project.send("ticks", "one")
    project.send("jobs", "two")
    sent = project.run("send", "ticks", "three", "--json")
    peeked = project.run("peek", "ticks", "--json")
    held = project.run("peek", "jobs", "--json")
    ran = project.up("--until-idle=0.2", "--json")
    listed = subprocess.run(project.command("plugin", "list", "--json"), capture_output=True, text=True, check=True)

    assert json.loads(sent.stdout)["sent"] == 1
    assert [json.loads(line)["value"] for line in peeked.stdout.splitlines()] == ["one", "three"]
    assert [json.loads(line)["body"] for line in held.stdout.splitlines()] == ["two"]
    assert json.loads(ran.stdout) == {"exit_code": 0, "left": []}
    assert {"embedded", "kafka"} <= {plugin["name"] for plugin in json.loads(listed.stdout)}
    for name in ("config", "validate", "schema"):
        arguments = () if name == "schema" else ("-f", str(project.file))
        shown = subprocess.run(project.command(name, "--json", *arguments), capture_output=True, text=True, check=True)
        assert isinstance(json.loads(shown.stdout), dict)


def test_the_log_of_a_function_is_followed_while_the_node_runs(project):
    (project.folder / "fn" / "app.py").write_text(SAYING)

    with project.node() as node, running(project, "logs", "tally", "--follow") as following:
        node.until_started()
        project.send("jobs", "hello")
        assert following.stdout is not None
        assert following.stdout.readline().endswith(" said hello\n")
        project.send("jobs", "again")
        assert following.stdout.readline().endswith(" said again\n")
        assert interrupted(following) == (130, "", "interrupted")
    as_json = project.command("logs", "tally", "--json", "--tail=1", "--file", str(project.file))
    line = json.loads(subprocess.run(as_json, capture_output=True, text=True, check=True).stdout)

    assert (line["message"], line["function"], line["stream"]) == ("said again", "tally", "stdout")


def test_following_an_embedded_source_ends_with_130_when_it_is_interrupted(project):
    project.send("ticks", "before")

    with running(project, "peek", "ticks", "--follow") as following:
        assert following.stdout is not None
        assert following.stdout.readline().endswith("\tbefore\n")
        project.send("ticks", "after")
        assert following.stdout.readline().endswith("\tafter\n")
        assert interrupted(following) == (130, "", "interrupted")


@pytest.mark.kafka
def test_following_a_topic_ends_with_130_when_it_is_interrupted(project, kafka, topic):
    name = topic()
    produce(kafka.address, name, [b"before"])
    source = f"{{Type: kafka, BootstrapServers: '{kafka.address}', Topic: {name}}}"
    text = project.file.read_text()
    project.file.write_text(text.replace("{Type: sqlite-stream, Stream: ticks, Shards: 1, Create: true}", source))

    with running(project, "peek", "ticks", "--follow") as following:
        assert following.stdout is not None
        assert following.stdout.readline().endswith("\tbefore\n")
        produce(kafka.address, name, [b"after"])
        assert following.stdout.readline().endswith("\tafter\n")
        began_s = time.monotonic()
        assert interrupted(following) == (130, "", "interrupted")
        assert time.monotonic() - began_s < 5


def test_what_is_secret_is_masked_in_the_configuration_the_log_the_errors_and_the_status(project):
    (project.folder / "fn" / "app.py").write_text(SAYING)
    (project.folder / "token").write_text("token-from-a-file\n")
    variables = "Environment: {Variables: {DB_PASSWORD: pass-in-the-file, TOKEN: '${file:token}'}}"
    project.file.write_text(project.file.read_text().replace("Timeout: 70", f"Timeout: 70\n    {variables}"))
    secrets = ["pass-in-the-file", "token-from-a-file"]

    with project.node("--log-level=debug") as node:
        node.until_started()
        project.send("jobs", "the password")
        node.until(lambda: any(event["event"] == "batch failed" for event in node.events))
        status = subprocess.run(
            project.command("status", "--endpoint", project.endpoint), capture_output=True, text=True, check=True
        )
        in_json = json.dumps(project.status())
    shown = [project.run("config"), project.run("config", "--json"), project.run("validate", "--connect")]

    [failed] = [event for event in node.events if event["event"] == "batch failed"]
    assert failed["error_message"] == "can not log in with ******"
    everything = [node.log.read_text(), status.stdout, in_json, *(ran.stdout + ran.stderr for ran in shown)]
    assert [secret for secret in secrets for text in everything if secret in text] == []
