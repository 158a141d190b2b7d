"""Runs seeds of the simulation: `python tests/simulation/run.py --seeds 1000`, or `--seed 17 --trace` to replay one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from traceback import format_exc

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulation.queue_world import QueueWorld
from simulation.stream_world import StreamWorld
from simulation.trace import Violation

WORLDS = {"stream": StreamWorld, "queue": QueueWorld}


@dataclass(frozen=True, slots=True)
class Ended:
    """How one seed went: `failure` is empty where every promise held."""

    world: str
    seed: int
    digest: str
    failure: str
    lines: list[str]

    @property
    def replay(self) -> str:
        return f"python tests/simulation/run.py --world {self.world} --seed {self.seed}"


def run_seed(world: str, seed: int, *, keep_trace: bool = False) -> Ended:
    """Live through one seed; every failure is caught, also an assertion of the core's."""
    simulated = WORLDS[world](seed)
    failure = ""
    try:
        simulated.run()
    except Violation as violation:
        failure = f"{violation} (at {simulated.clock.now_ms} ms)"
    except Exception:  # noqa: BLE001 - whatever the core raises is a finding, with its seed
        failure = format_exc()
    lines = simulated.trace.lines if keep_trace or failure else []
    return Ended(world, seed, simulated.trace.digest(), failure, lines)


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run_seeds(tasks: Iterable[tuple[str, int]], jobs: int) -> Iterator[Ended]:
    """Live through many seeds in so many processes."""
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_run_one, tasks, chunksize=8)


def _run_one(task: tuple[str, int]) -> Ended:
    return run_seed(*task)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="replay this one and print its end")
    parser.add_argument("--trace", action="store_true", help="with --seed: print the whole trace")
    parser.add_argument("--world", choices=list(WORLDS), help="only this one")
    parser.add_argument("--digests", action="store_true", help="print each run's digest and nothing else")
    parser.add_argument("--jobs", default="all", help="processes: a number, or all")
    options = parser.parse_args()
    worlds = [options.world] if options.world else list(WORLDS)
    if options.seed is not None:
        return _replay(worlds, options.seed, whole=options.trace)
    tasks = [(world, seed) for seed in range(options.first, options.first + options.seeds) for world in worlds]
    if options.digests:
        for world, seed in tasks:
            say(run_seed(world, seed).digest)
        return 0
    jobs = (cpu_count() or 1) if options.jobs == "all" else int(options.jobs)
    return _run_many(tasks, jobs)


def _replay(worlds: list[str], seed: int, *, whole: bool) -> int:
    failed = False
    for world in worlds:
        ended = run_seed(world, seed, keep_trace=True)
        say("\n".join(ended.lines if whole else ended.lines[-40:]))
        say(f"{world} seed {seed}: {ended.digest[:16]} {ended.failure or 'every promise held'}")
        failed = failed or bool(ended.failure)
    return 1 if failed else 0


def _run_many(tasks: list[tuple[str, int]], jobs: int) -> int:
    began = time.monotonic()
    failed: list[Ended] = []
    for count, ended in enumerate(run_seeds(tasks, jobs), start=1):
        if ended.failure:
            failed.append(ended)
            say(f"FAILED {ended.failure.strip()}\n  replay: {ended.replay}")
        if count % 200 == 0:
            say(f"{count}/{len(tasks)} runs, {len(failed)} failed, {time.monotonic() - began:.0f} s")
    say(f"{len(tasks)} runs, {len(failed)} failed, {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
