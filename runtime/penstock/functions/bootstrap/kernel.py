"""What Linux offers and Python does not: prctl.

Where ctypes is missing from an interpreter the calls report False; a dying process is then found by its mark alone.
"""

from __future__ import annotations

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

try:
    import ctypes

    _libc: ctypes.CDLL | None = ctypes.CDLL(None, use_errno=True)
except (ImportError, OSError):  # an interpreter built without libffi
    _libc = None


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> bool:
    """Be sent this signal when the parent (the thread that made us) ends."""
    return _prctl(_PR_SET_PDEATHSIG, signal_number)


def _prctl(option: int, value: int) -> bool:
    if _libc is None:
        return False
    zero = ctypes.c_ulong(0)
    return bool(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) == 0)
