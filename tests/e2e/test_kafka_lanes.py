"""A partition that is run in lanes: many batches at once, order per key, and nothing twice that was done."""

from __future__ import annotations

import pytest
from harness import KafkaProject, Node, identities, lane_of, offsets, orders, wait_settled

from brokers import committed_offsets, produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

QUICK = {"InitialMs": 20, "MaximumMs": 50}


def wait_noted(node: Node, project: KafkaProject) -> None:
    """Wait until all that is done is in a checkpoint, or in the note that goes with it."""
    until(
        lambda: node.mapping()["counters"]["committed"] == project.ledger.handled().total(),
        what="what is done is committed",
    )


def test_a_thousand_keys_in_ten_lanes_stay_in_order_also_across_a_kill(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(4000, keys=1000)
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=20, ParallelizationFactor=10, record_seconds=0.005
    )
    ledger = project.ledger
    first = nodes.start(project)
    ledger.wait_for(lambda found: len(found) >= 80, what="eighty invocations")

    first.kill()
    second = nodes.restart(first, "--until-idle=1")

    assert second.wait() == 0
    assert ledger.missing(identities(records)) == []
    assert ledger.out_of_order_by_key() == []
    assert ledger.overlapping_by_key() == []
    lanes = [{lane_of(key, 10) for key, _ in each.records} for each in ledger.read()]
    assert all(len(found) == 1 for found in lanes)
    assert set.union(*lanes) == set(range(10))
    assert 2 <= ledger.most_at_once() <= 10
    # What a kill repeats: in each lane the batch that was with the function, and one whose commit was on its way.
    assert ledger.repeats() <= 10 * 2 * 20
    assert offsets(kafka.address, project) == {0: 4000}


def test_a_lane_that_is_blocked_keeps_no_other_from_going_on_and_a_kill_repeats_nothing_of_them(
    kafka, topic, nodes, tmp_path
):
    name = topic()
    # One key is stuck from its second record on. Whatever is not in its lane goes on, a thousand records ahead of it.
    records = orders(1000, keys=20, plans={23: ["stick"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=20, ParallelizationFactor=4, RetryBackoff=QUICK
    )
    ledger, stuck_lane = project.ledger, lane_of("key-3", 4)
    free = identities([record for record in records if lane_of(record.key.decode(), 4) != stuck_lane])
    first = nodes.start(project)
    ledger.wait_for_all(free)
    wait_noted(first, project)
    committed, note = committed_offsets(kafka.address, project.group, name)[0]
    # It is the note that says what was done beyond the first record that was not.
    assert committed <= 23
    assert len(note) <= 1024

    first.kill()
    ledger.release()
    second = nodes.restart(first, "--until-idle=1")

    assert second.wait() == 0
    assert ledger.handled() == identities(records)
    again = {order for each in ledger.read() if each.node == second.name for order in each.records}
    assert again.isdisjoint(free)
    assert ledger.out_of_order_by_key() == []
    assert ledger.overlapping_by_key() == []
    assert offsets(kafka.address, project) == {0: 1000}


@pytest.mark.parametrize("change", [(8, 3), (3, 8), (4, 1)])
def test_another_number_of_lanes_after_a_kill_finishes_what_was_begun_and_repeats_nothing(
    kafka, topic, nodes, tmp_path, change
):
    (before, after), name = change, topic()
    stuck = identities(orders(1, start=23, keys=40)) + identities(orders(1, start=1501, keys=40))
    records = orders(2000, keys=40, plans={23: ["stick"], 1501: ["stick"]})
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=20,
        ParallelizationFactor=before,
        BisectBatchOnFunctionError=True,
        RetryBackoff=QUICK,
    )
    ledger = project.ledger
    behind = {lane_of(key, before) for key, _ in stuck}
    free = identities([record for record in records if lane_of(record.key.decode(), before) not in behind])
    first = nodes.start(project)
    ledger.wait_for_all(free)
    ledger.wait_for(
        lambda found: sum(each.offsets == [23] for each in found) >= 2, what="one record of them is tried alone"
    )
    wait_noted(first, project)
    noted = ledger.handled()
    assert noted < identities(records)

    first.kill()
    project.change(ParallelizationFactor=after)
    second = nodes.restart(first)
    ledger.wait_for(lambda found: any(each.node == second.name for each in found), what="it goes on")
    ledger.release()
    wait_settled(kafka.address, project)
    second.terminate()

    assert second.wait() == 0
    assert ledger.handled() == identities(records)
    assert ledger.out_of_order_by_key() == []
    assert ledger.overlapping_by_key() == []
    assert [(line["before"], line["after"]) for line in second.log("lanes changed")] == [(before, after)]
