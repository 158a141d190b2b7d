"""What a function prints and logs: lines on the pipes at descriptors 1 and 2.

Plain lines are what `print`, child processes and C code write. A record of `logging` is a JSON line behind a mark, on a
descriptor of its own, so that its level and its line breaks survive and a function that closes 2 still logs.
"""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import sys
import time

RECORD_MARK = b"\x1e"
_RECORD_CHARACTERS_MAX = 200_000
_DESCRIPTORS_FROM = 100

current_request_id = ""


def connect(out: int, err: int) -> None:
    """Make the pipes standard output and error; a whole line leaves the process when it is printed."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in (null, out, err):
        if descriptor > 2:
            os.close(descriptor)
    sys.stdout = sys.__stdout__ = _lines(1)  # type: ignore[misc] # they are documented as the originals, which these are
    sys.stderr = sys.__stderr__ = _lines(2)  # type: ignore[misc] # the same


def set_up_logging() -> None:
    """Give the root logger its handler, as AWS's runtime does; the level stays WARNING unless asked for."""
    logging.Formatter.converter = time.gmtime
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, RecordHandler):
            handler.redirect()
            return
    root.addHandler(RecordHandler())
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    if level in logging._nameToLevel:  # noqa: SLF001 - getLevelNamesMapping came with 3.11
        root.setLevel(level)


def report(level: str, text: str) -> None:
    """Write a line of the bootstrap's own into the function's log."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RecordHandler):
            handler.write(level, text)
            return
    sys.stderr.write(text + "\n")


def flush() -> None:
    """Push out what was printed without a line break."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S112 - the function may have put anything there, or closed it
            continue


class RecordHandler(logging.Handler):
    """Sends records of `logging` to the function's log, each with its level and the invocation's request id."""

    def __init__(self) -> None:
        super().__init__()
        self._descriptor = -1
        self.redirect()

    def redirect(self) -> None:
        """Write to what is descriptor 2 now."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        # High up, where code that closes or counts the first few descriptors does not meet it.
        self._descriptor = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTORS_FROM)

    def emit(self, record: logging.LogRecord) -> None:
        record.aws_request_id = current_request_id
        try:
            self.write(record.levelname, self.format(record).rstrip("\n"))
        except Exception:  # noqa: BLE001 - what logging itself does with an error of a handler
            self.handleError(record)

    def write(self, level: str, text: str) -> None:
        if len(text) > _RECORD_CHARACTERS_MAX:
            text = f"{text[:_RECORD_CHARACTERS_MAX]}… ({len(text) - _RECORD_CHARACTERS_MAX} characters cut)"
        line = json.dumps({"level": level, "message": text, "request_id": current_request_id})
        data = memoryview(RECORD_MARK + line.encode() + b"\n")
        while data:
            data = data[os.write(self._descriptor, data) :]


def _lines(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
    )
