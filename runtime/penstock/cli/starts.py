"""Places in a stream as users write them on the command line: TRIM_HORIZON, LATEST, a time or a position."""

from penstock.api import Start
from penstock.cli.failures import Wrong
from penstock.cli.times import unix_ms


def read_start(option: str, text: str) -> Start | int:
    """Read what was given to an option. A number is the position of the record to begin with."""
    if text in {"TRIM_HORIZON", "LATEST"}:
        return Start("LATEST" if text == "LATEST" else "TRIM_HORIZON")
    if text.isdecimal():
        return int(text)
    found_ms = unix_ms(text)
    if found_ms is None:
        raise Wrong(f"{option} is '{text}'; TRIM_HORIZON, LATEST, a time such as 2026-01-31T12:00:00Z, or a position")
    return Start("AT_TIMESTAMP", found_ms)
