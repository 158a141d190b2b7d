"""What a node costs: one that has nothing to do, and one that has more to do than it may hold. Bounds, not speeds."""

from __future__ import annotations

import json
import logging
import time

import psutil
import pytest
from harness import KafkaProject, Node, orders, wait_settled

from brokers import produce

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

LOG = logging.getLogger("tests.e2e")

WATCHED_S = 3
CORE_PART_MAX = 0.01
BACKLOG_RECORDS, RECORD_BYTES = 400_000, 400
"""Two and a half times what a node may buffer."""


def test_a_node_with_one_idle_mapping_and_one_environment_is_small_and_quiet(kafka, topic, nodes, tmp_path):
    name = topic()
    produce(kafka.address, name, orders(1))
    project = KafkaProject(tmp_path / "shop", kafka.address, name)
    node = nodes.start(project, "--log-level", "info")
    wait_settled(kafka.address, project)
    family = _family(node)
    assert {each.pid for each in project.ledger.read()} <= {process.pid for process in family}

    # Right after its work a node still looks for more of it; so it may be watched twice.
    used_s = _watch(family)
    if used_s / WATCHED_S >= CORE_PART_MAX:
        used_s = _watch(family)

    LOG.info("idle: %.0f MB, %.2f %% of a core", _megabytes(family), 100 * used_s / WATCHED_S)
    assert _megabytes(family) < 150
    assert used_s / WATCHED_S < CORE_PART_MAX


def test_a_backlog_beyond_all_buffers_costs_no_more_than_two_hundred_megabytes(kafka, topic, nodes, tmp_path):
    name = topic(partitions=4)
    produce(kafka.address, name, orders(1))
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=1000, work_seconds=0.1)
    node = nodes.start(project, "--log-level", "info")
    wait_settled(kafka.address, project)
    idle = _megabytes(_family(node))
    value = json.dumps({"key": "backlog", "number": 0, "padding": "x" * (RECORD_BYTES - 50)}).encode()

    produce(kafka.address, name, (value for _ in range(BACKLOG_RECORDS)))

    seen = []

    def has_read_a_lot() -> bool:
        seen.append(_megabytes(_family(node)))
        return len(project.ledger.read()) > 60

    project.ledger.wait_for(lambda _: has_read_a_lot(), what="sixty invocations beside a backlog", timeout_seconds=60)
    assert (node.mapping()["lag"] or 0) > BACKLOG_RECORDS / 4
    LOG.info("idle: %.0f MB; beside a backlog: at most %.0f MB", idle, max(seen))
    assert max(seen) - idle < 200


def _family(node: Node) -> list[psutil.Process]:
    return [psutil.Process(node.pid), *node.descendants()]


def _megabytes(family: list[psutil.Process]) -> float:
    """Add up what processes take of memory, what they share counted once."""
    total = 0
    for process in family:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1024 / 1024


def _watch(family: list[psutil.Process]) -> float:
    """Tell how many seconds of a core some processes use while they are watched."""
    before_s = _cpu_s(family)
    # Not a wait for anything: this is how long it is watched.
    time.sleep(WATCHED_S)
    return _cpu_s(family) - before_s


def _cpu_s(family: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))
