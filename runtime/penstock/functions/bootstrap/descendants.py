"""Finding and ending what a function has started, however it tried to get away.

Two ties hold a descendant. The template adopts orphans, so that everything alive below it is in its own process tree.
And every environment carries a **mark**: a hard limit on realtime scheduling, far beyond any use, whose number is the
environment's own. A limit survives fork, exec, a new session and an emptied environment block, and /proc shows it; an
orphan tells which environment it came from, and a node whose template was killed still finds all that is left.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time

_MARKS_FROM = 1 << 61
_SERIAL_BITS = 32
_LIMIT_LINE = b"Max realtime timeout"


def mark(family: int, serial: int) -> int:
    """Make the mark of the environment `serial` of a node's `family` (28 random bits)."""
    return _MARKS_FROM | (family << _SERIAL_BITS) | serial


def family_of(number: int) -> int | None:
    """Tell which node's family a mark belongs to; None for a limit that is no mark."""
    if number < _MARKS_FROM or number >= _MARKS_FROM << 1:
        return None
    return (number - _MARKS_FROM) >> _SERIAL_BITS


def bear(number: int) -> bool:
    """Put a mark on this process and on all that it will start."""
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (number, number))
    except (OSError, ValueError):
        return False
    return True


def mark_of(pid: int) -> int | None:
    """Read the mark of a process; None where there is none, or no such process."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:  # noqa: PTH123 - pathlib would stay in every template
            for line in limits:
                if line.startswith(_LIMIT_LINE):
                    value = line[len(_LIMIT_LINE) :].split()[1]
                    return int(value) if value.isdigit() else None
    except OSError:
        pass
    return None


def children(pid: int) -> list[int]:
    """List the children of a process, zombies included."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - the same
    except OSError:
        return found
    for thread in threads:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123 - the same
            found.extend(map(int, listed.read().split()))
    return found


def tree(pid: int) -> list[int]:
    """List a process and everything below it."""
    found = [pid]
    for each in found:
        found.extend(children(each))
    return found


def marked(family: int) -> list[int]:
    """List every living process on this machine that bears a mark of a node's family."""
    found: list[int] = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - the same
        if entry.isdigit():
            number = mark_of(int(entry))
            if number is not None and family_of(number) == family and not _is_zombie(int(entry)):
                found.append(int(entry))
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def end_family(family: int, *, within_s: float) -> int:
    """End every process that bears a mark of this family; returns how many were still there when time ran out."""
    deadline = time.monotonic() + within_s
    # A process that is born while we look may be missed once, but not twice.
    clean_passes = 0
    while True:
        left = marked(family)
        if not left:
            clean_passes += 1
            if clean_passes == 2:
                return 0
            continue
        clean_passes = 0
        if time.monotonic() > deadline:
            return len(left)
        kill(left)
        time.sleep(0.002)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - the same
            return stat.read().rpartition(b")")[2].split()[0] in {b"Z", b"X"}
    except (OSError, IndexError):
        return True
