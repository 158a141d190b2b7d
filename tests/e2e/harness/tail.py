from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Tail:
    """Reads a file of JSON lines on from where it was read before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> Iterator[dict[str, Any]]:
        """Give the lines that are new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for text in filter(None, lines):
            try:
                line: dict[str, Any] = json.loads(text)
            except ValueError:
                # Half a line: its process was killed while it wrote.
                continue
            yield line
