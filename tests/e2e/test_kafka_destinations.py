"""Where a node sends what it gives up: to topics, folders and functions, and what it does while it can not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from harness import KafkaProject, Node, identities, offsets, orders, wait_settled

from brokers import Produced, create_topic, produce, until
from brokers.clients import delete_topics

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

QUICK = {"MaximumRetryAttempts": 1, "RetryBackoff": {"InitialMs": 100, "MaximumMs": 200}}
POISONED = 14
"""The place of the record that its function never takes."""


def poisoned(count: int = 30, **changes: Any) -> list[Produced]:
    """Make records of which one fails at every try."""
    records = orders(count, plans={POISONED: ["raise"]})
    records[POISONED] = replace(records[POISONED], **changes)
    return records


def on_failure(destination: str, **more: Any) -> dict[str, Any]:
    return {"DestinationConfig": {"OnFailure": {"Destination": destination, **more}}}


def extend(project: KafkaProject, sections: dict[str, Any]) -> None:
    """Add sources and functions to a project's file."""
    configuration = yaml.safe_load(project.file.read_text())
    for section, entries in sections.items():
        configuration.setdefault(section, {}).update(entries)
    project.file.write_text(yaml.safe_dump(configuration, sort_keys=False))


def records_of(address: str, topic: str, count: int) -> list[Any]:
    """Read a topic of one partition from its beginning, until it has given so many records."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reading-only", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Any] = []
    try:

        def enough() -> bool:
            found.extend(each for each in consumer.consume(100, 0.2) if each.error() is None)
            return len(found) >= count

        until(enough, what=f"{count} records on {topic}", timeout_seconds=30)
    finally:
        consumer.close()
    return found


def shard_of(node: Node) -> dict[str, Any]:
    return dict(next(iter(node.mapping()["shards"]), {}))


def wait_held(node: Node, words: str) -> dict[str, Any]:
    """Wait until the shard says that its destination is the reason why it stands still."""
    until(lambda: words in json.dumps(shard_of(node)), what=f"the status says: {words}", timeout_seconds=30)
    return shard_of(node)


def test_from_topic_to_topic_keys_and_headers_are_kept_and_the_context_is_added(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    headers = (("trace", b"\x00\xff"), ("trace", None))
    records = poisoned(headers=headers)
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, **QUICK, **on_failure(f"kafka://{dead}")
    )

    nodes.run(project, "--until-idle=1")

    assert offsets(kafka.address, project) == {0: 30}
    letters = records_of(kafka.address, dead, 10)
    # All of the poisoned batch shared its fate, and each has a letter of its own.
    assert [letter.key() for letter in letters] == [record.key for record in records[10:20]]
    letter = letters[POISONED - 10]
    kept = [pair for pair in letter.headers() if not pair[0].startswith("penstock.")]
    assert kept == list(headers)
    context = {name: value.decode() for name, value in letter.headers() if name.startswith("penstock.")}
    assert context["penstock.topic"] == name
    assert (context["penstock.partition"], context["penstock.offset"]) == ("0", str(POISONED))
    assert context["penstock.mapping"] == project.mapping
    assert context["penstock.condition"] == "RetriesExhausted"
    assert context["penstock.error-type"] == "PlannedError"
    document = json.loads(letter.value())
    assert document["requestContext"]["approximateInvokeCount"] == 2
    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["responseContext"]["functionError"] == "Unhandled"
    assert document["responsePayload"]["errorType"] == "PlannedError"
    info = document["KafkaBatchInfo"]
    assert (info["batchSize"], info["recordInfo"]["offset"]) == (1, str(POISONED))
    ((payload,),) = document["payload"]["records"].values()
    assert payload["offset"] == POISONED
    assert info["bootstrapServers"] == document["payload"]["bootstrapServers"] == kafka.address


def test_a_destination_that_is_missing_at_the_start_is_a_problem_until_it_is_there(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    delete_topics(kafka.address, [dead])
    produce(kafka.address, name, orders(10))
    project = KafkaProject(tmp_path / "shop", kafka.address, name, **QUICK, **on_failure(f"kafka://{dead}"))

    node = nodes.start(project)

    until(lambda: "does not exist" in node.mapping()["last_result"], what="the problem is shown", timeout_seconds=30)
    assert node.mapping()["last_result"].startswith(f"PROBLEM: destination 'kafka://{dead}': topic '{dead}' on ")
    assert project.ledger.read() == []
    create_topic(kafka.address, dead)
    wait_settled(kafka.address, project)
    assert node.mapping()["last_result"] == "OK"
    node.terminate()
    assert node.wait() == 0


def test_a_destination_deleted_later_holds_the_shard_and_goes_on_by_itself(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    produce(kafka.address, name, orders(10))
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, **QUICK, **on_failure(f"kafka://{dead}")
    )
    node = nodes.start(project)
    wait_settled(kafka.address, project)

    delete_topics(kafka.address, [dead])
    rest = orders(20, start=10, plans={POISONED: ["raise"]})
    produce(kafka.address, name, rest)

    shard = wait_held(node, "the topic does not exist")
    assert shard["committed"] == 9
    assert offsets(kafka.address, project) == {0: 10}
    create_topic(kafka.address, dead)
    wait_settled(kafka.address, project)
    letters = records_of(kafka.address, dead, 10)
    assert {letter.key() for letter in letters} == {record.key for record in rest[:10]}
    assert [each.offsets[0] for each in project.ledger.read()] == [0, 10, 10, 20]
    node.terminate()
    assert node.wait() == 0


def test_a_destination_that_is_down_holds_the_shard_with_the_reason_and_nothing_is_lost(
    kafka, topic, private_kafka, nodes, tmp_path
):
    name = topic()
    other = private_kafka()
    create_topic(other.address, "dead")
    produce(kafka.address, name, orders(10))
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=10, **QUICK, **on_failure("letters"))
    extend(project, {"Sources": {"letters": {"Type": "kafka", "BootstrapServers": other.address, "Topic": "dead"}}})
    node = nodes.start(project)
    wait_settled(kafka.address, project)

    other.stop()
    produce(kafka.address, name, orders(20, start=10, plans={POISONED: ["raise"]}))

    wait_held(node, "no broker answers")
    assert offsets(kafka.address, project) == {0: 10}
    other.start()
    other.wait_ready()
    wait_settled(kafka.address, project)
    found = {json.loads(letter.value())["KafkaBatchInfo"]["recordInfo"]["offset"] for letter in _ten(other.address)}
    assert found == {str(offset) for offset in range(10, 20)}
    node.terminate()
    assert node.wait() == 0


def _ten(address: str) -> list[Any]:
    return records_of(address, "dead", 10)


def test_a_node_killed_while_its_destination_is_down_delivers_after_the_restart(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    produce(kafka.address, name, orders(10))
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, **QUICK, **on_failure(f"kafka://{dead}")
    )
    node = nodes.start(project)
    wait_settled(kafka.address, project)
    delete_topics(kafka.address, [dead])
    produce(kafka.address, name, orders(20, start=10, plans={POISONED: ["raise"]}))
    wait_held(node, "the topic does not exist")

    node.kill()
    create_topic(kafka.address, dead)
    again = nodes.restart(node, "--until-idle=1")

    assert again.wait() == 0
    offsets_told = {
        json.loads(letter.value())["KafkaBatchInfo"]["recordInfo"]["offset"]
        for letter in records_of(kafka.address, dead, 10)
    }
    assert offsets_told == {str(offset) for offset in range(10, 20)}
    assert offsets(kafka.address, project) == {0: 30}


def test_a_document_too_large_for_the_topic_arrives_without_its_payload_and_the_shard_goes_on(
    kafka, topic, nodes, tmp_path
):
    name, dead = topic(), topic(prefix="dead", config={"max.message.bytes": "6000"})
    records = orders(3, plans={1: ["raise"]})
    large = json.loads(records[1].value) | {"filling": "x" * 20_000}
    records[1] = replace(records[1], value=json.dumps(large).encode())
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=1, **QUICK, **on_failure(f"kafka://{dead}")
    )

    node = nodes.run(project, "--until-idle=1")

    (letter,) = records_of(kafka.address, dead, 1)
    assert letter.key() == records[1].key
    document = json.loads(letter.value())
    assert "payload" not in document
    assert document["payloadOmitted"].startswith("too large for the destination: ")
    assert document["KafkaBatchInfo"]["payloadSize"] > 20_000
    assert document["responsePayload"]["errorType"] == "PlannedError"
    assert offsets(kafka.address, project) == {0: 3}
    assert [line["records"] for line in node.log("records delivered", shrunk=True)] == [1]


@pytest.mark.parametrize("by", [lambda _: "orders", lambda topic: f"kafka://{topic}"], ids=["name", "topic"])
def test_the_source_itself_is_refused_as_a_destination(kafka, topic, nodes, tmp_path, by: Callable[[str], str]):
    name = topic()
    project = KafkaProject(tmp_path / "shop", kafka.address, name, **on_failure(by(name)))

    node = nodes.start(project)

    assert node.wait() == 2
    assert "is what the mapping reads" in node.messages()


def test_documents_in_a_folder_are_laid_out_as_aws_does_and_hold_the_whole_event(kafka, topic, nodes, tmp_path):
    name = topic()
    produce(kafka.address, name, poisoned())
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=10, **QUICK, **on_failure("file:failed"))

    node = nodes.start(project)
    wait_settled(kafka.address, project)
    uuid = node.mapping()["uuid"]
    node.terminate()
    assert node.wait() == 0

    folder = project.folder / "failed"
    (path,) = (each for each in folder.rglob("*") if each.is_file())
    shape = rf"aws/lambda/{uuid}/{name}-0/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3T\d\d\.\d\d\.\d\d-[0-9a-f-]{{36}}"
    assert re.fullmatch(shape, str(path.relative_to(folder)))
    document = json.loads(path.read_text())
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    (info,) = document["KafkaBatchInfo"]["recordsInfo"].values()
    assert (info["firstRecordOffset"], info["lastRecordOffset"]) == ("10", "19")
    assert isinstance(document["payload"], str)
    ((key, told),) = json.loads(document["payload"])["records"].items()
    assert key == f"{name}-0"
    assert [record["offset"] for record in told] == list(range(10, 20))


ARCHIVE = """
import json, os

def handler(event, context):
    if not os.path.exists(os.environ["OPEN"]):
        raise RuntimeError("the archive is shut")
    with open(os.environ["ARCHIVE"], "a") as archive:
        archive.write(json.dumps(event) + "\\n")
"""


def test_a_function_gets_the_document_and_holds_the_shard_while_it_fails(kafka, topic, nodes, tmp_path):
    name = topic()
    produce(kafka.address, name, poisoned())
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, **QUICK, **on_failure("function:archive")
    )
    code = project.folder / "archive"
    code.mkdir()
    (code / "app.py").write_text(ARCHIVE)
    opened, archive = project.folder / "open", project.folder / "archived"
    variables = {"OPEN": str(opened), "ARCHIVE": str(archive)}
    function = {"CodeUri": "archive", "Handler": "app.handler", "Environment": {"Variables": variables}}
    extend(project, {"Functions": {"archive": function}})
    node = nodes.start(project)

    wait_held(node, "function 'archive' failed: RuntimeError: the archive is shut")
    assert offsets(kafka.address, project) in ({}, {0: 10})
    opened.touch()
    wait_settled(kafka.address, project)
    node.terminate()
    assert node.wait() == 0

    (line,) = Path(archive).read_text().splitlines()
    document = json.loads(line)
    assert document["KafkaBatchInfo"]["batchSize"] == 10
    assert document["responsePayload"]["errorType"] == "PlannedError"
    assert project.ledger.missing(identities(poisoned()[:10])) == []


def test_what_was_taken_is_told_where_the_mapping_wants_that(kafka, topic, nodes, tmp_path):
    name, done = topic(), topic(prefix="done")
    produce(kafka.address, name, orders(30))
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=10,
        DestinationConfig={"OnSuccess": {"Destination": f"kafka://{done}"}},
    )

    nodes.run(project, "--until-idle=1")

    letters = records_of(kafka.address, done, 30)
    assert [json.loads(letter.value())["requestContext"]["condition"] for letter in letters] == ["Success"] * 30
    assert [letter.key() for letter in letters] == [record.key for record in orders(30)]
