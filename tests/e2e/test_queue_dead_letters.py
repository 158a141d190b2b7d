"""Dead letters of a queue, end to end on embedded sources: a poison message, and what no filter matches."""

import json
import subprocess
import sys

import pytest

CONFIGURATION = """\
Sources:
  jobs:
    Type: sqlite-queue
    VisibilityTimeout: 0
    RedrivePolicy: {maxReceiveCount: 3, deadLetterTargetArn: TARGET}
  dead-jobs: {Type: sqlite-queue}
  dead-stream: {Type: sqlite-stream}
Functions:
  work:
    CodeUri: .
    Handler: app.handler
    Events:
      E: {Source: jobs, EXTRAS}
"""
FUNCTION = """\
def handler(event, context):
    failures = []
    for record in event["Records"]:
        with open("runs", "a") as runs:
            runs.write(record["body"] + " " + record["attributes"]["ApproximateReceiveCount"] + "\\n")
        if record["body"] == "poison":
            raise ValueError("it is poison")
        if record["body"] == "reported":
            failures.append({"itemIdentifier": record["messageId"], "retryAfterSeconds": 0.05})
    return {"batchItemFailures": failures}
"""


def penstock(folder, *command):
    ran = subprocess.run(
        [sys.executable, "-m", "penstock", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def project(folder, *, target="dead-jobs", extras="BatchSize: 1"):
    (folder / "penstock.yaml").write_text(CONFIGURATION.replace("TARGET", target).replace("EXTRAS", extras))
    (folder / "app.py").write_text(FUNCTION)
    return folder


def run_until_idle(folder):
    penstock(folder, "up", "--until-idle=1", "--timeout=60", "--listen=none")


def runs(folder):
    return (folder / "runs").read_text().splitlines()


@pytest.mark.e2e
def test_a_poison_message_is_a_dead_letter_after_exactly_its_runs_with_its_error(tmp_path):
    project(tmp_path)
    penstock(tmp_path, "send", "jobs", "poison")
    penstock(tmp_path, "send", "jobs", "fine")

    run_until_idle(tmp_path)

    assert sorted(runs(tmp_path)) == ["fine 1", "poison 1", "poison 2", "poison 3"]
    (letter,) = [json.loads(line) for line in penstock(tmp_path, "peek", "dead-jobs", "--json").splitlines()]
    attributes = {name: each["value"] for name, each in letter["attributes"].items()}
    assert letter["body"] == "poison"
    assert attributes["penstock.condition"] == "MaximumReceiveCountExceeded"
    assert attributes["penstock.receive-count"] == "3"
    assert (attributes["penstock.error-type"], attributes["penstock.error-message"]) == ("ValueError", "it is poison")
    assert attributes["penstock.mapping"] == "work.E"
    assert penstock(tmp_path, "peek", "jobs", "--json") == ""


@pytest.mark.e2e
def test_a_reported_message_comes_back_alone_after_the_delay_that_it_asked_for(tmp_path):
    project(tmp_path, extras="FunctionResponseTypes: [ReportBatchItemFailures]", target="dead-stream")
    for body in ("one", "reported", "two"):
        penstock(tmp_path, "send", "jobs", body)

    run_until_idle(tmp_path)

    assert sorted(runs(tmp_path)) == ["one 1", "reported 1", "reported 2", "reported 3", "two 1"]
    (letter,) = [json.loads(line) for line in penstock(tmp_path, "peek", "dead-stream", "--json").splitlines()]
    assert letter["value"] == "reported"


@pytest.mark.e2e
def test_what_no_filter_matches_is_sent_away_where_the_mapping_says_so(tmp_path):
    extras = 'OnFiltered: dead-letter, FilterCriteria: {Filters: [{Pattern: \'{"body": {"wanted": [true]}}\'}]}'
    project(tmp_path, extras=extras)
    penstock(tmp_path, "send", "jobs", '{"wanted": true}')
    penstock(tmp_path, "send", "jobs", '{"wanted": false}')

    run_until_idle(tmp_path)

    assert runs(tmp_path) == ['{"wanted": true} 1']
    (letter,) = [json.loads(line) for line in penstock(tmp_path, "peek", "dead-jobs", "--json").splitlines()]
    assert letter["attributes"]["penstock.condition"]["value"] == "Filtered"
    assert penstock(tmp_path, "peek", "jobs", "--json") == ""
