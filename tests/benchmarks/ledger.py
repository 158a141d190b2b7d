"""What the benchmark's function wrote down: how fast its records came."""

from pathlib import Path

NS_PER_S = 1e9


class Ledger:
    """A file that every invocation adds a line to: begin and end in nanoseconds, and its records."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> int:
        """How many records have been handled so far."""
        return sum(records for _, _, records in self._lines())

    def records_per_s(self) -> float:
        """From the beginning of the first invocation to the end of the last."""
        lines = self._lines()
        begin_ns = min(begin for begin, _, _ in lines)
        end_ns = max(end for _, end, _ in lines)
        return self.records() / ((end_ns - begin_ns) / NS_PER_S)

    def records_per_invocation(self) -> float:
        return self.records() / len(self._lines())

    def begins_ns(self) -> list[int]:
        """When each invocation began, in their order."""
        return [begin for begin, _, _ in self._lines()]

    def _lines(self) -> list[tuple[int, int, int]]:
        if not self.path.exists():
            return []
        # A line is written in one call, so the last one is whole or not there.
        lines = (line.split() for line in self.path.read_text().splitlines())
        return [(int(begin), int(end), int(records)) for begin, end, records in lines]
