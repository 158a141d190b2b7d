"""What breaks: a node, a broker, a function's process, a record, the clock. Nothing is lost, and attempts are kept."""

from __future__ import annotations

import logging
import os
import random
import re
import signal
import time

import psutil
import pytest
from harness import KafkaProject, identities, offsets, orders, wait_settled

from brokers import create_topic, produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

LOG = logging.getLogger("tests.e2e")

SEED = 3
"""Decides after which invocations the node is killed."""

COMMIT_S = 1
"""How long a commit may be on its way; some tens of milliseconds are usual."""

SESSION_S = 6
"""The shortest session that a broker allows by default."""

QUICK_RETRIES = {"InitialMs": 100, "MaximumMs": 200}


def test_a_node_killed_five_times_loses_nothing_and_repeats_what_was_in_flight(kafka, topic, nodes, tmp_path):
    name = topic(partitions=4)
    records = orders(100_000, keys=200)
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=500, work_seconds=0.05)
    ledger, chance = project.ledger, random.Random(SEED)
    moments = sorted(chance.sample(range(5, 190), 5))

    node = nodes.start(project)
    killed: dict[str, float] = {}
    for moment in moments:
        ledger.wait_for(lambda found, least=moment: len(found) >= least, what=f"{moment} invocations")
        killed_s = time.monotonic()
        node.kill()
        node = nodes.restart(node)
        killed[node.name] = killed_s
    wait_settled(kafka.address, project, timeout_seconds=90)
    node.terminate()
    assert node.wait() == 0

    assert ledger.missing(identities(records)) == []
    assert ledger.handed_out().keys() == identities(records).keys()
    assert ledger.out_of_order() == []
    assert ledger.out_of_order_by_key() == []
    assert ledger.overlapping() == []
    LOG.info("%d records were repeated by five kills, in batches of 500", ledger.repeats())
    for successor, killed_s in killed.items():
        for shard, repeated in ledger.rerun(successor):
            # One batch was with the function, and those before it had just finished: their commit was on its way.
            returned = [each for each in repeated if each.has_returned]
            assert len(repeated) - len(returned) <= 1, (shard, *map(str, repeated))
            assert all(each.seen_s > killed_s - COMMIT_S for each in returned), (shard, killed_s, *map(str, repeated))


def test_a_broker_that_was_stopped_and_started_is_taken_up_again_and_nothing_is_lost(private_kafka, nodes, tmp_path):
    kafka = private_kafka()
    create_topic(kafka.address, "orders", partitions=2)
    records = orders(4000, keys=20, partitions=2)
    produce(kafka.address, "orders", records[:3000])
    project = KafkaProject(
        tmp_path / "shop", kafka.address, "orders", BatchSize=50, work_seconds=0.05, SessionTimeoutSeconds=SESSION_S
    )
    ledger = project.ledger
    node = nodes.start(project)
    ledger.wait_for(lambda found: len(found) >= 10, what="ten invocations")

    stopping_s = time.monotonic()
    kafka.stop()
    node.wait_log("source troubled", action="read")
    until(lambda: node.mapping()["last_result"].startswith("PROBLEM: "), what="the mapping says what its problem is")
    # Longer than the group's session: when the broker is back it knows no member any more.
    until(lambda: time.monotonic() > stopping_s + SESSION_S + 4, what="more than a session without a broker")
    assert node.is_running
    started_s = time.monotonic()
    kafka.start()
    kafka.wait_ready()
    produce(kafka.address, "orders", records[3000:])

    ledger.wait_for_all(identities(records), timeout_seconds=60)
    wait_settled(kafka.address, project)
    assert ledger.out_of_order(given_anew_s=started_s) == []
    assert ledger.overlapping() == []
    # Only what could not be committed any more is repeated, and nothing more than once.
    again = [each for each in ledger.read() if each.began_s > started_s and each.last < 1500]
    committed = {
        shard: min((each.first for each in again if each.shard == shard), default=0) for shard in ledger.by_shard()
    }
    assert all(each.seen_s > stopping_s - 1 for each in ledger.read() if each.first >= committed[each.shard])
    assert set(ledger.handed_out().values()) <= {1, 2}
    assert node.mapping()["last_result"] == "OK"
    node.terminate()
    assert node.wait() == 0


def test_a_function_process_that_is_killed_is_one_attempt(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(30, plans={14: ["hold", "return"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, MaximumRetryAttempts=1, RetryBackoff=QUICK_RETRIES
    )
    node = nodes.start(project, "--until-idle=1")
    held = project.ledger.wait_for(lambda found: len(found) == 2, what="the second batch is with the function")[-1]

    os.kill(held.pid, signal.SIGKILL)

    assert node.wait() == 0
    assert project.ledger.missing(identities(records)) == []
    assert [(each.first, each.outcome) for each in project.ledger.read()] == [
        (0, "returned"),
        (10, ""),
        (10, "returned"),
        (20, "returned"),
    ]
    assert project.ledger.overlapping() == []
    failed = node.log("batch failed")
    assert [(line["first"], line["attempt"], line["error_type"]) for line in failed] == [("10", 1, "Runtime.ExitError")]
    assert [line["attempt"] for line in node.log("batch succeeded", first="10")] == [2]
    assert node.log("records dropped") == []


def test_a_poisoned_batch_is_invoked_three_times_given_up_and_passed(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(30, plans={14: ["raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, MaximumRetryAttempts=2, RetryBackoff=QUICK_RETRIES
    )

    node = nodes.run(project, "--until-idle=1")

    poisoned = [list(range(10, 20))] * 3
    assert [each.offsets for each in project.ledger.read()] == [list(range(10)), *poisoned, list(range(20, 30))]
    assert [line["attempt"] for line in node.log("batch failed")] == [1, 2, 3]
    (dropped,) = node.log("records dropped")
    assert {key: dropped[key] for key in ("mapping", "shard", "first", "last", "records", "attempts")} == {
        "mapping": project.mapping,
        "shard": f"{name}-0",
        "first": "10",
        "last": "19",
        "records": 10,
        "attempts": 3,
    }
    assert (dropped["condition"], dropped["error_type"]) == ("RetryAttemptsExhausted", "PlannedError")
    assert offsets(kafka.address, project) == {0: 30}


def test_a_node_killed_during_attempt_two_runs_attempt_two_again_and_never_attempt_one(kafka, topic, nodes, tmp_path):
    name = topic()
    # Attempt 1 fails, attempt 2 is killed, attempts 2 and 3 fail: so four runs for two retries.
    records = orders(30, plans={14: ["raise", "hold", "raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, MaximumRetryAttempts=2, RetryBackoff=QUICK_RETRIES
    )
    first = nodes.start(project)
    project.ledger.wait_for(lambda found: len(found) == 3, what="attempt 2 is with the function")

    first.kill()
    second = nodes.restart(first, "--until-idle=1")

    assert second.wait() == 0
    runs = [each for each in project.ledger.read() if each.first == 10]
    assert [(each.node, each.outcome) for each in runs] == [
        (first.name, "raised"),
        (first.name, ""),
        (second.name, "raised"),
        (second.name, "raised"),
    ]
    assert {tuple(each.offsets) for each in runs} == {tuple(range(10, 20))}
    assert [line["attempt"] for node in (first, second) for line in node.log("batch failed")] == [1, 2, 3]
    assert [line["attempts"] for line in second.log("records dropped")] == [3]
    assert project.ledger.read()[-1].offsets == list(range(20, 30))


def test_an_invocation_past_its_timeout_is_killed_and_the_next_one_has_a_fresh_process(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(10, plans={4: ["sleep:30", "return"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, RetryBackoff=QUICK_RETRIES, function={"Timeout": 1}
    )

    node = nodes.run(project, "--until-idle=1")

    slow, retried = project.ledger.read()
    assert (slow.outcome, retried.outcome) == ("", "returned")
    assert slow.pid != retried.pid
    assert not psutil.pid_exists(slow.pid)
    assert 0.9 < slow.seen_s - slow.began_s < 1.5
    (failed,) = node.log("batch failed")
    assert 1000 <= failed["duration_ms"] < 1500
    assert failed["error_type"] == "Sandbox.Timedout"
    assert re.fullmatch(
        rf"RequestId: {slow.request_id} Error: Task timed out after 1\.00 seconds", failed["error_message"]
    )
