"""Tortures a node: `python tests/torture/run.py --kills 50`, or `--seed 17` to repeat a run."""

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
from torture.torture import Torture

PROBLEMS_SHOWN_MAX = 40


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how often the node is killed")
    parser.add_argument("--seed", type=int, help="decides the moments and the records; a random one without it")
    parser.add_argument("--outage", type=float, default=30.0, help="for how many seconds the destination is cut off")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and ledgers in any case")
    options = parser.parse_args()
    address = os.environ.get("PENSTOCK_TEST_KAFKA")
    if not address:
        say("PENSTOCK_TEST_KAFKA=host:port names no broker; `make torture` starts one")
        return 3
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    say(f"{options.kills} kills; to repeat them: make torture KILLS={options.kills} SEED={seed}")
    folder = Path(tempfile.mkdtemp(prefix="penstock-torture-"))
    began_s = time.monotonic()
    problems = _torture(folder, address, kills=options.kills, seed=seed, outage_s=options.outage)
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


def _torture(folder: Path, address: str, *, kills: int, seed: int, outage_s: float) -> list[str]:
    with ExitStack() as stack:
        letters = stack.enter_context(PrivateKafka()) if outage_s else None
        torture = Torture(folder, address, kills=kills, seed=seed, say=say, letters=letters, outage_s=outage_s)
        try:
            return torture.run()
        except Exception:  # noqa: BLE001 - whatever ends it is a finding, with its seed
            return [traceback.format_exc()]


if __name__ == "__main__":
    sys.exit(main())
