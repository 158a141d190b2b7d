"""What must hold of a shard once its backlog is drained, whoever ran it: exact windows, no failure untold."""

from __future__ import annotations

from collections import Counter

from simulation.destination import Destination
from simulation.stream_scenario import StreamScenario
from simulation.stream_source import Shard
from simulation.trace import Violation


def check_end(shard: Shard, scenario: StreamScenario, destination: Destination) -> None:
    """Look at all that the shard ever had."""
    if scenario.has_window:
        _check_windows(shard)
    rule = scenario.settings.delivery
    may_drop = rule.attempts_max is not None or (rule.on_refusal == "drop" and scenario.faults.delivery_refused > 0)
    if rule.on_failure and not may_drop:
        _check_written(shard, destination)


def _check_windows(shard: Shard) -> None:
    """Each record that the function took is counted in one window that has closed, and in no other."""
    assert shard.snapshot is not None
    window = shard.snapshot.window
    if window.start_ms is not None:
        raise Violation(f"{shard.name} has the window of {window.start_ms} still open")
    counted = Counter(window.closed)
    twice = [position for position, times in counted.items() if times > 1]
    if twice:
        raise Violation(f"{shard.name} has counted {twice} more than once")
    for kept in shard.history:
        position = kept.record.position
        is_ours = shard.anchor is not None and position > shard.anchor
        is_sure = is_ours and kept.is_settled and not (kept.is_dropped or kept.is_lost)
        if is_sure and position not in counted:
            raise Violation(f"{shard.name} has not counted {position} in any window")
        if position in counted and not kept.is_settled:
            raise Violation(f"{shard.name} has counted {position}, which the function did not take")


def _check_written(shard: Shard, destination: Destination) -> None:
    """Every record that was given up is at the destination, at least once."""
    written = {
        each.position
        for name, record in destination.written
        if name == shard.name and record.is_failure
        for each in record.records
    }
    for kept in shard.history:
        if kept.is_dropped and kept.record.position not in written:
            raise Violation(f"{shard.name} has given up {kept.record.position} and told no destination")
