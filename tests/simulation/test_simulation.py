"""The machines keep their promises under faults, and the simulation that says so can be trusted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulation.mutants import MUTANTS, Mutant, hunt
from simulation.run import WORLDS, run_seed, run_seeds

SEEDS = int(os.environ.get("PENSTOCK_SIMULATION_SEEDS", "2000"))
SHARES = {"stream": 0.75, "queue": 0.25}
"""How many of the seeds are for which world: there is more to be wrong about streams."""
RUN = Path(__file__).with_name("run.py")


@pytest.mark.parametrize("world", WORLDS)
def test_every_promise_holds_under_faults_and_the_backlog_drains(world: str):
    tasks = [(world, seed) for seed in range(round(SEEDS * SHARES[world]))]

    ended = list(run_seeds(tasks, os.cpu_count() or 1))

    failed = [f"{one.failure.strip()}\n  replay: {one.replay} --trace" for one in ended if one.failure]
    assert len(ended) == len(tasks)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_seed_gives_the_same_trace_byte_for_byte(world: str):
    first, again, other = run_seed(world, 7, keep_trace=True), run_seed(world, 7, keep_trace=True), run_seed(world, 8)

    assert first.lines == again.lines
    assert len(first.lines) > 100
    assert first.digest != other.digest


def test_a_trace_is_the_same_in_every_process():
    def digests(hash_seed: str) -> list[str]:
        command = [sys.executable, str(RUN), "--digests", "--seeds", "10"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        return run.stdout.split()

    one = digests("1")

    assert one == digests("77")
    assert len(one) == 20


def test_the_runner_says_how_each_run_went_and_replays_a_seed():
    command = [sys.executable, str(RUN), "--jobs", "1"]

    many = subprocess.run([*command, "--seeds", "3"], capture_output=True, text=True, check=True, timeout=120)
    one = subprocess.run([*command, "--seed", "2"], capture_output=True, text=True, check=True, timeout=120)

    assert "6 runs, 0 failed" in many.stdout
    assert "stream seed 2:" in one.stdout
    assert "every promise held" in one.stdout


def test_the_scenarios_do_reach_what_is_hard():
    seen: Counter[str] = Counter()
    for world in WORLDS:
        for seed in range(60):
            for line in run_seed(world, seed, keep_trace=True).lines:
                seen.update(re.findall(r"CRASH|TRIMMED|STORED|STANDS STILL|CONNECTION LOST|[<>] (?:[A-Z]\w+)", line))
                seen.update(re.findall(r"attempt [23]|gap \d|RetryAttemptsExhausted|MaximumPayloadSizeExceeded", line))
                seen.update(re.findall(r"RecordAgeExceeded| last early| last with|refused=True", line))
                seen["resumed"] += "ASSIGNED" in line and bool(re.search(r'"\w+:[1-9]\d*r?:', line))
                seen["resumed split"] += "ASSIGNED" in line and bool(re.search(r'"\w+:\d+r?:\w+\+', line))
                seen["resumed window"] += "ASSIGNED" in line and bool(re.search(r"\d{5}-\d{6}", line))
                seen["in lanes"] += "ASSIGNED" in line and bool(re.search(r'"l":\["\w+","', line))

    wanted = {
        "CRASH", "TRIMMED", "attempt 2", "attempt 3", "resumed", "< Lost", "< Revoked", "< CommitFailed", "> Cancel",
        "> Prepare", "> PositionLost", "> BatchNotRun", "RetryAttemptsExhausted", "MaximumPayloadSizeExceeded",
        "< StreamSettingsChanged", "< QueueSettingsChanged", "< SettleFailed", "> Extend", "> MessagesReturned",
        "> BatchPartlyFailed", "> Deliver", "< DeliveryFailed", "> DeliveryTroubled", "> RecordDelivered",
        "> LanesChanged", "> SaveState", "> LoadState", "> ForgetState", "< StateMissing", "< StoreFailed", "> Held",
        "> WindowClosed", "> RecordsLate", "< ClockChanged", "RecordAgeExceeded", " last with", " last early",
        "refused=True", "resumed split", "resumed window", "in lanes",
        "> Count", "> SendAway", "> RecordsDropped", "STANDS STILL", "CONNECTION LOST",
        "> ReturnEnvironment", "> Nack", "> Ack", "> LeasesExpired",
    }  # fmt: skip
    rare = {name: seen[name] for name in wanted if seen[name] < 3}
    assert not rare


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug.replace(" ", "-"))
def test_a_planted_bug_is_caught(mutant: Mutant):
    caught = hunt(mutant)

    assert caught.seed is not None, f"no seed noticed a core that {mutant.bug}"


def test_a_planted_bug_is_gone_afterwards():
    before = run_seed("stream", 3).digest

    hunt(MUTANTS[0])

    assert run_seed("stream", 3).digest == before
