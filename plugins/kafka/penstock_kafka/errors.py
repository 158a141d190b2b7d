"""What librdkafka and the broker say, as the error of ours that fits, in one sentence with the broker's reason."""

import re

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceMissing, SourceUnavailable
from penstock_kafka.client import KafkaError, KafkaException, error_of
from penstock_kafka.codes import BROKEN, DENIED, FATAL, FENCED, HINTS, MISSING, SSL, TRANSPORT

# Its messages begin with the connection and end with how long it took, as in
# sasl_ssl://k1:9093/bootstrap: what happened (after 3ms in state AUTH_REQ, 4 identical error(s) suppressed)
_NOISE = re.compile(r"\s*\((?:after \d+ms in state [^)]*|install ca-certificates package)\)|^(?:\w+://)?\S+/\w+: ")

_CERTIFICATE_REFUSED = re.compile(r"certificate verify failed|:(?:tls|ssl)v\d+ alert ")


def reason_of(error: KafkaError) -> str:
    """Give the broker's or librdkafka's own words, without the parts that only its developers need.

    Where they give no reason, the error's name stands in for it; this is never empty.
    """
    words = _NOISE.sub("", error.str()).strip()
    return f"{words} {error.name()}".lstrip() if not words or words.endswith(":") else words


def is_fenced(error: KafkaError) -> bool:
    """Tell whether another member has taken this one's static id."""
    # Of a fatal error librdkafka tells the kind in its text alone.
    return error.code() == FENCED or (error.code() == FATAL and "fenced" in error.str())


def code_of(error: KafkaError) -> int:
    """Give its code, or the one that it should have: some kinds are told in the text alone."""
    if is_fenced(error):
        return FENCED
    # A certificate that is refused comes as a failed handshake or as a lost connection, whichever librdkafka saw first.
    if error.code() == TRANSPORT and _CERTIFICATE_REFUSED.search(error.str()):
        return SSL
    return int(error.code())


def source_error(error: KafkaError | KafkaException, place: str, *, reason: str = "") -> SourceError:
    """Make the error that fits. `place` begins its sentence: `topic 'orders' on k1:9092`."""
    if isinstance(error, KafkaException):
        error = error_of(error)
    code = code_of(error)
    words = reason or reason_of(error)
    hint = HINTS.get(code)
    text = f"{place}: {hint} ({words})" if hint else f"{place}: {words}"
    if code in DENIED:
        return SourceDenied(text)
    if code in MISSING:
        return SourceMissing(text)
    if code in BROKEN:
        return SourceBroken(text)
    return SourceUnavailable(text)
