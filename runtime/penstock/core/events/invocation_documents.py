"""Invocation documents: what a destination is told of records that are done with (`lambda-semantics.md §3.6`, D14).

One document tells of one record or of a batch that shared its fate. Which block names the records is the layout's
matter: `KinesisBatchInfo`, `KafkaBatchInfo`. From Kafka to Kafka in the `kafka` layout there is one document for each
record.

Where AWS contradicts itself or is silent:

- `payload` is the event as an escaped JSON text, as AWS's pages say of S3, and an object from Kafka to Kafka, as they
  show it there;
- from Kafka to Kafka the spent retries are called `RetriesExhausted` and the function's ARN ends with `:$LATEST`, as
  on that page and on no other;
- a document without a `responseContext` that AWS gives one, since nobody knows any more how the last try ended, has
  null there.

What a destination finds too large is built again smaller, twice at most: without the payload, then without everything
else that is not AWS's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Protocol

import msgspec

from penstock.api import Outgoing, Record
from penstock.core.events.instants import iso_milliseconds
from penstock.core.events.kinesis import shard_id
from penstock.core.events.layout import Origin, encode_json
from penstock.core.invocation_record import Answer, InvocationRecord

REASON_CHARACTERS_MAX = 300
"""So much of a destination's refusal goes into `payloadOmitted`."""
MESSAGE_CHARACTERS_MAX = 1_000
"""So much of an error's message goes into a header; the document has all of it."""
KEY_BYTES_KEPT = 256
"""A key of up to so many bytes stays with a document however small that has to be."""

HEADER_PREFIX = "penstock."

Headers = tuple[tuple[str, bytes | None], ...]


class Extent(IntEnum):
    """How much of it a document holds; the smaller ones are for destinations that refuse the larger."""

    WHOLE = 0
    WITHOUT_PAYLOAD = 1
    BARE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentForm:
    """What documents for one destination hold besides AWS's bare form.

    `payload` adds the event, `response` the function's last answer. `from_topic_to_topic`: source and destination are
    both Kafka topics, so that keys and headers go with the documents, and the failure's context in headers of ours.
    """

    payload: bool = True
    response: bool = True
    from_topic_to_topic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document as it is written. `shard` and `ended_ms` name it where the destination wants a name."""

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    shard: str
    ended_ms: int

    @property
    def size_bytes(self) -> int:
        """Count what a destination has to take."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.value) + len(self.key or b"") + headers

    def outgoing(self) -> Outgoing:
        """Give it as destinations take it."""
        return Outgoing(value=self.value, key=self.key, headers=self.headers)


class BatchInfo(Protocol):
    """The block of a document that names its records, in the words of one layout."""

    name: str
    is_per_record: bool
    """From topic to topic there is one document for each record."""
    shard: str
    """The shard's name in the paths of documents."""

    def of(self, records: Sequence[Record], payload_bytes: int) -> dict[str, Any]:
        """Describe records of one batch, whose event has so many bytes."""

    def of_one(self, record: Record, payload_bytes: int) -> dict[str, Any]:
        """Describe the one record of a document from topic to topic."""


class KinesisBatchInfo:
    """Names the records of a Kinesis shard."""

    name = "KinesisBatchInfo"
    is_per_record = False

    def __init__(self, origin: Origin) -> None:
        self.shard = shard_id(origin)
        self._stream_arn = origin.source_arn

    def of(self, records: Sequence[Record], payload_bytes: int) -> dict[str, Any]:  # noqa: ARG002 - Kafka's alone
        return {
            "shardId": self.shard,
            "startSequenceNumber": str(records[0].position),
            "endSequenceNumber": str(records[-1].position),
            "approximateArrivalOfFirstRecord": iso_milliseconds(records[0].timestamp_ms),
            "approximateArrivalOfLastRecord": iso_milliseconds(records[-1].timestamp_ms),
            "batchSize": len(records),
            "streamArn": self._stream_arn,
        }

    def of_one(self, record: Record, payload_bytes: int) -> dict[str, Any]:
        return self.of((record,), payload_bytes)


class KafkaBatchInfo:
    """Names the records of a Kafka partition. `payloadSize` counts the event's bytes."""

    name = "KafkaBatchInfo"
    is_per_record = True

    def __init__(self, origin: Origin) -> None:
        self.shard = f"{origin.topic}-{origin.partition}"
        self._source_arn = origin.source_arn
        self._bootstrap_servers = origin.bootstrap_servers

    def of(self, records: Sequence[Record], payload_bytes: int) -> dict[str, Any]:
        return {
            **self._batch(len(records), payload_bytes),
            "recordsInfo": {
                self.shard: {
                    "firstRecordOffset": str(records[0].position),
                    "lastRecordOffset": str(records[-1].position),
                    "firstRecordTimestamp": iso_milliseconds(records[0].timestamp_ms),
                    "lastRecordTimestamp": iso_milliseconds(records[-1].timestamp_ms),
                }
            },
        }

    def of_one(self, record: Record, payload_bytes: int) -> dict[str, Any]:
        return {
            **self._batch(1, payload_bytes),
            "recordInfo": {"offset": str(record.position), "timestamp": iso_milliseconds(record.timestamp_ms)},
        }

    def _batch(self, count: int, payload_bytes: int) -> dict[str, Any]:
        return {
            "batchSize": count,
            "eventSourceArn": self._source_arn,
            "bootstrapServers": self._bootstrap_servers,
            "payloadSize": payload_bytes,
        }


_BLOCKS: Mapping[str, Callable[[Origin], BatchInfo]] = {"kafka": KafkaBatchInfo, "kinesis": KinesisBatchInfo}


class InvocationDocuments:
    """Builds the documents of one shard of a mapping for one destination.

    ```python
    documents = InvocationDocuments("kinesis", origin, form=DocumentForm(), function_arn=arn, mapping="f.From",
                                    encode=layout.encode)
    for part in documents.parts(record):
        documents.build(part)
    ```
    """

    def __init__(
        self,
        event_format: str,
        origin: Origin,
        *,
        form: DocumentForm,
        function_arn: str,
        mapping: str,
        encode: Callable[[Sequence[Record]], bytes],
    ) -> None:
        """Take the mapping's layout, where its records come from, and how an event is made of them."""
        self._form = form
        self._info = _BLOCKS[event_format](origin)
        self._is_per_record = form.from_topic_to_topic and self._info.is_per_record
        self._origin = origin
        self._function_arn = function_arn
        self._mapping = mapping
        self._encode = encode
        # Hundreds of documents in a row may tell of one answer.
        self._answer: Answer | None = None
        self._answer_json: msgspec.Raw | str = ""

    def parts(self, record: InvocationRecord) -> tuple[InvocationRecord, ...]:
        """Divide a record into what each has a document of its own."""
        if not self._is_per_record:
            return (record,)
        return tuple(replace(record, records=(each,)) for each in record.records)

    def build(self, part: InvocationRecord, extent: Extent = Extent.WHOLE, *, reason: str = "") -> Document:
        """Write the document of one part; `reason` says why it may not hold all that it should."""
        to_topic = self._form.from_topic_to_topic
        only = part.records[0] if to_topic and len(part.records) == 1 else None
        is_bare = extent == Extent.BARE
        key = None if only is None or (is_bare and len(only.key or b"") > KEY_BYTES_KEPT) else only.key
        kept = () if only is None or is_bare else only.headers
        return Document(
            value=encode_json(self._content(part, extent, reason)),
            key=key,
            headers=(*kept, *self._context(part, is_bare=is_bare)) if to_topic else (),
            shard=self._info.shard,
            ended_ms=part.ended_ms,
        )

    def _content(self, part: InvocationRecord, extent: Extent, reason: str) -> dict[str, Any]:
        event = self._encode(part.records)
        info = self._info.of_one(part.records[0], len(event)) if self._is_per_record else None
        content: dict[str, Any] = {
            "requestContext": {
                "requestId": part.request_id,
                "functionArn": self._function_arn + (":$LATEST" if self._is_per_record else ""),
                "condition": self._condition(part),
                "approximateInvokeCount": part.invoke_count,
            }
        }
        # The key is absent and not null where records grew too old: recorded.
        if part.condition != "RecordAgeExceeded":
            content["responseContext"] = _response_context(part)
        content["version"] = "1.0"
        content["timestamp"] = iso_milliseconds(part.ended_ms)
        content[self._info.name] = self._info.of(part.records, len(event)) if info is None else info
        if self._form.payload:
            if extent == Extent.WHOLE:
                content["payload"] = msgspec.Raw(event) if self._is_per_record else event.decode()
            else:
                content["payloadOmitted"] = _clipped(reason, REASON_CHARACTERS_MAX)
        if self._form.response and extent != Extent.BARE and part.answer is not None and part.answer.payload:
            content["responsePayload"] = self._response(part.answer)
        return content

    def _response(self, answer: Answer) -> msgspec.Raw | str:
        if answer is not self._answer:
            self._answer, self._answer_json = answer, _as_json(answer.payload)
        return self._answer_json

    def _condition(self, part: InvocationRecord) -> str:
        if self._is_per_record and part.condition == "RetryAttemptsExhausted":
            return "RetriesExhausted"
        return part.condition

    def _context(self, part: InvocationRecord, *, is_bare: bool) -> Headers:
        """Say in headers why the record is here and where it came from."""
        first, last = part.records[0], part.records[-1]
        context = {
            "condition": self._condition(part),
            "mapping": self._mapping,
            "function": self._function_arn,
            "request-id": part.request_id,
            "invoke-count": str(part.invoke_count),
            "failed-at": iso_milliseconds(part.ended_ms),
            "topic": self._origin.topic,
            "partition": str(self._origin.partition),
            "offset": str(first.position),
            "timestamp": str(first.timestamp_ms),
        }
        if not part.is_failure:
            context["ended-at"] = context.pop("failed-at")
        if last is not first:
            context["last-offset"] = str(last.position)
        if part.answer is not None and part.answer.function_error is not None and not is_bare:
            context |= _error(self._response(part.answer))
        return tuple((HEADER_PREFIX + name, value.encode()) for name, value in context.items())


def _response_context(part: InvocationRecord) -> dict[str, Any] | None:
    if part.answer is None or part.condition == "MaximumPayloadSizeExceeded":
        return None
    return {"statusCode": 200, "executedVersion": "$LATEST", "functionError": part.answer.function_error}


def _error(document: msgspec.Raw | str) -> dict[str, str]:
    """Tell the type and message of Lambda's error document."""
    found = msgspec.json.decode(document) if isinstance(document, msgspec.Raw) else None
    if not isinstance(found, dict):
        return {}
    named = {"error-type": found.get("errorType"), "error-message": found.get("errorMessage")}
    return {name: _clipped(value, MESSAGE_CHARACTERS_MAX) for name, value in named.items() if isinstance(value, str)}


def _as_json(payload: bytes) -> msgspec.Raw | str:
    """Take a payload over as the JSON that it is; what an executor of a stranger's wrote may be none."""
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload.decode(errors="replace")
    return msgspec.Raw(payload)


def _clipped(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
