"""What every queue source has to keep, as checks that know the wall alone (`penstock.api`)."""

import asyncio
import time

import pytest

from contract.fifo_contract import FIFO_CHECKS
from contract.queue_subject import QueueSubject
from penstock.api import Attribute, Outgoing, ReceiptExpired, RecordRefused, Start

__all__ = ["QUEUE_CHECKS", "QueueSubject"]


async def messages_come_as_they_were_sent(subject: QueueSubject):
    attributes = {
        "name": Attribute("String", "Ünï"),
        "count": Attribute("Number", "12.50"),
        "blob": Attribute("Binary.png", b"\x00\xff"),
    }
    before_ms = time.time_ns() // 1_000_000
    async with subject.writer() as writer, subject.receiver() as receiver:
        sent = [
            Outgoing(value=b"plain"),
            Outgoing(value=b"\x00\xff not text", attributes=attributes),
            Outgoing(value=b"v" * 100_000),
        ]
        assert await writer.send(sent) == [None] * 3
        messages = await subject.receive(receiver, 3)
        by_body = {message.body: message for message in messages}
        assert set(by_body) == {outgoing.value for outgoing in sent}
        assert by_body[b"plain"].attributes == {}
        assert by_body[b"\x00\xff not text"].attributes == attributes
        now_ms = time.time_ns() // 1_000_000
        for message in messages:
            assert message.receive_count == 1
            assert before_ms - 1000 <= message.sent_ms <= now_ms + 1000
            assert before_ms - 1000 <= message.first_received_ms <= now_ms + 1000
        assert len({message.message_id for message in messages}) == 3
        await receiver.ack([message.receipt for message in messages])


async def an_acked_message_is_gone(subject: QueueSubject):
    async with subject.writer() as writer:
        await writer.send([Outgoing(value=str(index).encode()) for index in range(20)])
        async with subject.receiver() as receiver:
            messages = await subject.receive(receiver, 20)
            await receiver.ack([message.receipt for message in messages])
            assert await subject.is_empty(receiver)
        async with subject.receiver("node-2") as receiver:
            assert not await receiver.receive(messages_max=10, wait_ms=50)


async def no_more_messages_come_than_were_asked_for(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"v") for _ in range(20)])
        messages = await receiver.receive(messages_max=7, wait_ms=1000)
        assert 1 <= len(messages) <= 7


async def a_held_message_comes_to_nobody_else(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as first, subject.receiver("node-2") as second:
        await writer.send([Outgoing(value=str(index).encode()) for index in range(30)])
        one, two = await asyncio.gather(
            first.receive(messages_max=15, wait_ms=1000), second.receive(messages_max=15, wait_ms=1000)
        )
        held = [*one, *two]
        async with asyncio.timeout(subject.patience_s):
            while len(held) < 30:
                # A broker that sends ahead may have dealt the rest to either.
                held += await first.receive(messages_max=30, wait_ms=50)
                held += await second.receive(messages_max=30, wait_ms=50)
        assert sorted(int(message.body) for message in held) == list(range(30))
        assert not await second.receive(messages_max=10, wait_ms=50)


async def a_waiting_receive_is_woken_by_a_message(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        waiting = asyncio.create_task(receiver.receive(messages_max=10, wait_ms=int(subject.patience_s * 1000)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await writer.send([Outgoing(value=b"wake")])
        async with asyncio.timeout(subject.patience_s / 2):
            (message,) = await waiting
        assert message.body == b"wake"


async def a_nacked_message_comes_again_counted(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"v", attributes={"a": Attribute("String", "b")})])
        (first,) = await subject.receive(receiver, 1)
        await receiver.nack([first.receipt], delay_ms=0, counted=True)
        (second,) = await subject.receive(receiver, 1)
        assert (second.message_id, second.body, second.attributes) == (first.message_id, first.body, first.attributes)
        assert second.receive_count == 2
        assert (second.sent_ms, second.first_received_ms) == (first.sent_ms, first.first_received_ms)
        assert second.receipt != first.receipt


async def an_uncounted_nack_takes_the_receive_back(subject: QueueSubject):
    if not subject.type.capabilities.counted:
        return
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"v")])
        counts = []
        for counted in (False, False, True, False):
            (message,) = await subject.receive(receiver, 1)
            counts.append(message.receive_count)
            await receiver.nack([message.receipt], delay_ms=0, counted=counted)
        (message,) = await subject.receive(receiver, 1)
        assert [*counts, message.receive_count] == [1, 1, 1, 2, 2]


async def a_count_says_how_often_it_is_run_however_often_it_is_said(subject: QueueSubject):
    if not subject.type.capabilities.counted:
        return
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"v", group="g" if subject.is_fifo else None)])
        (message,) = await subject.receive(receiver, 1)
        for _ in range(2):
            await receiver.count([message.receipt], receive_count=2)
        await receiver.nack([message.receipt], delay_ms=0, counted=True)
        (message,) = await subject.receive(receiver, 1)
        assert message.receive_count == 3


async def a_nack_with_a_delay_holds_the_message_back(subject: QueueSubject):
    if not subject.type.capabilities.delayed:
        return
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"v")])
        (message,) = await subject.receive(receiver, 1)
        begin = time.monotonic()
        await receiver.nack([message.receipt], delay_ms=400, counted=True)
        backlog = await receiver.backlog()
        assert (backlog.count, backlog.delayed) == (0, 1)
        await subject.receive(receiver, 1)
        assert time.monotonic() - begin >= 0.39


async def a_message_sent_with_a_delay_waits(subject: QueueSubject):
    if not subject.type.capabilities.delayed:
        return
    async with subject.writer() as writer, subject.receiver() as receiver:
        begin = time.monotonic()
        await writer.send([Outgoing(value=b"late", delay_ms=400), Outgoing(value=b"now")])
        bodies = [message.body for message in await subject.receive(receiver, 2)]
        assert bodies == [b"now", b"late"]
        assert time.monotonic() - begin >= 0.39


async def a_lapsed_lease_gives_the_message_to_another(subject: QueueSubject):
    if not subject.type.capabilities.leased:
        return
    async with (
        subject.writer() as writer,
        subject.receiver("node-1", 300) as first,
        subject.receiver("node-2") as other,
    ):
        await writer.send([Outgoing(value=b"lapsing")])
        (held,) = await subject.receive(first, 1)
        (again,) = await subject.receive(other, 1)
        assert (again.message_id, again.receive_count) == (held.message_id, 2)
        await writer.send([Outgoing(value=b"valid")])
        (valid,) = await subject.receive(first, 1)
        with pytest.raises(ReceiptExpired):
            await first.ack([held.receipt, valid.receipt])
        await other.ack([again.receipt])
        assert await subject.is_empty(other)


async def an_extended_lease_does_not_lapse(subject: QueueSubject):
    if not subject.type.capabilities.leased:
        return
    async with (
        subject.writer() as writer,
        subject.receiver("node-1", 500) as first,
        subject.receiver("node-2") as other,
    ):
        await writer.send([Outgoing(value=b"extended"), Outgoing(value=b"lapsing")])
        held = {message.body: message for message in await subject.receive(first, 2)}
        await first.extend([held[b"extended"].receipt], lease_ms=60_000)
        (lapsed,) = await subject.receive(other, 1)
        assert lapsed.body == b"lapsing"
        assert not await other.receive(messages_max=10, wait_ms=700)
        await first.ack([held[b"extended"].receipt])


async def a_settled_receipt_has_expired(subject: QueueSubject):
    if not subject.type.capabilities.leased:
        return
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"one"), Outgoing(value=b"two")])
        one, two = await subject.receive(receiver, 2)
        await receiver.ack([one.receipt])
        for settle in (
            receiver.ack([one.receipt]),
            receiver.nack([one.receipt], delay_ms=0, counted=True),
            receiver.extend([one.receipt], lease_ms=1000),
        ):
            with pytest.raises(ReceiptExpired):
                await settle
        await receiver.ack([two.receipt])
        assert await subject.is_empty(receiver)


async def a_cancelled_receive_loses_nothing_and_counts_nothing(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        for turns in range(30):
            receiving = asyncio.create_task(receiver.receive(messages_max=10, wait_ms=60_000))
            if turns % 2:
                await asyncio.sleep(0)
            await writer.send([Outgoing(value=str(turns).encode())])
            for _ in range(turns % 7):
                await asyncio.sleep(0)
            if receiving.done():
                for message in await receiving:
                    await receiver.nack([message.receipt], delay_ms=0, counted=False)
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        messages = await subject.receive(receiver, 30)
        assert sorted(int(message.body) for message in messages) == list(range(30))
        if subject.type.capabilities.counted:
            assert {message.receive_count for message in messages} == {1}


async def the_backlog_counts_messages(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"v") for _ in range(5)])
        await subject.receive(receiver, 2)
        backlog = await receiver.backlog()
        assert backlog.count + backlog.delayed == 5
        if subject.type.capabilities.leased:
            assert (backlog.count, backlog.delayed) == (3, 2)


async def what_a_queue_can_not_carry_is_refused_and_the_rest_is_sent(subject: QueueSubject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        answers = await writer.send([Outgoing(value=b"first"), Outgoing(value=None), Outgoing(value=b"last")])
        assert [type(answer) for answer in answers] == [type(None), RecordRefused, type(None)]
        messages = await subject.receive(receiver, 2)
        assert [message.body for message in messages] == [b"first", b"last"]


async def peeking_shows_messages_and_takes_nothing(subject: QueueSubject):
    if subject.type.operate is None:
        return
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=str(index).encode()) for index in range(5)])
        operations = subject.type.operate(subject.source)
        try:
            shown = [message.body async for message in operations.peek(Start("TRIM_HORIZON"), limit=3, follow=False)]
        finally:
            await operations.close()
        assert shown == [b"0", b"1", b"2"]
        messages = await subject.receive(receiver, 5)
        assert {message.receive_count for message in messages} == {1}


QUEUE_CHECKS = [
    messages_come_as_they_were_sent,
    an_acked_message_is_gone,
    no_more_messages_come_than_were_asked_for,
    a_held_message_comes_to_nobody_else,
    a_waiting_receive_is_woken_by_a_message,
    a_nacked_message_comes_again_counted,
    an_uncounted_nack_takes_the_receive_back,
    a_count_says_how_often_it_is_run_however_often_it_is_said,
    a_nack_with_a_delay_holds_the_message_back,
    a_message_sent_with_a_delay_waits,
    a_lapsed_lease_gives_the_message_to_another,
    an_extended_lease_does_not_lapse,
    a_settled_receipt_has_expired,
    a_cancelled_receive_loses_nothing_and_counts_nothing,
    the_backlog_counts_messages,
    what_a_queue_can_not_carry_is_refused_and_the_rest_is_sent,
    peeking_shows_messages_and_takes_nothing,
    *FIFO_CHECKS,
]
