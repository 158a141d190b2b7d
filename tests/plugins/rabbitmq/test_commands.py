"""What the commands show of a queue."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from penstock.cli import penstock


def test_messages_are_shown_when_they_may_be_disturbed_and_are_there_afterwards(
    queue_source: Any, tmp_path: Any
) -> None:
    settings = queue_source().settings
    project = tmp_path / "penstock.yaml"
    project.write_text(json.dumps({"Sources": {"jobs": {"Type": "rabbitmq", **settings}}, "Functions": {}}))

    def run(*arguments: str) -> Any:
        return CliRunner(env={"PENSTOCK_FILE": str(project)}).invoke(penstock, arguments)

    assert run("send", "jobs", "a", "b").exit_code == 0

    refused = run("peek", "jobs")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--disturb" in refused.stderr
    for _ in range(2):
        shown = run("peek", "jobs", "--disturb", "--json")
        assert [json.loads(line)["body"] for line in shown.stdout.splitlines()] == ["a", "b"], shown.output

    found = json.loads(run("source", "show", "jobs", "--json").stdout)["found"]
    assert found["type"] == "classic"
