"""Between the loop and the consumer's thread: what the loop asks, in order, and what it is told."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from penstock.api import SourceError, SourceUnavailable
from penstock_kafka.client import Consumer, KafkaException
from penstock_kafka.errors import source_error

T = TypeVar("T")

Request = Callable[[Consumer | None], None]
"""Called on the thread with the consumer, or with None when the thread has ended."""


class Desk:
    """Requests in, answers out. Every request is served, or answered with the end of the thread."""

    def __init__(self, place: str, *, wake: Callable[[], None]) -> None:
        """Make it on the loop; `wake` is called when the thread should look. `place` begins an error's sentence."""
        self._place = place
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque()
        self._is_over = False

    # On the loop.

    def ask(self, request: Request) -> None:
        """Have a request served. Raises SourceUnavailable when nobody will."""
        with self._lock:
            if self._is_over:
                raise self.ended()
            self._requests.append(request)
        self._wake()

    async def call(self, ask: Callable[[Consumer], T]) -> T:
        """Ask the client something. Raises the SourceError that fits what the client raised."""
        future: asyncio.Future[T] = self._loop.create_future()

        def serve(consumer: Consumer | None) -> None:
            if consumer is None:
                self.settle(future, self.ended())
                return
            try:
                answer = ask(consumer)
            except KafkaException as raised:
                self.settle(future, source_error(raised, self._place))
            except Exception as bug:  # noqa: BLE001 - whoever asked gets it; the thread lives on
                self.settle(future, bug)
            else:
                self.on_loop(_set_result, future, answer)

        self.ask(serve)
        return await future

    def future(self) -> "asyncio.Future[None]":
        """Make a future for `settle`."""
        return self._loop.create_future()

    # On the thread.

    def serve(self, consumer: Consumer) -> bool:
        """Serve what was asked; True if there was anything."""
        if not self._requests:
            return False
        while self._requests:
            self._requests.popleft()(consumer)
        return True

    def close(self) -> None:
        """Take no more requests."""
        with self._lock:
            self._is_over = True

    def answer_rest(self) -> None:
        """Answer what was asked and not served."""
        while self._requests:
            self._requests.popleft()(None)

    def settle(self, future: "asyncio.Future[Any]", error: BaseException | None = None) -> None:
        """Answer a future on its loop: with None, or with an error."""
        if error is None:
            self.on_loop(_set_result, future, None)
        else:
            self.on_loop(_set_exception, future, error)

    def on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function on the loop; one that is closed has nobody left to tell."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self._is_over = True

    def ended(self) -> SourceError:
        """Make the error for a request that comes too late."""
        return SourceUnavailable(f"{self._place}: the reader has ended")


def _set_result(future: "asyncio.Future[Any]", answer: object) -> None:
    if not future.done():
        future.set_result(answer)


def _set_exception(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
