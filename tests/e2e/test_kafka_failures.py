"""Records that fail: found in their batch, tried as often as the mapping says, sent away; everything else is done."""

from __future__ import annotations

import base64
import math
import os
import subprocess
import sys
from collections import Counter

import pytest
from harness import KafkaProject, identities, letters, offsets, orders, wait_settled

from brokers import produce

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

QUICK = {"InitialMs": 20, "MaximumMs": 50}
FULL_BATCHES = {"MaximumBatchingWindowInMilliseconds": 5000}
"""Whatever was written before the node starts comes in batches that are full."""
PARTIAL = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


def on_failure(topic: str) -> dict[str, object]:
    return {"DestinationConfig": {"OnFailure": {"Destination": f"kafka://{topic}"}}}


@pytest.mark.parametrize("answer", ["raise", "report"])
def test_one_poison_record_among_a_thousand_is_found_and_sent_away_alone(kafka, topic, nodes, tmp_path, answer):
    name, dead = topic(), topic(prefix="dead")
    poison, batch, retries = 612, 1000, 2
    records = orders(batch, plans={poison: [answer]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=batch,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=retries,
        RetryBackoff=QUICK,
        **FULL_BATCHES,
        **(PARTIAL if answer == "report" else {}),
        **on_failure(dead),
    )
    ledger = project.ledger

    nodes.run(project, "--until-idle=1")

    runs = ledger.read()
    assert runs[0].offsets == list(range(batch))
    assert len(runs) - 1 <= 2 * math.log2(batch) + 3
    alone = [each for each in runs if each.offsets == [poison]]
    assert [each.outcome for each in alone] == [{"raise": "raised", "report": "reported"}[answer]] * (retries + 1)
    poisoned = identities(records[poison : poison + 1])
    others = identities(records) - poisoned
    assert ledger.missing(others) == []
    # None twice: whoever raises has done nothing, and whoever reports is believed as far as it came.
    assert ledger.handled() == others
    assert ledger.out_of_order(given_up=poisoned) == []
    assert ledger.overlapping() == []
    (letter,) = letters(kafka.address, dead)
    assert (letter.offset, letter.condition, letter.count) == (poison, "RetriesExhausted", retries + 1)
    ((payload,),) = letter.document["payload"]["records"].values()
    assert (payload["offset"], base64.b64decode(payload["value"])) == (poison, records[poison].value)
    assert letter.document["requestContext"]["requestId"] == alone[-1].request_id
    if answer == "raise":
        assert letter.document["responsePayload"]["errorType"] == "PlannedError"
        assert letter.document["responseContext"]["functionError"] == "Unhandled"
    else:
        reported = {"batchItemFailures": [{"itemIdentifier": {"partition": f"{name}-0", "offset": poison}}]}
        assert letter.document["responsePayload"] == reported
        assert letter.document["responseContext"]["functionError"] is None
    assert offsets(kafka.address, project) == {0: batch}


def test_what_was_reported_as_done_is_never_run_again_however_its_batch_fails_afterwards(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    # Those that fail for good, and those that fail for a while, in each of the three ways.
    poisons = {33: ["report"], 34: ["report"], 170: ["raise"], 299: ["exit"]}
    slips = {5: ["report", "return"], 90: ["raise", "report", "return"], 171: ["exit", "report", "return"]}
    records = orders(300, plans={**poisons, **slips})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=100,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=2,
        RetryBackoff=QUICK,
        **FULL_BATCHES,
        **PARTIAL,
        **on_failure(dead),
    )
    ledger = project.ledger

    nodes.run(project, "--until-idle=1")

    poisoned = identities([records[place] for place in poisons])
    assert ledger.handled() == identities(records) - poisoned
    assert ledger.out_of_order(given_up=poisoned) == []
    assert sorted(letter.offset for letter in letters(kafka.address, dead)) == sorted(poisons)
    alone = Counter(each.first for each in ledger.read() if len(each.offsets) == 1 and each.first in poisons)
    assert alone == dict.fromkeys(poisons, 3)
    assert offsets(kafka.address, project) == {0: 300}


def test_without_any_retries_an_attempt_that_was_killed_in_the_middle_is_made_again(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    records = orders(30, plans={14: ["hold", "return"], 25: ["raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, MaximumRetryAttempts=0, **on_failure(dead)
    )
    first = nodes.start(project)
    project.ledger.wait_for(lambda found: len(found) == 2, what="the second batch is with the function")

    first.kill()
    second = nodes.restart(first, "--until-idle=1")

    assert second.wait() == 0
    runs = [(each.first, each.node, each.outcome) for each in project.ledger.read() if each.first]
    assert runs == [(10, first.name, ""), (10, second.name, "returned"), (20, second.name, "raised")]
    # A whole try has failed here, and it was the only one.
    assert sorted(letter.offset for letter in letters(kafka.address, dead)) == list(range(20, 30))
    assert {letter.count for letter in letters(kafka.address, dead)} == {1}
    assert offsets(kafka.address, project) == {0: 30}


def test_attempts_at_a_part_of_a_split_batch_go_on_after_a_kill_and_no_part_before_it_is_run_again(
    kafka, topic, nodes, tmp_path
):
    name, dead = topic(), topic(prefix="dead")
    # Alone for the first time it raises, for the second it is killed; each run before had it in company.
    splits = 7
    records = orders(128, plans={70: [*["raise"] * (splits + 1), "hold", "raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=128,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=2,
        RetryBackoff=QUICK,
        **FULL_BATCHES,
        **on_failure(dead),
    )
    ledger = project.ledger
    first = nodes.start(project)
    alone = [70]
    ledger.wait_for(
        lambda found: sum(each.offsets == alone for each in found) == 2, what="attempt 2 at the part is with it"
    )

    first.kill()
    second = nodes.restart(first, "--until-idle=1")

    assert second.wait() == 0
    runs = [(each.node, each.outcome) for each in ledger.read() if each.offsets == alone]
    assert runs == [(first.name, "raised"), (first.name, ""), (second.name, "raised"), (second.name, "raised")]
    poisoned = identities(records[70:71])
    assert ledger.handled() == identities(records) - poisoned
    assert ledger.out_of_order(given_up=poisoned) == []
    # The parts that were split off before the kill are tried as they were.
    assert [(each.first, each.last) for each in ledger.read()[-4:]] == [(71, 71), (72, 79), (80, 95), (96, 127)]
    (letter,) = letters(kafka.address, dead)
    assert (letter.offset, letter.count) == (70, 3)
    assert offsets(kafka.address, project) == {0: 128}


def test_retries_without_end_end_after_ten_where_there_is_a_destination(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead")
    produce(kafka.address, name, orders(10, plans={4: ["raise"]}))
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=1, RetryBackoff=QUICK, **on_failure(dead))

    nodes.run(project, "--until-idle=1")

    assert sum(each.first == 4 for each in project.ledger.read()) == 11
    (letter,) = letters(kafka.address, dead)
    assert (letter.offset, letter.count) == (4, 11)
    assert offsets(kafka.address, project) == {0: 10}


def test_without_a_destination_retries_have_no_end_and_everybody_is_told(kafka, topic, nodes, tmp_path):
    name = topic()
    produce(kafka.address, name, orders(10, plans={4: ["raise"]}))
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=1, RetryBackoff=QUICK)
    warning = "a record that always fails may block its shard for ever"

    command = [sys.executable, "-m", "penstock", "validate", "--file", str(project.file)]
    checked = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    node = nodes.start(project)
    project.ledger.wait_for(lambda found: sum(each.first == 4 for each in found) > 12, what="more than ten retries")

    assert (checked.returncode, warning in checked.stdout + checked.stderr) == (0, True)
    assert warning in node.stderr()
    mapping = node.mapping()
    assert mapping["blocked_since"] is not None
    (shard,) = mapping["shards"]
    assert shard["blocked_since"] == mapping["blocked_since"]
    assert shard["attempts"] > 10
    assert "PlannedError" in shard["last_error"]
    assert offsets(kafka.address, project) == {0: 4}


def test_a_document_for_many_records_that_is_too_large_arrives_without_them(kafka, topic, nodes, tmp_path):
    name, dead = topic(), topic(prefix="dead", config={"max.message.bytes": "6000"})
    records = orders(300, plans={14: ["raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        EventFormat="kinesis",
        BatchSize=100,
        MaximumRetryAttempts=1,
        RetryBackoff=QUICK,
        **FULL_BATCHES,
        **on_failure(dead),
    )

    node = nodes.run(project, "--until-idle=1")

    (letter,) = letters(kafka.address, dead)
    assert "payload" not in letter.document
    assert letter.document["payloadOmitted"].startswith("too large for the destination: ")
    info = letter.document["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("0", "99", 100)
    assert [line["shrunk"] for line in node.log("records delivered")] == [True]
    assert project.ledger.missing(identities(records[100:])) == []
    assert offsets(kafka.address, project) == {0: 300}


def test_a_split_batch_that_moves_to_another_node_goes_on_there_where_it_stood(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(64, keys=2, partitions=2, plans={20: ["stick"], 21: ["stick"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=32,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1000,
        RetryBackoff={"InitialMs": 100, "MaximumMs": 100},
        **FULL_BATCHES,
    )
    ledger, stuck = project.ledger, [10]
    left = nodes.start(project, name="left")
    ledger.wait_for(lambda found: sum(each.offsets == stuck for each in found) >= 4, what="both are tried alone")

    right = nodes.start(project, name="right")
    ledger.wait_for(
        lambda found: sum(each.offsets == stuck and each.node == right.name for each in found) >= 2,
        what="the other node tries one of them alone",
    )
    ledger.release()
    wait_settled(kafka.address, project)

    for node in (left, right):
        node.terminate()
    assert [node.wait() for node in (left, right)] == [0, 0]
    assert ledger.handled() == identities(records)
    assert ledger.out_of_order() == []
    assert ledger.overlapping() == []
    for shard, runs in ledger.by_shard().items():
        ended = [line for node in (left, right) for line in node.log(shard=shard, first="10", last="10")]
        attempts = [line["attempt"] for line in ended if "attempt" in line]
        assert attempts == list(range(1, sum(each.offsets == stuck for each in runs) + 1))
