"""Moments as users write them on the command line."""

import datetime as dt
import re

_DURATION = re.compile(r"(\d+)\s*(ms|s|m|h|d)\Z")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def unix_ms(text: str) -> int | None:
    """Read an ISO 8601 time as Unix milliseconds; UTC where it names no zone. None: it is none."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def since_ms(text: str, *, now_ms: int) -> int | None:
    """Read a moment that has passed: a time, or how long ago (`10m`, `2h`)."""
    duration = _DURATION.match(text)
    if duration:
        return now_ms - int(duration[1]) * _MILLISECONDS[duration[2]]
    return unix_ms(text)
