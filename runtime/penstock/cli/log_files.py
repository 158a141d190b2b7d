"""Reads a log of JSON lines that somebody else writes and rotates.

The newest lines are in `f.log`, those before them in `f.log.1`, then `f.log.2` and so on.
"""

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PAUSE_S = 0.2


def lines_so_far(path: Path) -> tuple[Iterator[str], tuple[int, int]]:
    """Give the lines that are there, oldest first, and where they end: the newest file's inode and length."""
    position = _position(path)
    return _lines(path, position), position


def follow_lines(path: Path, position: tuple[int, int]) -> Iterator[str]:
    """Give the lines behind a position as they come, through rotations. Never ends; close it to close the file."""
    inode, offset = position
    file = _reopened(path, inode)
    try:
        if file is not None:
            file.seek(offset)
        rest = b""
        while True:
            if file is None:
                file = _opened(path)
            # Looked at before reading: what was written before the rotation is then read for certain.
            is_rotated = file is not None and _inode(path) not in {0, os.fstat(file.fileno()).st_ino}
            data = file.read() if file is not None else b""
            if data:
                *whole, rest = (rest + data).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
            elif file is not None and is_rotated:
                file.close()
                file, rest = None, b""
            else:
                time.sleep(_PAUSE_S)
    finally:
        if file is not None:
            file.close()


def _lines(path: Path, position: tuple[int, int]) -> Iterator[str]:
    newest_inode, length = position
    for older in _rotated(path):
        with _opened(older) or io.BytesIO() as file:
            # A rotation just now has moved what was the newest.
            if isinstance(file, io.BytesIO) or os.fstat(file.fileno()).st_ino != newest_inode:
                yield from (line.decode("utf-8", "replace").rstrip("\n") for line in file)
    with _reopened(path, newest_inode) or io.BytesIO() as newest:
        yield from (line.decode("utf-8", "replace") for line in newest.read(length).split(b"\n") if line)


def _rotated(path: Path) -> list[Path]:
    numbered = [
        each for each in path.parent.glob(f"{path.name}.*") if each.name.removeprefix(f"{path.name}.").isdecimal()
    ]
    return sorted(numbered, key=lambda each: -int(each.suffix[1:]))


def _position(path: Path) -> tuple[int, int]:
    """Tell inode and length up to the last whole line; (0, 0) for no file."""
    file = _opened(path)
    if file is None:
        return 0, 0
    with file:
        content_end = file.read().rfind(b"\n") + 1
        return os.fstat(file.fileno()).st_ino, content_end


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _reopened(path: Path, inode: int) -> BinaryIO | None:
    """Open the file that has this inode, wherever a rotation has moved it."""
    for candidate in (path, path.with_name(f"{path.name}.1")):
        file = _opened(candidate)
        if file is not None:
            if os.fstat(file.fileno()).st_ino == inode:
                return file
            file.close()
    return None


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
