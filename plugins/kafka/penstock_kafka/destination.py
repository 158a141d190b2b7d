"""Writing to a topic: every record stored by all replicas in sync before the call returns.

A producer waits long for a broker that is away or a topic that is gone, and then knows no reason. So when an answer
takes its time the topic is looked at besides, and what is wrong with it ends the wait.
"""

import time
from collections.abc import Sequence
from typing import Any

from penstock.api import Blocking, Outgoing, RecordRefused, SourceContext, SourceError, SourceUnavailable
from penstock_kafka.client import KafkaError, KafkaException, Producer, error_of, new_producer
from penstock_kafka.codes import REFUSED, TOO_LARGE
from penstock_kafka.config import sending_config
from penstock_kafka.connection import Connection, place_of
from penstock_kafka.errors import reason_of, source_error

_ANSWERED_S = 45.0
_STEP_S = 0.1
_PATIENCE_S = 2.0
"""An answer that takes longer is reason to look at the topic; after each look so much longer is waited again."""

Outcome = RecordRefused | None


class KafkaDestination:
    """A `Destination` over one topic."""

    def __init__(self, context: SourceContext) -> None:
        """Take the source; nothing is connected to before `open`."""
        self._settings = context.settings
        self._topic: str = context.settings["Topic"]
        self._place = place_of(context.settings)
        self._thread = Blocking(f"kafka {self._topic} sender")
        self._producer: Producer | None = None
        self._looking: Connection | None = None
        self._is_closing = False

    async def open(self) -> None:
        await self._thread.call(self._look)

    async def close(self) -> None:
        # What still waits for an answer is given up: nobody wants to hear it any more.
        self._is_closing = True
        if self._looking is not None:
            self._looking.give_up()
        await self._thread.close()
        self._producer = None

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        return await self._thread.call(self._send, list(records))

    def _look(self) -> None:
        self._looking = Connection(self._settings)
        if self._is_closing:
            self._looking.give_up()
        try:
            self._looking.check(write=True)
        finally:
            self._looking = None

    def _send(self, records: list[Outgoing]) -> list[Outcome]:
        outcomes = [_unfit(record, self._place) for record in records]
        fit = [index for index, outcome in enumerate(outcomes) if outcome is None]
        errors = self._write(records, fit)
        if len(fit) > 1:
            # The broker refuses whole batches: those that were only in bad company go alone.
            for index in [index for index in fit if errors[index] is not None]:
                errors |= self._write(records, [index])
        for index, error in errors.items():
            if error is not None:
                outcomes[index] = RecordRefused(f"{self._place}: {reason_of(error)}", too_large=_is_too_large(error))
        return outcomes

    def _write(self, records: list[Outgoing], indexes: list[int]) -> dict[int, KafkaError | None]:
        errors: dict[int, KafkaError | None] = {}
        producer = self._the_producer()
        try:
            for index in indexes:
                self._produce(producer, index, records[index], errors)
            self._await(producer, len(indexes), errors)
        except KafkaException as raised:
            raise self._failed(error_of(raised)) from None
        for error in errors.values():
            if error is not None and error.code() not in REFUSED:
                raise self._failed(error)
        return errors

    def _produce(self, producer: Producer, index: int, record: Outgoing, errors: dict[int, KafkaError | None]) -> None:
        def delivered(error: KafkaError | None, _message: object) -> None:
            errors[index] = error

        deadline_s = time.monotonic() + _ANSWERED_S
        fields: dict[str, Any] = {"value": record.value, "key": record.key, "on_delivery": delivered}
        if record.headers:
            fields["headers"] = list(record.headers)
        while True:
            try:
                producer.produce(self._topic, **fields)
            except BufferError:
                if time.monotonic() > deadline_s:
                    raise SourceUnavailable(f"{self._place}: the brokers take nothing more") from None
                producer.poll(0.1)
            except KafkaException as raised:
                if error_of(raised).code() not in REFUSED:
                    raise
                errors[index] = error_of(raised)
                return
            else:
                return

    def _await(self, producer: Producer, count: int, errors: dict[int, KafkaError | None]) -> None:
        began_s = looked_s = time.monotonic()
        while producer.flush(_STEP_S) and not self._is_closing:
            now_s = time.monotonic()
            if now_s - began_s > _ANSWERED_S:
                break
            if now_s - looked_s > _PATIENCE_S:
                self._look_while_waiting(producer)
                looked_s = time.monotonic()
        if len(errors) < count:
            self._give_up(producer)
            raise SourceUnavailable(f"{self._place}: {count - len(errors)} of {count} records were not acknowledged")

    def _look_while_waiting(self, producer: Producer) -> None:
        try:
            self._look()
        except SourceError:
            self._give_up(producer)
            raise

    def _give_up(self, producer: Producer) -> None:
        """Drop what was not answered, and with it the producer, which could not promise an order any more."""
        self._producer = None
        producer.purge()

    def _failed(self, error: KafkaError) -> Exception:
        if error.fatal():
            self._producer = None  # it will never send again
        return source_error(error, self._place)

    def _the_producer(self) -> Producer:
        if self._producer is None:
            try:
                self._producer = new_producer(sending_config(self._settings))
            except KafkaException as raised:
                raise source_error(raised, self._place) from None
        return self._producer


def _is_too_large(error: KafkaError | None) -> bool:
    return error is not None and error.code() in TOO_LARGE


def _unfit(record: Outgoing, place: str) -> Outcome:
    for name, given in (
        ("attributes", record.attributes),
        ("a group", record.group),
        ("a deduplication id", record.deduplication_id),
        ("a delay", record.delay_ms),
    ):
        if given:
            return RecordRefused(f"{place}: a Kafka record can not carry {name}; it has a key and headers")
    return None
