"""What a broker and its client say, as the error of ours that fits, in one sentence."""

import os
import re
import socket
import ssl

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceMissing, SourceUnavailable
from penstock_rabbitmq.pika_types import (
    AMQPError,
    AMQPHeartbeatTimeout,
    ChannelClosed,
    ConnectionClosed,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)

_CODE = re.compile(r"\((\d{3})\)\s*['\"](.*?)['\"]\s*$", re.DOTALL)
_CAUSES_MAX = 20


class QueueLocked(SourceUnavailable):
    """A queue belongs to another connection alone."""


def source_error(raised: BaseException, place: str) -> SourceError:
    """Make the error that fits; what is neither the broker's nor the network's is raised again.

    `place` begins its sentence: `queue 'jobs' on localhost:5672`.
    """
    if isinstance(raised, SourceError):
        return raised
    causes = _causes(raised)
    if refused := _refusal(causes):
        return _of_refusal(*refused, place)
    # What is known best comes first: a handshake that failed is also a connection that was lost.
    for known in (_of_tls, _of_client, _of_network):
        for cause in causes:
            if error := known(cause, place):
                return error
    if not any(
        isinstance(cause, AMQPError | OSError) or type(cause).__module__.startswith("pika.") for cause in causes
    ):
        raise raised
    if any("Timeout while setting up" in str(cause) for cause in causes):
        return SourceUnavailable(f"{place}: no answer in time; is it a RabbitMQ?")
    if any(isinstance(cause, StreamLostError) or "StreamLostError" in str(cause) for cause in causes):
        return SourceUnavailable(f"{place}: the broker hung up")
    return SourceUnavailable(f"{place}: the connection was lost ({_words(causes[-1])})")


def again(error: SourceError) -> SourceError:
    """Make an error anew that was raised before, so that it does not gather the traces of all who heard it."""
    return type(error)(*error.args)


def _of_tls(cause: BaseException, place: str) -> SourceError | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SourceDenied(f"{place}: TLS failed ({cause.verify_message})")
    if not isinstance(cause, ssl.SSLError):
        return None
    reason = str(cause.reason or cause.strerror or cause).replace("_", " ").lower()
    kind = SourceDenied if "alert" in reason else SourceUnavailable
    return kind(f"{place}: TLS failed ({reason})")


def _of_client(cause: BaseException, place: str) -> SourceError | None:
    if isinstance(cause, ProbableAuthenticationError):
        return SourceDenied(f"{place}: the broker hung up during the log-in; it may not take this user or password")
    if isinstance(cause, AMQPHeartbeatTimeout):
        return SourceUnavailable(f"{place}: the broker fell silent")
    return None


def _of_network(cause: BaseException, place: str) -> SourceError | None:
    if isinstance(cause, socket.gaierror):
        return SourceUnavailable(f"{place}: the host's name is not known ({cause.strerror})")
    if isinstance(cause, TimeoutError):
        return SourceUnavailable(f"{place}: no answer in time")
    if isinstance(cause, OSError) and cause.errno:
        return SourceUnavailable(f"{place}: the broker can not be reached ({os.strerror(cause.errno)})")
    return None


def _refusal(causes: list[BaseException]) -> tuple[int, str] | None:
    """Find the code and text by which the broker closed a channel or connection."""
    for cause in causes:
        if isinstance(cause, ConnectionClosed | ChannelClosed):
            return int(cause.reply_code), str(cause.reply_text)
        if isinstance(cause, ProbableAccessDeniedError | ProbableAuthenticationError):
            # The client keeps of the broker's answer its text alone.
            found = _CODE.search(str(cause.args[0] if cause.args else "").rstrip(")> ").rstrip())
            if found:
                return int(found[1]), found[2]
    return None


def _of_refusal(code: int, text: str, place: str) -> SourceError:
    reason = re.sub(r"^[A-Z_]+ - ", "", text).strip() or f"code {code}"
    kind: type[SourceError] = SourceBroken
    match code:
        case 403 if "Login" in reason or "login" in reason:
            return SourceDenied(f"{place}: the broker refused the user or the password ({reason})")
        case 403:
            kind = SourceDenied
        case 404:
            return SourceMissing(f"{place}: there is {_lower(reason)}")
        case 530:
            if "not found" in reason:
                return SourceMissing(f"{place}: there is no such virtual host ({reason})")
            kind = SourceDenied
        case 405:
            return QueueLocked(f"{place}: the queue belongs to another connection alone ({reason})")
        case 406 if "timed out" in reason:
            return SourceUnavailable(
                f"{place}: the broker's consumer_timeout is shorter than ConsumerTimeout says ({reason})"
            )
        case 320 | 541 | 506 | 200 | 311:
            kind = SourceUnavailable
        case _:
            pass
    return kind(f"{place}: the broker says: {reason}")


def _lower(reason: str) -> str:
    return reason if reason.startswith("no ") else f"no such thing ({reason})"


def _causes(raised: BaseException) -> list[BaseException]:
    """List an error and what is behind it, through pika's own wrappings too."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [raised]
    while waiting and len(found) < _CAUSES_MAX:
        each = waiting.pop(0)
        if each is None or each in found:
            continue
        found.append(each)
        inner = [getattr(each, "exception", None), *(getattr(each, "exceptions", None) or ())]
        waiting += [one for one in (*inner, *each.args) if isinstance(one, BaseException)]
        waiting += [each.__cause__]
    return found


def _words(raised: BaseException) -> str:
    return re.sub(r"\s+", " ", str(raised)).strip().rstrip(".") or type(raised).__name__
