"""Writes moments of the machines' clock as people and programs read them."""

import time
from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


class WallClock:
    """The present, once for everything that is told together."""

    def __init__(self, now_ms: int, *, wall_s: float | None = None) -> None:
        """Take the machines' present, and Unix time (the system's by default)."""
        self._now_ms = now_ms
        self._wall_s = time.time() if wall_s is None else wall_s

    @property
    def unix_ms(self) -> float:
        """Now, as Unix milliseconds."""
        return self._wall_s * 1000

    def iso(self, at_ms: int | None) -> str | None:
        """Write a moment as ISO 8601 in UTC with milliseconds."""
        return None if at_ms is None else iso(self._wall(at_ms))

    def at(self, at_ms: int) -> str:
        """Write a moment shortly: `12:03:04Z`, with its date where that is another day."""
        moment = datetime.fromtimestamp(self._wall(at_ms), UTC)
        today = datetime.fromtimestamp(self._wall_s, UTC).date()
        return moment.strftime("%H:%M:%SZ" if moment.date() == today else "%Y-%m-%d %H:%M:%SZ")

    def since(self, at_ms: int) -> str:
        """Write a moment that has passed, and how long ago that was: `12:03:04Z (16 s)`."""
        return f"{self.at(at_ms)} ({duration((self._now_ms - at_ms) / 1000)})"

    def _wall(self, at_ms: int) -> float:
        return self._wall_s + (at_ms - self._now_ms) / 1000


def iso(wall_s: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Write how long something took: the two largest units, `3 min 20 s`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number} {unit}")
    parts.append(f"{left} s")
    return " ".join(parts[:2])
