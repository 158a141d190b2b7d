"""List values and messages. A value is a message's body, byte for byte.

What a bare value can not carry, attributes, stands with the body in an envelope: a JSON document that begins with
`{"penstock.envelope":1,`. Only messages with attributes are sent in one.
"""

import msgspec

from penstock.api import Attribute, Message, Outgoing

_BEGIN = b'{"penstock.envelope":1,'

Value = tuple[bytes, bytes]
"""The id that a value was given when it was taken, and the value."""


class _Sealed(msgspec.Struct):
    type: str
    text: str | None = None
    base64: bytes | None = None


class _Envelope(msgspec.Struct):
    version: int = msgspec.field(name="penstock.envelope", default=1)
    body: str | None = None
    base64: bytes | None = None
    attributes: dict[str, _Sealed] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Envelope).decode


class ValueReader:
    """Makes messages of values."""

    def message(self, entry: Value, *, receipt: str, runs: int, first_received_ms: int) -> Message:
        """Make the message of a value that was run so often. When it was sent nobody knows: no later than this."""
        id_, value = entry
        body, attributes = _opened(value)
        return Message(
            message_id=id_.decode(),
            receipt=receipt,
            body=body,
            receive_count=runs + 1,
            sent_ms=first_received_ms,
            first_received_ms=first_received_ms,
            attributes=attributes,
        )


def value_of(message: Outgoing) -> bytes:
    """Give the value that carries a message."""
    body = message.value or b""
    if not message.attributes and not body.startswith(_BEGIN):
        return body
    sealed = {
        name: _Sealed(item.data_type, text=item.value)
        if isinstance(item.value, str)
        else _Sealed(item.data_type, base64=item.value)
        for name, item in message.attributes.items()
    }
    try:
        return _encode(_Envelope(body=body.decode(), attributes=sealed))
    except UnicodeDecodeError:
        return _encode(_Envelope(base64=body, attributes=sealed))


def _opened(value: bytes) -> tuple[bytes, dict[str, Attribute]]:
    if not value.startswith(_BEGIN):
        return value, {}
    try:
        envelope = _decode(value)
    except msgspec.DecodeError:
        return value, {}  # it only looks like one
    body = envelope.base64 if envelope.body is None else envelope.body.encode()
    attributes = {
        name: Attribute(item.type, (item.base64 or b"") if item.text is None else item.text)
        for name, item in envelope.attributes.items()
    }
    return body or b"", attributes
