"""What an environment prints: pipes read into lines, each with the invocation that was running when it came."""

import asyncio
import contextlib
import os
from typing import Final

import msgspec

from penstock.functions.bootstrap.output import RECORD_MARK
from penstock.functions.logs import FunctionLog, LogLine, timestamp

LINE_BYTES_MAX: Final = 262_144
"""The most of one line that is kept, as on AWS."""
TAIL_BYTES_MAX: Final = 4096
"""The most of an invocation's log that `invoke --log` shows (`lambda-semantics.md §5.1`)."""

# Small enough that a chunk of nothing but line breaks makes no large document.
_READ_BYTES = 16_384
_READS_AT_ONCE_MAX = 64


class _Record(msgspec.Struct, frozen=True):
    level: str
    message: str
    request_id: str


_record_decoder = msgspec.json.Decoder(_Record)


class Output:
    """The two pipes of one environment, and the tail of its running invocation's log.

    A chunk is read at a time, as the loop serves its readers. A function that prints faster than the node writes waits
    in its own `print`; the node holds one unfinished line per pipe.
    """

    def __init__(self, log: FunctionLog, environment_id: str) -> None:
        self.request_id = ""
        self.tail = bytearray()
        self._log = log
        self._environment_id = environment_id
        self._pipes: list[_Pipe] = []

    def open(self) -> tuple[int, int]:
        """Make the pipes; returns the ends to write to, which the caller closes once they are passed on."""
        writers = []
        for stream in ("stdout", "stderr"):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reader, False)
            self._pipes.append(_Pipe(self, reader, stream))
            writers.append(writer)
        return writers[0], writers[1]

    def begin(self, request_id: str) -> None:
        """Give what comes from now on to this invocation."""
        self.request_id = request_id
        if self.tail:
            self.tail = bytearray()

    def drain(self) -> None:
        """Read what was written before now, so that it is not taken for a later invocation's."""
        for pipe in self._pipes:
            pipe.drain()

    def close(self) -> None:
        """Read what is left, and close; an unfinished line is written as it is."""
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()
        self._pipes.clear()

    def say(self, message: str, *, level: str = "ERROR") -> None:
        """Write a line of the node's own."""
        self.write([self.line("platform", message, level=level, request_id=self.request_id)])

    def line(self, stream: str, message: str, *, level: str = "", request_id: str | None = None) -> LogLine:
        return LogLine(
            time=timestamp(),
            function=self._log.function,
            request_id=self.request_id if request_id is None else request_id,
            environment=self._environment_id,
            stream=stream,
            message=message,
            level=level,
        )

    def write(self, lines: list[LogLine]) -> None:
        for line in lines[-TAIL_BYTES_MAX:]:
            self.tail += line.message.encode(errors="replace")[-TAIL_BYTES_MAX:] + b"\n"
            if len(self.tail) > TAIL_BYTES_MAX:
                del self.tail[:-TAIL_BYTES_MAX]
        self._log.write(lines)


class _Pipe:
    """One pipe, read in chunks and cut into lines."""

    def __init__(self, output: Output, reader: int, stream: str) -> None:
        self._output = output
        self._reader = reader
        self._stream = stream
        self._unfinished = bytearray()
        self._cut_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(reader, self._pump)

    def drain(self) -> None:
        # A pipe holds 64 KB; more than a few reads means that something is still writing.
        for _ in range(_READS_AT_ONCE_MAX):
            if not self._pump():
                return

    def close(self) -> None:
        if self._unfinished:
            self._take(b"\n")
        self._stop()

    def _pump(self) -> bool:
        if self._reader < 0:
            return False
        try:
            chunk = os.read(self._reader, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._stop()
            return False
        self._take(chunk)
        return True

    def _take(self, chunk: bytes) -> None:
        *whole, rest = chunk.split(b"\n")
        lines = []
        for each in whole:
            self._keep(each)
            lines.append(self._line())
        self._keep(rest)
        if lines:
            self._output.write(lines)

    def _keep(self, part: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._unfinished)
        self._unfinished += part[:room]
        self._cut_bytes += max(0, len(part) - room)

    def _line(self) -> LogLine:
        raw, cut_bytes = bytes(self._unfinished), self._cut_bytes
        self._unfinished, self._cut_bytes = bytearray(), 0
        if raw.startswith(RECORD_MARK):
            with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                record = _record_decoder.decode(raw[1:])
                return self._output.line(
                    "logging", record.message, level=record.level, request_id=record.request_id or None
                )
        text = raw.decode(errors="replace")
        return self._output.line(self._stream, f"{text}… ({cut_bytes} bytes cut)" if cut_bytes else text)

    def _stop(self) -> None:
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1
