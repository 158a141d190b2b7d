"""`penstock event`: an event to invoke a function with."""

import json
import time
import uuid

import click

from penstock.api import Message, Record
from penstock.cli.failures import Wrong
from penstock.cli.options import command
from penstock.core.events import QUEUE_FORMATS, STREAM_FORMATS, Origin, queue_layout, stream_layout

LATER = ("dynamodb",)
SAMPLE = ("Hello from Penstock",)
_QUEUE_ARNS = {
    "sqs": "arn:aws:sqs:us-east-1:000000000000:{}",
    "rmq": "arn:aws:mq:us-east-1:000000000000:broker:{}:b-00000000-0000-0000-0000-000000000000",
}


@command(
    "event",
    example="penstock event kinesis '{\"order\": 7}' > event.json\npenstock invoke billing -e event.json --local",
)
@click.argument("event_format", metavar="FORMAT")
@click.argument("data", nargs=-1)
@click.option("--key", help="The key of every record (streams).")
@click.option("--source", default="example", show_default=True, help="The name of the stream, topic or queue.")
def event(*, event_format: str, data: tuple[str, ...], key: str | None, source: str, as_json: bool) -> None:  # noqa: ARG001 - it is JSON in any case
    """Print an event with the layout FORMAT (kinesis, kafka, sqs, rmq), one record for each DATA."""
    texts = data or SAMPLE
    if event_format in STREAM_FORMATS:
        encoded = _stream_event(event_format, texts, key, source)
    elif event_format in QUEUE_FORMATS:
        if key is not None:
            raise Wrong(f"a message of the format {event_format} has no key")
        encoded = _queue_event(event_format, texts, source)
    else:
        known = ", ".join((*STREAM_FORMATS, *QUEUE_FORMATS))
        problem = "is not supported yet" if event_format in LATER else "is not known"
        raise Wrong(f"the event format '{event_format}' {problem}; there are {known}")
    click.echo(json.dumps(json.loads(encoded), indent=2, ensure_ascii=False))


def _stream_event(event_format: str, texts: tuple[str, ...], key: str | None, source: str) -> bytes:
    origin = Origin(
        source_arn=f"arn:aws:kinesis:us-east-1:000000000000:stream/{source}",
        region="us-east-1",
        role_arn="arn:aws:iam::000000000000:role/example",
        shard="0",
        topic=source if event_format == "kafka" else "",
        bootstrap_servers="localhost:9092" if event_format == "kafka" else "",
    )
    now_ms = _now_ms()
    encoded_key = None if key is None else key.encode()
    records = [Record(number, text.encode(), encoded_key, now_ms) for number, text in enumerate(texts)]
    return stream_layout(event_format, origin).encode(records)


def _queue_event(event_format: str, texts: tuple[str, ...], source: str) -> bytes:
    origin = Origin(source_arn=_QUEUE_ARNS[event_format].format(source), region="us-east-1", queue=source)
    now_ms = _now_ms()
    messages = [
        Message(
            message_id=str(uuid.uuid4()),
            receipt=uuid.uuid4().hex,
            body=text.encode(),
            receive_count=1,
            sent_ms=now_ms,
            first_received_ms=now_ms,
        )
        for text in texts
    ]
    return queue_layout(event_format, origin).encode(messages)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
