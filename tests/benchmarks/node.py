"""Penstock's path: a real node as a process of its own, on a configuration that names the bench's source."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from ledger import Ledger
from variant import CODE, Variant

PENSTOCK = (str(Path(sys.executable).with_name("penstock")),)
QUEUE_TYPES = {"redis-queue", "sqlite-queue"}
POLL_S = 0.02
MEMORY_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class NodeRun:
    """One run of a node: its rate, the CPU of its own process for each record, and the most memory it had."""

    records_per_s: float
    cpu_us_per_record: float
    memory_bytes_peak: int
    records_per_invocation: float


@dataclass(frozen=True, slots=True)
class Setup:
    """What a node has besides the plain mapping: settings of it, sources more, what its function responds with.

    `environments` is how many processes the function may have; the pipeline has one.
    """

    event: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    response: str = ""
    environments: int = 1


PLAIN = Setup()


def run_node(
    source: dict[str, Any],
    variant: Variant,
    *,
    records: int,
    batch_size: int,
    folder: Path,
    timeout_s: float,
    setup: Setup = PLAIN,
) -> NodeRun:
    """Start `penstock up --until-idle`, watch it until it ends, and take the rate from the function's ledger.

    The node's CPU (all its threads, its children not) is counted between the first and the last line of the ledger, to
    the 10 ms of the kernel's clock, so that neither imports nor the wait for idleness are in it.
    """
    ledger = Ledger(folder / "ledger")
    # The window is long enough for a batch to fill up, as the pipeline's do.
    event: dict[str, Any] = {"BatchSize": batch_size, "MaximumBatchingWindowInMilliseconds": 100}
    if source["Type"] not in QUEUE_TYPES:
        event["StartingPosition"] = "TRIM_HORIZON"
    configuration = write_configuration(source, variant, ledger, {**event, **setup.event}, setup=setup)
    command = [*node_command(configuration, folder), "--until-idle=1", f"--timeout={timeout_s:.0f}"]
    with (folder / "node.log").open("wb") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        cpu_s, memory_bytes = _watch(psutil.Process(node.pid), node, ledger)
        code = node.wait()
    except BaseException:
        node.kill()
        node.wait()
        raise
    handled = ledger.records()
    if code or handled != records:
        text = (folder / "node.log").read_text(errors="replace")
        raise SystemExit(f"the node ended with {code} after {handled} of {records} records:\n{text[-4000:]}")
    return NodeRun(ledger.records_per_s(), cpu_s / records * 1e6, memory_bytes, ledger.records_per_invocation())


def node_command(configuration: Path, folder: Path) -> list[str]:
    """Give the command of a node that runs until it is told to stop."""
    return [*PENSTOCK, "up", "--file", str(configuration), "--listen=none", f"--data-dir={folder / 'data'}"]


def write_configuration(
    source: dict[str, Any], variant: Variant, ledger: Ledger, event: dict[str, Any], *, setup: Setup = PLAIN
) -> Path:
    """Write a node's file beside the ledger: a source, and a function with one mapping on it."""
    folder = ledger.path.parent
    function = {
        "CodeUri": str(CODE),
        "Handler": variant.handler,
        "Python": str(variant.python),
        "Timeout": 60,
        "ReservedConcurrentExecutions": setup.environments,
        "Environment": {"Variables": {"LEDGER": str(ledger.path), "RESPONSE": setup.response}},
        "Events": {"Bench": {"Source": "bench", **event}},
    }
    # The folder's name is new in every run, and so is the consumer group that is made of the project's name.
    content = {
        "Name": f"bench-{folder.name}",
        "Sources": {"bench": source, **setup.sources},
        "Functions": {"bench": function},
    }
    path = folder / "penstock.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _watch(process: psutil.Process, node: subprocess.Popen[bytes], ledger: Ledger) -> tuple[float, int]:
    """Follow a node until it ends; returns its CPU seconds while records were handled, and its peak memory."""
    cpu_begin_s = cpu_end_s = 0.0
    size = memory_bytes = 0
    memory_due_s = time.monotonic()
    while node.poll() is None:
        try:
            cpu_s = cpu_seconds(process)
            size_before, size = size, ledger.path.stat().st_size if ledger.path.exists() else 0
            if not size_before:
                cpu_begin_s = cpu_s
            if size != size_before:
                cpu_end_s = cpu_s
            if time.monotonic() >= memory_due_s:
                memory_bytes = max(memory_bytes, process.memory_full_info().pss)
                memory_due_s += MEMORY_EVERY_S
        except psutil.NoSuchProcess:
            break
        time.sleep(POLL_S)
    return cpu_end_s - cpu_begin_s, memory_bytes


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of one process with all its threads, without its children."""
    times = process.cpu_times()
    return times.user + times.system
