"""A Kafka that is not as it should be: commands say why and end; a node stays, runs the rest, and comes by itself."""

from __future__ import annotations

import json
import subprocess
import urllib.request
import uuid

import pytest
import yaml
from confluent_kafka.admin import ConfigResource, NewPartitions, ResourceType

from brokers import Produced, committed_offsets, produce, topic_names
from brokers.clients import admin
from e2e.node_project import Project
from e2e.troubles import Troubles

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

CASES = [
    Troubles.missing_topic,
    Troubles.closed_port,
    Troubles.unknown_authority,
    Troubles.wrong_password,
    Troubles.missing_right,
]


@pytest.fixture
def troubles(kafka, kafka_sasl, stranger_ca_file, tmp_path):
    with Troubles(kafka, kafka_sasl, stranger_ca_file, tmp_path) as made:
        yield made


def project_on(folder, source, **event):
    """A project with a mapping on a source of Kafka's, and one that needs no broker."""
    events = {
        "Orders": {
            "Source": "orders",
            "StartingPosition": "TRIM_HORIZON",
            "EventFormat": "kinesis",
            "MaximumRetryAttempts": 0,
            **event,
        },
        "Ticks": {"Source": "ticks", "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 0},
    }
    project = Project(folder)
    # Groups of this name are open to the user `reader`.
    configuration = {
        "Name": f"acl-{uuid.uuid4().hex[:12]}",
        "Sources": {"orders": dict(source), "ticks": {"Type": "sqlite-stream", "Shards": 1}},
        "Functions": {"tally": {"CodeUri": "fn", "Handler": "app.handler", "Timeout": 30, "Events": events}},
    }
    project.file.write_text(yaml.safe_dump(configuration, sort_keys=False))
    return project


def run_together(project, *commands):
    """Run commands at the same time, each to its end; gives exit code, stdout and stderr of each."""
    started = [
        subprocess.Popen(
            project.command(name, "-f", str(project.file), *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=project.folder,
        )
        for name, *options in commands
    ]
    try:
        outputs = [process.communicate(timeout=60) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]


def line_of(project, text):
    return project.file.read_text().splitlines().index(text) + 1


def mapping(project, name="tally.Orders"):
    """What the node shows of a mapping now; it may have just begun, and have none yet."""
    with urllib.request.urlopen(f"{project.endpoint}/penstock/v1/status", timeout=10) as answer:
        mappings = {each["name"]: each for each in json.load(answer)["mappings"]}
    return mappings.get(name, {"state": "", "last_result": ""})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_command_that_needs_it_ends_with_one_message(troubles, tmp_path, case):
    trouble = case(troubles)
    project = project_on(tmp_path / "shop", trouble.source)
    commands = [("validate", "--connect"), ("send", "orders", "one"), ("peek", "orders")]
    if case != Troubles.closed_port:  # which takes ten seconds, and is among the tests of how nodes end
        commands.append(("up", "--until-idle=1", "--listen=none", "--log-format=json"))

    ran = run_together(project, *commands)

    assert [(code, stdout) for code, stdout, _ in ran] == [(trouble.code, "")] * len(commands)
    place = f"{project.file}:{line_of(project, '  orders:')}: Sources.orders: "
    before = [place, "Error: ", "Error: ", "Error: mapping 'tally.Orders': "]
    for expected, (_, _, stderr) in zip(before, ran, strict=False):
        lines = [line for line in stderr.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, stderr
        assert lines[0].startswith(expected)
        assert trouble.is_said_by(lines[0].removeprefix(expected)), lines[0]
        assert [secret for secret in trouble.secrets if secret in stderr] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_node_stays_says_why_runs_the_rest_and_reads_it_once_it_is_mended(troubles, tmp_path, case):
    trouble = case(troubles)
    project = project_on(tmp_path / "shop", trouble.source)

    with project.node("--log-level=debug") as node:
        node.until_started()
        node.until(lambda: mapping(project)["last_result"].startswith("PROBLEM: "))
        project.send("ticks", "beside")
        node.until(lambda: project.ledger == ["beside"])
        shown = mapping(project)
        assert trouble.is_said_by(shown["last_result"].removeprefix("PROBLEM: ")), shown["last_result"]
        assert (shown["state"], shown["state_reason"], shown["shards"]) == ("Enabling", "", [])

        trouble.mend()
        produce(trouble.broker, trouble.topic, [b"mended"])

        node.until(lambda: project.ledger == ["beside", "mended"], seconds=40)
        node.until(lambda: mapping(project)["last_result"] == "OK")
        assert mapping(project)["state"] == "Enabled"
        code = node.stop()

    troubled = [event for event in node.events if event["event"] == "source troubled"]
    assert code == 0
    assert trouble.is_said_by(troubled[0]["reason"])
    # It is tried again and again, and said when it is news.
    assert len(troubled) < 4
    log = node.log.read_text()
    assert [line for line in log.splitlines() if not line.startswith("{")] == []
    assert [secret for secret in trouble.secrets if secret in log] == []


def test_a_missing_topic_is_never_created_though_the_broker_would(troubles, kafka, tmp_path):
    client = admin(kafka.address)
    broker = ConfigResource(ResourceType.BROKER, str(min(client.list_topics(timeout=10).brokers)))
    described = client.describe_configs([broker])[broker].result(timeout=10)
    assert described["auto.create.topics.enable"].value == "true"
    trouble = troubles.missing_topic()
    project = project_on(tmp_path / "shop", trouble.source)

    ran = run_together(
        project,
        ("validate", "--connect"),
        ("send", "orders", "one"),
        ("peek", "orders"),
        ("up", "--until-idle=1", "--listen=none"),
    )

    assert [code for code, _, _ in ran] == [2] * 4
    assert trouble.topic not in topic_names(kafka.address)


def test_a_group_without_the_right_to_read_it_is_said(troubles, topic, tmp_path):
    source = troubles.secured(topic(prefix="acl-orders"))
    project = project_on(tmp_path / "shop", source, ConsumerGroupId="not-ours")

    checked = project.run("validate", "--connect")
    ran = project.up("--until-idle=1")

    reason = "the user has no right to READ the consumer group (group 'not-ours': "
    assert (checked.returncode, ran.returncode) == (2, 2)
    assert ": Functions.tally.Events.Orders: " in checked.stderr
    assert reason in checked.stderr
    assert reason in ran.stderr.splitlines()[-1]


def test_to_read_over_sasl_and_tls_no_right_is_needed_but_read_on_topic_and_group(troubles, kafka, topic, tmp_path):
    name = topic(prefix="acl-orders", partitions=3)
    produce(kafka.address, name, [Produced(b"%d" % number, partition=number % 3) for number in range(300)])
    project = project_on(tmp_path / "shop", troubles.secured(name), BatchSize=20)

    checked = project.run("validate", "--connect")
    peeked = project.run("peek", "orders", "--limit=300")
    ran = project.up("--until-idle=0.5")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert (peeked.returncode, peeked.stdout.count("\n")) == (0, 300), peeked.stderr
    assert ran.returncode == 0, ran.stderr
    assert sorted(map(int, project.ledger)) == list(range(300))
    group = f"{yaml.safe_load(project.file.read_text())['Name']}.tally.Orders"
    assert {number: offset for number, (offset, _) in committed_offsets(kafka.address, group, name).items()} == {
        0: 100,
        1: 100,
        2: 100,
    }


def test_a_partition_added_while_a_node_runs_is_read_from_its_first_record(kafka, topic, tmp_path):
    name = topic()
    # Clients look for new partitions every 30 seconds unless they are told to do so more often.
    config = {"topic.metadata.refresh.interval.ms": 500}
    source = {"Type": "kafka", "BootstrapServers": kafka.address, "Topic": name, "Config": config}
    project = project_on(tmp_path / "shop", source, StartingPosition="LATEST")

    with project.node() as node:
        node.until_started()
        node.until(lambda: mapping(project)["state"] == "Enabled")
        client = admin(kafka.address)
        client.create_partitions([NewPartitions(name, 2)])[name].result(timeout=10)
        produce(kafka.address, name, [Produced(b"new", partition=1), Produced(b"old", partition=0)])
        node.until(lambda: sorted(project.ledger) == ["new", "old"], seconds=40)
        shards = mapping(project)["shards"]

    assert [shard["shard"] for shard in shards] == [f"{name}-0", f"{name}-1"]
