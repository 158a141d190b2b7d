import asyncio

import pytest

from contract import queue_contract
from contract.queue_contract import QUEUE_CHECKS, QueueSubject
from penstock_redis.plugin import LIST, QUEUE

pytestmark = pytest.mark.redis

# Two receivers at once: of a FIFO queue one receives, and the other stands by (see test_fifo.py).
_OF_TWO_RECEIVERS = {
    queue_contract.a_held_message_comes_to_nobody_else,
    queue_contract.a_lapsed_lease_gives_the_message_to_another,
    queue_contract.an_extended_lease_does_not_lapse,
}


@pytest.mark.parametrize("check", QUEUE_CHECKS, ids=lambda check: check.__name__)
def test_a_queue_on_a_stream_keeps_that(check, queue_source):
    asyncio.run(check(QueueSubject(type=QUEUE, source=queue_source())))


@pytest.mark.parametrize(
    "check", [check for check in QUEUE_CHECKS if check not in _OF_TWO_RECEIVERS], ids=lambda check: check.__name__
)
def test_a_fifo_queue_on_a_stream_keeps_that(check, queue_source):
    asyncio.run(check(QueueSubject(type=QUEUE, source=queue_source(FifoQueue=True))))


@pytest.mark.parametrize("check", QUEUE_CHECKS, ids=lambda check: check.__name__)
def test_a_queue_on_a_list_keeps_that(check, queue_source):
    asyncio.run(check(QueueSubject(type=LIST, source=queue_source())))
