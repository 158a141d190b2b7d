"""Events in, responses out: JSON as AWS's Python runtime reads and writes it.

Reading is the standard library's, or orjson's where the function's interpreter has it and the result is the same. They
differ silently in one thing: orjson makes a float of an integer beyond 64 bits. So a document with a run of nineteen
digits where a number may stand is left to the standard library, and so is what orjson refuses (NaN, lone surrogates).
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

_GC_PAUSE_BYTES = 16_384

_SHAPE = bytearray(b"x" * 256)
for _byte in b"0123456789":
    _SHAPE[_byte] = ord("0")
for _byte in b":,[- \t\r\n":
    _SHAPE[_byte] = ord(",")
_SHAPE_TABLE = bytes(_SHAPE)
_LONG_NUMBER = b"," + b"0" * 19


class ResponseNotJson(Exception):
    """The handler's result can not be written as JSON; the text is the codec's own."""


class Codec:
    """Reads events and writes responses; made once per environment, after the function's own code was imported."""

    def __init__(self) -> None:
        self._loads_fast = _find_orjson()
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_default).encode

    def read(self, body: bytes | bytearray, *, is_plain: bool) -> Any:
        """Read an event. `is_plain` promises that no number in it needs more than 64 bits. Raises ValueError."""
        if len(body) < _GC_PAUSE_BYTES or not gc.isenabled():
            return self._read(body, is_plain=is_plain)
        # Parsing makes thousands of containers and no cycle; the collector's passes over them would find nothing.
        gc.disable()
        try:
            return self._read(body, is_plain=is_plain)
        finally:
            gc.enable()

    def _read(self, body: bytes | bytearray, *, is_plain: bool) -> Any:
        if self._loads_fast is not None and (is_plain or not _may_hold_long_number(body)):
            try:
                return self._loads_fast(body)
            except ValueError:
                pass
        return json.loads(body)

    def write(self, response: Any) -> bytes:
        """Write a response; bytes are taken as they are where they are JSON. Raises ResponseNotJson."""
        try:
            if isinstance(response, bytes):
                json.loads(response, parse_constant=_refuse_constant)
                return response
            text = self._encode(response)
        except Exception as error:
            raise ResponseNotJson(str(error)) from error
        try:
            return text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which only an escape can say
            return json.dumps(response, allow_nan=False, default=_default).encode()


def warm_up() -> None:
    """Import what orjson imports, where the interpreter has it; orjson itself may yet come from the function's code."""
    if importlib.util.find_spec("orjson") is None:
        return
    # An old interpreter lacks the newest of them, and then so does its orjson.
    with contextlib.suppress(ImportError):
        for name in ("dataclasses", "datetime", "uuid", "zoneinfo"):
            importlib.import_module(name)


def _may_hold_long_number(body: bytes | bytearray) -> bool:
    shape = body.translate(_SHAPE_TABLE)
    return _LONG_NUMBER in shape or shape.startswith(_LONG_NUMBER[1:])


def _find_orjson() -> Callable[[bytes | bytearray], Any] | None:
    try:
        import orjson  # noqa: PLC0415 - only now is the function's own search path in place
    except Exception:  # noqa: BLE001 - whatever a module of that name does, the standard library serves as well
        return None
    loads: Callable[[bytes | bytearray], Any] | None = getattr(orjson, "loads", None)
    return loads


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
