"""Error documents: a failure in the function's own words, as AWS's Python runtime writes them."""

from __future__ import annotations

import json
import os
import traceback
from typing import Any, Dict  # noqa: UP035 - evaluated at run time on Python 3.8

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120 - pathlib would stay in every template
_MESSAGE_CHARACTERS_MAX = 65_536
_TRACE_ENTRIES_MAX = 200

Document = Dict[str, Any]  # noqa: UP006 - evaluated at run time on Python 3.8


class InitFailure(Exception):
    """The function could not be loaded; `document` says why."""

    def __init__(self, failed: Document) -> None:
        super().__init__(failed["errorMessage"])
        self.document = failed


def document(error_type: str, message: str, trace: list[str] | None = None, request_id: str = "") -> Document:
    """Make an error document (`lambda-semantics.md §5.2`); an init error has an empty request id."""
    if len(message) > _MESSAGE_CHARACTERS_MAX:
        message = f"{message[:_MESSAGE_CHARACTERS_MAX]}… ({len(message) - _MESSAGE_CHARACTERS_MAX} characters cut)"
    return {"errorMessage": message, "errorType": error_type, "requestId": request_id, "stackTrace": trace or []}


def from_exception(error: BaseException, request_id: str = "") -> Document:
    """Describe what a handler, or the import of its module, raised."""
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - an exception's own __str__ may do anything
        message = f"<{type(error).__name__} whose text could not be made: {type(broken).__name__}>"
    return document(type(error).__name__, message, _trace(error), request_id)


def encode(failed: Document) -> bytes:
    return json.dumps(failed).encode()


def as_text(failed: Document) -> str:
    """Write a document as it stands in the function's log."""
    lines = [f"[ERROR] {failed['errorType']}: {failed['errorMessage']}"]
    if failed["stackTrace"]:
        lines.append("Traceback (most recent call last):")
        lines.extend(entry.rstrip("\n") for entry in failed["stackTrace"])
    return "\n".join(lines)


def _trace(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(_HERE):
        del frames[0]
    # Built anew, since a summary of its own would add marks below the line that AWS does not have.
    entries = traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames])
    if len(entries) <= _TRACE_ENTRIES_MAX:
        return entries
    half = _TRACE_ENTRIES_MAX // 2
    return [*entries[:half], f"  … ({len(entries) - 2 * half} entries cut)\n", *entries[-half:]]
