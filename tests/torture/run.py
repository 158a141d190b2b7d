"""Tortures nodes: `python tests/torture/run.py redis-fifo --kills 50`, or `--seed 17` to repeat a run."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docker"))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from brokers.private_kafka import PrivateKafka
from torture.queues.registry import KINDS
from torture.queues.torture import QueueTorture
from torture.torture import Torture

KAFKA, QUEUES = "kafka", "queues"
PROBLEMS_SHOWN_MAX = 40


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> int:
    options = _options()
    address = os.environ.get("PENSTOCK_TEST_KAFKA")
    if options.what == KAFKA and not address:
        say("PENSTOCK_TEST_KAFKA=host:port names no broker; `make torture` starts one")
        return 3
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    counts = f"KILLS={options.kills}" + ("" if options.what == KAFKA else f" RESTARTS={options.restarts}")
    say(f"{options.kills} kills; to repeat them: make torture WHAT={options.what} {counts} SEED={seed}")
    folder = Path(tempfile.mkdtemp(prefix="penstock-torture-"))
    began_s = time.monotonic()
    problems = _torture(folder, address, options, seed)
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        say(f"PROBLEM {problem}")
    taken_s = time.monotonic() - began_s
    if problems:
        say(f"FAILED after {taken_s:.0f} s: {len(problems)} problems, seed {seed}; the logs are in {folder}")
        return 1
    say(f"{options.kills} kills in {taken_s:.0f} s, seed {seed}: the books balance")
    if options.keep:
        say(f"the logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        default=KAFKA,
        choices=[KAFKA, QUEUES, *KINDS],
        help="streams on Kafka, one kind of queue, or all kinds of queues at once",
    )
    parser.add_argument("--kills", type=int, default=20, help="how often a node is killed")
    parser.add_argument("--restarts", type=int, default=4, help="how often the broker of queues is restarted")
    parser.add_argument("--seed", type=int, help="decides the moments and the records; a random one without it")
    parser.add_argument("--outage", type=float, default=30.0, help="for how many seconds Kafka's letter box is cut off")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and ledgers in any case")
    return parser.parse_args()


def _torture(folder: Path, address: str | None, options: argparse.Namespace, seed: int) -> list[str]:
    with ExitStack() as stack:
        torture: Torture | QueueTorture
        if options.what == KAFKA:
            assert address is not None
            letters = stack.enter_context(PrivateKafka()) if options.outage else None
            torture = Torture(
                folder, address, kills=options.kills, seed=seed, say=say, letters=letters, outage_s=options.outage
            )
        else:
            kinds = list(KINDS) if options.what == QUEUES else [options.what]
            torture = QueueTorture(
                folder, kinds, kills=options.kills, restarts=options.restarts, seed=seed, say=say, kafka=address
            )
        try:
            return torture.run()
        except Exception:  # noqa: BLE001 - whatever ends it is a finding, with its seed
            return [traceback.format_exc()]


if __name__ == "__main__":
    sys.exit(main())
