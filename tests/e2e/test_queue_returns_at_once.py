"""A queue whose failures come back at once: `VisibilityTimeout: 0`."""

import subprocess
import sys

import pytest

CONFIGURATION = """\
Sources:
  jobs: {Type: sqlite-queue, VisibilityTimeout: 0}
Functions:
  work:
    CodeUri: .
    Handler: app.handler
    Events:
      E: {Source: jobs}
"""
FUNCTION = """\
def handler(event, context):
    (record,) = event["Records"]
    with open("runs", "a") as runs:
        runs.write(record["attributes"]["ApproximateReceiveCount"] + "\\n")
    if record["attributes"]["ApproximateReceiveCount"] != "3":
        raise RuntimeError("not yet")
"""


@pytest.mark.e2e
def test_a_message_that_fails_comes_back_at_once_and_is_counted(tmp_path):
    (tmp_path / "penstock.yaml").write_text(CONFIGURATION)
    (tmp_path / "app.py").write_text(FUNCTION)
    for command in (("send", "jobs", "one"), ("up", "--until-idle=1", "--timeout=30", "--listen=none")):
        ran = subprocess.run(
            [sys.executable, "-m", "penstock", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "runs").read_text().split() == ["1", "2", "3"]
