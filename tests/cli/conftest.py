"""What the tests of the command line share: a way to run it in this process, and small projects."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

from penstock.cli import penstock

PENSTOCK = Path(sys.executable).with_name("penstock")

PROJECT = """\
Sources:
  orders: {Type: sqlite-stream, Create: true}
  jobs: {Type: sqlite-queue, Create: true}
Functions:
  hello:
    CodeUri: functions/hello
    Handler: app.handler
    Timeout: 10
    Events:
      FromOrders: {Source: orders, StartingPosition: TRIM_HORIZON, MaximumRetryAttempts: 3}
"""

FUNCTION = """\
def handler(event, context):
    print("was given", event)
    if event.get("fail"):
        raise ValueError("as you wish")
    return {"given": event}
"""


class Project:
    """A project's folder, and the command run on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "penstock.yaml"
        self.write("penstock.yaml", PROJECT)
        self.write("functions/hello/app.py", FUNCTION)

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
        return file

    def run(self, *args: str, given: str | bytes | None = None) -> Result:
        """Run the command in this process, with this project's configuration."""
        return CliRunner(env={"PENSTOCK_FILE": str(self.file)}).invoke(penstock, args, input=given)

    def ok(self, *args: str, given: str | bytes | None = None) -> str:
        """Run what has to go well, and give its standard output."""
        result = self.run(*args, given=given)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("PENSTOCK_") and "TEST" not in each]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    path = tmp_path / "shop"
    path.mkdir()
    return Project(path)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run the command in this process, with nothing around it."""

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(penstock, args)

    return invoke


@pytest.fixture(scope="session")
def installed() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command that is installed, as a process."""

    def invoke(*args: str, cwd: Path | str = "/", given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PENSTOCK, *args], cwd=cwd, input=given, capture_output=True, text=True, check=False, timeout=60
        )

    return invoke
