"""How a dead letter is written: the message as it was, and beside it why it is there (D22).

The body is unchanged, byte for byte. What surrounds it depends on what the target can carry: attributes on a queue,
headers on a stream. The failure's context goes with them under names that begin with `penstock.`; those of an earlier
death give way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from penstock.api import Attribute, Outgoing
from penstock.core.dead_letter import DeadLetter
from penstock.core.events.instants import iso_milliseconds
from penstock.core.events.invocation_documents import HEADER_PREFIX, MESSAGE_CHARACTERS_MAX, Document

NO_ATTRIBUTES: Mapping[str, Attribute] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter(Document):
    """A document with what a queue has besides."""

    attributes: Mapping[str, Attribute]
    group: str | None = None
    deduplication_id: str | None = None

    def outgoing(self) -> Outgoing:
        """Give it as destinations take it."""
        return Outgoing(
            value=self.value,
            key=self.key,
            headers=self.headers,
            attributes=dict(self.attributes),
            group=self.group,
            deduplication_id=self.deduplication_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Writes the dead letters of one mapping for one target.

    `function_arn` and `source_arn` name where the message has been. On a FIFO target a letter keeps its group, and its
    id keeps one that was sent twice from being there twice; a stream has the group as its key.
    """

    target: Literal["queue", "fifo-queue", "stream"]
    mapping: str
    function_arn: str
    source_arn: str

    def build(self, letter: DeadLetter) -> Letter:
        """Write one."""
        message = letter.message
        context = self._context(letter)
        own = {name: each for name, each in message.attributes.items() if not name.startswith(HEADER_PREFIX)}
        if self.target == "stream":
            kept = tuple((name, _bytes(attribute.value)) for name, attribute in own.items())
            return Letter(
                value=message.body,
                key=message.group.encode() if message.group is not None else None,
                headers=(*kept, *((name, text.encode()) for name, text in context.items())),
                attributes=NO_ATTRIBUTES,
                shard="",
                ended_ms=letter.ended_ms,
            )
        is_fifo = self.target == "fifo-queue"
        return Letter(
            value=message.body,
            attributes={**own, **{name: Attribute("String", text) for name, text in context.items()}},
            group=message.group if is_fifo else None,
            deduplication_id=(message.deduplication_id or message.message_id) if is_fifo else None,
            shard="",
            ended_ms=letter.ended_ms,
        )

    def _context(self, letter: DeadLetter) -> dict[str, str]:
        message = letter.message
        context = {
            "condition": letter.condition,
            "receive-count": str(letter.runs),
            "error-type": letter.error_type,
            "error-message": _clipped(letter.error_message),
            "mapping": self.mapping,
            "function": self.function_arn,
            "source": self.source_arn,
            "message-id": message.message_id,
            "sent-at": iso_milliseconds(message.sent_ms),
            "first-received-at": iso_milliseconds(letter.first_received_ms),
            "failed-at": iso_milliseconds(letter.ended_ms),
            "group": message.group or "",
            "deduplication-id": message.deduplication_id or "",
        }
        # An attribute can not be empty.
        return {HEADER_PREFIX + name: text for name, text in context.items() if text}


def _clipped(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
