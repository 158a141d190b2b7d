"""Documents as files: one JSON document each, laid out in a folder as AWS lays them out in S3 (§3.6)."""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from penstock.api import Blocking, RecordRefused, SourceDenied, SourceMissing, SourceUnavailable
from penstock.core.events.instants import iso_seconds
from penstock.core.events.invocation_documents import Document
from penstock.shell.writers import ANSWER_S

DRAFT_SUFFIX = ".draft"
STALE_S = 3600.0
"""A draft this old was left behind by a node that was killed."""

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR}


class FileWriter:
    """Writes below one folder, which is made when it is not there.

    A file appears whole and under its name, or not at all, and is on the disk when `write` returns.
    """

    answer_s: float | None = ANSWER_S

    def __init__(self, folder: Path, *, mapping_uuid: str, names: Iterator[str]) -> None:
        """Take the folder, whose documents these are, and random UUIDs."""
        self._folder = folder
        self._mapping_uuid = mapping_uuid
        self._names = names
        self._thread = Blocking(f"files in {folder.name}")
        self._known: set[Path] = set()

    async def open(self) -> None:
        await self._thread.call(self._open, self._draft())

    async def close(self) -> None:
        await self._thread.close()

    async def write(self, documents: Sequence[Document]) -> Sequence[RecordRefused | None]:
        paths = [self._path(each) for each in documents]
        drafts = [self._draft() for _ in documents]
        await self._thread.call(self._write, documents, drafts, paths)
        return [None] * len(documents)

    def _draft(self) -> Path:
        """Name a draft. The names are shared with others on the loop, so never from the thread."""
        return self._folder / f".{next(self._names)}{DRAFT_SUFFIX}"

    def _open(self, probe: Path) -> None:
        with _blamed(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            for draft in self._folder.glob(f".*{DRAFT_SUFFIX}"):
                if time.time() - draft.stat().st_mtime > STALE_S:
                    draft.unlink(missing_ok=True)
            probe.touch()
            probe.unlink()

    def _path(self, document: Document) -> Path:
        day, _, second = iso_seconds(document.ended_ms).removesuffix("Z").partition("T")
        # A shard of a stranger's source may have any name, and "." and ".." are names of other folders.
        shard = quote(document.shard, safe="") or "-"
        shard = shard if shard.strip(".") else shard.replace(".", "%2E")
        name = f"{day}T{second.replace(':', '.')}-{next(self._names)}"
        return self._folder.joinpath("aws", "lambda", self._mapping_uuid, shard, *day.split("-"), name)

    def _write(self, documents: Sequence[Document], drafts: Sequence[Path], paths: Sequence[Path]) -> None:
        with _blamed(self._folder):
            for document, draft, path in zip(documents, drafts, paths, strict=True):
                self._make_folders(path.parent)
                try:
                    with draft.open("xb") as file:
                        file.write(document.value)
                        file.flush()
                        os.fsync(file.fileno())
                    draft.rename(path)
                except BaseException:
                    draft.unlink(missing_ok=True)
                    raise
            for folder in {path.parent for path in paths}:
                _sync(folder)

    def _make_folders(self, folder: Path) -> None:
        """Make what is missing between the folder of all and this one, and have it on the disk before its files are."""
        if folder in self._known and folder.is_dir():
            return
        path = self._folder
        for name in folder.relative_to(self._folder).parts:
            (path / name).mkdir(exist_ok=True)
            _sync(path)
            path /= name
        self._known.add(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _blamed(folder: Path) -> Iterator[None]:
    """Turn what the file system says into the error that says whether trying again helps."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename and str(error.filename) != str(folder) else ""
        text = f"the folder {folder} can not be written: {where}{error.strerror or error}"
        if error.errno in _DENIED:
            raise SourceDenied(text) from error
        if error.errno in _MISSING:
            raise SourceMissing(text) from error
        raise SourceUnavailable(text) from error
