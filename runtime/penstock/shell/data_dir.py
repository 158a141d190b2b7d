"""The data directory: made private, held by one node at a time, its `run/` emptied at both ends."""

import fcntl
import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.api import PenstockError

LOCK_NAME = "node.lock"
NODE_ID_NAME = "node-id"
RUN_NAME = "run"
ENDPOINT_NAME = "endpoint"
OVERRIDES_NAME = "overrides.json"
OUR_NAMES = frozenset(
    {
        LOCK_NAME,
        NODE_ID_NAME,
        f"{NODE_ID_NAME}.new",
        RUN_NAME,
        OVERRIDES_NAME,
        f"{OVERRIDES_NAME}.new",
        "logs",
        ".gitignore",
    }
)
OUR_DATABASES = ("store.db", "sources.db")


class DataDirError(PenstockError):
    """The data directory can not be used. The sentence says which one, and why."""


class DataDir:
    """Holds a data directory for as long as it is entered.

    ```python
    with DataDir(Path(".penstock")) as data_dir:
        data_dir.node_id
    ```

    Raises DataDirError when another node has it (with that node's pid), or when it can not be written.
    """

    def __init__(self, path: Path) -> None:
        """Take where it is, or will be made."""
        self.path = path
        self.node_id = ""
        self._lock = -1

    @property
    def run(self) -> Path:
        """The folder of what belongs to the running node alone."""
        return self.path / RUN_NAME

    def write_endpoint(self, url: str) -> None:
        """Say in `run/endpoint` where the node listens."""
        (self.run / ENDPOINT_NAME).write_text(f"{url}\n")

    def __enter__(self) -> Self:
        try:
            self._enter()
        except OSError as error:
            self._unlock()
            where = f"{error.filename}: " if error.filename and str(error.filename) != str(self.path) else ""
            why = f"{where}{error.strerror or error}"
            raise DataDirError(f"the data directory {self.path} can not be used: {why}") from error
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        self._unlock()

    def _enter(self) -> None:
        is_ours = _make(self.path)
        self._lock_it()
        if is_ours:
            self.path.chmod(0o700)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        # What a killed node left behind.
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(mode=0o700)
        self.node_id = _read_or_make_id(self.path / NODE_ID_NAME)

    def _lock_it(self) -> None:
        self._lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock, self._lock = self._lock, -1
            pid = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise DataDirError(
                f"the data directory {self.path} is in use by the node with pid {pid}; "
                "stop that one, or give this one a directory of its own with --data-dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode("ascii"))

    def _unlock(self) -> None:
        if self._lock >= 0:
            # The file stays: removing it would let two nodes hold two files of one name.
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = -1


def _make(path: Path) -> bool:
    """Make the directory; False where it is somebody's folder of other things too, whose mode is not ours to change."""
    if path.is_dir():
        return all(child.name in OUR_NAMES or child.name.startswith(OUR_DATABASES) for child in path.iterdir())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700)
    return True


def _read_or_make_id(path: Path) -> str:
    try:
        found = path.read_text().strip()
    except FileNotFoundError:
        found = ""
    if found:
        return found
    made = uuid.uuid4().hex
    # Whole or not at all: a half-written identity would be another one at the next start.
    draft = path.with_name(f"{NODE_ID_NAME}.new")
    draft.write_text(f"{made}\n")
    draft.replace(path)
    return made
