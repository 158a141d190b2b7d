"""How a node begins and ends: drains, refusals, what it shows of itself."""

import os
import signal
import socket
import subprocess
import time

import pytest

from e2e.node_project import Project

pytestmark = pytest.mark.e2e


def test_a_drain_ends_what_takes_too_long_and_spends_no_attempt(tmp_path):
    project = Project(tmp_path / "shop", handler="slow", retries=0)
    project.up("--until-idle=0.2")
    project.send("ticks", "one")

    with project.node("--drain-timeout=1") as node:
        node.until(lambda: project.ledger and project.environments)
        began_s = time.monotonic()
        code = node.stop()
        took_s = time.monotonic() - began_s
    left_behind = project.environments
    with project.node("--drain-timeout=0") as again:
        again.until(lambda: len(project.ledger) == 2)
        [shard] = project.status()["mappings"][0]["shards"]

    assert (code, left_behind) == (0, [])
    assert 1 <= took_s < 5
    assert (shard["attempts"], shard["in_flight"]["attempt"]) == (0, 1)


def test_a_second_signal_ends_at_once_and_leaves_nothing_running(tmp_path):
    project = Project(tmp_path / "shop", handler="slow")
    project.up("--until-idle=0.2")
    project.send("ticks", "one")

    with project.node("--drain-timeout=60") as node:
        node.until(lambda: project.ledger and project.environments)
        node.process.send_signal(signal.SIGINT)
        node.until(lambda: any(event["event"] == "draining" for event in node.events))
        assert project.status()["state"] == "draining"
        node.process.send_signal(signal.SIGINT)
        code = node.process.wait(10)

    assert (code, project.environments) == (130, [])


def test_a_drain_with_nothing_to_do_takes_no_time(tmp_path):
    project = Project(tmp_path / "shop")

    with project.node() as node:
        node.until_started()
        node.until(lambda: project.status()["mappings"][0]["state"] == "Enabled")
        began_s = time.monotonic()
        code = node.stop()

    assert code == 0
    assert time.monotonic() - began_s < 5
    assert not (project.data_dir / "run").exists()


def test_a_second_node_on_the_directory_is_refused_with_the_pid_of_the_first(tmp_path):
    project = Project(tmp_path / "shop")

    with project.node() as node:
        node.until_started()
        second = project.up()

    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith("Error: the data directory ")
    assert f"in use by the node with pid {node.process.pid}" in second.stderr


def test_a_taken_port_is_refused_in_one_line(tmp_path):
    project = Project(tmp_path / "shop")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = project.run("up", f"--listen=127.0.0.1:{port}", "--log-level=error")

    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith(f"Error: can not listen on 127.0.0.1:{port}: Address already in use;")
    assert "Traceback" not in ran.stderr


def test_a_configuration_that_is_wrong_is_refused(tmp_path):
    project = Project(tmp_path / "shop")
    project.file.write_text(project.file.read_text().replace("BatchSize: 10", "BatchSize: 0"))

    ran = project.up()

    assert ran.returncode == 2
    assert "BatchSize" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_function_whose_module_is_missing_is_an_attempt_and_shown(tmp_path):
    project = Project(tmp_path / "shop")
    (project.folder / "fn" / "app.py").write_text("import not_installed\n\ndef handler(event, context):\n    pass\n")
    project.up("--until-idle=0.2")
    project.send("ticks", "one")

    with project.node() as node:
        node.until_started()
        node.until(lambda: project.status()["mappings"][0]["last_error"])
        shown = project.status()["mappings"][0]
        lines = subprocess.run(
            project.command("status", "--endpoint", project.endpoint), capture_output=True, text=True, check=True
        ).stdout

    assert shown["last_result"] == "PROBLEM: Function call failed"
    assert shown["shards"][0]["attempts"] >= 1
    assert shown["shards"][0]["blocked_since"] is not None
    assert "not_installed" in shown["shards"][0]["last_error"]
    assert "not_installed" in lines
    assert any(event["event"] == "batch failed" and "not_installed" in event["error_message"] for event in node.events)


def test_the_status_of_no_node_is_a_3(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    project = Project(tmp_path / "shop")

    asked = subprocess.run(
        project.command("status", "--endpoint", f"http://127.0.0.1:{port}"), capture_output=True, text=True, check=False
    )

    assert asked.returncode == 3
    assert asked.stderr == f"Error: no node answers at http://127.0.0.1:{port}: Connection refused\n"


def test_a_killed_node_leaves_no_function_running_and_the_next_one_starts(tmp_path):
    project = Project(tmp_path / "shop", handler="slow")
    project.up("--until-idle=0.2")
    project.send("ticks", "one")

    with project.node() as node:
        node.until(lambda: project.ledger and project.environments)
        os.kill(node.process.pid, signal.SIGKILL)
        node.process.wait(10)
    deadline_s = time.monotonic() + 10
    while project.environments:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    with project.node("--drain-timeout=0") as again:
        again.until(lambda: len(project.ledger) == 2)
