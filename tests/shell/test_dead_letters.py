"""Dead letters on their way from a queue mapping to a target that is there, away, refuses, or is wrong."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.api import (
    FunctionFailed,
    Invocation,
    InvocationResult,
    Outgoing,
    QueueCapabilities,
    RecordRefused,
    SourceType,
    SourceUnavailable,
)
from penstock.configuration import MappingConfig, SourceConfig
from penstock.core.settings import QueueSettings
from shell.twins import QUICK, QueueBroker, queue_config, run, start, until

SETTINGS = QueueSettings(batch_size=2, backoff=QUICK, receive_count_max=1, has_dead_letters=True)


async def fail(_: Invocation) -> InvocationResult:
    return FunctionFailed("KeyError", "'id'", b"{}", 1)


@dataclass
class Grave:
    """A target of dead letters that outlives what is opened on it."""

    stored: list[Outgoing] = field(default_factory=list)
    failure: BaseException | None = None
    refusal: RecordRefused | None = None
    opened: int = 0
    closed: int = 0

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        if self.failure is not None:
            raise self.failure
        if self.refusal is None:
            self.stored += records
        return [self.refusal] * len(records)


def config(broker: QueueBroker, grave: Grave) -> MappingConfig:
    kind = SourceType(
        name="grave",
        kind="queue",
        doc="",
        capabilities=QueueCapabilities(),
        settings=(),
        event_formats=("sqs",),
        open_destination=lambda _: grave,
    )
    target = SourceConfig(name="dead", type=kind, settings={}, arn="arn:dead", create=False, line=1)
    return replace(queue_config(broker, settings=SETTINGS), dead_letter_target=target)


def test_a_message_that_is_given_up_is_stored_before_it_is_deleted():
    async def scenario() -> None:
        broker, grave = QueueBroker(), Grave()
        broker.put(b"one", b"two")
        bench = start(config(broker, grave), fail)

        await until(lambda: len(broker.acked) == 2)
        await bench.drain()

        assert sorted(each.value for each in grave.stored) == [b"one", b"two"]
        assert grave.stored[0].attributes["penstock.error-type"].value == "KeyError"
        assert grave.stored[0].attributes["penstock.failed-at"].value.startswith("20")
        assert broker.nacked == []
        assert grave.closed == grave.opened

    run(scenario())


def test_while_the_target_is_away_the_messages_are_held_and_it_is_said():
    async def scenario() -> None:
        broker, grave = QueueBroker(), Grave()
        bench = start(config(broker, grave), fail)
        await until(lambda: broker.receives)
        grave.failure = SourceUnavailable("it is away")
        broker.put(b"one")

        await until(lambda: "dead-letter target 'dead': it is away" in bench.mapping.health.last_error)
        assert (broker.acked, broker.nacked) == ([], [])
        grave.failure = None
        await until(lambda: broker.acked == ["r-0"])
        await bench.drain()

        assert [each.value for each in grave.stored] == [b"one"]

    run(scenario())


def test_what_the_target_refuses_is_held_and_named_until_it_takes_it():
    async def scenario() -> None:
        broker, grave = QueueBroker(), Grave(refusal=RecordRefused("too odd"))
        broker.put(b"one")
        bench = start(config(broker, grave), fail)

        await until(lambda: (shown := bench.mapping.view().delivering) is not None and shown.refused)
        assert bench.mapping.view().delivering.last_error == "dead-letter target 'dead': too odd"
        grave.refusal = None
        await until(lambda: broker.acked == ["r-0"])
        await bench.drain()

    run(scenario())


def test_a_bug_of_the_target_s_is_told_of_and_harms_nothing_else():
    async def scenario() -> None:
        broker, grave = QueueBroker(), Grave()
        bench = start(config(broker, grave), fail)
        await until(lambda: broker.receives)
        grave.failure = ZeroDivisionError("oh")
        broker.put(b"one")

        await until(lambda: "dead-letter target failed" in bench.log.getvalue())
        assert not bench.task.done()
        grave.failure = None
        await until(lambda: broker.acked == ["r-0"])
        await bench.drain()

    run(scenario())


def test_a_target_that_can_not_be_written_is_known_before_anything_is_read():
    async def scenario() -> None:
        class Missing(Grave):
            async def open(self) -> None:
                raise SourceUnavailable("nobody answers")

        broker, grave = QueueBroker(), Missing()
        broker.put(b"one")
        bench = start(config(broker, grave), fail)

        await until(lambda: bench.mapping.health.trouble is not None)
        assert bench.mapping.health.last_result == "PROBLEM: dead-letter target 'dead': nobody answers"
        assert broker.receives == 0
        await bench.end()

    run(scenario())


def test_a_stop_ends_what_is_on_its_way_and_gives_the_message_back():
    async def scenario() -> None:
        broker = QueueBroker()

        class Slow(Grave):
            async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:  # noqa: ARG002 - the protocol's
                self.opened += 100
                await asyncio.sleep(60)
                return []

        grave = Slow()
        broker.put(b"one")
        bench = start(config(broker, grave), fail)
        await until(lambda: grave.opened > 100)

        await bench.drain(grace_ms=50)

        assert broker.nacked == [("r-0", 0, True)]

    run(scenario())
