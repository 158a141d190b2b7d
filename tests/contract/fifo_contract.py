"""What a queue source that knows message groups has to keep besides, with `FifoQueue`; on others these pass over.

How many receivers such a queue has at a time is its own matter: one for each group, or one for all. So whoever looks on
here gets nothing that is not his turn, and may get nothing at all.
"""

import asyncio

import pytest

from contract.queue_subject import QueueSubject
from penstock.api import Message, Outgoing, ReceiptExpired


async def _send(subject: QueueSubject, *texts: str, deduplication_id: str | None = None) -> None:
    """Send texts such as `a1`: the first letter is the group."""
    async with subject.writer() as writer:
        sent = [Outgoing(value=text.encode(), group=text[0], deduplication_id=deduplication_id) for text in texts]
        assert await writer.send(sent) == [None] * len(sent)


def _texts(messages: list[Message]) -> list[str]:
    return [message.body.decode() for message in messages]


def _receipts(messages: list[Message]) -> list[str]:
    return [message.receipt for message in messages]


async def messages_come_in_order_with_their_group(subject: QueueSubject):
    if not subject.is_fifo:
        return
    sent = [f"{'cab'[number % 3]}{number}" for number in range(30)]
    await _send(subject, *sent)
    async with subject.receiver() as receiver:
        messages = await subject.receive(receiver, 30)
        assert _texts(messages) == sent
        assert [message.group for message in messages] == [text[0] for text in sent]


async def a_sequence_grows_in_digits_of_one_width(subject: QueueSubject):
    if not subject.is_fifo:
        return
    await _send(subject, *(f"a{number}" for number in range(12)))
    async with subject.receiver() as receiver:
        sequences = [message.sequence or "" for message in await subject.receive(receiver, 12)]
    assert sequences == sorted(sequences)
    assert len({len(sequence) for sequence in sequences}) == 1
    assert len(set(sequences)) == (12 if sequences[0] else 1)


async def nobody_else_gets_a_later_one_of_a_group_that_somebody_has(subject: QueueSubject):
    if not subject.is_fifo:
        return
    await _send(subject, "a1", "a2", "b1")
    async with subject.receiver("node-2") as other, subject.receiver() as holder:
        held = await subject.receive(holder, 1)
        assert _texts(held) == ["a1"]
        await _send(subject, "a3", "b2")
        elsewhere = await other.receive(messages_max=10, wait_ms=300)
        assert {message.group for message in elsewhere} <= {"b"}
        async with asyncio.timeout(subject.patience_s):
            while sum(message.group == "a" for message in held) < 3:
                held += await holder.receive(messages_max=10, wait_ms=1000)
        assert [text for text in _texts(held) if text[0] == "a"] == ["a1", "a2", "a3"]


async def what_is_returned_comes_again_before_the_later_ones_of_its_group(subject: QueueSubject):
    if not subject.is_fifo:
        return
    await _send(subject, "a1", "a2", "a3")
    async with subject.receiver() as receiver:
        first, second = await subject.receive(receiver, 2)
        await receiver.nack([second.receipt], delay_ms=0, counted=False)
        await receiver.nack([first.receipt], delay_ms=0, counted=True)
        messages = await subject.receive(receiver, 3)
        assert _texts(messages) == ["a1", "a2", "a3"]
        if subject.type.capabilities.counted:
            assert [message.receive_count for message in messages] == [2, 1, 1]


async def who_waits_gets_the_rest_of_a_group_when_its_holder_goes(subject: QueueSubject):
    if not subject.is_fifo:
        return
    await _send(subject, "a1", "a2", "a3")
    async with subject.receiver("node-2") as other:
        async with subject.receiver() as holder:
            first, second = await subject.receive(holder, 2)
            waiting = asyncio.create_task(other.receive(messages_max=1, wait_ms=int(subject.patience_s * 1000)))
            await holder.ack([first.receipt])
            await holder.nack([second.receipt], delay_ms=0, counted=False)
        rest = list(await waiting)
        rest += await subject.receive(other, 2 - len(rest))
        assert _texts(rest) == ["a2", "a3"]


async def what_lapsed_comes_again_in_order(subject: QueueSubject):
    if not (subject.is_fifo and subject.type.capabilities.leased):
        return
    await _send(subject, "a1", "a2", "a3")
    async with subject.receiver(lease_ms=300) as receiver:
        lapsing = await subject.receive(receiver, 2)
        async with asyncio.timeout(subject.patience_s):
            while (await receiver.backlog()).count < 3:  # noqa: ASYNC110 - the queue tells nobody of this
                await asyncio.sleep(0.02)
        again = await subject.receive(receiver, 3)
        assert _texts(again) == ["a1", "a2", "a3"]
        with pytest.raises(ReceiptExpired):
            await receiver.ack(_receipts(lapsing))


async def a_cancelled_receive_keeps_the_order(subject: QueueSubject):
    if not subject.is_fifo:
        return
    await _send(subject, *(f"a{number}" for number in range(10)))
    async with subject.receiver() as receiver:
        taken: list[Message] = []
        for turns in range(20):
            receiving = asyncio.create_task(receiver.receive(messages_max=2, wait_ms=60_000))
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            receiving.cancel()
            (ended,) = await asyncio.gather(receiving, return_exceptions=True)
            taken += [] if isinstance(ended, BaseException) else ended
        taken += await subject.receive(receiver, 10 - len(taken))
        assert _texts(taken) == [f"a{number}" for number in range(10)]


async def what_is_returned_comes_before_what_a_cancelled_receive_took(subject: QueueSubject):
    if not subject.is_fifo:
        return
    await _send(subject, *(f"a{number}" for number in range(6)))
    async with subject.receiver() as receiver:
        for turns in range(10):
            first = await subject.receive(receiver, 1)
            receiving = asyncio.create_task(receiver.receive(messages_max=2, wait_ms=60_000))
            for _ in range(turns):
                await asyncio.sleep(0)
            receiving.cancel()
            (ended,) = await asyncio.gather(receiving, return_exceptions=True)
            taken = first if isinstance(ended, BaseException) else [*first, *ended]
            await receiver.nack(_receipts(taken), delay_ms=0, counted=False)
            again = await subject.receive(receiver, 3)
            assert _texts(again) == ["a0", "a1", "a2"]
            await receiver.nack(_receipts(again), delay_ms=0, counted=False)


async def later_ones_of_a_group_wait_for_one_that_is_returned_with_a_delay(subject: QueueSubject):
    if not (subject.is_fifo and subject.type.capabilities.delayed):
        return
    await _send(subject, "a1", "a2", "a3")
    async with subject.receiver() as receiver:
        held = await subject.receive(receiver, 2)
        await receiver.nack([held[1].receipt], delay_ms=0, counted=False)
        await receiver.nack([held[0].receipt], delay_ms=1_500, counted=True)
    async with subject.receiver("node-2") as other:
        assert _texts(await subject.receive(other, 3)) == ["a1", "a2", "a3"]


async def a_deduplication_id_is_delivered_once(subject: QueueSubject):
    if not subject.is_fifo:
        return
    async with subject.receiver() as receiver:
        await _send(subject, "a1", "b1", deduplication_id="one")
        await _send(subject, "a2", deduplication_id="two")
        messages = await subject.receive(receiver, 2)
        # In flight twice, in whatever groups, it is the same message.
        assert _texts(messages) == ["a1", "a2"]
        await receiver.ack(_receipts(messages))
        await _send(subject, "a3", deduplication_id="one")
        await _send(subject, "a4", deduplication_id="three")
        messages = await subject.receive(receiver, 1)
        assert _texts(messages) == ["a4"]
        await receiver.ack(_receipts(messages))
        assert await subject.is_empty(receiver)


FIFO_CHECKS = [
    messages_come_in_order_with_their_group,
    a_sequence_grows_in_digits_of_one_width,
    nobody_else_gets_a_later_one_of_a_group_that_somebody_has,
    what_is_returned_comes_again_before_the_later_ones_of_its_group,
    who_waits_gets_the_rest_of_a_group_when_its_holder_goes,
    what_lapsed_comes_again_in_order,
    a_cancelled_receive_keeps_the_order,
    what_is_returned_comes_before_what_a_cancelled_receive_took,
    later_ones_of_a_group_wait_for_one_that_is_returned_with_a_delay,
    a_deduplication_id_is_delivered_once,
]
