"""Makes pika read and write numbers in headers as they are.

It cuts what is behind the point off floats, can write none, and gives 64-bit integers a type whose text ends in `L`.
That is mended where pika reads or writes a value, for all of this process: there is no other place to stand between.
"""

import struct
from typing import Any

from pika import data

_NUMBERS = {b"f": struct.Struct(">f"), b"d": struct.Struct(">d"), b"l": struct.Struct(">q"), b"L": struct.Struct(">q")}
_read_others = data.decode_value
_write_others = data.encode_value
_DOUBLE = struct.Struct(">cd")


def read_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    """Read one value of a table; tables and lists come back here for what is in them."""
    number = _NUMBERS.get(encoded[offset : offset + 1])
    if number is None:
        other: tuple[Any, int] = _read_others(encoded, offset)
        return other
    return number.unpack_from(encoded, offset + 1)[0], offset + 1 + number.size


def write_value(pieces: list[bytes], value: Any) -> int:
    """Write one value of a table, and tell how many bytes it takes."""
    if not isinstance(value, float):
        size: int = _write_others(pieces, value)
        return size
    pieces.append(_DOUBLE.pack(b"d", value))
    return _DOUBLE.size


def mend() -> None:
    """Have pika read and write values so from now on."""
    data.decode_value = read_value
    data.encode_value = write_value
