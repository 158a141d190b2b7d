"""Where a stream mapping starts: `StartingPosition` and its time (`lambda-semantics.md §1.2`)."""

import datetime as dt

from penstock.api import Start, StreamCapabilities
from penstock.configuration.draft import Draft
from penstock.configuration.findings import Findings
from penstock.configuration.validator import Part

_POSITION = "StartingPosition"
_TIMESTAMP = "StartingPositionTimestamp"


def read_start(draft: Draft, findings: Findings, *, now_ms: float) -> Start:
    """Read where to start; what can not be is among the findings, and the start is then any."""
    part = draft.part
    position = part.values[_POSITION]
    if position is None:  # missing or wrong, and said so
        return Start("TRIM_HORIZON")
    if position == "AT_TIMESTAMP":
        return _at_timestamp(draft, findings, now_ms)
    if part.values[_TIMESTAMP] is not None:
        findings.error(*part.place(_TIMESTAMP), f"is given with {_POSITION} {position}", "it belongs to AT_TIMESTAMP")
    return Start(position)


def _at_timestamp(draft: Draft, findings: Findings, now_ms: float) -> Start:
    part, source_type = draft.part, draft.source.config.type
    capabilities = source_type.capabilities
    if not (isinstance(capabilities, StreamCapabilities) and capabilities.seekable_by_time):
        problem = f"is AT_TIMESTAMP, and a source of type {source_type.name} can not seek by time"
        findings.error(*part.place(_POSITION), problem, "TRIM_HORIZON or LATEST")
        return Start("TRIM_HORIZON")
    timestamp = part.values[_TIMESTAMP]
    if timestamp is None:
        findings.error(*part.place(_POSITION), "is AT_TIMESTAMP", f"{_TIMESTAMP} is missing")
        return Start("TRIM_HORIZON")
    return Start("AT_TIMESTAMP", _passed_ms(part, timestamp, findings, now_ms))


def _passed_ms(part: Part, timestamp: object, findings: Findings, now_ms: float) -> int | None:
    found_ms = time_ms(timestamp)
    place = part.place(_TIMESTAMP)
    if found_ms is None:
        findings.error(*place, f"is {timestamp!s}", "Unix seconds, or a time such as 2026-01-31T12:00:00Z")
    elif found_ms > now_ms:
        findings.error(*place, f"{timestamp!s} is in the future", "a time that has passed")
    else:
        part.shown[_TIMESTAMP] = timestamp if isinstance(timestamp, int | float) else str(timestamp)
    return found_ms


def time_ms(value: object) -> int | None:
    """Read Unix seconds or an ISO 8601 time (UTC where it names no zone) as Unix milliseconds, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value * 1000) if value >= 0 else None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if isinstance(value, str):
        return _text_ms(value.strip())
    if not isinstance(value, dt.datetime):
        return None
    moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)


def _text_ms(text: str) -> int | None:
    try:
        return (
            time_ms(float(text)) if text.replace(".", "", 1).isdecimal() else time_ms(dt.datetime.fromisoformat(text))
        )
    except ValueError:
        return None
