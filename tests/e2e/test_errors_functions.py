"""A function that can not be loaded: `validate --connect` says so beforehand, a running node says so in every place."""

from __future__ import annotations

import json
import sys
import urllib.request

import pytest

from e2e.node_project import Project

pytestmark = pytest.mark.e2e

CASES = {
    "a handler that is not there": (
        "def other(event, context):\n    pass\n",
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'app'",
    ),
    "a handler that is not callable": (
        "handler = 3\n",
        "Runtime.HandlerNotFound",
        "Handler 'handler' on module 'app' is not callable: its type is int",
    ),
    "a module that is not installed": (
        "import not_installed\n\ndef handler(event, context):\n    pass\n",
        "Runtime.ImportModuleError",
        (
            "Unable to import module 'app': No module named 'not_installed'. "
            f"(Python: is not set, so {sys.executable} runs it; Layers: is not set. Install the module for that "
            "interpreter, or point Python: to a virtual environment or Layers: to a folder that has it)"
        ),
    ),
}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "shop", retries=1)


def shown(project):
    """What the node shows of its stream's mapping, as soon as it has it."""
    with urllib.request.urlopen(f"{project.endpoint}/penstock/v1/status", timeout=10) as answer:
        mappings = json.load(answer)["mappings"]
    return mappings[0] if mappings else {"shards": [], "counters": {"dropped": 0}}


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [*CASES.values(), ("import sys\nsys.exit(3)\n", "Runtime.ExitError", "Runtime exited with error: exit status 3")],
    ids=[*CASES, "code that exits"],
)
def test_validate_says_so_when_it_connects(project, code, kind, message):
    (project.folder / "fn" / "app.py").write_text(code)

    plain = project.run("validate")
    connecting = project.run("validate", "--connect")

    assert plain.returncode == 0
    assert (connecting.returncode, connecting.stdout) == (2, "")
    error, *warnings = connecting.stderr.splitlines()
    assert error == f"{project.file}:9: Functions.tally.Handler: {kind}: {message}"
    assert [line for line in warnings if ": warning: " not in line] == []


@pytest.mark.parametrize(("code", "kind", "message"), CASES.values(), ids=CASES)
def test_a_node_counts_each_try_as_an_attempt_and_says_why(project, code, kind, message):
    project.send("ticks", "one")
    (project.folder / "fn" / "app.py").write_text(code)

    with project.node() as node:
        node.until_started()
        node.until(lambda: any(shard["last_error"] for shard in shown(project)["shards"]))
        while_retried = shown(project)
        node.until(lambda: shown(project)["counters"]["dropped"])
        in_the_end = project.status()["mappings"][0]
        assert node.stop() == 0

    [shard] = while_retried["shards"]
    assert (shard["state"], shard["blocked_since"] is None) == ("retrying", False)
    for said in (shard["last_error"], while_retried["last_error"], in_the_end["last_error"]):
        assert said.startswith(f"{kind}: ")
        assert said.endswith(message)
    assert in_the_end["last_result"] == "PROBLEM: Function call failed"
    assert in_the_end["counters"]["failed_invocations"] == 2
    failed = [event for event in node.events if event["event"] == "batch failed"]
    assert [event["attempt"] for event in failed] == [1, 2]
    [dropped] = [event for event in node.events if event["event"] == "records dropped"]
    assert (dropped["attempts"], dropped["records"]) == (2, 1)
    assert {event["error_type"] for event in (*failed, dropped)} == {kind}
    assert [event for event in (*failed, dropped) if not event["error_message"].endswith(message)] == []
    assert "Traceback" not in node.log.read_text()


def test_a_function_that_is_mended_while_it_is_tried_again_goes_on(project):
    project.send("ticks", "one")
    app = project.folder / "fn" / "app.py"
    right = app.read_text()
    app.write_text("import not_installed\n")

    with project.node() as node:
        node.until_started()
        node.until(lambda: any(event["event"] == "batch failed" for event in node.events))
        app.write_text(right)
        node.until(lambda: project.ledger == ["one"])
        node.until(lambda: shown(project)["last_result"] == "OK")
        assert shown(project)["counters"]["dropped"] == 0
