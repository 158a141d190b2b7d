"""A bench for functions: code in a temporary folder, a host around it, and nothing left running afterwards."""

import asyncio
import contextlib
import json
import textwrap
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from penstock.api import FunctionFailed, FunctionSpec, Invocation, InvocationResult, Returned
from penstock.functions import FunctionHost

WITHIN_S = 10.0


class Bench:
    """Makes functions and runs them, each scenario in a host of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"

    def function(self, source: str, *, name: str = "billing", handler: str = "app.handler", **settings: Any):
        code = self.folder / name
        code.mkdir(exist_ok=True)
        (code / "app.py").write_text(textwrap.dedent(source))
        return FunctionSpec(
            name=name,
            handler=handler,
            code=code,
            arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            **{"timeout_ms": 10_000, **settings},
        )

    def run(self, scenario: Callable[[FunctionHost], Awaitable[Any]], **settings: Any) -> Any:
        async def main() -> Any:
            async with FunctionHost(data_dir=self.data_dir, **settings) as host:
                return await scenario(host)

        return asyncio.run(main())

    def invoke(self, spec: FunctionSpec, *events: Any, **settings: Any) -> list[InvocationResult]:
        """Invoke one after another, in at most one environment."""

        async def scenario(host: FunctionHost) -> list[InvocationResult]:
            executor = host.executor(spec, environments_max=1)
            await executor.open()
            return [await executor.invoke(self.invocation(event)) for event in events or ({},)]

        return self.run(scenario, **settings)

    def returned(self, spec: FunctionSpec, *events: Any) -> Any:
        """Invoke and give what the (last) invocation returned."""
        return self.value(self.invoke(spec, *events)[-1])

    def failed(self, spec: FunctionSpec, event: Any = None) -> FunctionFailed:
        result = self.invoke(spec, event)[0]
        assert isinstance(result, FunctionFailed), result
        return result

    def log(self, function: str = "billing") -> list[dict[str, Any]]:
        path = self.data_dir / "logs" / f"{function}.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @staticmethod
    def invocation(event: Any = None) -> Invocation:
        return Invocation(
            request_id=str(uuid.uuid4()), event=event if isinstance(event, bytes) else json.dumps(event).encode()
        )

    @staticmethod
    def value(result: InvocationResult) -> Any:
        assert isinstance(result, Returned), result
        return json.loads(result.payload)

    @staticmethod
    def wait_until(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WITHIN_S
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not become true in time"
            time.sleep(0.01)
        return value

    @staticmethod
    async def until(condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WITHIN_S):
            while not (value := condition()):  # noqa: ASYNC110 - it is the world outside that becomes true
                await asyncio.sleep(0.01)
            return value

    @staticmethod
    def is_alive(pid: int) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    before = set(psutil.Process().children(recursive=True))
    yield Bench(tmp_path)
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    assert left == []
