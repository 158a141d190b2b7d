"""A function's log: JSON lines in `logs/<function>.log`, rotated by size, or on the node's standard output, or both.

Writing is one unbuffered write per chunk of lines, so that what a killed node had read is in the file. A log that can
not be written (a full disk) is given up line by line, never the function.
"""

import contextlib
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

Logs = Literal["file", "stdout", "both"]

FILE_BYTES_MAX = 10_000_000
FILES_MAX = 5


class LogLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One line. `stream` is `stdout`, `stderr`, `logging` (then with its level) or `platform`: the node's own words."""

    time: str
    function: str
    request_id: str
    environment: str
    stream: str
    message: str
    level: str = ""


class FunctionLog:
    """Where the lines of one function go."""

    def __init__(
        self,
        function: str,
        *,
        folder: Path | None,
        stdout: BinaryIO | None,
        file_bytes_max: int = FILE_BYTES_MAX,
        files_max: int = FILES_MAX,
    ) -> None:
        self.function = function
        self._path = None if folder is None else folder / f"{function}.log"
        self._stdout = stdout
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._descriptor = -1
        self._bytes = 0
        self._encoder = msgspec.json.Encoder()

    def write(self, lines: list[LogLine]) -> None:
        """Append these lines."""
        data = self._encoder.encode_lines(lines)
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._append(self._path, data)
        if self._stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stdout.write(data)
                self._stdout.flush()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, path: Path, data: bytes) -> None:
        if self._descriptor < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._bytes = os.fstat(self._descriptor).st_size
        if self._bytes and self._bytes + len(data) > self._file_bytes_max:
            self._rotate(path)
            self._append(path, data)
            return
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._bytes += len(data)

    def _rotate(self, path: Path) -> None:
        """Move `f.log` to `f.log.1`, that to `f.log.2`, and so on; the oldest is overwritten."""
        self.close()
        for number in range(self._files_max - 1, 0, -1):
            source = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            with contextlib.suppress(FileNotFoundError):
                source.replace(path.with_name(f"{path.name}.{number}"))
        path.unlink(missing_ok=True)


def timestamp() -> str:
    """Write the present as the log does: UTC, milliseconds."""
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def standard_output() -> BinaryIO:
    """Give the node's standard output as bytes."""
    return sys.stdout.buffer
