"""SIGTERM and SIGINT are ours: the first drains, the second ends at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled_signals(on_signal: Callable[[str], None]) -> Iterator[None]:
    """Give the name of each signal to `on_signal`, in the loop, while this is entered."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number.name)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
