"""Stream entries and messages: which field is what (D15).

The body is an entry's single field, else the field `body`; the others are attributes. What a producer of ours sends
beyond text says its type in the field's name, after a colon that no name of an attribute has: `blob:Binary.png`.
`penstock.sent` is when a delayed message was sent, whose entry came later.
"""

from collections.abc import Iterator, Sequence

from penstock.api import Attribute, Message, Outgoing
from penstock_redis.settings import QueueSettings

BODY = b"body"
GROUP = b"MessageGroupId"
DEDUPLICATION = b"MessageDeduplicationId"
SENT = b"penstock.sent"

Entry = tuple[bytes, list[bytes]]
"""An id, and the fields with their values, one after the other."""

SEQUENCE_DIGITS = 20


class Reader:
    """Makes messages of entries, as one queue's settings want it."""

    def __init__(self, settings: QueueSettings) -> None:
        """Take the settings that say what is a group."""
        self._is_fifo = settings.is_fifo
        self._group_field = (settings.group_from or GROUP.decode()).encode()

    def message(self, entry: Entry, *, receipt: str, runs: int, first_received_ms: int) -> Message:
        """Make the message of an entry that was run so often."""
        id_, fields = entry
        text = id_.decode()
        attributes: dict[str, Attribute] = {}
        group = deduplication = None
        milliseconds, _, number = text.partition("-")
        sent_ms = int(milliseconds)
        if len(fields) == 2 and not self._is_fifo:
            body = fields[1]
        else:
            values = dict(zip(fields[::2], fields[1::2], strict=True))
            sent = values.pop(SENT, b"")
            if sent.isdigit():
                sent_ms = int(sent)
            if self._is_fifo:
                # Messages without a group are one group, so that they keep the order that was asked for.
                group = _text(values.get(self._group_field, b""))
                deduplication = _text(values.pop(DEDUPLICATION)) if DEDUPLICATION in values else None
                if self._group_field == GROUP:
                    values.pop(GROUP, None)
            # A single field is the body whatever it is called; of several without `body` none is.
            name = BODY if BODY in values or len(values) != 1 else next(iter(values))
            body = values.pop(name, b"")
            attributes = dict(map(_attribute, values.items()))
        return Message(
            message_id=text,
            receipt=receipt,
            body=body,
            receive_count=runs + 1,
            sent_ms=sent_ms,
            first_received_ms=first_received_ms,
            attributes=attributes,
            group=group,
            deduplication_id=deduplication,
            sequence=f"{milliseconds}{int(number):0{SEQUENCE_DIGITS}d}" if self._is_fifo else None,
        )


def fields_of(message: Outgoing, *, group_field: str | None, sent_ms: int | None = None) -> list[bytes]:
    """Give the fields of the entry that carries a message, with their values, one after the other."""
    fields = [BODY, message.value or b""]
    if message.group is not None:
        fields += ((group_field or GROUP.decode()).encode(), message.group.encode())
    if message.deduplication_id is not None:
        fields += (DEDUPLICATION, message.deduplication_id.encode())
    for name, attribute in message.attributes.items():
        fields += _field(name, attribute)
    if sent_ms is not None:
        fields += (SENT, str(sent_ms).encode())
    return fields


def _field(name: str, attribute: Attribute) -> Iterator[bytes]:
    yield name.encode() if attribute.data_type == "String" else f"{name}:{attribute.data_type}".encode()
    yield attribute.value.encode() if isinstance(attribute.value, str) else attribute.value


def _attribute(field: tuple[bytes, bytes]) -> tuple[str, Attribute]:
    name, colon, kind = _text(field[0]).rpartition(":")
    if not colon or kind.partition(".")[0] not in {"String", "Number", "Binary"}:
        name, kind = _text(field[0]), "String"
    if kind.partition(".")[0] != "Binary":
        try:
            return name, Attribute(kind, field[1].decode())
        except UnicodeDecodeError:
            kind = "Binary"
    return name, Attribute(kind, field[1])


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def packed(parts: Sequence[bytes]) -> bytes:
    """Pack texts as the scripts unpack them: a MessagePack array of strings."""
    head = b"\xdd" + len(parts).to_bytes(4, "big")
    return head + b"".join(b"\xdb" + len(part).to_bytes(4, "big") + part for part in parts)
