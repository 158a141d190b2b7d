"""`penstock mapping …` on real nodes over Kafka: stopped, moved and started again, with a ledger that says all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from harness import KafkaProject, Node, identities, offsets, orders, wait_settled

from brokers import produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

MAPPING = KafkaProject.mapping


def command(node: Node, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `penstock mapping NAME` on the mapping of a node."""
    node.mapping()
    endpoint = node.status()["endpoint"]
    words = [sys.executable, "-m", "penstock", "mapping", name, MAPPING, *arguments, "--endpoint", endpoint]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)


def done(node: Node, name: str, *arguments: str) -> str:
    """Run what has to go well, and give what it says."""
    found = command(node, name, *arguments)
    assert found.returncode == 0, found.stderr
    return found.stdout


def refused(node: Node, name: str, *arguments: str) -> str:
    found = command(node, name, *arguments)
    assert (found.returncode, found.stdout) == (1, "")
    return found.stderr


def explained(node: Node) -> Any:
    return json.loads(done(node, "explain", "--json"))


def test_a_mapping_that_is_disabled_and_enabled_again_and_again_repeats_and_misses_nothing(
    kafka, topic, nodes, tmp_path
):
    name = topic(partitions=2)
    records = orders(900)
    produce(kafka.address, name, records[:600])
    # Some six seconds of work: more than a command takes to start, on a busy machine too.
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=5, work_seconds=0.1)
    ledger = project.ledger
    node = nodes.start(project)
    for turn in range(1, 4):
        ledger.wait_for(lambda found, turn=turn: len(found) >= 5 * turn, what="it works")
        assert done(node, "disable") == f"{MAPPING} is Disabled\n"

        # What ran has ended and is committed, and nothing runs.
        handled = ledger.handed_out()
        assert all(each.has_returned for each in ledger.read())
        assert sum(offsets(kafka.address, project).values()) == handled.total()
        assert sum(shard["lag"] for shard in explained(node)["shards"]) == 500 + turn * 100 - handled.total()
        produce(kafka.address, name, records[500 + turn * 100 : 600 + turn * 100])
        assert ledger.handed_out() == handled
        assert turn > 1 or handled.total() < 600, "it was stopped in the middle"

        assert done(node, "enable") == f"{MAPPING} is Enabled\n"
    ledger.wait_for_all(identities(records))
    wait_settled(kafka.address, project)

    assert ledger.handed_out() == identities(records)
    assert ledger.out_of_order() == []
    assert ledger.out_of_order_by_key() == []


def test_what_was_disabled_stays_so_when_the_node_is_killed_and_started_again(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(20)
    produce(kafka.address, name, records[:10])
    project = KafkaProject(tmp_path / "shop", kafka.address, name)
    node = nodes.start(project)
    project.ledger.wait_for_all(identities(records[:10]))
    wait_settled(kafka.address, project)
    done(node, "disable")
    node.kill()
    produce(kafka.address, name, records[10:])

    node = nodes.restart(node)
    node.wait_log("disabled by a command", mapping=MAPPING)
    shown = node.mapping()
    assert (shown["state"], shown["state_reason"].startswith("disabled by a command, since 20")) == ("Disabled", True)
    [shard] = explained(node)["shards"]
    assert (shard["committed"], shard["lag"], shard["summary"]) == (9, 10, "goes on at record 10")

    done(node, "enable")
    project.ledger.wait_for_all(identities(records))
    assert project.ledger.handed_out() == identities(records)


def test_a_seek_is_refused_until_no_node_reads_and_then_moves_both(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(100)
    produce(kafka.address, name, records[:60])
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=10, work_seconds=0.01)
    ledger = project.ledger
    left, right = nodes.start(project, name="left"), nodes.start(project, name="right")
    until(lambda: len(left.shards()) == len(right.shards()) == 1, what="the two nodes share the partitions")
    ledger.wait_for_all(identities(records[:60]))
    wait_settled(kafka.address, project)

    to_the_oldest = ("--to", "TRIM_HORIZON", "--yes")
    assert f"{MAPPING} is Enabled on this node; disable it first" in refused(left, "seek", *to_the_oldest)
    done(left, "disable")
    still_read = refused(left, "seek", *to_the_oldest)
    assert "still has members (penstock." in still_read
    assert "disable the mapping there too" in still_read

    # The other node has everything, and goes on.
    right.wait_shards(2)
    produce(kafka.address, name, records[60:])
    ledger.wait_for_all(identities(records))
    wait_settled(kafka.address, project)
    assert ledger.handed_out() == identities(records)
    done(right, "disable")

    ends = offsets(kafka.address, project)
    moves = json.loads(done(left, "seek", *to_the_oldest, "--json"))["shards"]
    assert [(each["shard"], each["before"], each["after"]) for each in moves] == [
        (f"{name}-{partition}", ends[partition], 0) for partition in (0, 1)
    ]
    assert offsets(kafka.address, project) == {0: 0, 1: 0}
    for node in (left, right):
        done(node, "enable")
    until(lambda: len(left.shards()) == len(right.shards()) == 1, what="the two nodes share the partitions again")
    twice = Counter(dict.fromkeys(identities(records), 2))
    until(lambda: ledger.handed_out() == twice, what="every record was handed out once more")
    wait_settled(kafka.address, project)
    assert offsets(kafka.address, project) == ends


def test_a_position_is_moved_in_one_shard_and_by_time(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(40, partitions=2)
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name)
    node = nodes.start(project)
    project.ledger.wait_for_all(identities(records))
    wait_settled(kafka.address, project)
    done(node, "disable")

    done(node, "seek", "--to", "17", "--shard", f"{name}-1", "--yes")
    assert offsets(kafka.address, project) == {0: 20, 1: 17}
    done(node, "seek", "--to", "2020-01-01T00:00:00Z", "--shard", f"{name}-0", "--yes")
    assert offsets(kafka.address, project) == {0: 0, 1: 17}
    found = command(node, "seek", "--to", "21", "--dry-run")
    assert found.returncode == 2
    assert (
        f"shard {name}-0 has no position 21: its oldest record is at 0, and its next one will be at 20" in found.stderr
    )
    done(node, "seek", "--to", "LATEST", "--shard", f"{name}-0", "--yes")

    done(node, "enable")
    of_the_second = [record for record in records if record.partition == 1]
    expected = identities(records) + identities(of_the_second[17:])
    until(lambda: project.ledger.handed_out() == expected, what="what was moved to is handed out again")


def test_a_blocked_shard_is_explained_and_a_seek_past_the_record_frees_it(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(10, plans={3: ["raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=1,
        MaximumRetryAttempts=100,
        RetryBackoff={"InitialMs": 200, "MaximumMs": 60_000, "Multiplier": 10},
    )
    node = nodes.start(project)
    until(lambda: node.mapping()["shards"] and node.mapping()["shards"][0]["attempts"] >= 2, what="it has failed twice")

    [shard] = explained(node)["shards"]
    assert (shard["committed"], shard["lag"], shard["attempts_max"]) == (2, 7, 101)
    assert shard["status"]["blocked_since"] is not None
    said = done(node, "explain")
    assert "Enabled; reads 1 shard: 1 blocked" in said
    assert "PlannedError: the plan of key-3 number 0; attempt 3 of 101 at " in said

    done(node, "disable")
    told = done(node, "seek", "--to", "4", "--yes")
    assert "1 shard with attempts, lanes or a window under way: they start afresh" in told
    done(node, "enable")
    wait_settled(kafka.address, project)
    assert offsets(kafka.address, project) == {0: 10}
    seen = project.ledger.handed_out()
    assert {order: count for order, count in seen.items() if count > 1} == {("key-3", 0): seen["key-3", 0]}
    assert explained(node)["shards"][0]["summary"] == "idle"


def test_nothing_written_after_enabled_was_reported_is_missed_where_it_begins_at_the_end(kafka, topic, nodes, tmp_path):
    name = topic(partitions=3)
    records = orders(90)
    produce(kafka.address, name, records[:30])
    project = KafkaProject(tmp_path / "shop", kafka.address, name, StartingPosition="LATEST", Enabled=False)
    node = nodes.start(project)

    done(node, "enable")
    produce(kafka.address, name, records[30:60])
    done(node, "disable")
    produce(kafka.address, name, records[60:])
    done(node, "enable")

    project.ledger.wait_for_all(identities(records[30:]))
    wait_settled(kafka.address, project)
    assert project.ledger.handed_out() == identities(records[30:])
