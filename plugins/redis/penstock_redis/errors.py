"""What Redis and its client say, as the error of ours that fits, in one sentence."""

import os
import re
import ssl
from collections.abc import Mapping

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceUnavailable
from penstock_redis.client_types import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError_,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError_,
    TryAgainError,
)

_SCRIPT_NOISE = re.compile(r"\s*script: [0-9a-f]{40}, on @user_script:\d+\.?|^user_script:\d+: |^-?ERR ")
_COMMAND = re.compile(r"the '([^']+)' command")

# redis-py takes the first word of a refusal away where it has a class for it.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (BusyLoadingError, "LOADING"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (TryAgainError, "TRYAGAIN"),
    (AskError, "MOVED"),
    (ClusterCrossSlotError, "CROSSSLOT"),
    (NoPermissionError, "NOPERM"),
)

# How a refusal begins, and what it means.
_DENIED = {
    "NOAUTH": "the server wants a user and a password",
    "WRONGPASS": "the server refused the user or the password",
    "invalid password": "the server refused the password",
    "Client sent AUTH": "the server has no password set, and one is given",
    "AUTH <password> called": "the server has no password set, and one is given",
    "Authentication required": "the server wants a user and a password",
    "DENIED": "the server is in protected mode and refuses connections from other machines",
}
_UNAVAILABLE = {
    "LOADING": "the server is still loading its data",
    "BUSY": "the server is busy with another script",
    "READONLY": "the server is a read-only replica",
    "MASTERDOWN": "the server is a replica that has lost its primary",
    "OOM": "the server has reached its maxmemory and takes nothing more",
    "MISCONF": "the server refuses writes, since it could not save its data",
    "NOREPLICAS": "the server has too few replicas to take writes",
    "CLUSTERDOWN": "the cluster is down",
    "TRYAGAIN": "the cluster moves this key to another node",
    "UNBLOCKED": "the server let go of a waiting call",
    "max number of clients": "the server has no room for another connection",
}
_BROKEN = {
    "MOVED": "it is a node of a Redis Cluster, and another node has the queue",
    "CROSSSLOT": "it is a Redis Cluster, to which the queue's keys are in several slots",
    "DB index is out of range": "the server has no database of that number",
    "invalid DB index": "the server has no database of that number",
    "WRONGTYPE": "a key of this queue holds another type of value",
}
_KINDS: tuple[tuple[dict[str, str], type[SourceError]], ...] = (
    (_DENIED, SourceDenied),
    (_UNAVAILABLE, SourceUnavailable),
    (_BROKEN, SourceBroken),
)


_REPLACED = (ReadOnlyError, MasterDownError, ClusterDownError, ConnectionError_, TimeoutError_, OSError)


def is_of_server(raised: Exception) -> bool:
    """Tell whether an error says of a server that it is gone, or not the one to ask any more."""
    return isinstance(raised, _REPLACED) or str(raised).startswith("UNBLOCKED")


def source_error(raised: BaseException, place: str, words: Mapping[str, str] | None = None) -> SourceError:
    """Make the error that fits; what is neither the server's nor the network's is raised again.

    `place` begins its sentence: `queue 'jobs' on localhost:6379`. `words` say what some refusals mean to the caller.
    """
    if isinstance(raised, SourceError):
        return raised
    if not isinstance(raised, RedisError | OSError):
        raise raised
    text = _SCRIPT_NOISE.sub("", str(raised)).strip()
    code = next((code for kind, code in _WORDS if isinstance(raised, kind)), "")
    if code == "NOPERM" or "NOPERM" in text[:30]:
        return SourceDenied(f"{place}: {_no_permission(text)}")
    for table, kind in _KINDS:
        if found := code if code in table else _beginning(text, table):
            return kind(f"{place}: {(words or {}).get(found) or table[found]}")
    if isinstance(raised, ResponseError):
        return _of_response(text, place)
    return _of_connection(raised, text, place)


def _of_response(words: str, place: str) -> SourceError:
    if words.startswith("PENSTOCKTYPE"):
        return SourceBroken(f"{place}: the key holds a {words.split()[1]}, not what this type of source reads")
    if words.startswith("PENSTOCKFORMAT"):
        _, theirs, ours = words.split()[:3]
        return SourceBroken(
            f"{place}: a newer Penstock keeps its state there in format {theirs}; this one knows up to {ours}"
        )
    return SourceBroken(f"{place}: {words}")


def _of_connection(raised: BaseException, words: str, place: str) -> SourceError:
    certificate = _cause(raised, ssl.SSLError)
    if isinstance(certificate, ssl.SSLCertVerificationError) or "alert" in str(certificate):
        return SourceDenied(f"{place}: TLS failed ({_tls_reason(certificate)})")
    if isinstance(raised, AuthenticationError):
        return SourceDenied(f"{place}: the server refused the user or the password")
    if isinstance(raised, TimeoutError_ | TimeoutError):
        return SourceUnavailable(f"{place}: no answer in time")
    return SourceUnavailable(f"{place}: the server can not be reached ({_connection_reason(raised, words)})")


def _beginning(words: str, table: Mapping[str, str]) -> str:
    return next((begin for begin in table if words.startswith((begin, f"-{begin}"))), "")


def _no_permission(words: str) -> str:
    found = _COMMAND.search(words)
    if found:
        return f"the user has no right to the command {found[1].upper()}"
    if "key" in words:
        return "the user has no right to the queue's keys (its own, and those that begin with `penstock:`)"
    return f"the user lacks a right ({words})"


def _cause(raised: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    # A stream raises the same exception again to each who waits, and such chains may run in a circle.
    seen: set[int] = set()
    while raised is not None and id(raised) not in seen:
        if isinstance(raised, kind):
            return raised
        seen.add(id(raised))
        raised = raised.__cause__ or raised.__context__
    return None


def _tls_reason(error: BaseException | None) -> str:
    reason = str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
    return reason.replace("_", " ").lower() if reason.isupper() else reason


def _connection_reason(raised: BaseException, words: str) -> str:
    inner = _cause(raised, OSError)
    number = getattr(inner, "errno", None)
    if isinstance(number, int) and number > 0 and not isinstance(inner, ssl.SSLError):
        return os.strerror(number)
    return words.rstrip(".") or "the connection was lost"
