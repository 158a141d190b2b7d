"""Being told by the kernel that another process wrote to a file, so that nobody has to look."""

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

_MODIFIED = 0x02
_EVENTS_BYTES = 64 * 1024


class FileWatch:
    """Calls back, once, when a file was written to; `arm` asks for the next time.

    Works where Linux offers inotify; elsewhere `start` answers False and the caller looks from time to time.
    """

    def __init__(self, path: Path, on_written: Callable[[], None]) -> None:
        self._path = path
        self._on_written = on_written
        self._descriptor = -1
        self._is_armed = False

    def start(self) -> bool:
        """Begin to watch; False where that can not be done."""
        try:
            library = ctypes.CDLL(None, use_errno=True)
            descriptor: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, AttributeError):
            return False
        if descriptor < 0:
            return False
        self._descriptor = descriptor
        if library.inotify_add_watch(descriptor, os.fsencode(self._path), _MODIFIED) < 0:
            self.stop()
            return False
        return True

    def arm(self) -> None:
        """Call back at the next write, or at once when there was one since the last call."""
        if self._descriptor >= 0 and not self._is_armed:
            asyncio.get_running_loop().add_reader(self._descriptor, self._tell)
            self._is_armed = True

    def stop(self) -> None:
        """Stop watching."""
        self._disarm()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _tell(self) -> None:
        # Not armed again until asked: a busy file costs one look per interval, not one per write.
        self._disarm()
        os.read(self._descriptor, _EVENTS_BYTES)
        self._on_written()

    def _disarm(self) -> None:
        if self._is_armed:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._is_armed = False
