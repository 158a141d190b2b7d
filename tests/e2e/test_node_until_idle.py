"""A node that ends by itself: when, with which exit code, and what it says."""

import json
import socket

import pytest

from e2e.node_project import Project

pytestmark = pytest.mark.e2e


def test_records_and_messages_reach_the_function_once_and_the_node_ends(tmp_path):
    project = Project(tmp_path / "shop")
    project.up("--until-idle=0.2")
    ticks, jobs = [f"tick-{number}" for number in range(25)], [f"job-{number}" for number in range(5)]
    project.send("ticks", *ticks)
    project.send("jobs", *jobs)

    first = project.up("--until-idle=0.5", "--timeout=30")
    second = project.up("--until-idle=0.5", "--timeout=30")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert [text for text in project.ledger if text.startswith("tick")] == ticks
    assert sorted(text for text in project.ledger if text.startswith("job")) == jobs


def test_it_runs_from_anywhere(tmp_path):
    project = Project(tmp_path / "shop")
    project.up("--until-idle=0.2")
    project.send("ticks", "one")

    ran = project.up("--until-idle=0.2", "--timeout=30", cwd="/")

    assert (ran.returncode, project.ledger) == (0, ["one"])
    assert project.data_dir.is_dir()


def test_a_poison_record_without_an_end_to_its_retries_is_named_when_the_time_is_over(tmp_path):
    project = Project(tmp_path / "shop", handler="poison")
    project.up("--until-idle=0.2")
    project.send("ticks", "one")

    ran = project.up("--until-idle=1", "--timeout=3", "--json")

    assert ran.returncode == 1
    assert len(project.ledger) > 1
    left = json.loads(ran.stdout)["left"]
    assert left[0] == "not idle after 3 s; this is left:"
    assert left[1].startswith("mapping 'tally.Ticks', shard ")
    assert "KeyError: 'id'" in left[1]


def test_records_given_up_end_it_with_1_where_that_was_asked_for(tmp_path):
    for name, options, code in (("lenient", (), 0), ("strict", ("--fail-on-dropped",), 1)):
        project = Project(tmp_path / name, handler="poison", retries=0)
        project.up("--until-idle=0.2")
        project.send("ticks", "one")

        ran = project.up("--until-idle=0.5", "--timeout=30", *options)

        assert (ran.returncode, project.ledger) == (code, ["one"]), ran.stderr
        [dropped] = [json.loads(line) for line in ran.stderr.splitlines() if '"records dropped"' in line]
        assert (dropped["mapping"], dropped["attempts"], dropped["records"]) == ("tally.Ticks", 1, 1)


def test_a_source_that_is_not_there_ends_it_with_2_and_one_message(tmp_path):
    config = """
Name: {name}
Sources:
  ticks: {{Type: sqlite-stream, Stream: ticks, Create: false}}
Functions:
  tally:
    CodeUri: fn
    Handler: app.{handler}
    Events:
      Ticks: {{Source: ticks, StartingPosition: TRIM_HORIZON, MaximumRetryAttempts: {retries}}}
"""
    project = Project(tmp_path / "shop", config=config)

    ran = project.up("--until-idle=1", "--timeout=30")

    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("Error: mapping 'tally.Ticks': ")
    assert "Traceback" not in ran.stderr


def test_a_broker_that_can_not_be_reached_ends_it_with_3_and_one_message(tmp_path):
    config = """
Name: {name}
Sources:
  ticks: {{Type: kafka, BootstrapServers: "127.0.0.1:PORT", Topic: ticks}}
Functions:
  tally:
    CodeUri: fn
    Handler: app.{handler}
    Events:
      Ticks: {{Source: ticks, StartingPosition: TRIM_HORIZON, MaximumRetryAttempts: {retries}}}
"""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    project = Project(tmp_path / "shop", config=config.replace("PORT", str(port)))

    ran = project.up("--until-idle=1")

    assert ran.returncode == 3
    assert ran.stderr.splitlines()[-1].startswith("Error: mapping 'tally.Ticks': ")
    assert "Traceback" not in ran.stderr


def test_its_options_go_together(tmp_path):
    project = Project(tmp_path / "shop")

    ran = project.up("--timeout=3")

    assert ran.returncode == 2
    assert "go with --until-idle" in ran.stderr
