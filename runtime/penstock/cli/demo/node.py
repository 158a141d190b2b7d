"""The node that the demo runs: `penstock up` in a process of its own, and what its log says."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

LINE_BYTES_MAX = 1024 * 1024
IDLE_S = 2.5
PATIENCE_S = 60


class DemoNode:
    """A node that ends by itself when its sources are empty."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take the process; `run_node` starts it."""
        self._process = process
        self.other_lines: list[str] = []
        """What it wrote that is no log line: shown when it fails."""

    async def log(self) -> AsyncIterator[Mapping[str, Any]]:
        """Give each line of its log, until it ends."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                logged = json.loads(line)
            except ValueError:
                self.other_lines.append(line.decode(errors="replace").rstrip())
                continue
            yield logged

    async def wait(self) -> int:
        """Wait for its end; gives its exit code."""
        return await self._process.wait()


@asynccontextmanager
async def run_node(file: Path, data_dir: Path, ledger: Path) -> AsyncIterator[DemoNode]:
    """Start `penstock up` on a configuration, and make sure it is gone at the end."""
    logging = ("--log-format", "json", "--log-level", "debug")
    options = ("--listen", "none", *logging, f"--until-idle={IDLE_S}", "--timeout", str(PATIENCE_S))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock", "up", "-f", str(file), "--data-dir", str(data_dir), *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
        env={**os.environ, "PENSTOCK_DEMO_LEDGER": str(ledger)},
    )
    try:
        yield DemoNode(process)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
