"""FIFO queues end to end on the embedded queue: order within groups, and what a failure holds back."""

import json
import subprocess
import sys

import pytest

CONFIGURATION = """\
Sources:
  jobs:
    Type: sqlite-queue
    FifoQueue: true
    VisibilityTimeout: 0
    RedrivePolicy: {maxReceiveCount: 3, deadLetterTargetArn: dead}
  dead: {Type: sqlite-queue, FifoQueue: true}
Functions:
  work:
    CodeUri: .
    Handler: app.handler
    Events:
      E: {Source: jobs, BatchSize: 10, FunctionResponseTypes: [ReportBatchItemFailures]EXTRAS}
"""
FUNCTION = """\
import json, os

def handler(event, context):
    seen = [(record["attributes"]["MessageGroupId"], record["body"],
             int(record["attributes"]["ApproximateReceiveCount"])) for record in event["Records"]]
    with open("runs", "a") as runs:
        runs.write(json.dumps(seen) + "\\n")
    failures = [record for record in event["Records"] if should_fail(record)]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failures]}

def should_fail(record):
    count = int(record["attributes"]["ApproximateReceiveCount"])
    group = record["attributes"]["MessageGroupId"]
    return CONDITION
"""


def penstock(folder, *command, text=None):
    ran = subprocess.run(
        [sys.executable, "-m", "penstock", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        input=text,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def project(folder, *, fails, extras=""):
    (folder / "penstock.yaml").write_text(CONFIGURATION.replace("EXTRAS", extras))
    (folder / "app.py").write_text(FUNCTION.replace("CONDITION", fails))
    return folder


def send(folder, *records):
    lines = "".join(json.dumps({"group": group, "data": data}) + "\n" for group, data in records)
    penstock(folder, "send", "jobs", "--jsonl", "-", text=lines)


def run_until_idle(folder):
    penstock(folder, "up", "--until-idle=1", "--timeout=120", "--listen=none")
    return [json.loads(line) for line in (folder / "runs").read_text().splitlines()]


@pytest.mark.e2e
@pytest.mark.parametrize("extras", ["", ", GroupFailureMode: aws"])
def test_what_is_reported_comes_next_and_counted_and_is_dead_after_its_runs(tmp_path, extras):
    project(tmp_path, fails='record["body"] == "4" or (record["body"] in ("2", "3") and count == 1)', extras=extras)
    send(tmp_path, *(("g", str(number)) for number in range(1, 5)))

    runs = run_until_idle(tmp_path)

    assert runs == [
        [["g", "1", 1], ["g", "2", 1], ["g", "3", 1], ["g", "4", 1]],
        [["g", "2", 2], ["g", "3", 2], ["g", "4", 2]],
        [["g", "4", 3]],
    ]
    (letter,) = [json.loads(line) for line in penstock(tmp_path, "peek", "dead", "--json").splitlines()]
    assert (letter["body"], letter["group"]) == ("4", "g")
    assert letter["attributes"]["penstock.error-message"]["value"].startswith("the function reported ")


@pytest.mark.e2e
def test_a_group_that_fails_holds_back_its_own_and_no_other_and_each_keeps_its_order(tmp_path):
    project(tmp_path, fails='group == "bad" and record["body"] == "0"')
    groups = ["bad", *(f"g{number}" for number in range(8))]
    send(tmp_path, *((group, str(number)) for number in range(6) for group in groups))

    runs = run_until_idle(tmp_path)

    done = {group: [body for run in runs for name, body, _ in run if name == group] for group in groups}
    assert all(done[group] == [str(number) for number in range(6)] for group in groups if group != "bad")
    first = [body for body in done["bad"] if body == "0"]
    assert len(first) == 3, "it is dead after its runs, and the group goes on"
    assert done["bad"][-5:] == ["1", "2", "3", "4", "5"]
