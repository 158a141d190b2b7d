"""Records that are too old: given up without being invoked, said so, and nothing young goes with them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from harness import KafkaProject, identities, letters, offsets, orders

from brokers import produce

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

AGE_S = 60


def test_records_older_than_the_mapping_allows_are_never_invoked_and_the_younger_ones_are(
    kafka, topic, nodes, tmp_path
):
    name, dead = topic(), topic(prefix="dead")
    now_ms = int(time.time() * 1000)
    old, ahead = {0, 1, 4, 9, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29}, {5}
    records = orders(40, plans={12: ["raise", "return"]})
    for place, record in enumerate(records):
        # A producer whose clock is fast makes nothing old, ever.
        age_s = 2 * AGE_S if place in old else -600 if place in ahead else 0
        records[place] = replace(record, timestamp_ms=now_ms - 1000 * age_s)
    produce(kafka.address, name, records)
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=10,
        MaximumRecordAgeInSeconds=AGE_S,
        MaximumRetryAttempts=3,
        MaximumBatchingWindowInMilliseconds=5000,
        RetryBackoff={"InitialMs": 20},
        DestinationConfig={"OnFailure": {"Destination": f"kafka://{dead}"}},
    )

    node = nodes.run(project, "--until-idle=1")

    young = [place for place in range(40) if place not in old]
    assert project.ledger.handled() == identities([records[place] for place in young])
    # A batch is what was read, less what is too old in it; one of which nothing is left is no invocation.
    tens = [[2, 3, 5, 6, 7, 8], list(range(10, 20)), list(range(10, 20)), list(range(30, 40))]
    assert [each.offsets for each in project.ledger.read()] == tens
    found = letters(kafka.address, dead)
    assert [letter.offset for letter in found] == sorted(old)
    assert {(letter.condition, letter.count) for letter in found} == {("RecordAgeExceeded", 1)}
    assert all("responseContext" not in letter.document for letter in found)
    assert all("responsePayload" not in letter.document for letter in found)
    assert {line["condition"] for line in node.log("records dropped")} == {"RecordAgeExceeded"}
    assert offsets(kafka.address, project) == {0: 40}
