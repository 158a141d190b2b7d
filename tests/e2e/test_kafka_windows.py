"""Tumbling windows: what a function counts in them is exact, whatever happens to its node."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from harness import KafkaProject, identities, offsets, orders, wait_settled

from brokers import Produced, produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

WINDOW_S = 2
PER_WINDOW = 100
SEED = 11
"""Decides after which invocation of a window its node is killed."""

WINDOWS = {
    "BatchSize": 20,
    "TumblingWindowInSeconds": WINDOW_S,
    "TumblingWindowIdleSeconds": 0.5,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "RetryBackoff": {"InitialMs": 20, "MaximumMs": 50},
}


def in_windows(records: list[Produced], *, ends_s: float) -> list[Produced]:
    """Give records the times of windows that follow each other, the last of which ends before a time."""
    count = len(records) // PER_WINDOW
    begins_s = (int(ends_s) // WINDOW_S - count) * WINDOW_S
    step_s = WINDOW_S / PER_WINDOW
    return [replace(each, timestamp_ms=int(1000 * (begins_s + place * step_s))) for place, each in enumerate(records)]


def expected_states(shard: str, records: list[Produced]) -> dict[tuple[str, str], dict[str, object]]:
    """Tell what each window of a shard with these records has to end with."""
    states: dict[tuple[str, str], dict[str, object]] = {}
    for begin in range(0, len(records), PER_WINDOW):
        part = records[begin : begin + PER_WINDOW]
        start = datetime.fromtimestamp(part[0].timestamp_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        total = sum(number for _, number in identities(part))
        states[shard, start] = {"offsets": list(range(begin, begin + len(part))), "total": total}
    return states


def test_sums_over_five_windows_are_exact_with_a_kill_in_each(kafka, topic, nodes, tmp_path):
    name, chance = topic(), random.Random(SEED)
    # In each window something fails, so that states are thrown away and taken in part.
    plans = {
        30: ["raise", "return"],
        147: ["report", "return"],
        250: ["exit", "return"],
        333: ["raise", "report", "return"],
    }
    records = in_windows(orders(5 * PER_WINDOW, plans=plans), ends_s=time.time())
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, work_seconds=0.05, **WINDOWS)
    ledger, expected = project.ledger, expected_states(f"{name}-0", records)
    starts = [start for _, start in expected]

    node = nodes.start(project)
    for start in starts:
        moment = chance.randint(1, 6)
        ledger.wait_for(
            lambda found, start=start, moment=moment: sum(each.window.start == start for each in found) >= moment,
            what=f"{moment} invocations in the window of {start}",
        )
        node.kill()
        node = nodes.restart(node)
    until(lambda: ledger.window_states().keys() >= expected.keys(), what="every window has ended")
    wait_settled(kafka.address, project)
    until(lambda: node.mapping()["shards"][0]["window"] is None, what="the last window is closed")
    node.terminate()

    assert node.wait() == 0
    assert ledger.window_states() == expected
    assert ledger.missing(identities(records)) == []
    finals = [each for each in ledger.read() if each.window.is_final]
    assert all(not each.offsets and not each.window.is_early for each in finals)
    assert {each.node for each in ledger.read()} == {f"shop-node-{run}" for run in range(1, 7)}
    assert offsets(kafka.address, project) == {0: len(records)}


def test_a_window_whose_state_is_in_another_store_is_held_and_never_begun_anew(kafka, topic, nodes, tmp_path):
    name = topic()
    records = in_windows(orders(2 * PER_WINDOW, plans={50: ["hold", "return"]}), ends_s=time.time())
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, **WINDOWS)
    ledger = project.ledger
    first = nodes.start(project)
    ledger.wait_for(lambda found: len(found) == 3, what="the window has a state, and its third batch is held")
    # The note that names the store is committed after the batch that made the state, beside the next invocation.
    until(lambda: offsets(kafka.address, project) == {0: 40}, what="two batches of the window are committed")

    first.kill()
    store = first.data_dir / "store.db"
    store.rename(store.with_name("elsewhere.db"))
    stranger = nodes.restart(first)
    stranger.wait_log("shard held")

    mapping = stranger.mapping()
    assert [shard["state"] for shard in mapping["shards"]] == ["held"]
    assert mapping["shards"][0]["last_error"].startswith("StateLost: the window's state is in the store '")
    assert [each.node for each in ledger.read()] == [first.name] * 3
    stranger.terminate()
    assert stranger.wait() == 0

    store.with_name("elsewhere.db").rename(store)
    second = nodes.restart(stranger, "--until-idle=1")
    assert second.wait() == 0
    assert ledger.window_states() == expected_states(f"{name}-0", records)
