"""What a tumbling window adds to an event: six keys beside the records (`lambda-semantics.md §3.7`)."""

from dataclasses import dataclass

from penstock.core.events.instants import iso_seconds
from penstock.core.events.layout import encode_json


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFrame:
    """One window as an invocation sees it. Times are Unix milliseconds; `state` is a JSON object's bytes."""

    start_ms: int
    end_ms: int
    state: bytes
    is_final: bool = False
    is_terminated_early: bool = False


def window_members(frame: WindowFrame, *, shard_id: str, source_arn: str) -> bytes:
    """Write the six members as they stand behind the records, with a comma before each."""
    return (
        b',"window":{"start":%b,"end":%b},"state":%b,"shardId":%b,"eventSourceARN":%b,'
        b'"isFinalInvokeForWindow":%b,"isWindowTerminatedEarly":%b'
        % (
            encode_json(iso_seconds(frame.start_ms)),
            encode_json(iso_seconds(frame.end_ms)),
            frame.state,
            encode_json(shard_id),
            encode_json(source_arn),
            encode_json(frame.is_final),
            encode_json(frame.is_terminated_early),
        )
    )


def splice(event: bytes, members: bytes) -> bytes:
    """Put members into an event's outer object, behind what it has."""
    assert event.endswith(b"}")
    return event[:-1] + members + b"}"
