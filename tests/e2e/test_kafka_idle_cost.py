"""What a node costs that has nothing to do. A bound on resources, not on speed."""

from __future__ import annotations

import logging
import time

import psutil
import pytest
from harness import KafkaProject, orders, wait_settled

from brokers import produce

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

LOG = logging.getLogger("tests.e2e")

MEGABYTE = 1024 * 1024
WATCHED_S = 5


def test_a_node_with_one_idle_mapping_and_one_environment_is_small_and_quiet(kafka, topic, nodes, tmp_path):
    name = topic()
    produce(kafka.address, name, orders(1))
    project = KafkaProject(tmp_path / "shop", kafka.address, name)
    node = nodes.start(project, "--log-level", "info")
    project.ledger.wait_for(lambda found: any(each.has_returned for each in found), what="the record was handled")
    wait_settled(kafka.address, project)
    family = [psutil.Process(node.pid), *node.descendants()]
    assert {each.pid for each in project.ledger.read()} <= {process.pid for process in family}

    # Right after its work a node still looks for more of it; so it is watched twice.
    used_s = min(_watch(family), _watch(family))
    memory = [process.memory_full_info().pss / MEGABYTE for process in family]

    LOG.info("%.0f MB in %d processes, %.2f %% of a core", sum(memory), len(memory), 100 * used_s / WATCHED_S)
    assert sum(memory) < 150
    assert used_s / WATCHED_S < 0.01


def _watch(family: list[psutil.Process]) -> float:
    """Tell how many seconds of a core some processes use while they are watched."""
    before_s = _cpu_s(family)
    # Not a wait for anything: this is how long it is watched.
    time.sleep(WATCHED_S)
    return _cpu_s(family) - before_s


def _cpu_s(family: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))
