"""Processes of ours for tests: started, spoken to, stopped, woken and killed by their pid."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

_HERE = Path(__file__).parent
PATIENCE_S = 20.0


class Child:
    """A script of this folder in a process of its own, and every line it has said so far."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self._said = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def until(self, is_true):
        async with asyncio.timeout(PATIENCE_S), self._said:
            await self._said.wait_for(lambda: is_true(self.lines))

    def held(self):
        held = set()
        for word, *shards in (line.split() for line in self.lines):
            if word == "assigned":
                held |= set(shards)
            elif word in {"lost", "revoked"}:
                held -= set(shards)
        return held

    def surely_held(self):
        return set(next((line.split()[1:] for line in reversed(self.lines) if line.startswith("holds")), ()))

    async def tell(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    def signal(self, number):
        self.process.send_signal(number)

    async def end(self):
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.process.wait()
        await self._listening

    async def _listen(self):
        while line := await self.process.stdout.readline():
            async with self._said:
                self.lines.append(line.decode().strip())
                self._said.notify_all()


@contextlib.asynccontextmanager
async def child(script, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_HERE / script),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    running = Child(process)
    try:
        yield running
    finally:
        await running.end()
