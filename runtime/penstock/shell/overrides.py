"""What commands have said of mappings against their configuration, kept across restarts in the data directory.

A command holds until the opposite one, or until the configuration itself says the same.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock.api import PenstockError
from penstock.shell.data_dir import OVERRIDES_NAME

VERSION = 1


class Override(msgspec.Struct, frozen=True):
    """One mapping that a command has enabled or disabled. `name` is for who reads the file, `since` is ISO 8601."""

    name: str
    enabled: bool
    since: str


class _Versioned(msgspec.Struct):
    version: int


class _Written(msgspec.Struct):
    version: int
    mappings: dict[str, Override]


class Overrides:
    """The file of one node. What is kept of mappings that the configuration no longer has is kept for their return."""

    def __init__(self, folder: Path) -> None:
        """Read the file, if there is one. Raises PenstockError for one that can not be relied on (D48)."""
        self._path = folder / OVERRIDES_NAME
        self._by_uuid: Mapping[str, Override] = _read(self._path)

    def of(self, uuid: str) -> Override | None:
        """Tell what was last commanded of a mapping."""
        return self._by_uuid.get(uuid)

    def put(self, uuid: str, override: Override | None) -> None:
        """Keep a command, or forget it; it is on the disk when this returns. Blocking; raises PenstockError."""
        kept = {key: each for key, each in self._by_uuid.items() if key != uuid}
        if override is not None:
            kept[uuid] = override
        try:
            _write(self._path, kept)
        except OSError as error:
            raise PenstockError(f"{self._path} can not be written: {error.strerror or error}") from error
        self._by_uuid = kept


def _read(path: Path) -> Mapping[str, Override]:
    forget = "remove it to forget which mappings were enabled and disabled by commands"
    try:
        text = path.read_bytes()
        version = msgspec.json.decode(text, type=_Versioned).version
        if version > VERSION:
            raise PenstockError(f"{path} has version {version}, and this Penstock reads versions up to {VERSION}")
        return msgspec.json.decode(text, type=_Written).mappings
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PenstockError(f"{path} can not be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise PenstockError(f"{path} is damaged ({error}); {forget}") from error


def _write(path: Path, mappings: Mapping[str, Override]) -> None:
    # Whole or not at all, and there after a power cut.
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(_Written(VERSION, dict(mappings)))) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
